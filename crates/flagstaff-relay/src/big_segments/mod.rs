//! Big segments: who is in them is copied from upstream into the database, where SDKs and this relay look.
//!
//! Source: the protocol's *Big segment synchronisation*. Patches are applied in their order, each only where
//! the database is as it should be before it. So several relays may fill one database, and one that was emptied
//! is filled again, whole: see [`synchronize`].
//!
//! | File | What it is about |
//! |---|---|
//! | `synchronize` | one environment's members, kept up to date for as long as it is relayed |
//! | `upstream` | asking for them |
//! | `state` | how that goes |
//! | `members` | looking them up, for values that are evaluated here |
//! | `pass_on` | relays behind this one |

mod members;
pub(crate) mod pass_on;
mod state;
mod synchronize;
mod upstream;

use std::sync::Arc;

use flagstaff_sdk::{BigSegmentCopy, Client, ConfigError};
use flagstaff_service::live_environment::LiveEnvironment;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use members::Lookup;
pub use state::BigSegmentState;
pub(crate) use upstream::Source;

use crate::config::Upstream;
use state::Watch;
use synchronize::Synchronizer;

/// The members of one environment's big segments, kept up to date. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Copying {
    watch: Arc<Watch>,
    _end: DropGuard,
}

impl Copying {
    /// Begins, as soon as the environment has a big segment. `client` is the one that reads the database.
    ///
    /// # Errors
    /// If upstream cannot be reached as it is configured.
    pub(crate) fn start(
        upstream: &Upstream,
        sdk_key: &str,
        live: &Arc<LiveEnvironment>,
        client: &Client,
        database: Arc<dyn BigSegmentCopy>,
        name: &str,
    ) -> Result<Self, ConfigError> {
        let source = Source::new(upstream, sdk_key)?;
        let watch = Arc::new(Watch::default());
        let synchronizer = Synchronizer {
            name: name.to_owned(),
            source,
            database,
            live: live.clone(),
            client: client.clone(),
            watch: watch.clone(),
            time_factor: upstream.time_factor,
        };
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(synchronizer.run()));
        Ok(Self { watch, _end: end.drop_guard() })
    }

    /// How it goes; none while there is nothing to copy.
    pub(crate) fn state(&self) -> Option<BigSegmentState> {
        self.watch.state()
    }
}

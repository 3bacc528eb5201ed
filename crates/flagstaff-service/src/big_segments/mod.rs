//! Big segments: who is in them, for evaluations made here and for those who copy them.
//!
//! Members are changed by [`crate::management::big_segment`] and rest in [`crate::store::big_segment`].
//! Evaluations here look them up, through a cache that every change of members passes; server-side SDKs look
//! them up in a database that a relay fills with what `serve` tells it.
//!
//! | File | What it is about |
//! |---|---|
//! | `lookup` | one context's big segments, remembered for a while |
//! | `follow` | who has to hear of a change |
//! | `serve` | what changed since, to whoever copies |
//! | `sweep` | segments that were deleted |

mod follow;
mod lookup;
mod serve;
mod sweep;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use flagstaff_wire::big_segments::ContextHash;

pub use follow::follow;
pub(crate) use serve::router;
pub use sweep::{run as keep_clear, sweep};

use crate::live_environment::Members;
use crate::store::{EnvironmentId, Store};
use lookup::{Cache, Lookup};

/// Who is in big segments, of every environment.
#[derive(Debug)]
pub struct BigSegments {
    store: Store,
    cache: Mutex<Cache>,
    /// Whether the database did not say at the last try who is in big segments.
    failing: AtomicBool,
    /// How many changes were passed on of each environment. Whoever has it passes them on.
    passed_on: tokio::sync::Mutex<HashMap<EnvironmentId, i64>>,
}

impl BigSegments {
    /// Looks into this store.
    pub fn new(store: &Store) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            cache: Mutex::default(),
            failing: AtomicBool::new(false),
            passed_on: Default::default(),
        })
    }

    /// Who is in the big segments of one environment.
    pub fn of(self: &Arc<Self>, environment: EnvironmentId) -> Arc<dyn Members> {
        Arc::new(Lookup::new(self.clone(), environment))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known of these contexts, or of all, does not count any more.
    fn forget(&self, environment: EnvironmentId, contexts: Option<&std::collections::HashSet<ContextHash>>) {
        self.cache().forget(environment, contexts);
    }
}

//! Consul: flags as keys of its key/value store.

mod store;
mod transaction;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::http_link::{HttpLink, LinkSettings};
use super::per_process::PerProcess;
use crate::log::{Log, LogSink};

/// Keeps flags in Consul.
///
/// ```no_run
/// use flagstaff_sdk::{Consul, PersistentStore};
///
/// let store = Consul::new("localhost:8500").prefix("production").token("…");
/// assert!(store.is_available());
/// ```
///
/// `P` being the prefix, flags are keys `P/features/KEY`, segments `P/segments/KEY`, and `P/$inited` says
/// that all are there. Writing everything takes several transactions of at most 64 keys: a reader may
/// see a part of it. A value may have 512 KB; an item that is larger is logged and left out. There are
/// no big segments in Consul.
///
/// Nothing connects before the first question. Clones share their connections.
#[derive(Clone)]
pub struct Consul {
    address: String,
    prefix: String,
    token: Option<String>,
    link: LinkSettings,
    log: Log,
    shared: Arc<Shared>,
}

/// What clones have in common.
struct Shared {
    link: PerProcess<HttpLink>,
    left_out: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self { link: PerProcess::new(), left_out: AtomicU64::new(0) }
    }
}

impl Consul {
    /// `HOST:PORT`, or with `http://` or `https://` before it.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            prefix: "launchdarkly".to_owned(),
            token: None,
            link: LinkSettings::default(),
            log: Log::new(None),
            shared: Arc::default(),
        }
    }

    /// What all keys begin with, before a slash. Default `launchdarkly`, also if empty.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        if self.prefix.is_empty() {
            self.prefix = "launchdarkly".to_owned();
        }
        self
    }

    /// The token that is sent with each request. It needs `key:read` and `key:write` below the prefix.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How long connecting may take. Default 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.link.connect_timeout = timeout;
        self.reconnecting()
    }

    /// How long Consul may be silent while it is to answer. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.link.timeout = timeout;
        self.reconnecting()
    }

    /// For `https://`: trusts the certificate authorities of this file (PEM), and no others. Default:
    /// those of the web.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.link.ca_file = Some(path.into());
        self.reconnecting()
    }

    /// Where it is said that an item is too large. Default: `tracing`.
    pub fn log_to(mut self, sink: Arc<dyn LogSink>) -> Self {
        self.log = Log::new(Some(sink));
        self
    }

    /// How many items were left out because they are too large, by this store and its clones.
    pub fn items_left_out(&self) -> u64 {
        self.shared.left_out.load(Ordering::Relaxed)
    }

    /// A clone that connects otherwise does not share its connections.
    fn reconnecting(mut self) -> Self {
        self.shared = Arc::default();
        self
    }

    /// The name of a key: `of` after the prefix.
    fn key(&self, of: &str) -> String {
        format!("{}/{of}", self.prefix)
    }
}

/// Without the token.
impl fmt::Debug for Consul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consul")
            .field("address", &self.shown_address())
            .field("prefix", &self.prefix)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

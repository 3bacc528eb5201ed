//! Redis: flags as two hashes, big segments as sets. Whoever speaks its protocol (Valkey) will do.

mod big_segments;
mod pool;
mod store;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::pool::Connections;

/// Keeps flags in Redis, or reads big segments from it.
///
/// ```no_run
/// use flagstaff_sdk::{PersistentStore, Redis};
///
/// let store = Redis::new("redis://localhost:6379").prefix("production");
/// assert!(store.is_available());
/// ```
///
/// `P` being the prefix, flags are fields of the hash `P:features`, segments of `P:segments`, and
/// `P:$inited` says that both are there. All are written in one transaction. In a cluster the prefix needs
/// a hash tag, as `{flags}`, so that they lie on one node, and the URL must be that of this node, or of a
/// proxy that knows: being sent to another node is an error, and not followed. Big segments lie there too.
///
/// Nothing connects before the first question. Clones share their connections.
#[derive(Clone)]
pub struct Redis {
    url: String,
    user: Option<String>,
    password: Option<String>,
    prefix: String,
    connect_timeout: Duration,
    timeout: Duration,
    pool_size: usize,
    ca_file: Option<PathBuf>,
    connections: Arc<Connections>,
}

impl Redis {
    /// `redis://`, or `rediss://` for TLS, `[USER][:PASSWORD@]HOST[:PORT][/DATABASE]`. Also
    /// `unix:///PATH`, with `?db=`. A URL that is none is an error of each question.
    ///
    /// For TLS the process's default provider of `rustls` is taken. A program that wants one of its own
    /// installs it before the client starts: if there is none at the first question, ring's becomes it.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            password: None,
            prefix: "launchdarkly".to_owned(),
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            pool_size: 8,
            ca_file: None,
            connections: Arc::default(),
        }
    }

    /// What all keys begin with, before a colon. Default `launchdarkly`, also if empty.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        if self.prefix.is_empty() {
            self.prefix = "launchdarkly".to_owned();
        }
        self
    }

    /// Signs in as this user, whatever the URL says.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self.reconnecting()
    }

    /// Signs in with this password, whatever the URL says. Any characters, as they are.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self.reconnecting()
    }

    /// How long connecting and signing in may take. Default 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self.reconnecting()
    }

    /// How long Redis may be silent while it is to answer, or take nothing in. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.reconnecting()
    }

    /// How many connections are kept open. More are opened while more threads need one, and closed
    /// afterwards. Default 8.
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self.reconnecting()
    }

    /// For `rediss://`: trusts the certificate authorities of this file (PEM), and no others. Default:
    /// those of the web.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self.reconnecting()
    }

    /// A clone that connects otherwise does not share its connections.
    fn reconnecting(mut self) -> Self {
        self.connections = Arc::default();
        self
    }

    /// The name of a key: `of` after the prefix.
    fn key(&self, of: &str) -> String {
        format!("{}:{of}", self.prefix)
    }
}

/// Without the password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("url", &self.address())
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

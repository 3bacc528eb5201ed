//! DynamoDB: one table for flags, segments and big segments, of any number of environments.

mod batch;
mod big_segments;
mod connection;
mod http;
mod store;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::connection::Connection;
use super::http_link::LinkSettings;
use super::per_process::PerProcess;
use crate::log::{Log, LogSink};

/// Keeps flags in DynamoDB, or reads big segments from it.
///
/// ```no_run
/// use flagstaff_sdk::{DynamoDb, PersistentStore};
///
/// let store = DynamoDb::new("feature-flags").prefix("production").region("eu-central-1");
/// assert!(store.is_available());
/// ```
///
/// The table must exist, with a partition key `namespace` and a sort key `key`, both strings. `P` being
/// the prefix, flags have the namespace `P:features`, segments `P:segments`, or the same without a
/// prefix, and an item whose namespace and key are `P:$inited` says that all are there. Writing
/// everything takes many requests: a reader may see a part of it. Reads are consistent. An item may
/// have 400 KB; one that is larger is logged and left out.
///
/// Region and credentials are those of the environment, as all AWS programs find them (variables,
/// profiles, roles of containers and instances; not the single sign-on of a developer), unless they are
/// given here. Nothing connects before the first question. Clones share their connections.
#[derive(Clone)]
pub struct DynamoDb {
    table: String,
    prefix: String,
    endpoint: Option<String>,
    region: Option<String>,
    credentials: Option<Credentials>,
    link: LinkSettings,
    log: Log,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

/// What clones have in common.
struct Shared {
    connection: PerProcess<Connection>,
    left_out: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self { connection: PerProcess::new(), left_out: AtomicU64::new(0) }
    }
}

impl DynamoDb {
    /// Uses this table.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            prefix: String::new(),
            endpoint: None,
            region: None,
            credentials: None,
            link: LinkSettings::default(),
            log: Log::new(None),
            shared: Arc::default(),
        }
    }

    /// What all namespaces begin with, before a colon. Default: nothing, and no colon.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Asks this URL instead of Amazon's, as `http://localhost:8000` for DynamoDB Local.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self.reconnecting()
    }

    /// The region of the table, as `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self.reconnecting()
    }

    /// Signs requests with this key, and with nothing that the environment has.
    pub fn credentials(
        mut self,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
    ) -> Self {
        self.credentials = Some(Credentials {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: None,
        });
        self.reconnecting()
    }

    /// The token that belongs to temporary [`DynamoDb::credentials`]; without those it does nothing.
    pub fn session_token(mut self, token: impl Into<String>) -> Self {
        if let Some(credentials) = &mut self.credentials {
            credentials.session_token = Some(token.into());
        }
        self.reconnecting()
    }

    /// How long connecting may take. Default 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.link.connect_timeout = timeout;
        self.reconnecting()
    }

    /// How long one request may take; a failed one is made up to three times. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.link.timeout = timeout;
        self.reconnecting()
    }

    /// Trusts the certificate authorities of this file (PEM), and no others. Default: those of the web.
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

    /// A namespace: `of` after the prefix, if there is one.
    fn namespace(&self, of: &str) -> String {
        match self.prefix.is_empty() {
            true => of.to_owned(),
            false => format!("{}:{of}", self.prefix),
        }
    }
}

/// Without the credentials, and without the endpoint, which may have some in it.
impl fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDb")
            .field("table", &self.table)
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

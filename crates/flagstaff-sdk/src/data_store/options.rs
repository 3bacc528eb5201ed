//! How a database is used to hold flags.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::persistent::PersistentStore;
use crate::config::{Config, ConfigError, LONGEST, at_least};

/// A database that holds flags, and how it is used: see [`Config::data_store`].
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use flagstaff_sdk::{Caching, Config, PersistentDataStore, PersistentStore};
/// # fn configured(database: impl PersistentStore) -> Config {
/// let store = PersistentDataStore::new(database).caching(Caching::For(Duration::from_secs(30)));
/// Config::new("sdk-demo-production").data_store(store)
/// # }
/// ```
///
/// The client keeps in memory what it received or read. What the database holds is asked for again as
/// [`Caching`] says; while the database does not answer, the client goes on from memory.
#[derive(Clone)]
#[must_use]
pub struct PersistentDataStore {
    pub(crate) store: Arc<dyn PersistentStore>,
    pub(crate) caching: Caching,
    pub(crate) timeout: Duration,
    pub(crate) read_only: bool,
    pub(crate) written_first: bool,
}

/// For how long an item that was read from a database is not read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Each evaluation reads what it needs.
    Off,
    /// For this long, whether the item is there or not.
    For(Duration),
    /// For as long as the process lives: memory counts, and the database is written to.
    Forever,
}

impl PersistentDataStore {
    /// Uses a database: `Redis`, `Consul`, `DynamoDb`, or one of your own.
    pub fn new(store: impl PersistentStore) -> Self {
        Self::shared(Arc::new(store))
    }

    /// As [`PersistentDataStore::new`], for a database that something else holds too.
    pub fn shared(store: Arc<dyn PersistentStore>) -> Self {
        Self {
            store,
            caching: Caching::For(Duration::from_secs(15)),
            timeout: Duration::from_secs(1),
            read_only: false,
            written_first: false,
        }
    }

    /// For how long an item is not read again. Default 15 s.
    pub fn caching(mut self, caching: Caching) -> Self {
        self.caching = match caching {
            Caching::For(Duration::ZERO) => Caching::Off,
            other => other,
        };
        self
    }

    /// How long an evaluation waits for the database at most. Default 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Only reads the database, although flags are received: another process writes it.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Tells listeners of a flag change only once it was written to the database, or could not be: for
    /// those who then read the database themselves. They wait for the time-out at most.
    pub fn written_first(mut self) -> Self {
        self.written_first = true;
        self
    }
}

impl fmt::Debug for PersistentDataStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PersistentDataStore")
            .field("store", &self.store.name())
            .field("caching", &self.caching)
            .field("timeout", &self.timeout)
            .field("read_only", &self.read_only)
            .field("written_first", &self.written_first)
            .finish()
    }
}

impl Config {
    /// Keeps flags in a database too: other processes can read them there, and a client that starts
    /// while the service is away has them.
    pub fn data_store(mut self, store: PersistentDataStore) -> Self {
        self.data_store = Some(store);
        self
    }

    /// Takes flags from the database alone and connects to nothing: daemon mode. Something else
    /// writes the database, such as a relay. Events are still sent. Needs [`Config::data_store`].
    pub fn daemon_mode(mut self, daemon: bool) -> Self {
        self.daemon_mode = daemon;
        self
    }

    pub(crate) fn check_data_store(&mut self) -> Result<(), ConfigError> {
        let Some(options) = &mut self.data_store else { return Ok(()) };
        at_least("the time-out of the data store", options.timeout, Duration::from_millis(1))?;
        options.timeout = options.timeout.min(LONGEST);
        Ok(())
    }
}

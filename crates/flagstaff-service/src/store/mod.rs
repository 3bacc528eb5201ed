//! All SQL of flags, one file per entity. Events have a database of their own: see
//! [`crate::analytics`].
//!
//! There are two engines, `sqlite` and `postgres`; `connection` runs the same statements on both. Statements
//! are checked at run time and numbered `$1`, `$2`.
//!
//! Functions that read take a connection, so that they run inside whatever transaction the caller
//! holds: [`Store::read`] for one statement, [`Store::snapshot`] for several that must agree,
//! [`Store::write`] to change.

pub mod access_token;
pub mod analytics;
pub mod audit;
pub mod backup;
pub mod big_segment;
pub mod change_log;
mod check;
pub mod connection;
pub mod environment;
mod error;
mod figures;
pub mod flag;
pub mod health;
mod ids;
mod integrity;
pub mod member;
pub mod membership;
pub mod metric;
pub mod migrate;
pub mod payload_filter;
mod postgres;
pub mod project;
pub mod quarantine;
pub mod relay_auto_config;
mod schema;
pub mod segment;
pub mod session;
pub mod setting;
mod sqlite;
pub mod targeting;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

pub use check::Report;
pub use connection::Connection;
use connection::{Reading, Transaction};
pub use environment::EnvironmentId;
pub use error::StoreError;
use health::Trouble;
pub use ids::new_public_id;
pub use integrity::Mended;
pub use postgres::PostgresUrl;
use sqlite::pool_options;

use crate::config::{Config, Database};

/// The file in the data folder.
pub const DATABASE_FILE: &str = "flagstaff.db";

/// The database of flags.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Engine,
    committed: watch::Sender<u64>,
    quarantined: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
enum Engine {
    Sqlite(sqlite::Pools),
    Postgres(postgres::Pools),
}

impl Store {
    /// The database that the service is configured for, brought up to date.
    pub async fn of(config: &Config) -> Result<Self, StoreError> {
        match &config.database {
            Database::Sqlite => Self::open(&config.data).await,
            Database::Postgres(url) => Self::connect(url).await,
        }
    }

    /// Opens the SQLite database in the data folder, makes it if there is none, and brings it up to date.
    pub async fn open(data: &Path) -> Result<Self, StoreError> {
        let engine = Engine::Sqlite(sqlite::Pools::open(&data.join(DATABASE_FILE)).await?);
        Ok(Self { engine, committed: watch::Sender::new(0), quarantined: Arc::default() })
    }

    /// Uses a PostgreSQL database, and brings it up to date.
    pub async fn connect(url: &PostgresUrl) -> Result<Self, StoreError> {
        let committed = watch::Sender::new(0);
        let engine = Engine::Postgres(postgres::Pools::open(url, committed.clone()).await?);
        Ok(Self { engine, committed, quarantined: Arc::default() })
    }

    /// A connection for one reading statement.
    pub async fn read(&self) -> Result<Reading, StoreError> {
        match &self.engine {
            Engine::Sqlite(pools) => pools.read().await,
            Engine::Postgres(pools) => pools.read().await,
        }
    }

    /// A transaction for several reading statements that see one moment.
    pub async fn snapshot(&self) -> Result<Reading, StoreError> {
        match &self.engine {
            Engine::Sqlite(pools) => pools.snapshot().await,
            Engine::Postgres(pools) => pools.snapshot().await,
        }
    }

    /// A transaction that writes. There is one at a time, on however many nodes, so that what a rule has read
    /// and checked stays so until it has written; dropped without [`Write::commit`], it leaves nothing.
    pub async fn write(&self) -> Result<Write, StoreError> {
        let transaction = match &self.engine {
            Engine::Sqlite(pools) => pools.write().await?,
            Engine::Postgres(pools) => pools.write().await?,
        };
        Ok(Write { transaction, committed: Some(self.committed.clone()) })
    }

    /// A transaction that writes what neither a rule nor an SDK looks at, such as sessions: it waits for no other
    /// node, and wakes none.
    pub async fn write_apart(&self) -> Result<Write, StoreError> {
        let transaction = match &self.engine {
            Engine::Sqlite(pools) => pools.write().await?,
            Engine::Postgres(pools) => pools.write_apart().await?,
        };
        Ok(Write { transaction, committed: None })
    }

    /// Changes with every commit, of this process at once and of other nodes as soon as they are heard of: the
    /// wake-up for whoever follows the change log.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Looks at everything, before anybody is served: see `integrity`.
    ///
    /// # Errors
    /// If something is damaged without which nothing can be served rightly.
    pub async fn examine(&self) -> Result<Mended, StoreError> {
        if let Engine::Sqlite(pools) = &self.engine {
            pools.examine().await?;
        }
        self.mend().await
    }

    /// Looks at every row, puts back what is damaged from its copy, and takes out what cannot be.
    ///
    /// # Errors
    /// If something is damaged without which nothing can be served rightly.
    pub async fn mend(&self) -> Result<Mended, StoreError> {
        let mut mended = Mended::default();
        if integrity::needs_mending(&mut *self.snapshot().await?).await? {
            let mut write = self.write().await?;
            mended = integrity::mend(&mut write).await?;
            write.commit().await?;
            mended.say();
        }
        self.quarantined.store(quarantine::count(&mut *self.read().await?).await?, Ordering::Relaxed);
        Ok(mended)
    }

    /// How many rows were damaged beyond help, and not forgotten since: as of the last [`Self::examine`].
    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Why nothing is written any more, if that is so.
    pub fn trouble(&self) -> Option<Trouble> {
        match &self.engine {
            Engine::Sqlite(pools) => pools.trouble(),
            Engine::Postgres(_) => None,
        }
    }

    /// Closes all connections, once they are given back.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(pools) => pools.close().await,
            Engine::Postgres(pools) => pools.close().await,
        }
    }
}

/// A transaction that writes.
#[derive(Debug)]
pub struct Write {
    transaction: Transaction,
    /// Whom to wake, if anybody.
    committed: Option<watch::Sender<u64>>,
}

impl Write {
    /// Keeps what was written, on disk, and wakes whoever follows the change log.
    ///
    /// Goes to its end even when the caller is dropped meanwhile, as happens when a client hangs up.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Self { mut transaction, committed } = self;
        let commit = tokio::spawn(async move {
            if committed.is_some() && transaction.is_postgres() {
                postgres::tell_nodes(&mut transaction).await?;
            }
            transaction.commit().await?;
            if let Some(committed) = committed {
                committed.send_modify(|count| *count += 1);
            }
            Ok(())
        });
        commit.await.unwrap_or_else(|_| Err(StoreError::Statement(sqlx::Error::WorkerCrashed)))
    }
}

impl std::ops::Deref for Write {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.transaction
    }
}

impl std::ops::DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.transaction
    }
}

/// Reads the JSON of a column.
fn json<T: serde::de::DeserializeOwned>(
    entity: &'static str,
    key: &str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Damaged { entity, key: key.to_owned(), source })
}

/// Writes the JSON of a column. Our own types always have one.
fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| unreachable!("our own types have JSON: {error}"))
}

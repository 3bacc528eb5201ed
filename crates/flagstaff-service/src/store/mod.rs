//! All SQL of flags, one file per entity. Events have a database of their own: see
//! [`crate::analytics`].
//!
//! SQLite in WAL with full sync: one writer connection, whose transactions begin with
//! `BEGIN IMMEDIATE` (a deferred one that turns into a write fails at once when it meets another),
//! and a pool of readers apart. Statements are checked at run time and numbered `$1`, `$2`, as both
//! engines read them.
//!
//! Functions that read take a connection, so that they run inside whatever transaction the caller
//! holds: [`Store::read`] for one statement, [`Store::snapshot`] for several that must agree,
//! [`Store::write`] to change.

pub mod access_token;
pub mod analytics;
pub mod audit;
pub mod big_segment;
pub mod change_log;
pub mod connection;
pub mod environment;
pub mod flag;
mod ids;
pub mod member;
pub mod membership;
pub mod metric;
pub mod payload_filter;
pub mod project;
pub mod relay_auto_config;
pub mod segment;
pub mod session;
pub mod setting;
pub mod targeting;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlSafeStr as _, SqlitePool};
use tokio::sync::watch;

pub use connection::Connection;
use connection::{Reading, Transaction};
pub use environment::EnvironmentId;
pub use ids::new_public_id;

/// The file in the data folder.
pub const DATABASE_FILE: &str = "flagstaff.db";

/// How long a write waits for the one before it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The schema, step by step. A step that was released is never edited.
const MIGRATIONS: [(i64, &str, &str); 4] = [
    (1, "flags", include_str!("../../migrations/sqlite/0001_flags.sql")),
    (2, "segment_changes", include_str!("../../migrations/sqlite/0002_segment_changes.sql")),
    (3, "relays", include_str!("../../migrations/sqlite/0003_relays.sql")),
    (6, "big_segments", include_str!("../../migrations/sqlite/0006_big_segments.sql")),
];

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be opened or is not ours.
    #[error("could not open the database `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        source: sqlx::Error,
    },
    /// The schema cannot be brought up to date.
    #[error("could not bring the database `{}` up to date", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("the database refused a statement")]
    Statement(#[from] sqlx::Error),
    /// A row does not hold what it should.
    #[error("the {entity} `{key}` in the database is damaged")]
    Damaged {
        /// What kind of row.
        entity: &'static str,
        /// Which one.
        key: String,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        const SQLITE_FULL: &str = "13";
        matches!(self, StoreError::Statement(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| code == SQLITE_FULL))
    }

    /// Whether a row with this key was there already.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, StoreError::Statement(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

/// The database of flags.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    committed: watch::Sender<u64>,
}

impl Store {
    /// Opens the database in the data folder, makes it if there is none, and brings it up to date.
    pub async fn open(data: &Path) -> Result<Self, StoreError> {
        let path = data.join(DATABASE_FILE);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let open_error = |source| StoreError::Open { path: path.clone(), source };
        let writer = pool_options()
            .max_connections(1)
            .min_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(open_error)?;
        migrator().run(&writer).await.map_err(|source| StoreError::Migrate { path: path.clone(), source })?;
        let readers = pool_options()
            .max_connections(readers())
            .connect_with(options.read_only(true))
            .await
            .map_err(open_error)?;
        Ok(Self { writer, readers, committed: watch::Sender::new(0) })
    }

    /// A connection for one reading statement.
    pub async fn read(&self) -> Result<Reading, StoreError> {
        Ok(self.readers.acquire().await?.into())
    }

    /// A transaction for several reading statements that see one moment.
    pub async fn snapshot(&self) -> Result<Reading, StoreError> {
        Ok(self.readers.begin().await?.into())
    }

    /// A transaction that writes. There is one at a time; dropped without [`Write::commit`], it
    /// leaves nothing.
    pub async fn write(&self) -> Result<Write, StoreError> {
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?.into();
        Ok(Write { transaction, committed: self.committed.clone() })
    }

    /// Changes with every commit of this process: the wake-up for whoever follows the change log.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Closes all connections, once they are given back.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A transaction that writes.
#[derive(Debug)]
pub struct Write {
    transaction: Transaction,
    committed: watch::Sender<u64>,
}

impl Write {
    /// Keeps what was written, on disk, and wakes whoever follows the change log.
    ///
    /// Goes to its end even when the caller is dropped meanwhile, as happens when a client hangs up.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Self { transaction, committed } = self;
        let commit = tokio::spawn(async move {
            transaction.commit().await?;
            committed.send_modify(|count| *count += 1);
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

/// A pool that does not lend a connection again on which a transaction is still thought to be open.
///
/// When the disk is full or fails, SQLite ends the transaction by itself; sqlx, whose own attempt to end
/// it then fails, would refuse every later one on this connection.
fn pool_options() -> SqlitePoolOptions {
    SqlitePoolOptions::new().test_before_acquire(false).before_acquire(|connection, _| {
        Box::pin(async move {
            // Behind everything that was asked of the connection before, such as the end of a transaction.
            connection.ping().await?;
            Ok(!connection.is_in_transaction())
        })
    })
}

fn migrator() -> Migrator {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.into_iter().map(migration).collect())
}

/// As many as can work at once, and a few more for those that wait for the disk.
fn readers() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores as u32 + 2).min(16)
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

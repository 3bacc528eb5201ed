//! All SQL of events and of what they add up to, in a database of its own: see [`crate::analytics`].
//!
//! Kept apart from flags so that a flood of events never makes a flag change wait, in its durability
//! their equal: WAL with full sync, so that what was acknowledged outlives a power cut.
//!
//! Many rows travel in one statement. Statements come in few lengths, so that the engine prepares each
//! once: see the file `rows`.

pub mod batch;
pub mod context;
pub mod count;
pub mod instance;
mod rows;
pub mod search;

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{SqlSafeStr as _, SqlitePool};

use super::connection::{Reading, Transaction};
use super::{StoreError, pool_options};

/// The file in the data folder.
pub const EVENTS_FILE: &str = "events.sqlite";

/// How long a write waits for one of another process, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages of write-ahead log after which they are moved to the file: 16 MiB. Batches are removed soon
/// after they came, and most of them then never have to be moved at all.
const CHECKPOINT_PAGES: &str = "4096";

/// How many readers there are: pages, requests, and the one that counts.
const READERS: u32 = 6;

/// The schema, step by step. A step that was released is never edited.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "events", include_str!("../../../migrations/sqlite-events/0001_events.sql"))];

/// The database of events.
#[derive(Clone, Debug)]
pub struct EventStore {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl EventStore {
    /// Opens the database in the data folder, makes it if there is none, and brings it up to date.
    ///
    /// # Errors
    /// If the file cannot be opened, is not a database, or is newer than this program.
    pub async fn open(data: &Path) -> Result<Self, StoreError> {
        let path = data.join(EVENTS_FILE);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // What is deleted is overwritten where that costs no further writing: users who asked for it, too.
            .pragma("secure_delete", "FAST")
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .busy_timeout(BUSY_TIMEOUT);
        let open_error = |source| StoreError::Open { database: path.display().to_string(), source };
        let writer = pool_options()
            .max_connections(1)
            .min_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(open_error)?;
        migrator()
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migrate { database: path.display().to_string(), source })?;
        let readers = pool_options()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(open_error)?;
        Ok(Self { writer, readers })
    }

    /// A connection for one reading statement.
    pub async fn read(&self) -> Result<Reading, StoreError> {
        Ok(self.readers.acquire().await?.into())
    }

    /// A transaction for several reading statements that see one moment.
    pub async fn snapshot(&self) -> Result<Reading, StoreError> {
        Ok(self.readers.begin().await?.into())
    }

    /// A transaction that writes. One task writes, so that there is never a second one.
    pub async fn write(&self) -> Result<Transaction, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?.into())
    }

    /// Closes all connections, once they are given back.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn migrator() -> Migrator {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.into_iter().map(migration).collect())
}

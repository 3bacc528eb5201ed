//! SQLite: a file in the data folder, in WAL with full sync; one writer connection, whose transactions
//! begin with `BEGIN IMMEDIATE` (a deferred one that turns into a write fails at once when it meets
//! another), and a pool of readers apart.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlitePool};

use super::connection::{Reading, Transaction};
use super::{StoreError, schema};

/// How long a write waits for the one before it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The one connection that writes, and those that read.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Pools {
    /// Opens the database of flags, makes it if there is none, and brings it up to date.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let database = || path.display().to_string();
        let open_error = |source| StoreError::Open { database: database(), source };
        let writer = pool_options()
            .max_connections(1)
            .min_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(open_error)?;
        schema::sqlite()
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migrate { database: database(), source })?;
        let readers = pool_options()
            .max_connections(readers())
            .connect_with(options.read_only(true))
            .await
            .map_err(open_error)?;
        Ok(Self { writer, readers })
    }

    pub(super) async fn read(&self) -> Result<Reading, StoreError> {
        Ok(self.readers.acquire().await?.into())
    }

    pub(super) async fn snapshot(&self) -> Result<Reading, StoreError> {
        Ok(self.readers.begin().await?.into())
    }

    pub(super) async fn write(&self) -> Result<Transaction, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?.into())
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A pool that does not lend a connection again on which a transaction is still thought to be open.
///
/// When the disk is full or fails, SQLite ends the transaction by itself; sqlx, whose own attempt to end
/// it then fails, would refuse every later one on this connection.
pub(super) fn pool_options() -> SqlitePoolOptions {
    SqlitePoolOptions::new().test_before_acquire(false).before_acquire(|connection, _| {
        Box::pin(async move {
            // Behind everything that was asked of the connection before, such as the end of a transaction.
            connection.ping().await?;
            Ok(!connection.is_in_transaction())
        })
    })
}

/// As many as can work at once, and a few more for those that wait for the disk.
fn readers() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores as u32 + 2).min(16)
}

//! SQLite: a file in the data folder, in WAL with full sync; one writer connection, whose transactions
//! begin with `BEGIN IMMEDIATE` (a deferred one that turns into a write fails at once when it meets
//! another), and a pool of readers apart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlitePool};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::backup::{STEPS_TABLE, newest_taken};
use super::connection::{Reading, Transaction};
use super::health::{Fault, Health, Trouble};
use super::integrity::structure::{self, Structure};
use super::{StoreError, schema};

/// How long a write waits for the one before it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often what is in the log is moved to the file, if there is anything.
const CHECKPOINT: Duration = Duration::from_secs(10);

/// The one connection that writes, and those that read.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    writer: SqlitePool,
    readers: SqlitePool,
    health: Health,
    _checkpoints: Arc<DropGuard>,
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
        let open_error = |source| match Fault::of(&source) {
            Some(Fault::Damaged) => StoreError::Unsound { database: database(), finding: source.to_string() },
            _ => StoreError::Open { database: database(), source },
        };
        let writer = pool_options()
            .max_connections(1)
            .min_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(open_error)?;
        // What is damaged is not rebuilt, which would make it worse.
        let is_behind = async {
            let mut connection = Reading::from(writer.acquire().await?);
            Ok(newest_taken(&mut connection, STEPS_TABLE).await?.is_some_and(|step| step < schema::newest()))
        };
        if is_behind.await.map_err(open_error)? {
            let mut connection = writer.acquire().await.map_err(open_error)?;
            match structure::check(&mut connection).await.map_err(open_error)? {
                Structure::Sound => {}
                Structure::Essential(finding) | Structure::Elsewhere(finding) => {
                    return Err(StoreError::Unsound { database: database(), finding });
                }
            }
        }
        schema::sqlite().run(&writer).await.map_err(|source| match &source {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
                if Fault::of(error) == Some(Fault::Damaged) =>
            {
                StoreError::Unsound { database: database(), finding: error.to_string() }
            }
            _ => StoreError::Migrate { database: database(), source },
        })?;
        let readers = pool_options()
            .max_connections(readers())
            .connect_with(options.read_only(true))
            .await
            .map_err(open_error)?;
        let health = Health::of(database());
        let checkpoints = checkpoints(&writer, &health, CHECKPOINT);
        Ok(Self { writer, readers, health, _checkpoints: checkpoints })
    }

    pub(super) async fn read(&self) -> Result<Reading, StoreError> {
        read(&self.readers, &self.health).await
    }

    pub(super) async fn snapshot(&self) -> Result<Reading, StoreError> {
        snapshot(&self.readers, &self.health).await
    }

    pub(super) async fn write(&self) -> Result<Transaction, StoreError> {
        write(&self.writer, &self.health).await
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.health.trouble()
    }

    /// What is wrong with the file, if anything.
    pub(super) async fn structure(&self) -> Result<Structure, StoreError> {
        Ok(structure::check(&mut *self.readers.acquire().await?).await?)
    }

    /// Looks at the file, before anybody is served. Where something is damaged that no flag is made of, nothing is
    /// written any more; where flags are, nothing is served.
    pub(super) async fn examine(&self) -> Result<(), StoreError> {
        match self.structure().await? {
            Structure::Sound => {}
            Structure::Elsewhere(finding) => self.health.found(Fault::Damaged, &finding),
            Structure::Essential(finding) => {
                return Err(StoreError::Unsound { database: self.health.database().to_owned(), finding });
            }
        }
        // What an earlier process could not sync may stand at the end of the log, though only in memory. Were
        // more written after it, a power cut would take that, too: so everything is brought into the file, and
        // the log begins anew.
        let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.writer).await;
        checkpoint.inspect_err(|error| self.health.note(error))?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A connection for one reading statement.
pub(super) async fn read(readers: &SqlitePool, health: &Health) -> Result<Reading, StoreError> {
    let lent = readers.acquire().await.inspect_err(|error| health.note(error));
    Ok(Reading::from(lent?).watched_by(health))
}

/// A transaction that sees one moment.
pub(super) async fn snapshot(readers: &SqlitePool, health: &Health) -> Result<Reading, StoreError> {
    let begun = readers.begin().await.inspect_err(|error| health.note(error));
    Ok(Reading::from(begun?).watched_by(health))
}

/// A transaction that writes, unless that would not be kept.
pub(super) async fn write(writer: &SqlitePool, health: &Health) -> Result<Transaction, StoreError> {
    health.check()?;
    let begun = writer.begin_with("BEGIN IMMEDIATE").await.inspect_err(|error| health.note(error));
    Ok(Transaction::from(begun?).watched_by(health))
}

/// Moves what is in the log to the file now and then, for as long as what is returned is there.
///
/// SQLite does so by itself at the end of commits, and tells nobody when it fails: what was committed is in the
/// log still, so nothing is lost by that, but a disk that fails should be heard of.
pub(super) fn checkpoints(writer: &SqlitePool, health: &Health, every: Duration) -> Arc<DropGuard> {
    let (writer, health, ended) = (writer.clone(), health.clone(), CancellationToken::new());
    let checkpoints = async move {
        let mut moved = health.commits();
        loop {
            tokio::time::sleep(every).await;
            let commits = health.commits();
            if commits == moved || health.trouble().is_some() {
                continue;
            }
            match sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&writer).await {
                Ok(_) => moved = commits,
                Err(sqlx::Error::PoolClosed) => return,
                Err(error) => health.note(&error),
            }
        }
    };
    tokio::spawn(ended.clone().run_until_cancelled_owned(checkpoints));
    Arc::new(ended.drop_guard())
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

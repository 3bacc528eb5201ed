//! All SQL of events and of what they add up to: see [`crate::analytics`].
//!
//! In SQLite a database of its own, kept apart from flags so that a flood of events never makes a flag change
//! wait, in its durability their equal: WAL with full sync, so that what was acknowledged outlives a power cut.
//! On PostgreSQL tables beside those of flags, through connections of their own.
//!
//! There several nodes write at once. Rows that two of them may want are taken in the order of their keys, so
//! that one waits for the other and never both; where they meet all the same, the server ends one of the
//! transactions, and [`EventStore::transact`] does it again. Batches to be counted are not waited for at all:
//! see [`EventStore::claim`].
//!
//! Many rows travel in one statement. Statements come in few lengths, so that the engine prepares each
//! once: see the file `rows`.

pub mod batch;
pub mod context;
pub mod count;
pub mod failure;
pub mod instance;
mod rows;
pub mod search;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio_util::sync::DropGuard;

use self::batch::StoredBatch;
use self::failure::is_conflict;
use super::connection::{Connection, Reading, Transaction};
use super::health::{Health, Trouble};
use super::schema::migrator;
use super::{PostgresUrl, StoreError, pool_options, postgres, sqlite};
use crate::config::{Config, Database};

/// The file in the data folder.
pub const EVENTS_FILE: &str = "events.sqlite";

/// How long a write waits for one of another process, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages of write-ahead log after which they are moved to the file: 16 MiB. Batches are removed soon
/// after they came, and most of them then never have to be moved at all.
const CHECKPOINT_PAGES: &str = "4096";

/// How often that is done anyway, if there is anything, so that a disk that fails is heard of.
const CHECKPOINT: Duration = Duration::from_secs(60);

/// How many readers there are: pages, requests, and the one that counts.
const READERS: u32 = 6;

/// How many write on PostgreSQL: the one task that takes everything in, and the one that counts.
const POSTGRES_WRITERS: u32 = 2;

/// How often in a row a transaction may meet others before that counts as a failure.
const CONFLICTS: u32 = 10;

/// The schema, step by step. A step that was released is never edited.
const STEPS: [(i64, &str, &str); 3] = [
    (1, "events", include_str!("../../../migrations/sqlite-events/0001_events.sql")),
    (2, "reasons", include_str!("../../../migrations/sqlite-events/0002_reasons.sql")),
    (3, "by age", include_str!("../../../migrations/sqlite-events/0003_by_age.sql")),
];
const POSTGRES_STEPS: [(i64, &str, &str); 3] = [
    (1, "events", include_str!("../../../migrations/postgres-events/0001_events.sql")),
    (2, "reasons", include_str!("../../../migrations/postgres-events/0002_reasons.sql")),
    (3, "by age", include_str!("../../../migrations/postgres-events/0003_by_age.sql")),
];

/// Where PostgreSQL notes the steps that were taken, beside those of flags.
pub(super) const POSTGRES_STEPS_TABLE: &str = "_sqlx_event_migrations";

/// The database of events.
#[derive(Clone, Debug)]
pub struct EventStore(Pools);

#[derive(Clone, Debug)]
enum Pools {
    Sqlite { writer: SqlitePool, readers: SqlitePool, health: Health, _checkpoints: Arc<DropGuard> },
    Postgres { writers: PgPool, readers: PgPool },
}

/// Batches to be counted now.
#[derive(Debug)]
pub struct Claim {
    /// In the order of arrival.
    pub batches: Vec<StoredBatch>,
    /// What keeps other nodes from counting them, and in which they are to be counted; none where there
    /// are no others.
    pub held: Option<Transaction>,
}

/// Something to do in a transaction that writes.
pub trait Work {
    /// What comes of it.
    type Done: Send;

    /// Does it. It may be done again, from the start, after what it did was taken back.
    fn run(&self, connection: &mut Connection)
    -> impl Future<Output = Result<Self::Done, StoreError>> + Send;
}

impl EventStore {
    /// The database that the service is configured for, brought up to date.
    pub async fn of(config: &Config) -> Result<Self, StoreError> {
        match &config.database {
            Database::Sqlite => Self::open(&config.data).await,
            Database::Postgres(url) => Self::connect(url).await,
        }
    }

    /// Opens the SQLite database in the data folder, makes it if there is none, and brings it up to date.
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
        let database = || path.display().to_string();
        let open_error = |source| StoreError::Open { database: database(), source };
        let writer = pool_options()
            .max_connections(1)
            .min_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(open_error)?;
        migrator(STEPS)
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migrate { database: database(), source })?;
        let readers = pool_options()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(open_error)?;
        let health = Health::of(database());
        let checkpoints = sqlite::checkpoints(&writer, &health, CHECKPOINT);
        Ok(Self(Pools::Sqlite { writer, readers, health, _checkpoints: checkpoints }))
    }

    /// Uses a PostgreSQL database, beside the flags in it, and brings it up to date.
    ///
    /// # Errors
    /// If the server does not let us in, or the database is newer than this program.
    pub async fn connect(url: &PostgresUrl) -> Result<Self, StoreError> {
        url.migrate(postgres_steps()).await?;
        Ok(Self(Pools::Postgres { writers: url.pool(POSTGRES_WRITERS), readers: url.pool(READERS) }))
    }

    /// Whether other nodes write to the same database.
    pub fn has_other_nodes(&self) -> bool {
        matches!(self.0, Pools::Postgres { .. })
    }

    /// A connection for one reading statement.
    pub async fn read(&self) -> Result<Reading, StoreError> {
        Ok(match &self.0 {
            Pools::Sqlite { readers, health, .. } => sqlite::read(readers, health).await?,
            Pools::Postgres { readers, .. } => readers.acquire().await?.into(),
        })
    }

    /// A transaction for several reading statements that see one moment.
    pub async fn snapshot(&self) -> Result<Reading, StoreError> {
        Ok(match &self.0 {
            Pools::Sqlite { readers, health, .. } => sqlite::snapshot(readers, health).await?,
            Pools::Postgres { readers, .. } => {
                postgres::begin(readers, postgres::BEGIN_SNAPSHOT).await?.into()
            }
        })
    }

    /// A transaction that writes. In SQLite one task writes, so that there is never a second one.
    pub async fn write(&self) -> Result<Transaction, StoreError> {
        Ok(match &self.0 {
            Pools::Sqlite { writer, health, .. } => sqlite::write(writer, health).await?,
            // Each statement sees what others have committed before it.
            Pools::Postgres { writers, .. } => postgres::begin(writers, postgres::BEGIN_WRITE).await?.into(),
        })
    }

    /// Does `work` in a transaction, which is kept if it succeeds. It is done again after it was in the way
    /// of another transaction.
    pub async fn transact<W: Work + Sync>(&self, work: &W) -> Result<W::Done, StoreError> {
        let mut conflicts = 0;
        loop {
            match self.attempt(work).await {
                Err(error) if is_conflict(&error) && conflicts < CONFLICTS => conflicts += 1,
                done => return done,
            }
        }
    }

    async fn attempt<W: Work + Sync>(&self, work: &W) -> Result<W::Done, StoreError> {
        let mut write = self.write().await?;
        let done = work.run(&mut write).await?;
        write.commit().await?;
        Ok(done)
    }

    /// The oldest batches that nobody else is counting: up to `count` of them, and no more once they are
    /// `bytes` in all.
    pub async fn claim(&self, count: usize, bytes: usize) -> Result<Claim, StoreError> {
        if !self.has_other_nodes() {
            let batches = batch::oldest(&mut *self.read().await?, count, bytes).await?;
            return Ok(Claim { batches, held: None });
        }
        let mut transaction = self.write().await?;
        let batches = batch::claim(&mut transaction, count, bytes).await?;
        Ok(Claim { batches, held: Some(transaction) })
    }

    /// Why nothing is written any more, if that is so.
    pub fn trouble(&self) -> Option<Trouble> {
        match &self.0 {
            Pools::Sqlite { health, .. } => health.trouble(),
            Pools::Postgres { .. } => None,
        }
    }

    /// Closes all connections, once they are given back.
    pub async fn close(&self) {
        match &self.0 {
            Pools::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres { writers, readers } => {
                readers.close().await;
                writers.close().await;
            }
        }
    }
}

/// The steps of SQLite, noted as in PostgreSQL: for a file that holds flags, too.
pub(super) fn steps_beside_flags() -> Migrator {
    let mut steps = migrator(STEPS);
    steps.dangerous_set_table_name(POSTGRES_STEPS_TABLE);
    steps
}

/// The last step.
pub(super) fn newest_step() -> i64 {
    STEPS.iter().map(|(version, ..)| *version).max().unwrap_or_default()
}

fn postgres_steps() -> Migrator {
    let mut steps = migrator(POSTGRES_STEPS);
    steps.dangerous_set_table_name(POSTGRES_STEPS_TABLE);
    steps
}

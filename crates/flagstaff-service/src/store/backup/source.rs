//! The database that is backed up, as of one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};

use super::tables::Table;
use super::{BackupError, Steps, copy, newest_taken};
use crate::config::{Config, Database};
use crate::store::analytics::{EVENTS_FILE, POSTGRES_STEPS_TABLE};
use crate::store::connection::{Connection, Reading, sql};
use crate::store::{DATABASE_FILE, PostgresUrl, StoreError, postgres};

/// Where the steps that were taken are listed.
pub(in crate::store) const STEPS_TABLE: &str = "_sqlx_migrations";

/// The database that is backed up.
pub(super) struct Source {
    /// As of which steps its tables are.
    pub(super) steps: Steps,
    flags: Reading,
    /// In SQLite events are in a file of their own, with these tables.
    events: Option<(Reading, BTreeSet<String>)>,
    pools: Pools,
}

enum Pools {
    Sqlite(Vec<SqlitePool>),
    Postgres(PgPool),
}

impl Source {
    /// Opens it for reading alone: it is not even brought up to date.
    pub(super) async fn open(config: &Config) -> Result<Self, BackupError> {
        let opened = match &config.database {
            Database::Sqlite => Self::sqlite(&config.data).await?,
            Database::Postgres(url) => Self::postgres(url).await?,
        };
        let source = opened.ok_or_else(|| BackupError::NoDatabase { database: config.database_name() })?;
        let newest = Steps::newest();
        if source.steps.flags > newest.flags || source.steps.events > newest.events {
            return Err(BackupError::Newer { name: config.database_name() });
        }
        Ok(source)
    }

    async fn sqlite(data: &Path) -> Result<Option<Self>, BackupError> {
        let (flags_file, events_file) = (data.join(DATABASE_FILE), data.join(EVENTS_FILE));
        for file in [&flags_file, &events_file] {
            // A folder that may not be looked into is another matter than one in which there is nothing.
            let is_there = file.try_exists();
            if !is_there.map_err(|source| BackupError::File { path: file.clone(), source })? {
                return Ok(None);
            }
        }
        let (flags_pool, mut flags) = begin(&flags_file).await?;
        let (events_pool, mut events) = begin(&events_file).await?;
        // Reading is when such a transaction begins to see one moment: first the flags, so that no event is about
        // an environment that is not there yet.
        let flags_step = newest_taken(&mut flags, STEPS_TABLE).await?;
        let events_step = newest_taken(&mut events, STEPS_TABLE).await?;
        let (Some(flags_step), Some(events_step)) = (flags_step, events_step) else { return Ok(None) };
        let names: Vec<String> =
            sql("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_scalars(&mut events).await?;
        Ok(Some(Self {
            steps: Steps { flags: flags_step, events: events_step },
            flags,
            events: Some((events, names.into_iter().collect())),
            pools: Pools::Sqlite(vec![flags_pool, events_pool]),
        }))
    }

    async fn postgres(url: &PostgresUrl) -> Result<Option<Self>, BackupError> {
        let pool = url.pool(1);
        let mut flags: Reading = postgres::begin(&pool, postgres::BEGIN_SNAPSHOT).await?.into();
        let flags_step = newest_taken(&mut flags, STEPS_TABLE).await?;
        let events_step = newest_taken(&mut flags, POSTGRES_STEPS_TABLE).await?;
        let (Some(flags_step), Some(events_step)) = (flags_step, events_step) else { return Ok(None) };
        let steps = Steps { flags: flags_step, events: events_step };
        Ok(Some(Self { steps, flags, events: None, pools: Pools::Postgres(pool) }))
    }

    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.pools, Pools::Postgres(_))
    }

    /// Where this table is.
    pub(super) fn of_table(&mut self, table: &Table) -> &mut Connection {
        match &mut self.events {
            Some((events, names)) if names.contains(&table.name) => events,
            _ => &mut self.flags,
        }
    }

    /// The last number that was given to a row of each table.
    pub(super) async fn last_ids(&mut self) -> Result<BTreeMap<String, i64>, sqlx::Error> {
        let mut last = match &mut self.events {
            Some((events, _)) => copy::last_ids(events).await?,
            None => BTreeMap::new(),
        };
        if self.is_postgres() || is_numbering(&mut self.flags).await? {
            last.extend(copy::last_ids(&mut self.flags).await?);
        }
        Ok(last)
    }

    pub(super) async fn close(self) {
        drop((self.flags, self.events));
        match self.pools {
            Pools::Sqlite(pools) => {
                for pool in pools {
                    pool.close().await;
                }
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// The list of last numbers is made with the first table that needs it.
async fn is_numbering(connection: &mut Connection) -> Result<bool, sqlx::Error> {
    let list = sql("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'");
    Ok(list.fetch_optional_scalar::<i64>(connection).await?.is_some())
}

/// A transaction that reads.
pub(super) async fn begin(path: &Path) -> Result<(SqlitePool, Reading), StoreError> {
    let open = |source| StoreError::Open { database: path.display().to_string(), source };
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(open)?;
    let reading = pool.begin().await.map_err(open)?;
    Ok((pool, reading.into()))
}

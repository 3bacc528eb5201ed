//! A backup into an empty data folder or database, of either engine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::source::{STEPS_TABLE, begin};
use super::tables::Table;
use super::{
    BackupError, Steps, Summary, Unfinished, copy, create, newest_taken, raise, sync_folder_of, tables,
};
use crate::app::{lock_folder, make_private};
use crate::config::{Config, Database};
use crate::now_ms;
use crate::store::analytics::{EVENTS_FILE, EventStore, POSTGRES_STEPS_TABLE, steps_beside_flags};
use crate::store::connection::{Connection, Reading, composed_sql};
use crate::store::{DATABASE_FILE, PostgresUrl, Store, StoreError, schema};

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What of it.
    pub summary: Summary,
    /// When the backup was made, in Unix milliseconds.
    pub made_at: i64,
    /// By how much versions were raised.
    pub raised_by: i64,
}

/// Restores a backup into the database that the service is configured for, which has to be empty. It is there
/// whole, or not at all.
pub async fn restore(config: &Config, path: &Path) -> Result<Restored, BackupError> {
    match &config.database {
        Database::Sqlite => {
            let _lock = lock_folder(config)?;
            let mut backup = Backup::open(path, &config.data).await?;
            let restored = into_folder(&mut backup, config).await;
            backup.close().await;
            restored
        }
        Database::Postgres(url) => {
            // Here there is no data folder.
            let scratch = Scratch::inside(&std::env::temp_dir())?;
            let mut backup = Backup::open(path, &scratch.0).await?;
            let restored = into_postgres(&mut backup, url).await;
            backup.close().await;
            restored
        }
    }
}

/// A backup, with the tables that this program knows.
struct Backup {
    reading: Reading,
    pool: sqlx::SqlitePool,
    made_at: i64,
    flags: Vec<Table>,
    events: Vec<Table>,
    /// A copy that was brought up to date.
    _copy: Option<Unfinished>,
}

impl Backup {
    async fn open(path: &Path, scratch: &Path) -> Result<Self, BackupError> {
        let not_a_backup = || BackupError::NotABackup { path: path.to_owned() };
        if let Err(source) = fs::File::open(path) {
            return Err(BackupError::File { path: path.to_owned(), source });
        }
        let (pool, mut reading) = begin(path).await.map_err(|_| not_a_backup())?;
        let made_at = tables::made_at(&mut reading).await.map_err(|_| not_a_backup())?;
        let made_at = made_at.ok_or_else(not_a_backup)?;
        let steps = Steps {
            flags: newest_taken(&mut reading, STEPS_TABLE).await?.ok_or_else(not_a_backup)?,
            events: newest_taken(&mut reading, POSTGRES_STEPS_TABLE).await?.ok_or_else(not_a_backup)?,
        };
        let newest = Steps::newest();
        if steps.flags > newest.flags || steps.events > newest.events {
            return Err(BackupError::Newer { name: path.display().to_string() });
        }
        let (pool, reading, copy) = if steps == newest {
            (pool, reading, None)
        } else {
            drop(reading);
            pool.close().await;
            let copy = up_to_date(path, scratch).await?;
            let (pool, reading) = begin(copy.path()).await?;
            (pool, reading, Some(copy))
        };
        let (flags, events) = known_tables(scratch).await?;
        Ok(Self { reading, pool, made_at, flags, events, _copy: copy })
    }

    async fn close(self) {
        drop(self.reading);
        self.pool.close().await;
    }

    /// The last number that was given to a row of each table.
    async fn last_ids(&mut self) -> Result<BTreeMap<String, i64>, sqlx::Error> {
        copy::last_ids(&mut self.reading).await
    }
}

/// A copy, taken through the steps since.
async fn up_to_date(path: &Path, scratch: &Path) -> Result<Unfinished, BackupError> {
    let copy = Unfinished::at(scratch_file(scratch))?;
    let failed = |source| BackupError::File { path: path.to_owned(), source };
    fs::copy(path, copy.path()).map_err(failed)?;
    let open = |source| StoreError::Open { database: path.display().to_string(), source };
    let migrate = |source| StoreError::Migrate { database: path.display().to_string(), source };
    let options = SqliteConnectOptions::new().filename(copy.path()).foreign_keys(false);
    let mut connection = options.connect().await.map_err(open)?;
    schema::sqlite().run(&mut connection).await.map_err(migrate)?;
    steps_beside_flags().run(&mut connection).await.map_err(migrate)?;
    Connection::from(connection).close().await?;
    Ok(copy)
}

/// The tables as this program makes them, whatever a file says: of flags, and of events.
async fn known_tables(scratch: &Path) -> Result<(Vec<Table>, Vec<Table>), BackupError> {
    let file = Unfinished::at(scratch_file(scratch))?;
    let mut connection = create(file.path(), Steps { events: 0, ..Steps::newest() }).await?;
    let flags = tables::of(&mut connection).await?;
    connection.close().await?;
    let file = Unfinished::at(scratch_file(scratch))?;
    let mut connection = create(file.path(), Steps::newest()).await?;
    let mut events = tables::of(&mut connection).await?;
    connection.close().await?;
    events.retain(|table| !flags.contains(table));
    Ok((flags, events))
}

fn scratch_file(folder: &Path) -> PathBuf {
    folder.join(format!("restoring-{}.unfinished", uuid::Uuid::new_v4().simple()))
}

/// Both files are made beside, and take their names at the end, the flags last: only they make a service.
async fn into_folder(backup: &mut Backup, config: &Config) -> Result<Restored, BackupError> {
    let files = [EVENTS_FILE, DATABASE_FILE];
    let is_taken = |file: &&str| fs::metadata(config.data.join(file)).is_ok_and(|about| about.len() > 0);
    if files.iter().any(is_taken) {
        return Err(BackupError::NotEmpty { database: config.database_name() });
    }
    let folder = Scratch::inside(&config.data)?;
    let beside = Config { data: folder.0.clone(), ..config.clone() };
    make_private(&beside)?;
    let (store, events) = (Store::open(&beside.data).await?, EventStore::open(&beside.data).await?);
    let last = backup.last_ids().await?;
    let mut write = store.write().await?;
    let mut summary = fill(backup, Part::Flags, &mut write, &last).await?;
    let raised_by = raise::by(backup.made_at, now_ms());
    raise::all(&mut write, raised_by).await?;
    write.commit().await?;
    let mut write = events.write().await?;
    let of_events = fill(backup, Part::Events, &mut write, &last).await?;
    write.commit().await?;
    store.close().await;
    events.close().await;
    summary = Summary { tables: summary.tables + of_events.tables, rows: summary.rows + of_events.rows };
    for file in files {
        let path = config.data.join(file);
        let failed = |source| BackupError::File { path: path.clone(), source };
        fs::rename(beside.data.join(file), &path).map_err(failed)?;
        sync_folder_of(&path).map_err(failed)?;
    }
    Ok(Restored { summary, made_at: backup.made_at, raised_by })
}

/// All in one transaction.
async fn into_postgres(backup: &mut Backup, url: &PostgresUrl) -> Result<Restored, BackupError> {
    let (store, events) = (Store::connect(url).await?, EventStore::connect(url).await?);
    events.close().await;
    let last = backup.last_ids().await?;
    let mut write = store.write().await?;
    for table in backup.flags.iter().chain(&backup.events) {
        let any = composed_sql(format!("SELECT CAST(1 AS BIGINT) FROM \"{}\" LIMIT 1", table.name));
        if any.fetch_optional_scalar::<i64>(&mut write).await?.is_some() {
            return Err(BackupError::NotEmpty { database: url.to_string() });
        }
    }
    let flags = fill(backup, Part::Flags, &mut write, &last).await?;
    let of_events = fill(backup, Part::Events, &mut write, &last).await?;
    let raised_by = raise::by(backup.made_at, now_ms());
    raise::all(&mut write, raised_by).await?;
    write.commit().await?;
    store.close().await;
    let summary = Summary { tables: flags.tables + of_events.tables, rows: flags.rows + of_events.rows };
    Ok(Restored { summary, made_at: backup.made_at, raised_by })
}

#[derive(Clone, Copy)]
enum Part {
    Flags,
    Events,
}

async fn fill(
    backup: &mut Backup,
    part: Part,
    target: &mut Connection,
    last: &BTreeMap<String, i64>,
) -> Result<Summary, BackupError> {
    let tables = match part {
        Part::Flags => &backup.flags,
        Part::Events => &backup.events,
    };
    let mut summary = Summary { tables: 0, rows: 0 };
    for table in tables.iter().filter(|table| !tables::LEFT_OUT.contains(&&*table.name)) {
        summary.rows += copy::table(&mut backup.reading, target, table).await?;
        summary.tables += 1;
    }
    copy::raise_ids(target, tables, last).await?;
    Ok(summary)
}

/// A folder that goes with whatever is left in it.
struct Scratch(PathBuf);

impl Scratch {
    fn inside(folder: &Path) -> Result<Self, BackupError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = scratch_file(folder);
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| BackupError::File { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over, if this fails, says by its name what it is.
        let _ = fs::remove_dir_all(&self.0);
    }
}

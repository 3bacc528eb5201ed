//! Backups: everything in one SQLite file, whichever engine it comes from and goes to.
//!
//! | File | What stands there |
//! |---|---|
//! | `tables` | which tables and columns there are: the schema itself says so, so none is forgotten |
//! | `copy` | rows from one database to another, a page at a time |
//! | `source` | the database that is backed up, as of one moment, whatever it serves meanwhile |
//! | `restore` | the other way, into a database that is empty |
//! | `raise` | above every version that may have been served since |
//!
//! The file holds the tables of both databases in the form that SQLite has them, at the step of the schema at
//! which they were found; a later program takes it through the steps since before it reads it. Sessions and
//! sign-in links are left out: one that was ended must not come back.

mod copy;
mod raise;
mod restore;
mod source;
mod tables;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

pub use restore::{Restored, restore};

pub(super) use self::source::STEPS_TABLE;
use self::source::Source;
use super::connection::{Connection, sql};
use super::{StoreError, analytics, schema};
use crate::app::StartError;
use crate::config::Config;
use crate::now_ms;

/// Says that a file is a backup, of when and by whom.
const ABOUT: &str = "flagstaff_backup";

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many tables.
    pub tables: usize,
    /// How many rows.
    pub rows: u64,
}

/// Why a backup was not made or not restored. Nothing is left behind then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file of this name.
    #[error("`{}` is there already; name a file that is not", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Nothing was ever kept there.
    #[error(
        "there is no database of Flagstaff's in `{database}`; name the service's data folder with --data, or its database with --database-url"
    )]
    NoDatabase {
        /// The folder, or the address without the password.
        database: String,
    },
    /// The file is something else.
    #[error("`{}` is not a backup made by `flagstaff backup`", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// Its schema is not known yet.
    #[error("`{name}` was written by a newer version of flagstaff than this one, {}; use that one", env!("CARGO_PKG_VERSION"))]
    Newer {
        /// The file, the folder or the address.
        name: String,
    },
    /// Something stands where it is to be restored.
    #[error("`{database}` holds data already; restore into an empty data folder or database")]
    NotEmpty {
        /// The folder, or the address without the password.
        database: String,
    },
    /// A file cannot be read or written.
    #[error("could not write or read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] StartError),
    /// A database.
    #[error("the backup could not be copied")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Writes everything there is to a file that is not there yet, as of one moment, also while it is served.
/// The file is there once it is whole and on disk, and readable for its owner alone: there are keys in it.
pub async fn backup(config: &Config, path: &Path) -> Result<Summary, BackupError> {
    if path.exists() {
        return Err(BackupError::Exists { path: path.to_owned() });
    }
    let mut source = Source::open(config).await?;
    let unfinished = Unfinished::beside(path)?;
    let mut copied = create(unfinished.path(), source.steps).await?;
    let done = fill(&mut source, &mut copied, config).await;
    source.close().await;
    let closed = copied.close().await;
    let summary = done?;
    closed?;
    unfinished.finish(path)?;
    Ok(summary)
}

async fn fill(source: &mut Source, target: &mut Connection, config: &Config) -> Result<Summary, BackupError> {
    let engine = if source.is_postgres() { "PostgreSQL" } else { "SQLite" };
    tables::note(target, engine, now_ms()).await?;
    let mut summary = Summary { tables: 0, rows: 0 };
    let all = tables::of(target).await?;
    for table in &all {
        if tables::LEFT_OUT.contains(&&*table.name) {
            continue;
        }
        summary.rows += copy::table(source.of_table(table), target, table).await?;
        summary.tables += 1;
    }
    let ids = source.last_ids().await?;
    copy::raise_ids(target, &all, &ids).await?;
    tracing::debug!(tables = summary.tables, rows = summary.rows, from = config.database_name(), "backed up");
    Ok(summary)
}

/// Makes the tables as of these steps.
async fn create(path: &Path, steps: Steps) -> Result<Connection, BackupError> {
    let open = |source| StoreError::Open { database: path.display().to_string(), source };
    // One writer, nobody who reads, and a file that counts only once it is whole.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .foreign_keys(false);
    let mut connection = options.connect().await.map_err(open)?;
    let migrate = |source| StoreError::Migrate { database: path.display().to_string(), source };
    let flags = schema::sqlite().run_to(steps.flags, &mut connection).await;
    flags.map_err(migrate)?;
    if steps.events > 0 {
        let events = analytics::steps_beside_flags().run_to(steps.events, &mut connection).await;
        events.map_err(migrate)?;
    }
    Ok(connection.into())
}

/// How far the schema of a database got: of flags, and of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Of flags.
    pub flags: i64,
    /// Of events.
    pub events: i64,
}

impl Steps {
    /// What this program knows.
    pub fn newest() -> Self {
        Self { flags: schema::newest(), events: analytics::newest_step() }
    }
}

/// How far the schema of the database is that the service is configured for, without touching it.
///
/// # Errors
/// If there is none, or it cannot be read.
pub async fn steps(config: &Config) -> Result<Steps, BackupError> {
    let source = Source::open(config).await?;
    let steps = source.steps;
    source.close().await;
    Ok(steps)
}

/// A file that takes its name once it is whole, and is removed if it never is.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(path: &Path) -> Result<Self, BackupError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.unfinished", uuid::Uuid::new_v4().simple()));
        Self::at(path.with_file_name(name))
    }

    fn at(path: PathBuf) -> Result<Self, BackupError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.map_err(|source| BackupError::File { path: path.clone(), source })?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn finish(self, path: &Path) -> Result<(), BackupError> {
        let failed = |source| BackupError::File { path: path.to_owned(), source };
        File::open(&self.0).and_then(|file| file.sync_all()).map_err(failed)?;
        take_name(&self.0, path, |own, name| fs::hard_link(own, name)).map_err(|error| {
            match error.kind() {
                io::ErrorKind::AlreadyExists => BackupError::Exists { path: path.to_owned() },
                _ => failed(error),
            }
        })?;
        sync_folder_of(path).map_err(failed)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What is left over, if this fails, says by its name what it is.
        let _ = fs::remove_file(&self.0);
    }
}

/// Gives a file its name, which nobody may have. Unlike a renaming, a second link replaces nothing; but some file
/// systems, of sticks and of other machines, have none.
fn take_name(own: &Path, name: &Path, link: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    match link(own, name) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) =>
        {
            if name.try_exists()? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(own, name)
        }
        done => done,
    }
}

/// A name is on disk once its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The newest step that was taken, by the list in this table; none if there is no such list, or it is empty.
pub(super) async fn newest_taken(
    connection: &mut Connection,
    list: &'static str,
) -> Result<Option<i64>, sqlx::Error> {
    let is_there = if connection.is_postgres() {
        sql(
            "SELECT 1::BIGINT FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1",
        )
    } else {
        sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1")
    };
    if is_there.bind(list).fetch_optional_scalar::<i64>(connection).await?.is_none() {
        return Ok(None);
    }
    super::connection::composed_sql(format!("SELECT MAX(version) FROM {list}")).fetch_scalar(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_files_have_one_name_alone_a_backup_takes_it_and_replaces_nothing() {
        let folder = std::env::temp_dir().join(format!("flagstaff-names-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&folder).unwrap();
        let (own, name) = (folder.join("own"), folder.join("name"));
        // As on a stick, and as on another machine.
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported] {
            fs::write(&own, "backup").unwrap();
            take_name(&own, &name, |_, _| Err(kind.into())).unwrap();
            assert_eq!(fs::read_to_string(&name).unwrap(), "backup");
            fs::write(&own, "another").unwrap();
            let taken = take_name(&own, &name, |_, _| Err(kind.into())).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read_to_string(&name).unwrap(), "backup");
            fs::remove_file(&name).unwrap();
        }
        let lost = take_name(&own, &name, |_, _| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!((lost.kind(), name.exists()), (io::ErrorKind::StorageFull, false));
        fs::remove_dir_all(folder).unwrap();
    }
}

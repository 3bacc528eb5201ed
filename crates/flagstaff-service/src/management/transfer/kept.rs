//! The database of a service, opened by a program beside it.

use std::fs::File;

use crate::Config;
use crate::app::{StartError, lock_folder};
use crate::config::Database;
use crate::management::setup;
use crate::store::{DATABASE_FILE, Store};

/// The database of a service.
#[derive(Debug)]
pub struct Kept {
    /// The database.
    pub store: Store,
    _lock: Option<File>,
}

impl Kept {
    /// Opens it to read from, also while the service runs.
    ///
    /// # Errors
    /// If there is none, or it is some other program's.
    pub async fn to_read(config: &Config) -> Result<Self, StartError> {
        Self::open(config, None).await
    }

    /// Opens it to write to. A data folder must not be in use by a service then; one in PostgreSQL may be: its
    /// nodes hear of the change.
    ///
    /// # Errors
    /// As [`Kept::to_read`], and if the folder is in use.
    pub async fn to_write(config: &Config) -> Result<Self, StartError> {
        check_there(config)?;
        let lock = match config.database {
            Database::Sqlite => Some(lock_folder(config)?),
            Database::Postgres(_) => None,
        };
        Self::open(config, lock).await
    }

    async fn open(config: &Config, lock: Option<File>) -> Result<Self, StartError> {
        check_there(config)?;
        setup::check_ours(config).await?;
        Ok(Self { store: Store::of(config).await?, _lock: lock })
    }
}

fn check_there(config: &Config) -> Result<(), StartError> {
    let is_missing = matches!(config.database, Database::Sqlite) && !config.data.join(DATABASE_FILE).exists();
    if is_missing {
        return Err(StartError::NoDatabase { path: config.data.clone() });
    }
    Ok(())
}

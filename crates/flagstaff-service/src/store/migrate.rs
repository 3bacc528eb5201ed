//! The schema brought up to date by itself, without serving. A start does it as well.

use super::Store;
use super::analytics::EventStore;
use super::backup::{BackupError, Steps, steps};
use crate::app::lock_folder;
use crate::config::{Config, Database};

/// Takes the database that the service is configured for through the steps that it lacks, and says how far it was
/// before and is now.
///
/// # Errors
/// If there is no database, it is newer than this program, or its folder is in use.
pub async fn migrate(config: &Config) -> Result<(Steps, Steps), BackupError> {
    let before = steps(config).await?;
    // Nodes on PostgreSQL go on while its schema changes, which is made for that.
    let _lock = match config.database {
        Database::Sqlite => Some(lock_folder(config)?),
        Database::Postgres(_) => None,
    };
    Store::of(config).await?.close().await;
    EventStore::of(config).await?.close().await;
    Ok((before, steps(config).await?))
}

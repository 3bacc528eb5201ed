//! `flagstaff backup`, `flagstaff restore` and `flagstaff migrate`: what is kept, looked after.

use std::future::Future;

use flagstaff_service::error::chain;
use flagstaff_service::store::backup::{self, BackupError, Steps};
use flagstaff_service::store::migrate;

use crate::options::{Backup, Kept};
use crate::{Failure, print};

/// Writes everything to one file, also while the service runs.
pub(crate) fn backup(options: Backup) -> Result<(), Failure> {
    let (config, _) = options.kept.resolve()?;
    let summary = run(backup::backup(&config, &options.file))?;
    let (rows, tables) = (summary.rows, summary.tables);
    let (database, file) = (config.database_name(), options.file.display());
    print(&format!("backed up `{database}` to `{file}`: {rows} rows of {tables} tables\n"))
}

/// The other way, into an empty folder or database.
pub(crate) fn restore(options: Backup) -> Result<(), Failure> {
    let (config, _) = options.kept.resolve()?;
    let restored = run(backup::restore(&config, &options.file))?;
    let (rows, tables) = (restored.summary.rows, restored.summary.tables);
    let (database, file) = (config.database_name(), options.file.display());
    print(&format!(
        "restored `{file}` into `{database}`: {rows} rows of {tables} tables; versions start {} higher\n",
        restored.raised_by
    ))
}

/// Brings the schema up to date.
pub(crate) fn migrate(options: Kept) -> Result<(), Failure> {
    let (config, _) = options.resolve()?;
    let (before, after) = run(migrate::migrate(&config))?;
    let database = config.database_name();
    let shown = |steps: Steps| format!("step {} of flags and {} of events", steps.flags, steps.events);
    print(&if before == after {
        format!("`{database}` is up to date: {}\n", shown(after))
    } else {
        format!("brought `{database}` up to date: from {} to {}\n", shown(before), shown(after))
    })
}

fn run<T>(work: impl Future<Output = Result<T, BackupError>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("could not start: {error}"))?;
    runtime.block_on(work).map_err(|error| chain(&error))
}

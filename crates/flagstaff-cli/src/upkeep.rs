//! `flagstaff backup`, `restore`, `check` and `migrate`: what is kept, looked after.

use std::future::Future;

use flagstaff_service::error::chain;
use flagstaff_service::management::transfer;
use flagstaff_service::store::backup::{self, BackupError, Steps};
use flagstaff_service::store::{Report, StoreError, migrate, quarantine};

use crate::options::{Backup, Check, Kept};
use crate::{Failure, one_thread, print};

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

/// Looks for damage, and says what it finds; found, it is a failure.
pub(crate) fn check(options: Check) -> Result<(), Failure> {
    let (config, _) = options.kept.resolve()?;
    let database = config.database_name();
    if options.forget {
        let forgotten = one_thread(async {
            let kept = transfer::Kept::to_write(&config).await.map_err(|error| chain(&error))?;
            let forgotten = async {
                let mut write = kept.store.write().await?;
                let forgotten = quarantine::forget(&mut write).await?;
                write.commit().await?;
                Ok::<_, StoreError>(forgotten)
            };
            let forgotten = forgotten.await;
            kept.store.close().await;
            forgotten.map_err(|error| chain(&error))
        })?;
        return print(&format!("forgot {forgotten} damaged rows that had been taken out of `{database}`\n"));
    }
    let report = one_thread(async {
        let kept = transfer::Kept::to_read(&config).await.map_err(|error| chain(&error))?;
        let report = kept.store.check().await;
        kept.store.close().await;
        report.map_err(|error| chain(&error))
    })?;
    if report.is_sound() {
        return print(&format!("`{database}` is sound: flags, segments and changes are what was written\n"));
    }
    print(&told(&report))?;
    Err(format!("`{database}` is damaged; the documentation on running the service says what to do"))
}

fn told(report: &Report) -> String {
    let mut lines = Vec::new();
    lines.extend(report.structure.iter().map(|finding| format!("the file: {finding}")));
    lines.extend(
        report.put_back.iter().map(|row| format!("{row}: the next start puts it back from its copy")),
    );
    let lost = "its copy is damaged, too; the next start takes it out";
    lines.extend(report.beyond_help.iter().map(|row| format!("{row}: {lost}")));
    let taken_out = |row: &quarantine::Quarantined| {
        format!(
            "{}: taken out; make it anew, then `flagstaff check --forget`. It was {}",
            row.name, row.content
        )
    };
    lines.extend(report.quarantined.iter().map(taken_out));
    lines.join("\n") + "\n"
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

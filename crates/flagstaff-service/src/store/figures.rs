//! How long the database takes, and how often it fails, for `/metrics`: of flags and events together.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Instant;

use sqlx::Error;

use super::Store;
use crate::metrics::sharded::{Counter, Durations};
use crate::metrics::{Figures, Page};

static TIMES: LazyLock<Times> = LazyLock::new(Times::default);

#[derive(Debug, Default)]
struct Times {
    statements: Durations,
    commits: Durations,
    errors: Counter,
}

/// Has a statement measured.
pub(super) async fn statement<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    measured(&TIMES.statements, work).await
}

/// Has the end of a transaction measured, which is when it comes to rest on disk.
pub(super) async fn commit<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    measured(&TIMES.commits, work).await
}

async fn measured<T>(
    durations: &Durations,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let began = Instant::now();
    let done = work.await;
    durations.note(began.elapsed());
    match &done {
        Err(Error::RowNotFound) | Ok(_) => {}
        // Rules find out in this way that a key is taken.
        Err(Error::Database(error)) if error.is_unique_violation() => {}
        Err(_) => TIMES.errors.raise(),
    }
    done
}

impl Figures for Store {
    fn write(&self, page: &mut Page) {
        let name = "flagstaff_database_seconds";
        page.family(name, "histogram", "Time that the database took, for statements and for commits.");
        page.histogram(name, &[("what", "statement")], TIMES.statements.measured());
        page.histogram(name, &[("what", "commit")], TIMES.commits.measured());
        let help = "Statements and commits that failed, but for keys that were taken.";
        page.counter("flagstaff_database_errors_total", help, TIMES.errors.value());
        let help =
            "Whether changes are saved: 0 once the disk failed or the database was found to be damaged.";
        page.gauge("flagstaff_flags_writable", help, u8::from(self.trouble().is_none()));
        let help = "Rows that were damaged beyond help and taken out, until `flagstaff check --forget`.";
        page.gauge("flagstaff_quarantined_rows", help, self.quarantined());
    }
}

//! Whether what is written still comes to rest: once the disk under a database has failed, or the database was
//! found to be damaged, nothing more is written to it before the next start.
//!
//! After an `fsync` that failed the system forgets what it could not write, and the next one succeeds all the
//! same. So it is never tried again: what had been acknowledged by then is on disk, what comes later is refused.
//! Reading goes on, and so does everything that is served from memory. A full disk is another matter: nothing is
//! lost by it, and it passes.
//!
//! A PostgreSQL server looks after its disk itself: it stops, and starts again from its log. Its refusals are
//! passed on, and nothing is remembered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sqlx::Error;

use super::StoreError;
use crate::error::chain;
use crate::now_ms;

/// What is wrong with what is below a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full. It passes.
    Full,
    /// The disk did not do what it was asked.
    Failed,
    /// The database does not hold what was written to it.
    Damaged,
}

impl Fault {
    /// In errors, on `/status` and in figures.
    pub fn code(self) -> &'static str {
        match self {
            Self::Full => "storage_full",
            Self::Failed => "storage_failed",
            Self::Damaged => "storage_damaged",
        }
    }

    /// One sentence for whoever wanted something saved.
    pub fn message(self) -> &'static str {
        match self {
            Self::Full => "the disk is full: nothing was saved; free some space and try again",
            Self::Failed => {
                "the disk under the database failed: nothing is saved any more until the disk is well and the \
                 service is started again; flags are served on"
            }
            Self::Damaged => {
                "the database is damaged: nothing is saved any more until it is restored from a backup; flags are \
                 served on"
            }
        }
    }

    /// What an error says about it.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        let Error::Database(error) = error else { return None };
        let code = error.code()?;
        match &*code {
            "53100" => Some(Self::Full),
            "58030" => Some(Self::Failed),
            "XX001" | "XX002" => Some(Self::Damaged),
            code if code.len() == 5 => None,
            code => Self::of_sqlite(code.parse().ok()?),
        }
    }

    /// SQLite's codes are numbers, whose lower byte is the kind.
    fn of_sqlite(code: u32) -> Option<Self> {
        const KIND: u32 = 0xff;
        const IO: u32 = 10;
        const CORRUPT: u32 = 11;
        const FULL: u32 = 13;
        const NOT_A_DATABASE: u32 = 26;
        // Not about the disk: a lock of another process, no memory, and the index of the log, which lives in
        // shared memory and cannot grow while the disk is full.
        const BLOCKED: u32 = IO | 11 << 8;
        const NO_MEMORY: u32 = IO | 12 << 8;
        const LOCK: u32 = IO | 15 << 8;
        const SHM_OPEN: u32 = IO | 18 << 8;
        const SHM_SIZE: u32 = IO | 19 << 8;
        const SHM_LOCK: u32 = IO | 20 << 8;
        const SHM_MAP: u32 = IO | 21 << 8;
        match code {
            BLOCKED | NO_MEMORY | LOCK | SHM_OPEN | SHM_SIZE | SHM_LOCK | SHM_MAP => None,
            code => match code & KIND {
                IO => Some(Self::Failed),
                CORRUPT | NOT_A_DATABASE => Some(Self::Damaged),
                FULL => Some(Self::Full),
                _ => None,
            },
        }
    }
}

/// What a process has found out about a database of its own. Clones share it.
#[derive(Clone, Debug)]
pub struct Health(Arc<Found>);

#[derive(Debug)]
struct Found {
    /// The file.
    database: String,
    trouble: OnceLock<Trouble>,
    commits: AtomicU64,
}

/// Why nothing is written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub fault: Fault,
    /// When it was found, in Unix milliseconds.
    pub since: i64,
}

impl Health {
    /// Nothing is known to be wrong.
    pub(super) fn of(database: String) -> Self {
        Self(Arc::new(Found { database, trouble: OnceLock::new(), commits: AtomicU64::new(0) }))
    }

    /// The file.
    pub(super) fn database(&self) -> &str {
        &self.0.database
    }

    /// What was found, if anything.
    pub fn trouble(&self) -> Option<Trouble> {
        self.0.trouble.get().copied()
    }

    /// Refuses to write once something was found.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.trouble() {
            None => Ok(()),
            Some(Trouble { fault, .. }) => Err(StoreError::Refused { fault }),
        }
    }

    /// Remembers what an error says for good.
    pub(super) fn note(&self, error: &Error) {
        match Fault::of(error) {
            None | Some(Fault::Full) => {}
            Some(fault) => self.found(fault, &chain(error)),
        }
    }

    /// From now on nothing is written. Said once.
    pub(super) fn found(&self, fault: Fault, why: &str) {
        let trouble = Trouble { fault, since: now_ms() };
        if self.0.trouble.set(trouble).is_ok() {
            let database = &self.0.database;
            tracing::error!(database, code = fault.code(), why, "{}", fault.message());
        }
    }

    /// Something was committed.
    pub(super) fn committed(&self) {
        self.0.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was.
    pub(super) fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for (code, fault) in [
            (13, Some(Fault::Full)),
            // Writing, syncing, reading.
            (778, Some(Fault::Failed)),
            (1034, Some(Fault::Failed)),
            (266, Some(Fault::Failed)),
            (11, Some(Fault::Damaged)),
            (26, Some(Fault::Damaged)),
            // Busy; a key that is taken; no memory; shared memory that cannot grow.
            (5, None),
            (2067, None),
            (3082, None),
            (4874, None),
        ] {
            assert_eq!(Fault::of_sqlite(code), fault, "{code}");
        }
    }

    #[test]
    fn the_first_fault_counts_and_stays() {
        let health = Health::of("flags".to_owned());
        assert!(health.check().is_ok());
        health.found(Fault::Failed, "a test");
        health.found(Fault::Damaged, "a test");
        assert_eq!(health.trouble().map(|trouble| trouble.fault), Some(Fault::Failed));
        assert!(matches!(health.check(), Err(StoreError::Refused { fault: Fault::Failed })));
    }
}

//! What a database can fail at.

use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};

use super::health::Fault;

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be opened or reached, or is not ours.
    #[error("could not open the database `{database}`")]
    Open {
        /// The file, or the address without the password.
        database: String,
        /// What the engine said.
        source: sqlx::Error,
    },
    /// The schema cannot be brought up to date.
    #[error("could not bring the database `{database}` up to date{}", newer(source))]
    Migrate {
        /// The file, or the address without the password.
        database: String,
        /// What went wrong.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("the database refused a statement")]
    Statement(#[from] sqlx::Error),
    /// Nothing is written any more, since that would not be kept: see [`super::health`].
    #[error("nothing is written any more: {}", fault.message())]
    Refused {
        /// What was found.
        fault: Fault,
    },
    /// A row is not what was written.
    #[error(
        "the {entity} `{key}` in the database is damaged: its checksum is another; see `flagstaff check`"
    )]
    WrongChecksum {
        /// What kind of row.
        entity: &'static str,
        /// Which one.
        key: String,
    },
    /// The database itself is not what was written.
    #[error(
        "the database `{database}` is damaged ({}): restore a backup with `flagstaff restore` into another folder, and start on that",
        one_line(finding)
    )]
    Unsound {
        /// The file.
        database: String,
        /// What was found first.
        finding: String,
    },
    /// A row does not hold what it should.
    #[error("the {entity} `{key}` in the database is damaged")]
    Damaged {
        /// What kind of row.
        entity: &'static str,
        /// Which one.
        key: String,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// What is wrong with what is below the database, if that is why.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            StoreError::Open { source, .. } | StoreError::Statement(source) => Fault::of(source),
            StoreError::Refused { fault } => Some(*fault),
            StoreError::Unsound { .. } => Some(Fault::Damaged),
            StoreError::Migrate { .. } | StoreError::WrongChecksum { .. } | StoreError::Damaged { .. } => {
                None
            }
        }
    }

    /// Whether a row is not what was written: [`super::Store::mend`] helps.
    pub fn is_about_a_damaged_row(&self) -> bool {
        match self {
            StoreError::WrongChecksum { .. } => true,
            // Text that is none, or a number that is text.
            StoreError::Statement(error) => matches!(error, sqlx::Error::ColumnDecode { .. }),
            _ => false,
        }
    }

    /// Whether a row with this key was there already.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, StoreError::Statement(Database(error)) if error.is_unique_violation())
    }

    /// Whether the database is away, stopping, starting or too busy: the same may succeed a little later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            StoreError::Open { source, .. } => is_connection_lost(source) || is_transient(source),
            StoreError::Statement(source) => is_connection_lost(source) || is_transient(source),
            _ => false,
        }
    }

    /// Whether a text had a NUL character in it, which PostgreSQL does not take.
    pub fn is_about_nul(&self) -> bool {
        matches!(self, StoreError::Statement(sqlx::Error::Encode(error)) if error.is::<NulInText>())
    }
}

/// A step that was taken and is not known here was taken by a later program.
fn newer(error: &sqlx::migrate::MigrateError) -> &'static str {
    match error {
        sqlx::migrate::MigrateError::VersionMissing(_) => concat!(
            ": it was written by a newer version of flagstaff than this one, ",
            env!("CARGO_PKG_VERSION"),
            "; use that one"
        ),
        _ => "",
    }
}

/// Engines quote what they could not read.
fn one_line(finding: &str) -> String {
    const LONGEST: usize = 200;
    let words: Vec<_> = finding.split_whitespace().collect();
    let line = words.join(" ");
    let end = line.char_indices().nth(LONGEST).map_or(line.len(), |(end, _)| end);
    if end < line.len() { format!("{} …", &line[..end]) } else { line }
}

/// A text with a NUL character in it was to be sent to PostgreSQL.
#[derive(Debug, thiserror::Error)]
#[error("a NUL character cannot stand in a text; leave it out")]
pub(super) struct NulInText;

fn is_connection_lost(error: &sqlx::Error) -> bool {
    matches!(error, Io(_) | Tls(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed)
}

/// What engines say when nothing is wrong with the statement. SQLite's codes are numbers, whose lower byte is
/// the kind; PostgreSQL's have five characters, of which the first two are the class.
fn is_transient(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: u32 = 5;
    let Database(error) = error else { return false };
    let Some(code) = error.code() else { return false };
    match &*code {
        // A server that only reads: a standby, or one that was the first until a moment ago.
        "25006" => true,
        // Serialization failure, deadlock, lock not available in time, statement took too long.
        "40001" | "40P01" | "55P03" | "57014" => true,
        // Too many connections, shutting down, crashed, starting, connection given up for idleness.
        "53300" | "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => true,
        code if code.len() == 5 => code.starts_with("08"),
        code => code.parse::<u32>().is_ok_and(|code| code & 0xff == SQLITE_BUSY),
    }
}

//! What a refusal of the database means for whoever asked.

use sqlx::postgres::PgDatabaseError;

use super::StoreError;

/// Whether two transactions were in each other's way: this one was ended, and would now succeed.
pub fn is_conflict(error: &StoreError) -> bool {
    const SERIALIZATION_FAILURE: &str = "40001";
    const DEADLOCK_DETECTED: &str = "40P01";
    sqlstate(error).is_some_and(|code| matches!(code, SERIALIZATION_FAILURE | DEADLOCK_DETECTED))
}

/// Whether trying again cannot help: the database took offence at what it was given.
pub fn is_about_the_data(error: &StoreError) -> bool {
    /// Texts that are none, numbers out of range; broken constraints; rows too large for an index.
    const POSTGRES: [&str; 3] = ["22", "23", "54"];
    const SQLITE_TOO_BIG: u32 = 18;
    const SQLITE_CONSTRAINT: u32 = 19;
    const SQLITE_MISMATCH: u32 = 20;
    const SQLITE_RANGE: u32 = 25;
    if let Some(code) = sqlstate(error) {
        return POSTGRES.iter().any(|class| code.starts_with(class));
    }
    match error {
        StoreError::Statement(sqlx::Error::Database(error)) => {
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            // The lower byte is the kind of error, the rest its finer distinction.
            code.is_some_and(|code| {
                matches!(code & 0xff, SQLITE_TOO_BIG | SQLITE_CONSTRAINT | SQLITE_MISMATCH | SQLITE_RANGE)
            })
        }
        StoreError::Statement(sqlx::Error::Encode(_)) => true,
        _ => false,
    }
}

/// PostgreSQL's five characters; none if it is another engine's error.
fn sqlstate(error: &StoreError) -> Option<&str> {
    match error {
        StoreError::Statement(sqlx::Error::Database(error)) => {
            Some(error.try_downcast_ref::<PgDatabaseError>()?.code())
        }
        _ => None,
    }
}

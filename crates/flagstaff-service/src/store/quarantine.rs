//! Rows that were damaged beyond help: see `integrity`.

use super::StoreError;
use super::connection::{Connection, Row, sql};

/// A row that was taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// When it was found, in Unix milliseconds.
    pub found_at: i64,
    /// What it was, and which one.
    pub name: String,
    /// What could be read of it, as JSON.
    pub content: String,
}

/// All of them, the oldest first.
pub async fn list(connection: &mut Connection) -> Result<Vec<Quarantined>, StoreError> {
    let rows =
        sql("SELECT found_at, name, content FROM quarantine ORDER BY id").fetch_all(connection).await?;
    let read = |row: &Row| {
        Ok(Quarantined {
            found_at: row.try_get("found_at")?,
            name: row.try_get("name")?,
            content: row.try_get("content")?,
        })
    };
    rows.iter().map(read).collect()
}

/// How many there are.
pub async fn count(connection: &mut Connection) -> Result<u64, StoreError> {
    let count: i64 = sql("SELECT count(*) FROM quarantine").fetch_scalar(connection).await?;
    Ok(count.unsigned_abs())
}

/// Forgets all of them: what they were is whole again, or not missed.
pub async fn forget(connection: &mut Connection) -> Result<u64, StoreError> {
    Ok(sql("DELETE FROM quarantine").execute(connection).await?.rows_affected())
}

//! Files of keys that were sent, and how far they were taken.

use crate::store::connection::{Connection, Row, sql};
use crate::store::{EnvironmentId, StoreError};

/// A file of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// In the store.
    pub id: i64,
    /// In the APIs.
    pub public_id: String,
    /// Whose members they are.
    pub filling: i64,
    /// `merge` or `replace`.
    pub mode: String,
    /// How far it is.
    pub status: Status,
    /// What it was called where it came from.
    pub file_name: String,
    /// When it was begun.
    pub created_at: i64,
    /// When keys were last taken from it.
    pub touched_at: i64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Keys are being taken.
    InProgress,
    /// All were.
    Complete,
    /// It ended before.
    Stopped,
}

impl Status {
    /// As the APIs call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Complete => "complete",
            Self::Stopped => "stopped",
        }
    }
}

fn read(row: &Row) -> Import {
    Import {
        id: row.get("id"),
        public_id: row.get("public_id"),
        filling: row.get("big_segment_id"),
        mode: row.get("mode"),
        status: match row.get("status") {
            "complete" => Status::Complete,
            "in_progress" => Status::InProgress,
            _ => Status::Stopped,
        },
        file_name: row.get("file_name"),
        created_at: row.get("created_at"),
        touched_at: row.get("touched_at"),
    }
}

/// Writes down that an import begins, and gives its id.
pub async fn begin(
    connection: &mut Connection,
    public_id: &str,
    filling: i64,
    now: i64,
) -> Result<i64, StoreError> {
    let id = sql("INSERT INTO big_segment_import
            (public_id, big_segment_id, mode, status, file_name, created_at, touched_at)
         VALUES ($1, $2, 'merge', $3, '', $4, $4) RETURNING id")
    .bind(public_id)
    .bind(filling)
    .bind(Status::InProgress.as_str())
    .bind(now)
    .fetch_scalar(connection)
    .await?;
    Ok(id)
}

/// Writes down that keys were taken. False if another ended the import meanwhile.
pub async fn touch(connection: &mut Connection, id: i64, now: i64) -> Result<bool, StoreError> {
    let touched = sql("UPDATE big_segment_import SET touched_at = $2 WHERE id = $1 AND status = $3")
        .bind(id)
        .bind(now)
        .bind(Status::InProgress.as_str())
        .execute(connection)
        .await?;
    Ok(touched.rows_affected() > 0)
}

/// Writes down how it ended, and what was known of it by then.
pub async fn end(
    connection: &mut Connection,
    id: i64,
    status: Status,
    mode: &str,
    file_name: &str,
) -> Result<(), StoreError> {
    sql("UPDATE big_segment_import SET status = $2, mode = $3, file_name = $4 WHERE id = $1")
        .bind(id)
        .bind(status.as_str())
        .bind(mode)
        .bind(file_name)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether another import of the segment goes on. One of which nothing was heard since `silent_since` went
/// with its process, and is written down as stopped.
pub async fn goes_on(
    connection: &mut Connection,
    filling: i64,
    silent_since: i64,
) -> Result<bool, StoreError> {
    sql("UPDATE big_segment_import SET status = $2
         WHERE big_segment_id = $1 AND status = $3 AND touched_at < $4")
    .bind(filling)
    .bind(Status::Stopped.as_str())
    .bind(Status::InProgress.as_str())
    .bind(silent_since)
    .execute(connection)
    .await?;
    let row = sql("SELECT id FROM big_segment_import WHERE big_segment_id = $1 AND status = $2 LIMIT 1")
        .bind(filling)
        .bind(Status::InProgress.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// The import of this segment with this id in the APIs.
pub async fn by_public_id(
    connection: &mut Connection,
    environment: EnvironmentId,
    key: &str,
    public_id: &str,
) -> Result<Option<Import>, StoreError> {
    let row = sql("SELECT import.* FROM big_segment_import AS import
         JOIN big_segment AS filling ON filling.id = import.big_segment_id
         WHERE import.public_id = $1 AND filling.environment_id = $2 AND filling.key = $3")
    .bind(public_id)
    .bind(environment.0)
    .bind(key)
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(read))
}

//! Segments of an environment.

use flagstaff_eval::model;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{EnvironmentId, StoreError, json, to_json};

/// A segment.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentRow {
    /// In the APIs.
    pub public_id: String,
    /// Which environment.
    pub environment_id: EnvironmentId,
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// As SDKs get it, with key and version.
    pub segment: model::Segment,
    /// When it was made.
    pub created_at: i64,
}

fn read(row: &SqliteRow) -> Result<SegmentRow, StoreError> {
    let key: &str = row.get("key");
    let segment: model::Segment = json("segment", key, row.get("segment"))?;
    let version = row.get::<i64, _>("version") as u64;
    Ok(SegmentRow {
        public_id: row.get("public_id"),
        environment_id: EnvironmentId(row.get("environment_id")),
        name: row.get("name"),
        description: row.get("description"),
        tags: json("segment", key, row.get("tags"))?,
        segment: model::Segment { key: key.to_owned(), version, ..segment },
        created_at: row.get("created_at"),
    })
}

/// The segments of an environment by key.
pub async fn in_environment(
    connection: &mut SqliteConnection,
    environment: EnvironmentId,
) -> Result<Vec<SegmentRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM segment WHERE environment_id = $1 ORDER BY key")
        .bind(environment.0)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// The segment with this key.
pub async fn by_key(
    connection: &mut SqliteConnection,
    environment: EnvironmentId,
    key: &str,
) -> Result<Option<SegmentRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM segment WHERE environment_id = $1 AND key = $2")
        .bind(environment.0)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Adds a segment.
pub async fn insert(connection: &mut SqliteConnection, row: &SegmentRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO segment (public_id, environment_id, key, version, name, description, tags, segment, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&row.public_id)
    .bind(row.environment_id.0)
    .bind(&row.segment.key)
    .bind(row.segment.version as i64)
    .bind(&row.name)
    .bind(&row.description)
    .bind(to_json(&row.tags))
    .bind(to_json(&row.segment))
    .bind(row.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

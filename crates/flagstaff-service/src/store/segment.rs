//! Segments of an environment.

use flagstaff_eval::model;

use super::connection::{Connection, Row, sql};
use super::membership::{Membership, sdk_segment};
use super::{EnvironmentId, StoreError, json, to_json};

/// A segment.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentRow {
    /// In the APIs.
    pub public_id: String,
    /// Which environment.
    pub environment_id: EnvironmentId,
    /// Its stable name within the environment.
    pub key: String,
    /// The version SDKs see: the environment's sequence at the last change.
    pub version: u64,
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// Who is in it.
    pub membership: Membership,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub changed_at: i64,
}

fn read(row: &Row) -> Result<SegmentRow, StoreError> {
    let key: String = row.get("key");
    let mut membership: Membership = json("segment", &key, row.get("segment"))?;
    membership.fill_in_ids();
    Ok(SegmentRow {
        public_id: row.get("public_id"),
        environment_id: EnvironmentId(row.get("environment_id")),
        version: row.get::<i64, _>("version") as u64,
        name: row.get("name"),
        description: row.get("description"),
        tags: json("segment", &key, row.get("tags"))?,
        membership,
        created_at: row.get("created_at"),
        changed_at: row.get("changed_at"),
        key,
    })
}

/// The segments of an environment by key.
pub async fn in_environment(
    connection: &mut Connection,
    environment: EnvironmentId,
) -> Result<Vec<SegmentRow>, StoreError> {
    let rows = sql("SELECT * FROM segment WHERE environment_id = $1 ORDER BY key")
        .bind(environment.0)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// The segment with this key.
pub async fn by_key(
    connection: &mut Connection,
    environment: EnvironmentId,
    key: &str,
) -> Result<Option<SegmentRow>, StoreError> {
    let row = sql("SELECT * FROM segment WHERE environment_id = $1 AND key = $2")
        .bind(environment.0)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// A segment as SDKs get it.
pub fn as_sdk(row: &SegmentRow) -> model::Segment {
    sdk_segment(&row.key, &row.membership, row.version)
}

/// Adds a segment.
pub async fn insert(connection: &mut Connection, row: &SegmentRow) -> Result<(), StoreError> {
    sql(
        "INSERT INTO segment (public_id, environment_id, key, version, name, description, tags, segment, created_at,
            changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&row.public_id)
    .bind(row.environment_id.0)
    .bind(&row.key)
    .bind(row.version as i64)
    .bind(&row.name)
    .bind(&row.description)
    .bind(to_json(&row.tags))
    .bind(to_json(&row.membership))
    .bind(row.created_at)
    .bind(row.changed_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes everything of a segment that can change.
pub async fn update(connection: &mut Connection, row: &SegmentRow) -> Result<(), StoreError> {
    sql(
        "UPDATE segment SET version = $1, name = $2, description = $3, tags = $4, segment = $5, created_at = $6,
            changed_at = $7
         WHERE environment_id = $8 AND key = $9",
    )
    .bind(row.version as i64)
    .bind(&row.name)
    .bind(&row.description)
    .bind(to_json(&row.tags))
    .bind(to_json(&row.membership))
    .bind(row.created_at)
    .bind(row.changed_at)
    .bind(row.environment_id.0)
    .bind(&row.key)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a segment.
pub async fn delete(
    connection: &mut Connection,
    environment: EnvironmentId,
    key: &str,
) -> Result<(), StoreError> {
    sql("DELETE FROM segment WHERE environment_id = $1 AND key = $2")
        .bind(environment.0)
        .bind(key)
        .execute(connection)
        .await?;
    Ok(())
}

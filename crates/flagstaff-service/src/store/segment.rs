//! Segments of an environment.

use flagstaff_eval::model;

use super::connection::{Connection, Row, Value, sql};
use super::integrity::{self, SEGMENT, checksum};
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
    const ENTITY: &str = "segment";
    let (tags, membership): (&str, &str) = (row.try_get("tags")?, row.try_get("segment")?);
    let read = SegmentRow {
        public_id: row.try_get("public_id")?,
        environment_id: EnvironmentId(row.try_get("environment_id")?),
        key: row.try_get("key")?,
        version: row.try_get::<i64, _>("version")? as u64,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        tags: Vec::new(),
        membership: Membership::default(),
        created_at: row.try_get("created_at")?,
        changed_at: row.try_get("changed_at")?,
    };
    let key = &read.key;
    checksum::check(ENTITY, key, row.try_get("checksum")?, &columns(&read, tags, membership))?;
    let tags = json(ENTITY, key, tags)?;
    let mut membership: Membership = json(ENTITY, key, membership)?;
    membership.fill_in_ids();
    Ok(SegmentRow { tags, membership, ..read })
}

/// What the checksum is of, in the order of [`SEGMENT`].
fn columns<'r>(row: &'r SegmentRow, tags: &'r str, membership: &'r str) -> [Value<'r>; 10] {
    [
        (&row.public_id).into(),
        row.environment_id.0.into(),
        (&row.key).into(),
        (row.version as i64).into(),
        (&row.name).into(),
        (&row.description).into(),
        tags.into(),
        membership.into(),
        row.created_at.into(),
        row.changed_at.into(),
    ]
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
    let (tags, membership) = (to_json(&row.tags), to_json(&row.membership));
    let id = sql(
        "INSERT INTO segment (public_id, environment_id, key, version, name, description, tags, segment, created_at,
            changed_at, checksum)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
    )
    .bind_checked(columns(row, &tags, &membership))
    .fetch_scalar(&mut *connection)
    .await?;
    integrity::copy(connection, &SEGMENT, &[id]).await
}

/// Writes everything of a segment that can change.
pub async fn update(connection: &mut Connection, row: &SegmentRow) -> Result<(), StoreError> {
    let (tags, membership) = (to_json(&row.tags), to_json(&row.membership));
    let id = sql(
        "UPDATE segment SET public_id = $1, version = $4, name = $5, description = $6, tags = $7, segment = $8,
            created_at = $9, changed_at = $10, checksum = $11
         WHERE environment_id = $2 AND key = $3 RETURNING id",
    )
    .bind_checked(columns(row, &tags, &membership))
    .fetch_scalar(&mut *connection)
    .await?;
    integrity::copy(connection, &SEGMENT, &[id]).await
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

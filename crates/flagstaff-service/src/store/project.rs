//! Projects: each owns flag definitions and environments.

use flagstaff_eval::model::ClientSideAvailability;

use super::connection::{Connection, Row, Value, sql};
use super::integrity::{self, PROJECT, checksum};
use super::{StoreError, json, to_json};

/// A project.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// In the store.
    pub id: i64,
    /// In the APIs.
    pub public_id: String,
    /// Its stable name.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// Which client-side SDKs see a new flag, unless it says otherwise.
    pub new_flag_availability: ClientSideAvailability,
    /// When it was made.
    pub created_at: i64,
}

fn read(row: &Row) -> Result<Project, StoreError> {
    let tags: &str = row.try_get("tags")?;
    let read = Project {
        id: row.try_get("id")?,
        public_id: row.try_get("public_id")?,
        key: row.try_get("key")?,
        tags: Vec::new(),
        name: row.try_get("name")?,
        new_flag_availability: ClientSideAvailability {
            using_environment_id: row.try_get("using_environment_id")?,
            using_mobile_key: row.try_get("using_mobile_key")?,
        },
        created_at: row.try_get("created_at")?,
    };
    checksum::check("project", &read.key, row.try_get("checksum")?, &columns(&read, tags))?;
    Ok(Project { tags: json("project", &read.key, tags)?, ..read })
}

/// What the checksum is of, in the order of [`PROJECT`].
fn columns<'r>(row: &'r Project, tags: &'r str) -> [Value<'r>; 7] {
    [
        (&row.public_id).into(),
        (&row.key).into(),
        (&row.name).into(),
        tags.into(),
        row.new_flag_availability.using_environment_id.into(),
        row.new_flag_availability.using_mobile_key.into(),
        row.created_at.into(),
    ]
}

/// All projects by name.
pub async fn list(connection: &mut Connection) -> Result<Vec<Project>, StoreError> {
    let rows = sql("SELECT * FROM project ORDER BY name, key").fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// The project with this key.
pub async fn by_key(connection: &mut Connection, key: &str) -> Result<Option<Project>, StoreError> {
    let row = sql("SELECT * FROM project WHERE key = $1").bind(key).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// The project with this id.
pub async fn by_id(connection: &mut Connection, id: i64) -> Result<Option<Project>, StoreError> {
    let row = sql("SELECT * FROM project WHERE id = $1").bind(id).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// Adds a project and gives its id; the one in `project` is ignored.
pub async fn insert(connection: &mut Connection, project: &Project) -> Result<i64, StoreError> {
    let tags = to_json(&project.tags);
    let id = sql(
        "INSERT INTO project (public_id, key, name, tags, using_environment_id, using_mobile_key, created_at,
            checksum)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
    )
    .bind_checked(columns(project, &tags))
    .fetch_scalar(&mut *connection)
    .await?;
    integrity::copy(connection, &PROJECT, &[id]).await?;
    Ok(id)
}

/// Writes name, tags and availability. The environments count as changed: they carry the name.
pub async fn update(connection: &mut Connection, project: &Project) -> Result<(), StoreError> {
    sql("UPDATE environment SET version = version + 1 WHERE project_id = $1")
        .bind(project.id)
        .execute(&mut *connection)
        .await?;
    let tags = to_json(&project.tags);
    sql("UPDATE project SET public_id = $1, key = $2, name = $3, tags = $4, using_environment_id = $5,
            using_mobile_key = $6, created_at = $7, checksum = $8
         WHERE id = $9")
    .bind_checked(columns(project, &tags))
    .bind(project.id)
    .execute(&mut *connection)
    .await?;
    integrity::copy(connection, &PROJECT, &[project.id]).await
}

/// Deletes a project with everything in it.
pub async fn delete(connection: &mut Connection, id: i64) -> Result<(), StoreError> {
    sql("DELETE FROM project WHERE id = $1").bind(id).execute(connection).await?;
    Ok(())
}

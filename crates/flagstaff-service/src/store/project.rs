//! Projects: each owns flag definitions and environments.

use flagstaff_eval::model::ClientSideAvailability;

use super::connection::{Connection, Row, sql};
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
    let key: String = row.get("key");
    Ok(Project {
        id: row.get("id"),
        public_id: row.get("public_id"),
        tags: json("project", &key, row.get("tags"))?,
        key,
        name: row.get("name"),
        new_flag_availability: ClientSideAvailability {
            using_environment_id: row.get("using_environment_id"),
            using_mobile_key: row.get("using_mobile_key"),
        },
        created_at: row.get("created_at"),
    })
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
    let row = sql(
        "INSERT INTO project (public_id, key, name, tags, using_environment_id, using_mobile_key, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
    )
    .bind(&project.public_id)
    .bind(&project.key)
    .bind(&project.name)
    .bind(to_json(&project.tags))
    .bind(project.new_flag_availability.using_environment_id)
    .bind(project.new_flag_availability.using_mobile_key)
    .bind(project.created_at)
    .fetch_one(connection)
    .await?;
    Ok(row.get("id"))
}

/// Writes name, tags and availability. The environments count as changed: they carry the name.
pub async fn update(connection: &mut Connection, project: &Project) -> Result<(), StoreError> {
    sql("UPDATE environment SET version = version + 1 WHERE project_id = $1")
        .bind(project.id)
        .execute(&mut *connection)
        .await?;
    sql(
        "UPDATE project SET name = $1, tags = $2, using_environment_id = $3, using_mobile_key = $4 WHERE id = $5",
    )
    .bind(&project.name)
    .bind(to_json(&project.tags))
    .bind(project.new_flag_availability.using_environment_id)
    .bind(project.new_flag_availability.using_mobile_key)
    .bind(project.id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a project with everything in it.
pub async fn delete(connection: &mut Connection, id: i64) -> Result<(), StoreError> {
    sql("DELETE FROM project WHERE id = $1").bind(id).execute(connection).await?;
    Ok(())
}

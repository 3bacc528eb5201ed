//! Environments: each owns the targeting of its project's flags, and the keys SDKs come with.

use std::fmt;

use super::connection::{Connection, Row, sql};
use super::{StoreError, json, to_json};
use crate::auth::secret;

/// An environment's id in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentId(pub i64);

impl fmt::Display for EnvironmentId {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// An environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// In the store.
    pub id: EnvironmentId,
    /// Its project, in the store.
    pub project_id: i64,
    /// Its stable name within the project.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// Six hex digits.
    pub colour: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// The secret of server-side SDKs.
    pub sdk_key: String,
    /// The secret before it, which counts on for a while.
    pub expiring_sdk_key: Option<ExpiringKey>,
    /// The key of mobile SDKs.
    pub mobile_key: String,
    /// The public id of browser SDKs, and of the environment in the APIs.
    pub client_side_id: String,
    /// Minutes that the PHP SDK may cache.
    pub default_ttl: i64,
    /// Whether browser SDKs have to prove the user.
    pub secure_mode: bool,
    /// Whether new flags report each evaluation.
    pub default_track_events: bool,
    /// Whether the dashboard asks once more before a change.
    pub confirm_changes: bool,
    /// Whether a change needs a comment.
    pub require_comments: bool,
    /// Whether it is one to be careful with.
    pub critical: bool,
    /// Rises by one with each change to what SDKs get.
    pub sequence: u64,
    /// Whose sequence it is; a restored copy gets another.
    pub lineage: String,
    /// Rises with each change to these settings.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
}

/// A key that was replaced and counts on until a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringKey {
    /// The key.
    pub key: String,
    /// When it stops counting, in Unix milliseconds.
    pub until: i64,
}

impl Environment {
    /// The secret before the present one, if it counts still.
    pub fn old_sdk_key(&self, now: i64) -> Option<&ExpiringKey> {
        self.expiring_sdk_key.as_ref().filter(|old| now < old.until)
    }

    /// Every secret of server-side SDKs that counts.
    pub fn sdk_keys(&self, now: i64) -> impl Iterator<Item = &str> {
        let old = self.old_sdk_key(now).map(|old| &*old.key);
        std::iter::once(&*self.sdk_key).chain(old)
    }
}

/// What tells whether an environment changed.
#[derive(Clone, Debug)]
pub struct Head {
    /// Which environment.
    pub id: EnvironmentId,
    /// Tells it from another that has the same id later.
    pub lineage: String,
    /// Of what SDKs get: the last change.
    pub sequence: u64,
    /// Tells that change from another one with this number.
    pub stamp: u64,
    /// Of its settings.
    pub version: i64,
}

fn read(row: &Row) -> Result<Environment, StoreError> {
    let key: String = row.get("key");
    Ok(Environment {
        id: EnvironmentId(row.get("id")),
        project_id: row.get("project_id"),
        tags: json("environment", &key, row.get("tags"))?,
        key,
        name: row.get("name"),
        colour: row.get("colour"),
        sdk_key: row.get("sdk_key"),
        expiring_sdk_key: row
            .get::<Option<String>, _>("expiring_sdk_key")
            .zip(row.get::<Option<i64>, _>("sdk_key_expires_at"))
            .map(|(key, until)| ExpiringKey { key, until }),
        mobile_key: row.get("mobile_key"),
        client_side_id: row.get("client_side_id"),
        default_ttl: row.get("default_ttl"),
        secure_mode: row.get("secure_mode"),
        default_track_events: row.get("default_track_events"),
        confirm_changes: row.get("confirm_changes"),
        require_comments: row.get("require_comments"),
        critical: row.get("critical"),
        sequence: row.get::<i64, _>("sequence") as u64,
        lineage: row.get("lineage"),
        version: row.get("version"),
        created_at: row.get("created_at"),
    })
}

/// The environments of a project, in the order in which they were made.
pub async fn of_project(
    connection: &mut Connection,
    project_id: i64,
) -> Result<Vec<Environment>, StoreError> {
    let rows = sql("SELECT * FROM environment WHERE project_id = $1 ORDER BY id")
        .bind(project_id)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// The environment with this key.
pub async fn by_key(
    connection: &mut Connection,
    project_id: i64,
    key: &str,
) -> Result<Option<Environment>, StoreError> {
    let row = sql("SELECT * FROM environment WHERE project_id = $1 AND key = $2")
        .bind(project_id)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The environment with this id.
pub async fn by_id(
    connection: &mut Connection,
    id: EnvironmentId,
) -> Result<Option<Environment>, StoreError> {
    let row = sql("SELECT * FROM environment WHERE id = $1").bind(id.0).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// What tells, for each environment, whether it changed.
pub async fn heads(connection: &mut Connection) -> Result<Vec<Head>, StoreError> {
    // As an environment was made, there is no change.
    let rows =
        sql("SELECT id, lineage, environment.sequence, version, COALESCE(stamp, 0) AS stamp FROM environment
         LEFT JOIN change_log ON environment_id = id AND change_log.sequence = environment.sequence")
        .fetch_all(connection)
        .await?;
    let head = |row: &Row| Head {
        id: EnvironmentId(row.get("id")),
        lineage: row.get("lineage"),
        sequence: row.get::<i64, _>("sequence") as u64,
        stamp: row.get::<i64, _>("stamp") as u64,
        version: row.get("version"),
    };
    Ok(rows.iter().map(head).collect())
}

/// Adds an environment and gives its id; the one in `environment` is ignored.
pub async fn insert(
    connection: &mut Connection,
    environment: &Environment,
) -> Result<EnvironmentId, StoreError> {
    let row = sql(
        "INSERT INTO environment (project_id, key, name, colour, tags, sdk_key, sdk_key_hash, mobile_key,
            mobile_key_hash, client_side_id, default_ttl, secure_mode, default_track_events, confirm_changes,
            require_comments, critical, sequence, lineage, version, created_at, expiring_sdk_key,
            sdk_key_expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
            $22)
         RETURNING id",
    )
    .bind(environment.project_id)
    .bind(&environment.key)
    .bind(&environment.name)
    .bind(&environment.colour)
    .bind(to_json(&environment.tags))
    .bind(&environment.sdk_key)
    .bind(secret::hash(&environment.sdk_key))
    .bind(&environment.mobile_key)
    .bind(secret::hash(&environment.mobile_key))
    .bind(&environment.client_side_id)
    .bind(environment.default_ttl)
    .bind(environment.secure_mode)
    .bind(environment.default_track_events)
    .bind(environment.confirm_changes)
    .bind(environment.require_comments)
    .bind(environment.critical)
    .bind(environment.sequence as i64)
    .bind(&environment.lineage)
    .bind(environment.version)
    .bind(environment.created_at)
    .bind(environment.expiring_sdk_key.as_ref().map(|old| old.key.as_str()))
    .bind(environment.expiring_sdk_key.as_ref().map(|old| old.until))
    .fetch_one(connection)
    .await?;
    Ok(EnvironmentId(row.get("id")))
}

/// Raises the version of every environment of a project, so that whoever serves them looks at them again.
pub async fn touch_all(connection: &mut Connection, project_id: i64) -> Result<(), StoreError> {
    sql("UPDATE environment SET version = version + 1 WHERE project_id = $1")
        .bind(project_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the settings and keys, and raises the version.
pub async fn update(connection: &mut Connection, environment: &Environment) -> Result<(), StoreError> {
    sql("UPDATE environment SET name = $1, colour = $2, tags = $3, sdk_key = $4, sdk_key_hash = $5,
            mobile_key = $6, mobile_key_hash = $7, default_ttl = $8, secure_mode = $9,
            default_track_events = $10, confirm_changes = $11, require_comments = $12, critical = $13,
            expiring_sdk_key = $14, sdk_key_expires_at = $15, version = version + 1
         WHERE id = $16")
    .bind(&environment.name)
    .bind(&environment.colour)
    .bind(to_json(&environment.tags))
    .bind(&environment.sdk_key)
    .bind(secret::hash(&environment.sdk_key))
    .bind(&environment.mobile_key)
    .bind(secret::hash(&environment.mobile_key))
    .bind(environment.default_ttl)
    .bind(environment.secure_mode)
    .bind(environment.default_track_events)
    .bind(environment.confirm_changes)
    .bind(environment.require_comments)
    .bind(environment.critical)
    .bind(environment.expiring_sdk_key.as_ref().map(|old| old.key.as_str()))
    .bind(environment.expiring_sdk_key.as_ref().map(|old| old.until))
    .bind(environment.id.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes an environment with its targeting and segments.
pub async fn delete(connection: &mut Connection, id: EnvironmentId) -> Result<(), StoreError> {
    sql("DELETE FROM environment WHERE id = $1").bind(id.0).execute(connection).await?;
    Ok(())
}

/// Takes the next number of the sequence. Whoever changes several environments in one transaction
/// takes them in the order of their ids.
pub async fn next_sequence(connection: &mut Connection, id: EnvironmentId) -> Result<u64, StoreError> {
    let row = sql("UPDATE environment SET sequence = sequence + 1 WHERE id = $1 RETURNING sequence")
        .bind(id.0)
        .fetch_one(connection)
        .await?;
    Ok(row.get::<i64, _>("sequence") as u64)
}

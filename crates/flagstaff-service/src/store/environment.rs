//! Environments: each owns the targeting of its project's flags, and the keys SDKs come with.

use std::fmt;

use super::connection::{Connection, Row, Value, sql};
use super::integrity::{self, ENVIRONMENT, checksum};
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
    let tags: &str = row.try_get("tags")?;
    let read = Environment {
        id: EnvironmentId(row.try_get("id")?),
        project_id: row.try_get("project_id")?,
        tags: Vec::new(),
        key: row.try_get("key")?,
        name: row.try_get("name")?,
        colour: row.try_get("colour")?,
        sdk_key: row.try_get("sdk_key")?,
        expiring_sdk_key: row
            .get::<Option<String>, _>("expiring_sdk_key")
            .zip(row.try_get::<Option<i64>, _>("sdk_key_expires_at")?)
            .map(|(key, until)| ExpiringKey { key, until }),
        mobile_key: row.try_get("mobile_key")?,
        client_side_id: row.try_get("client_side_id")?,
        default_ttl: row.try_get("default_ttl")?,
        secure_mode: row.try_get("secure_mode")?,
        default_track_events: row.try_get("default_track_events")?,
        confirm_changes: row.try_get("confirm_changes")?,
        require_comments: row.try_get("require_comments")?,
        critical: row.try_get("critical")?,
        sequence: row.try_get::<i64, _>("sequence")? as u64,
        lineage: row.try_get("lineage")?,
        version: row.try_get("version")?,
        created_at: row.try_get("created_at")?,
    };
    let hashes = (row.try_get("sdk_key_hash")?, row.try_get("mobile_key_hash")?);
    checksum::check("environment", &read.key, row.try_get("checksum")?, &columns(&read, tags, hashes))?;
    Ok(Environment { tags: json("environment", &read.key, tags)?, ..read })
}

/// What the checksum is of, in the order of [`ENVIRONMENT`].
fn columns<'r>(row: &'r Environment, tags: &'r str, hashes: (String, String)) -> [Value<'r>; 20] {
    [
        row.project_id.into(),
        (&row.key).into(),
        (&row.name).into(),
        (&row.colour).into(),
        tags.into(),
        (&row.sdk_key).into(),
        hashes.0.into(),
        (&row.mobile_key).into(),
        hashes.1.into(),
        (&row.client_side_id).into(),
        row.default_ttl.into(),
        row.secure_mode.into(),
        row.default_track_events.into(),
        row.confirm_changes.into(),
        row.require_comments.into(),
        row.critical.into(),
        (&row.lineage).into(),
        row.created_at.into(),
        row.expiring_sdk_key.as_ref().map(|old| old.key.as_str()).into(),
        row.expiring_sdk_key.as_ref().map(|old| old.until).into(),
    ]
}

fn hashes(row: &Environment) -> (String, String) {
    (secret::hash(&row.sdk_key), secret::hash(&row.mobile_key))
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
    let head = |row: &Row| {
        Ok(Head {
            id: EnvironmentId(row.try_get("id")?),
            lineage: row.try_get("lineage")?,
            sequence: row.try_get::<i64, _>("sequence")? as u64,
            stamp: row.try_get::<i64, _>("stamp")? as u64,
            version: row.try_get("version")?,
        })
    };
    rows.iter().map(head).collect()
}

/// Adds an environment and gives its id; the one in `environment` is ignored.
pub async fn insert(
    connection: &mut Connection,
    environment: &Environment,
) -> Result<EnvironmentId, StoreError> {
    let tags = to_json(&environment.tags);
    let id = sql(
        "INSERT INTO environment (project_id, key, name, colour, tags, sdk_key, sdk_key_hash, mobile_key,
            mobile_key_hash, client_side_id, default_ttl, secure_mode, default_track_events, confirm_changes,
            require_comments, critical, lineage, created_at, expiring_sdk_key, sdk_key_expires_at, checksum,
            sequence, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
            $22, $23)
         RETURNING id",
    )
    .bind_checked(columns(environment, &tags, hashes(environment)))
    .bind(environment.sequence as i64)
    .bind(environment.version)
    .fetch_scalar(&mut *connection)
    .await?;
    integrity::copy(connection, &ENVIRONMENT, &[id]).await?;
    Ok(EnvironmentId(id))
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
    let tags = to_json(&environment.tags);
    sql("UPDATE environment SET project_id = $1, key = $2, name = $3, colour = $4, tags = $5, sdk_key = $6,
            sdk_key_hash = $7, mobile_key = $8, mobile_key_hash = $9, client_side_id = $10, default_ttl = $11,
            secure_mode = $12, default_track_events = $13, confirm_changes = $14, require_comments = $15,
            critical = $16, lineage = $17, created_at = $18, expiring_sdk_key = $19, sdk_key_expires_at = $20,
            checksum = $21, version = version + 1
         WHERE id = $22")
    .bind_checked(columns(environment, &tags, hashes(environment)))
    .bind(environment.id.0)
    .execute(&mut *connection)
    .await?;
    integrity::copy(connection, &ENVIRONMENT, &[environment.id.0]).await
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

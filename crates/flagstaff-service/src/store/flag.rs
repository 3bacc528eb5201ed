//! Flags, and their targeting per environment.

use std::collections::HashMap;

use flagstaff_eval::model;

use super::connection::{Connection, Row, Value, sql};
use super::integrity::{self, FLAG, FLAG_TARGETING, checksum};
use super::targeting::{FlagDefinition, Targeting, sdk_flag};
use super::{EnvironmentId, StoreError, json, to_json};

/// A flag, as all environments share it.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagRow {
    /// In the store.
    pub id: i64,
    /// In the APIs.
    pub public_id: String,
    /// Its project, in the store.
    pub project_id: i64,
    /// Its stable name within the project.
    pub key: String,
    /// Rises with each change, in whatever environment.
    pub version: u64,
    /// What all environments share.
    pub definition: FlagDefinition,
    /// When it was made.
    pub created_at: i64,
}

/// A flag's targeting in one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetingRow {
    /// Which environment.
    pub environment_id: EnvironmentId,
    /// The version SDKs see: the environment's sequence at the last change.
    pub version: u64,
    /// Who gets which variation.
    pub targeting: Targeting,
    /// When it was last changed.
    pub changed_at: i64,
    /// The name of who changed it last.
    pub changed_by: String,
}

/// What a flag is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagHeading {
    /// Its stable name within the project.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// For finding it.
    pub tags: Vec<String>,
}

fn read(row: &Row) -> Result<FlagRow, StoreError> {
    let (key, definition): (String, &str) = (row.try_get("key")?, row.try_get("definition")?);
    let read = FlagRow {
        id: row.try_get("id")?,
        public_id: row.try_get("public_id")?,
        project_id: row.try_get("project_id")?,
        version: row.try_get::<i64, _>("version")? as u64,
        definition: FlagDefinition::default(),
        key,
        created_at: row.try_get("created_at")?,
    };
    checksum::check("flag", &read.key, row.try_get("checksum")?, &columns(&read, definition))?;
    Ok(FlagRow { definition: json("flag", &read.key, definition)?, ..read })
}

fn read_targeting(row: &Row, key: &str) -> Result<TargetingRow, StoreError> {
    const ENTITY: &str = "targeting of flag";
    let targeting: &str = row.try_get("targeting")?;
    let read = TargetingRow {
        environment_id: EnvironmentId(row.try_get("environment_id")?),
        version: row.try_get::<i64, _>("targeting_version")? as u64,
        targeting: Targeting::default(),
        changed_at: row.try_get("changed_at")?,
        changed_by: row.try_get("changed_by")?,
    };
    let columns = targeting_columns(row.try_get("flag_id")?, &read, targeting);
    checksum::check(ENTITY, key, row.try_get("targeting_checksum")?, &columns)?;
    Ok(TargetingRow { targeting: json(ENTITY, key, targeting)?, ..read })
}

/// What the checksum of a flag is of, in the order of [`FLAG`].
fn columns<'r>(row: &'r FlagRow, definition: &'r str) -> [Value<'r>; 6] {
    [
        (&row.public_id).into(),
        row.project_id.into(),
        (&row.key).into(),
        (row.version as i64).into(),
        definition.into(),
        row.created_at.into(),
    ]
}

/// What the checksum of a targeting is of, in the order of [`FLAG_TARGETING`].
fn targeting_columns<'r>(flag_id: i64, row: &'r TargetingRow, targeting: &'r str) -> [Value<'r>; 6] {
    [
        flag_id.into(),
        row.environment_id.0.into(),
        (row.version as i64).into(),
        targeting.into(),
        row.changed_at.into(),
        (&row.changed_by).into(),
    ]
}

fn read_both(row: &Row) -> Result<(FlagRow, TargetingRow), StoreError> {
    let flag = read(row)?;
    let targeting = read_targeting(row, &flag.key)?;
    Ok((flag, targeting))
}

/// The flags of a project by key.
pub async fn of_project(connection: &mut Connection, project_id: i64) -> Result<Vec<FlagRow>, StoreError> {
    let rows = sql("SELECT * FROM flag WHERE project_id = $1 ORDER BY key")
        .bind(project_id)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// The flag with this key.
pub async fn by_key(
    connection: &mut Connection,
    project_id: i64,
    key: &str,
) -> Result<Option<FlagRow>, StoreError> {
    let row = sql("SELECT * FROM flag WHERE project_id = $1 AND key = $2")
        .bind(project_id)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// A flag's targeting in every environment, in the order of their ids.
pub async fn targeting_of_flag(
    connection: &mut Connection,
    flag: &FlagRow,
) -> Result<Vec<TargetingRow>, StoreError> {
    let rows = sql(
        "SELECT flag_id, environment_id, version AS targeting_version, targeting, changed_at, changed_by,
                checksum AS targeting_checksum
         FROM flag_targeting WHERE flag_id = $1 ORDER BY environment_id",
    )
    .bind(flag.id)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read_targeting(row, &flag.key)).collect()
}

/// The targeting of all flags of a project in some environments, by flag id.
pub async fn targeting_of_project(
    connection: &mut Connection,
    project_id: i64,
    environments: &[EnvironmentId],
) -> Result<HashMap<i64, Vec<TargetingRow>>, StoreError> {
    let mut by_flag: HashMap<i64, Vec<TargetingRow>> = HashMap::new();
    for environment in environments {
        let rows = sql(
            "SELECT flag.key, flag_id, environment_id, flag_targeting.version AS targeting_version, targeting,
                    changed_at, changed_by, flag_targeting.checksum AS targeting_checksum
             FROM flag_targeting JOIN flag ON flag.id = flag_id
             WHERE environment_id = $1 AND project_id = $2",
        )
        .bind(environment.0)
        .bind(project_id)
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            by_flag
                .entry(row.try_get("flag_id")?)
                .or_default()
                .push(read_targeting(row, row.try_get("key")?)?);
        }
    }
    Ok(by_flag)
}

/// The flags of an environment with their targeting in it, by key: what a list of flags shows.
pub async fn in_environment(
    connection: &mut Connection,
    environment: EnvironmentId,
) -> Result<Vec<(FlagRow, TargetingRow)>, StoreError> {
    let rows = sql(
        "SELECT flag.*, flag_id, environment_id, flag_targeting.version AS targeting_version, targeting, changed_at,
                changed_by, flag_targeting.checksum AS targeting_checksum
         FROM flag JOIN flag_targeting ON flag.id = flag_id
         WHERE environment_id = $1 ORDER BY key",
    )
    .bind(environment.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_both).collect()
}

/// How many flags an environment has.
pub async fn count_in_environment(
    connection: &mut Connection,
    environment: EnvironmentId,
) -> Result<usize, StoreError> {
    let count: i64 = sql("SELECT count(*) FROM flag_targeting WHERE environment_id = $1")
        .bind(environment.0)
        .fetch_scalar(connection)
        .await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The keys of some flags of an environment, in their order: `limit` of them after the first `offset`.
pub async fn keys_in_environment(
    connection: &mut Connection,
    environment: EnvironmentId,
    offset: usize,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    // The project is named as well, because keys stand in order in the index of each project.
    let keys = sql("SELECT key FROM flag JOIN flag_targeting ON flag.id = flag_id
         WHERE environment_id = $1 AND project_id = (SELECT project_id FROM environment WHERE id = $1)
         ORDER BY key LIMIT $2 OFFSET $3")
    .bind(environment.0)
    .bind(limit as i64)
    .bind(offset as i64)
    .fetch_scalars(connection)
    .await?;
    Ok(keys)
}

/// What all flags of an environment are found by, in the order of their keys: a fraction of the work
/// of reading them whole.
pub async fn headings(
    connection: &mut Connection,
    environment: EnvironmentId,
) -> Result<Vec<FlagHeading>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Heading {
        name: String,
        tags: Vec<String>,
    }

    let rows = sql(
        "SELECT key, definition FROM flag JOIN flag_targeting ON flag.id = flag_id WHERE environment_id = $1
         ORDER BY key",
    )
    .bind(environment.0)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let key: String = row.try_get("key")?;
            let Heading { name, tags } = json("flag", &key, row.try_get("definition")?)?;
            Ok(FlagHeading { key, name, tags })
        })
        .collect()
}

/// As [`in_environment`], but only the flags whose targeting has this text in it: those that have a
/// key as a prerequisite are among them.
pub async fn mentioning(
    connection: &mut Connection,
    environment: EnvironmentId,
    text: &str,
) -> Result<Vec<(FlagRow, TargetingRow)>, StoreError> {
    let rows = sql(
        "SELECT flag.*, flag_id, environment_id, flag_targeting.version AS targeting_version, targeting, changed_at,
                changed_by, flag_targeting.checksum AS targeting_checksum
         FROM flag JOIN flag_targeting ON flag.id = flag_id
         WHERE environment_id = $1 AND targeting LIKE '%' || $2 || '%' ORDER BY key",
    )
    .bind(environment.0)
    .bind(text)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_both).collect()
}

/// One flag of an environment with its targeting in it.
pub async fn one_in_environment(
    connection: &mut Connection,
    environment: EnvironmentId,
    key: &str,
) -> Result<Option<(FlagRow, TargetingRow)>, StoreError> {
    // The project is named as well, because the index of keys begins with it.
    let row = sql(
        "SELECT flag.*, flag_id, environment_id, flag_targeting.version AS targeting_version, targeting, changed_at,
                changed_by, flag_targeting.checksum AS targeting_checksum
         FROM flag JOIN flag_targeting ON flag.id = flag_id
         WHERE environment_id = $1 AND project_id = (SELECT project_id FROM environment WHERE id = $1) AND key = $2",
    )
    .bind(environment.0)
    .bind(key)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read_both).transpose()
}

/// A flag and its targeting as SDKs get them.
pub fn as_sdk(flag: &FlagRow, targeting: &TargetingRow) -> model::Flag {
    sdk_flag(&flag.key, &flag.definition, &targeting.targeting, targeting.version)
}

/// Adds a flag and gives its id; the one in `flag` is ignored.
pub async fn insert(connection: &mut Connection, flag: &FlagRow) -> Result<i64, StoreError> {
    let definition = to_json(&flag.definition);
    let id = sql("INSERT INTO flag (public_id, project_id, key, version, definition, created_at, checksum)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id")
    .bind_checked(columns(flag, &definition))
    .fetch_scalar(&mut *connection)
    .await?;
    integrity::copy(connection, &FLAG, &[id]).await?;
    Ok(id)
}

/// Writes what all environments share, the version, and when it was made: an import knows that better.
pub async fn update(connection: &mut Connection, flag: &FlagRow) -> Result<(), StoreError> {
    let definition = to_json(&flag.definition);
    sql("UPDATE flag SET public_id = $1, project_id = $2, key = $3, version = $4, definition = $5, created_at = $6,
            checksum = $7
         WHERE id = $8")
    .bind_checked(columns(flag, &definition))
    .bind(flag.id)
    .execute(&mut *connection)
    .await?;
    integrity::copy(connection, &FLAG, &[flag.id]).await
}

/// Writes the targeting in one environment.
pub async fn put_targeting(
    connection: &mut Connection,
    flag_id: i64,
    row: &TargetingRow,
) -> Result<(), StoreError> {
    let targeting = to_json(&row.targeting);
    sql(
        "INSERT INTO flag_targeting (flag_id, environment_id, version, targeting, changed_at, changed_by, checksum)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (flag_id, environment_id) DO UPDATE SET version = excluded.version,
            targeting = excluded.targeting, changed_at = excluded.changed_at, changed_by = excluded.changed_by,
            checksum = excluded.checksum",
    )
    .bind_checked(targeting_columns(flag_id, row, &targeting))
    .execute(&mut *connection)
    .await?;
    integrity::copy(connection, &FLAG_TARGETING, &[flag_id, row.environment_id.0]).await
}

/// Deletes a flag with its targeting.
pub async fn delete(connection: &mut Connection, flag_id: i64) -> Result<(), StoreError> {
    sql("DELETE FROM flag WHERE id = $1").bind(flag_id).execute(connection).await?;
    Ok(())
}

//! Programs that reported themselves.

use super::StoreError;
use crate::store::connection::{Connection, sql};

/// A program, as its SDK's diagnostics describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdkInstance {
    /// The id the SDK gave itself when it started.
    pub instance_id: String,
    /// The SDK's name; empty if only later reports came.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The wrapper around it, `name/version`; empty if there is none.
    pub wrapper: String,
    /// The first report.
    pub first_seen_ms: i64,
    /// The last report.
    pub last_seen_ms: i64,
}

/// Notes a report. Later reports do not repeat name and version.
pub async fn upsert(
    connection: &mut Connection,
    environment_id: i64,
    instance: &SdkInstance,
) -> Result<(), StoreError> {
    sql(
        "INSERT INTO sdk_instance (environment_id, instance_id, name, version, wrapper, first_seen, last_seen)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (environment_id, instance_id) DO UPDATE SET
             name = CASE WHEN excluded.name = '' THEN sdk_instance.name ELSE excluded.name END,
             version = CASE WHEN excluded.name = '' THEN sdk_instance.version ELSE excluded.version END,
             wrapper = CASE WHEN excluded.name = '' THEN sdk_instance.wrapper ELSE excluded.wrapper END,
             last_seen = excluded.last_seen",
    )
    .bind(environment_id)
    .bind(&instance.instance_id)
    .bind(&instance.name)
    .bind(&instance.version)
    .bind(&instance.wrapper)
    .bind(instance.first_seen_ms)
    .bind(instance.last_seen_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// The programs of an environment, the latest first, at most `limit`.
pub async fn list(
    connection: &mut Connection,
    environment_id: i64,
    limit: i64,
) -> Result<Vec<SdkInstance>, StoreError> {
    let rows = sql("SELECT instance_id, name, version, wrapper, first_seen, last_seen FROM sdk_instance
         WHERE environment_id = $1 ORDER BY last_seen DESC, instance_id LIMIT $2")
    .bind(environment_id)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(SdkInstance {
                instance_id: row.try_get(0)?,
                name: row.try_get(1)?,
                version: row.try_get(2)?,
                wrapper: row.try_get(3)?,
                first_seen_ms: row.try_get(4)?,
                last_seen_ms: row.try_get(5)?,
            })
        })
        .collect()
}

/// Forgets programs that did not report since an instant, at most `limit`; says how many.
pub async fn forget(connection: &mut Connection, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    let deleted = sql("DELETE FROM sdk_instance WHERE (environment_id, instance_id) IN (
             SELECT environment_id, instance_id FROM sdk_instance WHERE last_seen < $1 LIMIT $2)")
    .bind(before_ms)
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

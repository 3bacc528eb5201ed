//! Who is in segments that are too large to be sent: a million contexts in one of them is nothing unusual.
//!
//! A context is known by the hash of its key alone. Each change of members has a number, the environment's
//! revision, and each member carries that of its last change; one that is taken out stays, as out. So whoever
//! copied the members at any time is brought up to date by what has a later revision, and no history is kept.
//!
//! | File | What it is about |
//! |---|---|
//! | `member` | who is in and who is kept out |
//! | `revision` | what changed since |
//! | `import` | files of keys that were sent |
//! | `gone` | segments that were deleted, whose members go little by little |

pub mod gone;
pub mod import;
pub mod member;
pub mod revision;

use std::collections::HashMap;

use super::connection::{Connection, Row, sql};
use super::{EnvironmentId, StoreError};

/// The members of a segment as of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filling {
    /// In the store.
    pub id: i64,
    /// Which environment.
    pub environment_id: EnvironmentId,
    /// The segment's key.
    pub key: String,
    /// The segment's generation.
    pub generation: i64,
    /// How many members are in.
    pub included: i64,
    /// How many are kept out.
    pub excluded: i64,
    /// When a member was last changed.
    pub changed_at: i64,
}

fn read(row: &Row) -> Filling {
    Filling {
        id: row.get("id"),
        environment_id: EnvironmentId(row.get("environment_id")),
        key: row.get("key"),
        generation: row.get("generation"),
        included: row.get("included"),
        excluded: row.get("excluded"),
        changed_at: row.get("changed_at"),
    }
}

/// The members of this segment; none before the first.
pub async fn find(
    connection: &mut Connection,
    environment: EnvironmentId,
    key: &str,
    generation: i64,
) -> Result<Option<Filling>, StoreError> {
    let row = sql("SELECT * FROM big_segment WHERE environment_id = $1 AND key = $2 AND generation = $3")
        .bind(environment.0)
        .bind(key)
        .bind(generation)
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(read))
}

/// The members of each big segment of an environment, by key and generation.
pub async fn of_environment(
    connection: &mut Connection,
    environment: EnvironmentId,
) -> Result<HashMap<(String, i64), Filling>, StoreError> {
    let rows = sql("SELECT * FROM big_segment WHERE environment_id = $1")
        .bind(environment.0)
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(read).map(|filling| ((filling.key.clone(), filling.generation), filling)).collect())
}

/// The members of this segment, made ready for the first.
pub async fn begin(
    connection: &mut Connection,
    environment: EnvironmentId,
    key: &str,
    generation: i64,
    now: i64,
) -> Result<Filling, StoreError> {
    // Writing what is there already has the row returned, and keeps others away from it.
    let row = sql("INSERT INTO big_segment (environment_id, key, generation, included, excluded, changed_at)
         VALUES ($1, $2, $3, 0, 0, $4)
         ON CONFLICT (environment_id, key, generation) DO UPDATE SET changed_at = $4
         RETURNING *")
    .bind(environment.0)
    .bind(key)
    .bind(generation)
    .bind(now)
    .fetch_one(connection)
    .await?;
    Ok(read(&row))
}

/// Writes how many more, or fewer, members there are.
pub async fn count(
    connection: &mut Connection,
    filling: i64,
    included: i64,
    excluded: i64,
) -> Result<(), StoreError> {
    sql("UPDATE big_segment SET included = included + $2, excluded = excluded + $3 WHERE id = $1")
        .bind(filling)
        .bind(included)
        .bind(excluded)
        .execute(connection)
        .await?;
    Ok(())
}

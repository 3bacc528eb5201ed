//! Which members changed since some revision of an environment.

use std::collections::HashSet;

use flagstaff_wire::big_segments::ContextHash;

use super::member::{self, State};
use crate::store::connection::{Connection, Row, sql};
use crate::store::{EnvironmentId, StoreError};

/// One change of members, as far as no later one changed them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub revision: i64,
    /// The segment's key.
    pub key: String,
    /// The segment's generation.
    pub generation: i64,
    /// The members as they are now.
    pub members: Vec<(ContextHash, State)>,
}

/// How many of the numbers of changes are looked at for one page.
const PER_PAGE: i64 = 256;

/// The number of the next change, which is about this filling. Others who want one wait for the end of the
/// transaction, so that nobody ever sees a gap fill later.
pub async fn next(
    connection: &mut Connection,
    environment: EnvironmentId,
    filling: i64,
) -> Result<i64, StoreError> {
    let revision: i64 = sql("INSERT INTO big_segment_log AS log (environment_id, revision) VALUES ($1, 1)
         ON CONFLICT (environment_id) DO UPDATE SET revision = log.revision + 1
         RETURNING revision")
    .bind(environment.0)
    .fetch_scalar(connection)
    .await?;
    sql("INSERT INTO big_segment_revision (environment_id, revision, big_segment_id) VALUES ($1, $2, $3)")
        .bind(environment.0)
        .bind(revision)
        .bind(filling)
        .execute(connection)
        .await?;
    Ok(revision)
}

/// How many changes there have been in an environment.
pub async fn head(connection: &mut Connection, environment: EnvironmentId) -> Result<i64, StoreError> {
    let head = sql("SELECT revision FROM big_segment_log WHERE environment_id = $1")
        .bind(environment.0)
        .fetch_optional_scalar(connection)
        .await?;
    Ok(head.unwrap_or(0))
}

/// How many changes there have been in each environment that has seen any.
pub async fn heads(connection: &mut Connection) -> Result<Vec<(EnvironmentId, i64)>, StoreError> {
    let rows = sql("SELECT environment_id, revision FROM big_segment_log").fetch_all(connection).await?;
    Ok(rows.iter().map(|row| (EnvironmentId(row.get("environment_id")), row.get("revision"))).collect())
}

/// The changes after one, in their order, with about so many members at most; none if there is nothing after
/// it. A change that later ones left nothing of is passed over, unless it is the last.
pub async fn since(
    connection: &mut Connection,
    environment: EnvironmentId,
    after: i64,
    most_members: usize,
) -> Result<Vec<Revision>, StoreError> {
    let rows = sql("SELECT log.revision, filling.id, filling.key, filling.generation
         FROM big_segment_revision AS log JOIN big_segment AS filling ON filling.id = log.big_segment_id
         WHERE log.environment_id = $1 AND log.revision > $2 ORDER BY log.revision LIMIT $3")
    .bind(environment.0)
    .bind(after)
    .bind(PER_PAGE)
    .fetch_all(connection)
    .await?;
    let mut page = Vec::new();
    let mut count = 0;
    for (place, row) in rows.iter().enumerate() {
        let revision = one(connection, row).await?;
        let is_last = place + 1 == rows.len();
        count += revision.members.len();
        if is_last || !revision.members.is_empty() {
            page.push(revision);
        }
        if count >= most_members {
            break;
        }
    }
    Ok(page)
}

async fn one(connection: &mut Connection, row: &Row) -> Result<Revision, StoreError> {
    let revision: i64 = row.get("revision");
    let members = sql("SELECT context_hash, state FROM big_segment_member
         WHERE big_segment_id = $1 AND revision = $2")
    .bind(row.get::<i64, _>("id"))
    .bind(revision)
    .fetch_all(connection)
    .await?;
    Ok(Revision {
        revision,
        key: row.get("key"),
        generation: row.get("generation"),
        members: member::read(&members)?,
    })
}

/// Who changed after one revision, up to another; none if there are more than `most`.
pub async fn changed_between(
    connection: &mut Connection,
    environment: EnvironmentId,
    after: i64,
    up_to: i64,
    most: usize,
) -> Result<Option<HashSet<ContextHash>>, StoreError> {
    let rows = sql("SELECT known.context_hash
         FROM big_segment_revision AS log JOIN big_segment_member AS known
           ON known.big_segment_id = log.big_segment_id AND known.revision = log.revision
         WHERE log.environment_id = $1 AND log.revision > $2 AND log.revision <= $3
         LIMIT $4")
    .bind(environment.0)
    .bind(after)
    .bind(up_to)
    .bind(most as i64 + 1)
    .fetch_all(connection)
    .await?;
    if rows.len() > most {
        return Ok(None);
    }
    Ok(Some(member::read_hashes(&rows)?.into_iter().collect()))
}

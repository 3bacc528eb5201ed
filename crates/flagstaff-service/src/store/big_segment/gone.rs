//! Segments that were deleted. Their members go little by little, so that nobody waits for a million rows;
//! and twice: first each is taken out, so that those who copied it are told, and later it is forgotten.

use flagstaff_wire::big_segments::ContextHash;

use super::member::{self, State};
use super::{Filling, read};
use crate::store::StoreError;

use crate::store::connection::{Connection, composed_sql, sql};

/// The fillings of segments that there are, as far as is known.
pub async fn in_use(connection: &mut Connection) -> Result<Vec<Filling>, StoreError> {
    let rows =
        sql("SELECT * FROM big_segment WHERE ended_at IS NULL ORDER BY id").fetch_all(connection).await?;
    Ok(rows.iter().map(read).collect())
}

/// Writes down that there is no such segment any more.
pub async fn end(connection: &mut Connection, filling: i64, now: i64) -> Result<(), StoreError> {
    sql("UPDATE big_segment SET ended_at = $2 WHERE id = $1")
        .bind(filling)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// The fillings of segments that are no more, each with the time when that was found.
pub async fn ended(connection: &mut Connection) -> Result<Vec<(Filling, i64)>, StoreError> {
    let rows =
        sql("SELECT * FROM big_segment WHERE ended_at IS NOT NULL ORDER BY id").fetch_all(connection).await?;
    Ok(rows.iter().map(|row| (read(row), row.get("ended_at"))).collect())
}

/// Some members that stand in a list, after `after` in the order of hashes.
pub async fn listed(
    connection: &mut Connection,
    filling: i64,
    after: Option<ContextHash>,
    most: usize,
) -> Result<Vec<ContextHash>, StoreError> {
    let after = after.as_ref().map_or(&[][..], ContextHash::as_bytes);
    let rows = sql("SELECT context_hash FROM big_segment_member
         WHERE big_segment_id = $1 AND context_hash > $2 AND (state & $3) <> 0
         ORDER BY context_hash LIMIT $4")
    .bind(filling)
    .bind(after)
    .bind(State::NOW)
    .bind(most as i64)
    .fetch_all(connection)
    .await?;
    member::read_hashes(&rows)
}

/// Forgets some members of a filling, and says how many there were.
pub async fn forget_members(
    connection: &mut Connection,
    filling: i64,
    most: usize,
) -> Result<usize, StoreError> {
    let rows = sql("SELECT context_hash FROM big_segment_member WHERE big_segment_id = $1 LIMIT $2")
        .bind(filling)
        .bind(most as i64)
        .fetch_all(connection)
        .await?;
    let hashes = member::read_hashes(&rows)?;
    if !hashes.is_empty() {
        let text = "DELETE FROM big_segment_member WHERE big_segment_id = $1 AND context_hash IN ";
        let statement = composed_sql(text.to_owned() + &member::places(2, hashes.len())).bind(filling);
        let statement = hashes.iter().fold(statement, |statement, hash| statement.bind(hash.as_bytes()));
        statement.execute(connection).await?;
    }
    Ok(hashes.len())
}

/// Forgets a filling that has no members.
pub async fn forget(connection: &mut Connection, filling: &Filling) -> Result<(), StoreError> {
    sql("DELETE FROM big_segment_revision WHERE environment_id = $1 AND big_segment_id = $2")
        .bind(filling.environment_id.0)
        .bind(filling.id)
        .execute(connection)
        .await?;
    sql("DELETE FROM big_segment WHERE id = $1").bind(filling.id).execute(connection).await?;
    Ok(())
}

/// Those whose environment was deleted, of which nothing but members is left.
pub async fn orphans(connection: &mut Connection) -> Result<Vec<i64>, StoreError> {
    let mut orphans = Vec::new();
    let mut last = 0;
    // From one filling to the next, however many members there are between them.
    loop {
        let next: Option<i64> =
            sql("SELECT min(big_segment_id) FROM big_segment_member WHERE big_segment_id > $1")
                .bind(last)
                .fetch_scalar(connection)
                .await?;
        let Some(next) = next else { return Ok(orphans) };
        let known = sql("SELECT id FROM big_segment WHERE id = $1").bind(next);
        if known.fetch_optional(connection).await?.is_none() {
            orphans.push(next);
        }
        last = next;
    }
}

/// The number of a change, and its environment.
pub type Place = (i64, i64);

/// Some numbers of changes after `after`, in their order, and whether later ones left nothing of each: then it is not
/// needed any more, nor ever will be. The last of each environment stays.
pub async fn revisions(
    connection: &mut Connection,
    after: Option<Place>,
    most: usize,
) -> Result<Vec<(Place, bool)>, StoreError> {
    let (environment, revision) = after.unwrap_or((i64::MIN, i64::MIN));
    let rows = sql("SELECT told.environment_id, told.revision,
             CAST(CASE WHEN told.revision < (SELECT log.revision FROM big_segment_log AS log
                   WHERE log.environment_id = told.environment_id)
               AND NOT EXISTS (SELECT 1 FROM big_segment_member AS known
                   WHERE known.big_segment_id = told.big_segment_id AND known.revision = told.revision)
             THEN 1 ELSE 0 END AS BIGINT)
         FROM big_segment_revision AS told WHERE (told.environment_id, told.revision) > ($1, $2)
         ORDER BY told.environment_id, told.revision LIMIT $3")
    .bind(environment)
    .bind(revision)
    .bind(most as i64)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
}

/// Forgets these numbers of changes.
pub async fn forget_revisions(connection: &mut Connection, places: &[Place]) -> Result<(), StoreError> {
    for pieces in places.chunks(500) {
        let values: Vec<String> =
            (0..pieces.len()).map(|place| format!("(${},${})", 2 * place + 1, 2 * place + 2)).collect();
        let statement = composed_sql(format!(
            "DELETE FROM big_segment_revision WHERE (environment_id, revision) IN (VALUES {})",
            values.join(",")
        ));
        let bound = pieces.iter().fold(statement, |statement, (environment, revision)| {
            statement.bind(*environment).bind(*revision)
        });
        bound.execute(&mut *connection).await?;
    }
    Ok(())
}

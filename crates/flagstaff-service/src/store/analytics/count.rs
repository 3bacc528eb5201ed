//! Counts per minute: evaluations and custom events.

use super::StoreError;
use super::rows::{pieces, placeholders, run};
use crate::analytics::effects::{Counted, MOST_COUNTED, NONE, Reasoned};
use crate::store::connection::{Connection, composed_sql, sql};

/// Evaluations to add: of a flag, by what they are counted by.
pub type EvaluationRow<'a> = (i64, &'a str, Counted, i64);

/// Evaluations that say why, to add: of a flag, by what they are counted by.
pub type ReasonRow<'a> = (i64, &'a str, &'a Reasoned, i64);

/// Custom events to add: environment, key, minute, count.
pub type CustomRow<'a> = (i64, &'a str, i64, i64);

/// A variation index, or none, and how often it was served.
pub type VariationTotal = (Option<i64>, u64);

/// Adds evaluations.
pub async fn add_evaluations(
    connection: &mut Connection,
    rows: &[EvaluationRow<'_>],
) -> Result<(), StoreError> {
    // One sender's nonsense must not stand in the way of what others count.
    let on_conflict = format!(
        "ON CONFLICT (environment_id, flag_key, minute, variation, version) DO UPDATE SET count =
             CASE WHEN evaluation_count.count + excluded.count < {MOST_COUNTED}
             THEN evaluation_count.count + excluded.count ELSE {MOST_COUNTED} END"
    );
    let text = (
        "INSERT INTO evaluation_count (environment_id, flag_key, minute, variation, version, count) VALUES",
        6,
        &*on_conflict,
    );
    run(connection, rows, text, |query, (environment_id, flag, counted, count)| {
        query
            .bind(*environment_id)
            .bind(*flag)
            .bind(counted.minute)
            .bind(counted.variation)
            .bind(counted.version)
            .bind(*count)
    })
    .await?;
    Ok(())
}

/// Adds evaluations that say why.
pub async fn add_reasons(connection: &mut Connection, rows: &[ReasonRow<'_>]) -> Result<(), StoreError> {
    let text = (
        "INSERT INTO reason_count (environment_id, flag_key, minute, variation, reason, count) VALUES",
        6,
        "ON CONFLICT (environment_id, flag_key, minute, variation, reason)
         DO UPDATE SET count = reason_count.count + excluded.count",
    );
    run(connection, rows, text, |query, (environment_id, flag, counted, count)| {
        query
            .bind(*environment_id)
            .bind(*flag)
            .bind(counted.minute)
            .bind(counted.variation)
            .bind(&counted.reason)
            .bind(*count)
    })
    .await?;
    Ok(())
}

/// The sum of counts, as a whole number also where they are too many for one. In PostgreSQL the sum of whole numbers
/// would be a decimal one; in SQLite it would be an error when it is too large.
const TOTAL: &str = "CASE WHEN sum(CAST(count AS DOUBLE PRECISION)) < 9e18
     THEN CAST(sum(CAST(count AS DOUBLE PRECISION)) AS BIGINT) ELSE 9000000000000000000 END";

/// Why variations of a flag were served since a minute, as far as evaluations say: the reason, the variation,
/// and how often, the most frequent first.
pub async fn reasons_since(
    connection: &mut Connection,
    environment_id: i64,
    flag_key: &str,
    minute: i64,
) -> Result<Vec<(String, VariationTotal)>, StoreError> {
    let rows = composed_sql(format!(
        "SELECT reason, variation, {TOTAL} AS total FROM reason_count
         WHERE environment_id = $1 AND flag_key = $2 AND minute >= $3
         GROUP BY reason, variation ORDER BY total DESC, reason, variation LIMIT 100"
    ))
    .bind(environment_id)
    .bind(flag_key)
    .bind(minute)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, total(row.try_get(1)?, row.try_get(2)?)))).collect()
}

/// Adds custom events.
pub async fn add_custom(connection: &mut Connection, rows: &[CustomRow<'_>]) -> Result<(), StoreError> {
    let text = (
        "INSERT INTO custom_count (environment_id, event_key, minute, count) VALUES",
        4,
        "ON CONFLICT (environment_id, event_key, minute)
         DO UPDATE SET count = custom_count.count + excluded.count",
    );
    run(connection, rows, text, |query, (environment_id, key, minute, count)| {
        query.bind(*environment_id).bind(*key).bind(*minute).bind(*count)
    })
    .await?;
    Ok(())
}

/// Evaluations of all flags since a minute, by flag and variation, in the order of flag keys.
pub async fn evaluations_since(
    connection: &mut Connection,
    environment_id: i64,
    minute: i64,
) -> Result<Vec<(String, VariationTotal)>, StoreError> {
    let rows = composed_sql(format!(
        "SELECT flag_key, variation, {TOTAL} FROM evaluation_count
         WHERE environment_id = $1 AND minute >= $2 GROUP BY flag_key, variation ORDER BY flag_key, variation"
    ))
    .bind(environment_id)
    .bind(minute)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, total(row.try_get(1)?, row.try_get(2)?)))).collect()
}

/// As [`evaluations_since`], of these flags alone.
pub async fn evaluations_of_these(
    connection: &mut Connection,
    environment_id: i64,
    flag_keys: &[&str],
    minute: i64,
) -> Result<Vec<(String, VariationTotal)>, StoreError> {
    let mut found = Vec::new();
    for piece in pieces(flag_keys) {
        let (environment, since) = (piece.len() + 1, piece.len() + 2);
        let text = format!(
            "SELECT flag_key, variation, {TOTAL} FROM evaluation_count
             WHERE flag_key IN (VALUES {}) AND environment_id = ${environment} AND minute >= ${since}
             GROUP BY flag_key, variation ORDER BY flag_key, variation",
            placeholders(piece.len(), 1)
        );
        let query = piece.iter().fold(composed_sql(text), |query, key| query.bind(*key));
        for row in query.bind(environment_id).bind(minute).fetch_all(&mut *connection).await? {
            found.push((row.try_get(0)?, total(row.try_get(1)?, row.try_get(2)?)));
        }
    }
    Ok(found)
}

/// Evaluations of one flag from a minute up to another, that one not included, in buckets of so many
/// minutes: the bucket's first minute, then the variation, in that order. Buckets without are left out.
pub async fn evaluations_of(
    connection: &mut Connection,
    environment_id: i64,
    flag_key: &str,
    (from, to): (i64, i64),
    bucket: i64,
) -> Result<Vec<(i64, VariationTotal)>, StoreError> {
    let rows = composed_sql(format!(
        "SELECT minute - minute % $5 AS bucket, variation, {TOTAL} FROM evaluation_count
         WHERE environment_id = $1 AND flag_key = $2 AND minute >= $3 AND minute < $4
         GROUP BY bucket, variation ORDER BY bucket, variation"
    ))
    .bind(environment_id)
    .bind(flag_key)
    .bind(from)
    .bind(to)
    .bind(bucket)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, total(row.try_get(1)?, row.try_get(2)?)))).collect()
}

/// The last minute in which a flag was evaluated, if it ever was.
pub async fn last_evaluation(
    connection: &mut Connection,
    environment_id: i64,
    flag_key: &str,
) -> Result<Option<i64>, StoreError> {
    // The end of a stretch of the primary key: one look-up, however much was counted.
    Ok(sql("SELECT max(minute) FROM evaluation_count WHERE environment_id = $1 AND flag_key = $2")
        .bind(environment_id)
        .bind(flag_key)
        .fetch_scalar(connection)
        .await?)
}

/// Custom events of one key since a minute.
pub async fn custom_since(
    connection: &mut Connection,
    environment_id: i64,
    event_key: &str,
    minute: i64,
) -> Result<u64, StoreError> {
    // One for each event: they do not become too many.
    let count: i64 = sql("SELECT CAST(coalesce(sum(count), 0) AS BIGINT) FROM custom_count
         WHERE environment_id = $1 AND event_key = $2 AND minute >= $3")
    .bind(environment_id)
    .bind(event_key)
    .bind(minute)
    .fetch_scalar(connection)
    .await?;
    Ok(count.unsigned_abs())
}

/// The environments that have counts, by skipping from one to the next in the index.
pub async fn environments(connection: &mut Connection) -> Result<Vec<i64>, StoreError> {
    Ok(sql("WITH RECURSIVE known (id) AS (
             SELECT min(environment_id) FROM evaluation_count
             UNION ALL
             SELECT (SELECT min(environment_id) FROM evaluation_count WHERE environment_id > known.id)
             FROM known WHERE known.id IS NOT NULL)
         SELECT id FROM known WHERE id IS NOT NULL")
    .fetch_scalars(connection)
    .await?)
}

/// Removes evaluation counts of an environment older than a minute, at most `limit`; says how many.
pub async fn forget_evaluations(
    connection: &mut Connection,
    environment_id: i64,
    minute: i64,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted =
        sql("DELETE FROM evaluation_count WHERE (environment_id, flag_key, minute, variation, version) IN (
             SELECT environment_id, flag_key, minute, variation, version FROM evaluation_count
             WHERE environment_id = $1 AND minute < $2 LIMIT $3)")
        .bind(environment_id)
        .bind(minute)
        .bind(limit)
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected())
}

/// Removes counts of reasons older than a minute, at most `limit`; says how many.
pub async fn forget_reasons(connection: &mut Connection, minute: i64, limit: i64) -> Result<u64, StoreError> {
    let deleted =
        sql("DELETE FROM reason_count WHERE (environment_id, flag_key, minute, variation, reason) IN (
             SELECT environment_id, flag_key, minute, variation, reason FROM reason_count
             WHERE minute < $1 LIMIT $2)")
        .bind(minute)
        .bind(limit)
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected())
}

/// Removes counts of custom events older than a minute, at most `limit`; says how many.
pub async fn forget_custom(connection: &mut Connection, minute: i64, limit: i64) -> Result<u64, StoreError> {
    let deleted = sql("DELETE FROM custom_count WHERE (environment_id, event_key, minute) IN (
             SELECT environment_id, event_key, minute FROM custom_count WHERE minute < $1 LIMIT $2)")
    .bind(minute)
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

fn total(variation: i64, count: i64) -> VariationTotal {
    ((variation != NONE).then_some(variation), count.unsigned_abs())
}

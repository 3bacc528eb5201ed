//! Raw batches: in once, out when counted.

use bytes::Bytes;
use futures_util::TryStreamExt as _;

use super::StoreError;
use super::rows::{pieces, placeholders, run};
use crate::store::connection::{Connection, Row, composed_sql, sql};

/// The first half of a SHA-256 of environment and payload id.
pub type PayloadHash = [u8; 16];

/// A batch on its way in.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// The environment it belongs to.
    pub environment_id: i64,
    /// When it came.
    pub received_ms: i64,
    /// Whether feature events are to be counted.
    pub unsummarised: bool,
    /// What tells it from others; none if the sender gave it no id.
    pub payload: Option<PayloadHash>,
    /// The array of events, checked.
    pub body: Bytes,
}

/// A batch as it was stored.
#[derive(Clone, Debug)]
pub struct StoredBatch {
    /// Its place in the order of arrival.
    pub id: i64,
    /// The environment it belongs to.
    pub environment_id: i64,
    /// When it came.
    pub received_ms: i64,
    /// Whether feature events are to be counted.
    pub unsummarised: bool,
    /// The array of events.
    pub body: Vec<u8>,
}

impl StoredBatch {
    fn read(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            environment_id: row.try_get(1)?,
            received_ms: row.try_get(2)?,
            unsummarised: row.try_get(3)?,
            body: row.try_get(4)?,
        })
    }
}

/// Notes these payloads and returns those that were not known.
pub async fn insert_payloads(
    connection: &mut Connection,
    payloads: &[(PayloadHash, i64)],
) -> Result<Vec<PayloadHash>, StoreError> {
    let mut new = Vec::with_capacity(payloads.len());
    for piece in pieces(payloads) {
        let mut query = composed_sql(format!(
            "INSERT INTO payload (hash, received_at) VALUES {} ON CONFLICT DO NOTHING RETURNING hash",
            placeholders(piece.len(), 2)
        ));
        for (hash, received_ms) in piece {
            query = query.bind(&hash[..]).bind(received_ms);
        }
        for row in query.fetch_all(&mut *connection).await? {
            let hash: &[u8] = row.try_get(0)?;
            new.extend(PayloadHash::try_from(hash));
        }
    }
    Ok(new)
}

/// Stores batches in their order.
pub async fn insert(connection: &mut Connection, batches: &[&NewBatch]) -> Result<(), StoreError> {
    let text = ("INSERT INTO batch (environment_id, received_at, unsummarised, body) VALUES", 4, "");
    run(connection, batches, text, |query, batch| {
        query
            .bind(batch.environment_id)
            .bind(batch.received_ms)
            .bind(batch.unsummarised)
            .bind(&batch.body[..])
    })
    .await?;
    Ok(())
}

/// The place of the newest batch in the order of arrival; 0 if there is none.
pub async fn newest(connection: &mut Connection) -> Result<i64, StoreError> {
    Ok(sql("SELECT coalesce(max(id), 0) FROM batch").fetch_scalar(connection).await?)
}

/// When the newest was taken in of what a program sent, by the clock as it was then; none if nothing is known.
pub async fn newest_taken_in(connection: &mut Connection) -> Result<Option<i64>, StoreError> {
    let newest = "SELECT max(at) FROM (SELECT max(received_at) AS at FROM payload
        UNION ALL SELECT max(last_seen) FROM sdk_instance) AS newest";
    Ok(sql(newest).fetch_scalar(connection).await?)
}

/// The place of the oldest batch that is not counted, if there is one.
pub async fn oldest_place(connection: &mut Connection) -> Result<Option<i64>, StoreError> {
    Ok(sql("SELECT min(id) FROM batch").fetch_scalar(connection).await?)
}

/// The place of the newest batch there ever was, and the place up to which all are counted.
pub async fn progress(connection: &mut Connection) -> Result<(i64, i64), StoreError> {
    // Where an engine notes which numbers it gave is its own affair.
    let newest = if connection.is_postgres() {
        sql("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM batch_id_seq")
    } else {
        sql("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'batch'")
    };
    let newest: i64 = newest.fetch_scalar(connection).await?;
    let counted = oldest_place(connection).await?.map_or(newest, |oldest| oldest - 1);
    Ok((newest, counted))
}

/// The oldest batches: up to `count` of them, and no more once they are `bytes` in all.
pub async fn oldest(
    connection: &mut Connection,
    count: usize,
    bytes: usize,
) -> Result<Vec<StoredBatch>, StoreError> {
    let mut rows =
        sql("SELECT id, environment_id, received_at, unsummarised, body FROM batch ORDER BY id LIMIT $1")
            .bind(i64::try_from(count).unwrap_or(i64::MAX))
            .fetch(connection);
    let (mut batches, mut size) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let batch = StoredBatch::read(&row)?;
        size += batch.body.len();
        batches.push(batch);
        if size >= bytes {
            break;
        }
    }
    Ok(batches)
}

/// As [`oldest`], of those that no other node has claimed. They are this node's until the end of the
/// transaction: PostgreSQL alone has several nodes, and the words for it.
pub async fn claim(
    connection: &mut Connection,
    count: usize,
    bytes: usize,
) -> Result<Vec<StoredBatch>, StoreError> {
    // Bodies are read afterwards: a result comes whole, however much of it is wanted.
    let rows = sql("SELECT id, CAST(octet_length(body) AS BIGINT) FROM batch
         ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED")
    .bind(i64::try_from(count).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await?;
    let (mut ids, mut size) = (Vec::<i64>::with_capacity(rows.len()), 0);
    for row in &rows {
        ids.push(row.try_get(0)?);
        size += usize::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0);
        if size >= bytes {
            break;
        }
    }
    let mut batches = Vec::with_capacity(ids.len());
    for piece in pieces(&ids) {
        let mut query = composed_sql(format!(
            "SELECT id, environment_id, received_at, unsummarised, body FROM batch WHERE id IN (VALUES {})",
            placeholders(piece.len(), 1)
        ));
        for id in piece {
            query = query.bind(id);
        }
        for row in query.fetch_all(&mut *connection).await? {
            batches.push(StoredBatch::read(&row)?);
        }
    }
    batches.sort_unstable_by_key(|batch: &StoredBatch| batch.id);
    Ok(batches)
}

/// Removes batches, and says how many were there.
pub async fn delete(connection: &mut Connection, ids: &[i64]) -> Result<u64, StoreError> {
    Ok(run(connection, ids, ("DELETE FROM batch WHERE id IN (VALUES", 1, ")"), |query, id| query.bind(*id))
        .await?)
}

/// Keeps a batch for a person to look at, instead of counting it. False if it is not there: another node
/// has counted it, or kept it already.
pub async fn set_aside(connection: &mut Connection, id: i64, reason: &str) -> Result<bool, StoreError> {
    let removed =
        sql("DELETE FROM batch WHERE id = $1 RETURNING id, environment_id, received_at, unsummarised, body")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(removed) = removed else { return Ok(false) };
    let batch = StoredBatch::read(&removed)?;
    sql("INSERT INTO set_aside_batch (id, environment_id, received_at, unsummarised, body, reason)
         VALUES ($1, $2, $3, $4, $5, $6)")
    .bind(batch.id)
    .bind(batch.environment_id)
    .bind(batch.received_ms)
    .bind(batch.unsummarised)
    .bind(batch.body)
    .bind(reason)
    .execute(&mut *connection)
    .await?;
    Ok(true)
}

/// Forgets payload ids older than `before_ms`, at most `limit` of them, and says how many.
pub async fn forget_payloads(
    connection: &mut Connection,
    before_ms: i64,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sql(
        "DELETE FROM payload WHERE hash IN (SELECT hash FROM payload WHERE received_at < $1 ORDER BY received_at LIMIT $2)",
    )
    .bind(before_ms)
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Forgets batches that were set aside and came before `before_ms`, at most `limit` of them, and says how many.
pub async fn forget_set_aside(
    connection: &mut Connection,
    before_ms: i64,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sql("DELETE FROM set_aside_batch WHERE id IN (
             SELECT id FROM set_aside_batch WHERE received_at < $1 ORDER BY id LIMIT $2)")
    .bind(before_ms)
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

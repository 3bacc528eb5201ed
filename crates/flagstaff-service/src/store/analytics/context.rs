//! Contexts seen: written as events tell of them, read by key, forgotten on demand.

use std::collections::HashMap;

use super::StoreError;
use super::rows::{pieces, placeholders, run};
use crate::analytics::effects::{FullContext, SeenContext};
use crate::store::connection::{Connection, Row, composed_sql, sql};

/// A context as some events tell of it: environment, kind, key, and what they say.
pub type SeenRow<'a> = (i64, &'a str, &'a str, &'a SeenContext);

/// A context as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRow {
    /// Its id in this database.
    pub id: i64,
    /// The key.
    pub key: String,
    /// Attributes as JSON text.
    pub attributes: String,
    /// Redacted attributes as JSON text.
    pub redacted: String,
    /// When it was first seen.
    pub first_seen_ms: i64,
    /// When it was last seen.
    pub last_seen_ms: i64,
}

/// By how much the clocks of senders may differ.
const CLOCKS_DIFFER_MS: i64 = 5 * 60 * 1000;

/// The columns of [`ContextRow`], from `context`.
pub(super) const COLUMNS: &str =
    "context.id, context.key, context.attributes, context.redacted, context.first_seen, context.last_seen";

impl ContextRow {
    /// Reads [`COLUMNS`].
    pub(super) fn read(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            key: row.try_get(1)?,
            attributes: row.try_get(2)?,
            redacted: row.try_get(3)?,
            first_seen_ms: row.try_get(4)?,
            last_seen_ms: row.try_get(5)?,
        })
    }
}

/// Brings stored contexts up to date. A context of which only the key is known is not made.
pub async fn upsert(connection: &mut Connection, seen: &[SeenRow<'_>]) -> Result<(), StoreError> {
    let known = find(connection, seen).await?;
    let mut new = Vec::new();
    let mut later = Vec::new();
    for row @ (environment_id, kind, key, seen) in seen {
        match (known.get(&(*environment_id, kind.to_string(), key.to_string())), &seen.full) {
            (None, None) => {}
            (None, Some(full)) => new.push((*row, full)),
            (Some(known), full) => {
                if let Some(full) = full.as_ref().filter(|full| known.is_replaced_by(full)) {
                    replace(connection, known.id, (*environment_id, kind), full).await?;
                }
                if seen.last_seen_ms > known.last_seen_ms || seen.first_seen_ms < known.first_seen_ms {
                    later.push((known.id, seen.first_seen_ms, seen.last_seen_ms));
                }
            }
        }
    }
    insert(connection, &new).await?;
    let text = (
        "UPDATE context SET
             first_seen = CASE WHEN seen.column2 < first_seen THEN seen.column2 ELSE first_seen END,
             last_seen = CASE WHEN seen.column3 > last_seen THEN seen.column3 ELSE last_seen END
         FROM (VALUES",
        3,
        ") AS seen WHERE context.id = seen.column1",
    );
    run(connection, &later, text, |query, (id, first, last)| query.bind(*id).bind(*first).bind(*last))
        .await?;
    Ok(())
}

/// The context with this key.
pub async fn by_key(
    connection: &mut Connection,
    environment_id: i64,
    kind: &str,
    key: &str,
) -> Result<Option<ContextRow>, StoreError> {
    let row = composed_sql(format!(
        "SELECT {COLUMNS} FROM context WHERE environment_id = $1 AND kind = $2 AND key = $3"
    ))
    .bind(environment_id)
    .bind(kind)
    .bind(key)
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(ContextRow::read).transpose()?)
}

/// How many contexts of a kind there are.
pub async fn count(connection: &mut Connection, environment_id: i64, kind: &str) -> Result<u64, StoreError> {
    let count: i64 = sql("SELECT count(*) FROM context WHERE environment_id = $1 AND kind = $2")
        .bind(environment_id)
        .bind(kind)
        .fetch_scalar(connection)
        .await?;
    Ok(count.unsigned_abs())
}

/// Forgets contexts, given as environment, kind, key and an instant: those seen later stay. Says how
/// many there were.
pub async fn forget(
    connection: &mut Connection,
    contexts: &[(i64, &str, &str, i64)],
) -> Result<u64, StoreError> {
    let mut ids: Vec<i64> = Vec::new();
    for piece in pieces(contexts) {
        let mut query = composed_sql(format!(
            "WITH gone (environment_id, kind, key, before) AS (VALUES {})
             SELECT context.id FROM gone CROSS JOIN context
             WHERE context.environment_id = gone.environment_id AND context.kind = gone.kind
               AND context.key = gone.key AND context.last_seen <= gone.before",
            placeholders(piece.len(), 4)
        ));
        for (environment_id, kind, key, before_ms) in piece {
            query = query.bind(environment_id).bind(*kind).bind(*key).bind(before_ms);
        }
        for row in query.fetch_all(&mut *connection).await? {
            ids.push(row.try_get(0)?);
        }
    }
    run(connection, &ids, ("DELETE FROM context_term WHERE context_id IN (VALUES", 1, ")"), |query, id| {
        query.bind(*id)
    })
    .await?;
    Ok(run(connection, &ids, ("DELETE FROM context WHERE id IN (VALUES", 1, ")"), |query, id| {
        query.bind(*id)
    })
    .await?)
}

/// Counts anonymous contexts, given as environment, hash and day: each once.
pub async fn count_anonymous(
    connection: &mut Connection,
    contexts: &[(i64, i64, i64)],
) -> Result<(), StoreError> {
    let text = (
        "INSERT INTO anonymous_context (environment_id, hash, last_seen_day) VALUES",
        3,
        "ON CONFLICT (environment_id, hash) DO UPDATE SET last_seen_day = excluded.last_seen_day
         WHERE excluded.last_seen_day > anonymous_context.last_seen_day",
    );
    run(connection, contexts, text, |query, (environment_id, hash, day)| {
        query.bind(*environment_id).bind(*hash).bind(*day)
    })
    .await?;
    Ok(())
}

/// How many anonymous contexts were seen.
pub async fn anonymous_count(connection: &mut Connection, environment_id: i64) -> Result<u64, StoreError> {
    let count: i64 = sql("SELECT count(*) FROM anonymous_context WHERE environment_id = $1")
        .bind(environment_id)
        .fetch_scalar(connection)
        .await?;
    Ok(count.unsigned_abs())
}

/// Forgets anonymous contexts not seen since a day.
pub async fn forget_anonymous(connection: &mut Connection, day: i64) -> Result<u64, StoreError> {
    let deleted =
        sql("DELETE FROM anonymous_context WHERE last_seen_day < $1").bind(day).execute(connection).await?;
    Ok(deleted.rows_affected())
}

struct Known {
    id: i64,
    attributes: String,
    redacted: String,
    first_seen_ms: i64,
    last_seen_ms: i64,
}

impl Known {
    /// Whether `full` is different, and not from long before.
    ///
    /// What arrives later counts as newer unless its own time says clearly otherwise: the clocks of two
    /// programs that see the same user differ.
    fn is_replaced_by(&self, full: &FullContext) -> bool {
        full.seen_ms >= self.last_seen_ms - CLOCKS_DIFFER_MS
            && (full.attributes != self.attributes || full.redacted != self.redacted)
    }
}

async fn find(
    connection: &mut Connection,
    seen: &[SeenRow<'_>],
) -> Result<HashMap<(i64, String, String), Known>, StoreError> {
    let mut known = HashMap::with_capacity(seen.len());
    for piece in pieces(seen) {
        // CROSS JOIN: the few that were seen are looked up in the many that are known.
        let mut query = composed_sql(format!(
            "WITH seen (environment_id, kind, key) AS (VALUES {})
             SELECT context.environment_id, context.kind, context.key, context.id, attributes, redacted, first_seen, last_seen
             FROM seen CROSS JOIN context
             WHERE context.environment_id = seen.environment_id AND context.kind = seen.kind AND context.key = seen.key",
            placeholders(piece.len(), 3)
        ));
        for (environment_id, kind, key, _) in piece {
            query = query.bind(environment_id).bind(*kind).bind(*key);
        }
        for row in query.fetch_all(&mut *connection).await? {
            let context = Known {
                id: row.try_get(3)?,
                attributes: row.try_get(4)?,
                redacted: row.try_get(5)?,
                first_seen_ms: row.try_get(6)?,
                last_seen_ms: row.try_get(7)?,
            };
            known.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), context);
        }
    }
    Ok(known)
}

async fn insert(connection: &mut Connection, new: &[(SeenRow<'_>, &FullContext)]) -> Result<(), StoreError> {
    let mut terms = Vec::new();
    for piece in pieces(new) {
        let mut query = composed_sql(format!(
            "INSERT INTO context (environment_id, kind, key, attributes, redacted, first_seen, last_seen) VALUES {}
             RETURNING environment_id, kind, key, id",
            placeholders(piece.len(), 7)
        ));
        for ((environment_id, kind, key, seen), full) in piece {
            query = query
                .bind(environment_id)
                .bind(*kind)
                .bind(*key)
                .bind(&full.attributes)
                .bind(&full.redacted)
                .bind(seen.first_seen_ms)
                .bind(seen.last_seen_ms);
        }
        // The engine may return them in any order.
        let mut ids: HashMap<(i64, String, String), i64> = HashMap::with_capacity(piece.len());
        for row in query.fetch_all(&mut *connection).await? {
            ids.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), row.try_get(3)?);
        }
        for ((environment_id, kind, key, _), full) in piece {
            let id = ids.get(&(*environment_id, kind.to_string(), key.to_string())).copied();
            let id = id.ok_or(sqlx::Error::RowNotFound)?;
            terms.extend(full.terms.iter().map(|term| (*environment_id, *kind, &**term, id)));
        }
    }
    insert_terms(connection, &terms).await
}

async fn replace(
    connection: &mut Connection,
    id: i64,
    (environment_id, kind): (i64, &str),
    full: &FullContext,
) -> Result<(), StoreError> {
    sql("UPDATE context SET attributes = $2, redacted = $3 WHERE id = $1")
        .bind(id)
        .bind(&full.attributes)
        .bind(&full.redacted)
        .execute(&mut *connection)
        .await?;
    let mut terms: Vec<String> = sql("SELECT term FROM context_term WHERE context_id = $1 ORDER BY term")
        .bind(id)
        .fetch_scalars(&mut *connection)
        .await?;
    terms.sort_unstable();
    if terms == full.terms {
        return Ok(());
    }
    sql("DELETE FROM context_term WHERE context_id = $1").bind(id).execute(&mut *connection).await?;
    let terms: Vec<_> = full.terms.iter().map(|term| (environment_id, kind, &**term, id)).collect();
    insert_terms(connection, &terms).await
}

async fn insert_terms(
    connection: &mut Connection,
    terms: &[(i64, &str, &str, i64)],
) -> Result<(), StoreError> {
    let text = ("INSERT INTO context_term (environment_id, kind, term, context_id) VALUES", 4, "");
    run(connection, terms, text, |query, (environment_id, kind, term, id)| {
        query.bind(*environment_id).bind(*kind).bind(*term).bind(*id)
    })
    .await?;
    Ok(())
}

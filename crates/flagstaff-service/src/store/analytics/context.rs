//! Contexts seen: written as events tell of them, read by key, forgotten on demand.

use std::collections::HashMap;

use super::StoreError;
use super::rows::{pieces, placeholders, run};
use crate::analytics::effects::{FullContext, SeenContext};
use crate::analytics::recent::LAST_SEEN_STEP_MS;
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
///
/// Given in the order of environment, kind and key, which is the order in which every node takes them.
pub async fn upsert(connection: &mut Connection, seen: &[SeenRow<'_>]) -> Result<(), StoreError> {
    let mut made_elsewhere = upsert_once(connection, seen).await?;
    while !made_elsewhere.is_empty() {
        made_elsewhere = upsert_once(connection, &made_elsewhere).await?;
    }
    Ok(())
}

/// Returns those that another node has made meanwhile: they are to be looked at again.
async fn upsert_once<'a>(
    connection: &mut Connection,
    seen: &[SeenRow<'a>],
) -> Result<Vec<SeenRow<'a>>, StoreError> {
    let known = find(connection, seen).await?;
    let mut new = Vec::new();
    let mut changed = Vec::new();
    for row in seen {
        match (known.get(&owned_key(row)), &row.3.full) {
            (None, None) => {}
            (None, Some(full)) => new.push((*row, full)),
            (Some(known), _) if known.is_changed_by(row.3) => changed.push((known.id, *row)),
            (Some(_), _) => {}
        }
    }
    let held = hold(connection, &changed).await?;
    let mut later = Vec::new();
    for (id, (environment_id, kind, key, seen)) in changed {
        let here = (environment_id, kind.to_owned(), key.to_owned());
        // Without hold it is as it was; with it, another node may have changed or forgotten it.
        let Some(known) = held.as_ref().unwrap_or(&known).get(&here) else { continue };
        match seen.full.as_ref().filter(|full| known.is_replaced_by(full)) {
            Some(full) => replace(connection, id, (environment_id, kind), (seen, full)).await?,
            None if known.is_changed_by(seen) => later.push((id, seen.first_seen_ms, seen.last_seen_ms)),
            None => {}
        }
    }
    let made_elsewhere = insert(connection, &new).await?;
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
    Ok(made_elsewhere)
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
               AND context.key = gone.key AND context.last_seen <= gone.before {}",
            placeholders(piece.len(), 4),
            if connection.is_postgres() { HELD } else { "" },
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

/// Forgets contexts not seen since an instant, at most `limit`; says how many.
pub async fn forget_unseen(
    connection: &mut Connection,
    before_ms: i64,
    limit: i64,
) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    let (mut environment_id, mut kind) = (i64::MIN, String::new());
    // From one environment and kind to the next in the index, and along what is too old of each: those that are
    // kept are not looked at.
    while forgotten < limit as u64 {
        let next = sql("SELECT environment_id, kind FROM context WHERE (environment_id, kind) > ($1, $2)
             ORDER BY environment_id, kind LIMIT 1")
        .bind(environment_id)
        .bind(std::mem::take(&mut kind))
        .fetch_optional(&mut *connection)
        .await?;
        let Some(next) = next else { break };
        (environment_id, kind) = (next.try_get(0)?, next.try_get(1)?);
        let unseen: Vec<String> =
            sql("SELECT key FROM context WHERE environment_id = $1 AND kind = $2 AND last_seen < $3
             ORDER BY last_seen, key LIMIT $4")
            .bind(environment_id)
            .bind(&kind)
            .bind(before_ms)
            .bind(limit - forgotten as i64)
            .fetch_scalars(&mut *connection)
            .await?;
        let mut unseen: Vec<_> =
            unseen.iter().map(|key| (environment_id, &*kind, &**key, before_ms - 1)).collect();
        unseen.sort_unstable();
        forgotten += forget(connection, &unseen).await?;
    }
    Ok(forgotten)
}

/// Counts anonymous contexts, given as environment, hash and day: each once.
pub async fn count_anonymous(
    connection: &mut Connection,
    contexts: &[(i64, i64, i64)],
) -> Result<(), StoreError> {
    // Those known already are left out beforehand: PostgreSQL writes a row to take hold of it, even if
    // there is nothing to change in it.
    let text = (
        "INSERT INTO anonymous_context (environment_id, hash, last_seen_day)
         SELECT column1, column2, column3 FROM (VALUES",
        3,
        ") AS seen WHERE NOT EXISTS (SELECT 1 FROM anonymous_context AS known
             WHERE known.environment_id = column1 AND known.hash = column2 AND known.last_seen_day >= column3)
         ORDER BY column1, column2
         ON CONFLICT (environment_id, hash) DO UPDATE SET last_seen_day = excluded.last_seen_day
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

/// Forgets anonymous contexts not seen since a day, at most `limit`; says how many.
pub async fn forget_anonymous(connection: &mut Connection, day: i64, limit: i64) -> Result<u64, StoreError> {
    let deleted = sql("DELETE FROM anonymous_context WHERE (environment_id, hash) IN (
             SELECT environment_id, hash FROM anonymous_context WHERE last_seen_day < $1 LIMIT $2)")
    .bind(day)
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// How PostgreSQL is told that these rows are held until the end of the transaction, against other nodes.
/// Everybody holds them in this order, so that no two wait for each other.
const HELD: &str = "ORDER BY context.environment_id, context.kind, context.key FOR UPDATE OF context";

/// The columns of [`Known`], from `context`.
const KNOWN: &str = "context.environment_id, context.kind, context.key, context.id, attributes, redacted, \
                     first_seen, last_seen";

struct Known {
    id: i64,
    attributes: String,
    redacted: String,
    first_seen_ms: i64,
    last_seen_ms: i64,
}

/// Contexts by environment, kind and key.
type KnownContexts = HashMap<(i64, String, String), Known>;

impl Known {
    /// Reads [`KNOWN`].
    fn read_into(all: &mut KnownContexts, row: &Row) -> Result<(), StoreError> {
        let context = Known {
            id: row.try_get(3)?,
            attributes: row.try_get(4)?,
            redacted: row.try_get(5)?,
            first_seen_ms: row.try_get(6)?,
            last_seen_ms: row.try_get(7)?,
        };
        all.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), context);
        Ok(())
    }

    /// Whether there is something to write.
    fn is_changed_by(&self, seen: &SeenContext) -> bool {
        seen.last_seen_ms >= self.last_seen_ms + LAST_SEEN_STEP_MS
            || seen.first_seen_ms < self.first_seen_ms
            || seen.full.as_ref().is_some_and(|full| self.is_replaced_by(full))
    }

    /// Whether `full` is different, and not from long before.
    ///
    /// What arrives later counts as newer unless its own time says clearly otherwise: the clocks of two
    /// programs that see the same user differ.
    fn is_replaced_by(&self, full: &FullContext) -> bool {
        full.seen_ms >= self.last_seen_ms - CLOCKS_DIFFER_MS
            && (full.attributes != self.attributes || full.redacted != self.redacted)
    }
}

fn owned_key((environment_id, kind, key, _): &SeenRow<'_>) -> (i64, String, String) {
    (*environment_id, (*kind).to_owned(), (*key).to_owned())
}

async fn find(connection: &mut Connection, seen: &[SeenRow<'_>]) -> Result<KnownContexts, StoreError> {
    let mut known = HashMap::with_capacity(seen.len());
    for piece in pieces(seen) {
        // CROSS JOIN: the few that were seen are looked up in the many that are known.
        let mut query = composed_sql(format!(
            "WITH seen (environment_id, kind, key) AS (VALUES {})
             SELECT {KNOWN} FROM seen CROSS JOIN context
             WHERE context.environment_id = seen.environment_id AND context.kind = seen.kind AND context.key = seen.key",
            placeholders(piece.len(), 3)
        ));
        for (environment_id, kind, key, _) in piece {
            query = query.bind(environment_id).bind(*kind).bind(*key);
        }
        for row in query.fetch_all(&mut *connection).await? {
            Known::read_into(&mut known, &row)?;
        }
    }
    Ok(known)
}

/// Keeps other nodes from changing these, and gives them as they are now. None in SQLite, whose only
/// writer this transaction is.
async fn hold(
    connection: &mut Connection,
    contexts: &[(i64, SeenRow<'_>)],
) -> Result<Option<KnownContexts>, StoreError> {
    if !connection.is_postgres() {
        return Ok(None);
    }
    let mut held = HashMap::with_capacity(contexts.len());
    for piece in pieces(contexts) {
        let mut query = composed_sql(format!(
            "SELECT {KNOWN} FROM context WHERE id IN (VALUES {}) {HELD}",
            placeholders(piece.len(), 1)
        ));
        for (id, _) in piece {
            query = query.bind(id);
        }
        for row in query.fetch_all(&mut *connection).await? {
            Known::read_into(&mut held, &row)?;
        }
    }
    Ok(Some(held))
}

/// Adds contexts, and returns those that another node has made meanwhile.
async fn insert<'a>(
    connection: &mut Connection,
    new: &[(SeenRow<'a>, &FullContext)],
) -> Result<Vec<SeenRow<'a>>, StoreError> {
    let mut terms = Vec::new();
    let mut made_elsewhere = Vec::new();
    for piece in pieces(new) {
        let mut query = composed_sql(format!(
            "INSERT INTO context (environment_id, kind, key, attributes, redacted, first_seen, last_seen) VALUES {}
             ON CONFLICT (environment_id, kind, key) DO NOTHING RETURNING environment_id, kind, key, id",
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
        for (row @ (environment_id, kind, ..), full) in piece {
            match ids.get(&owned_key(row)).copied() {
                Some(id) => terms.extend(full.terms.iter().map(|term| (*environment_id, *kind, &**term, id))),
                None => made_elsewhere.push(*row),
            }
        }
    }
    insert_terms(connection, &terms).await?;
    Ok(made_elsewhere)
}

async fn replace(
    connection: &mut Connection,
    id: i64,
    (environment_id, kind): (i64, &str),
    (seen, full): (&SeenContext, &FullContext),
) -> Result<(), StoreError> {
    sql("UPDATE context SET attributes = $2, redacted = $3,
             first_seen = CASE WHEN $4 < first_seen THEN $4 ELSE first_seen END,
             last_seen = CASE WHEN $5 > last_seen THEN $5 ELSE last_seen END
         WHERE id = $1")
    .bind(id)
    .bind(&full.attributes)
    .bind(&full.redacted)
    .bind(seen.first_seen_ms)
    .bind(seen.last_seen_ms)
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

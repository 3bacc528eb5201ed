//! Who is in and who is kept out, many at a time.

use std::fmt::Write as _;

use flagstaff_wire::big_segments::{ContextHash, reference};

use crate::store::connection::{Connection, Row, composed_sql, sql};
use crate::store::{EnvironmentId, StoreError};

/// The hash in a row.
fn of_row(row: &Row) -> Result<ContextHash, StoreError> {
    let hash = ContextHash::from_bytes(row.get("context_hash"));
    Ok(hash.ok_or_else(|| sqlx::Error::Decode("a context's hash has 32 bytes".into()))?)
}

/// One of the two lists of a big segment. A context may stand in both: then it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Who is in.
    Included,
    /// Who is kept out.
    Excluded,
}

/// In which lists a context stands, and in which it ever stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(i64);

impl List {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Included, Self::Excluded];

    fn now(self) -> i64 {
        match self {
            Self::Included => 1,
            Self::Excluded => 2,
        }
    }

    fn ever(self) -> i64 {
        self.now() << 2
    }
}

impl State {
    /// Any of the two lists, now.
    pub(super) const NOW: i64 = 1 | 2;

    /// Whether the context stands in this list.
    pub fn is_in(self, list: List) -> bool {
        self.0 & list.now() != 0
    }

    /// Whether it stood in this list at any time.
    pub fn was_in(self, list: List) -> bool {
        self.0 & list.ever() != 0
    }

    pub(super) fn of_row(row: &Row) -> Self {
        Self(row.get("state"))
    }
}

/// Rows that one statement writes.
const PER_STATEMENT: usize = 500;

/// Puts contexts on a list, and says how many were not on it. None may be named twice.
pub async fn add(
    connection: &mut Connection,
    filling: i64,
    list: List,
    hashes: &[ContextHash],
    revision: i64,
    import: i64,
) -> Result<u64, StoreError> {
    let mut added = 0;
    for hashes in hashes.chunks(PER_STATEMENT) {
        let mut text = "INSERT INTO big_segment_member AS known \
            (big_segment_id, context_hash, state, revision, import_id) VALUES "
            .to_owned();
        for place in 0..hashes.len() {
            let comma = if place > 0 { "," } else { "" };
            let _ = write!(text, "{comma}($1,${},$2,$3,$4)", place + 6);
        }
        text.push_str(
            " ON CONFLICT (big_segment_id, context_hash) \
            DO UPDATE SET state = known.state | $2, revision = $3, import_id = $4 \
            WHERE (known.state & $5) = 0",
        );
        let statement = composed_sql(text)
            .bind(filling)
            .bind(list.now() | list.ever())
            .bind(revision)
            .bind(import)
            .bind(list.now());
        let statement = hashes.iter().fold(statement, |statement, hash| statement.bind(hash.as_bytes()));
        added += statement.execute(connection).await?.rows_affected();
    }
    Ok(added)
}

/// Takes contexts off a list, and says how many were on it.
pub async fn remove(
    connection: &mut Connection,
    filling: i64,
    list: List,
    hashes: &[ContextHash],
    revision: i64,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    for hashes in hashes.chunks(PER_STATEMENT) {
        let text = "UPDATE big_segment_member SET state = state - $2, revision = $3
             WHERE big_segment_id = $1 AND (state & $2) <> 0 AND context_hash IN ";
        let statement = composed_sql(text.to_owned() + &places(4, hashes.len()))
            .bind(filling)
            .bind(list.now())
            .bind(revision);
        let statement = hashes.iter().fold(statement, |statement, hash| statement.bind(hash.as_bytes()));
        removed += statement.execute(connection).await?.rows_affected();
    }
    Ok(removed)
}

/// Notes that an import named these, which may have been members before.
pub async fn mark(
    connection: &mut Connection,
    filling: i64,
    hashes: &[ContextHash],
    import: i64,
) -> Result<(), StoreError> {
    for hashes in hashes.chunks(PER_STATEMENT) {
        let text = "UPDATE big_segment_member SET import_id = $2
             WHERE big_segment_id = $1 AND import_id <> $2 AND context_hash IN ";
        let statement = composed_sql(text.to_owned() + &places(3, hashes.len())).bind(filling).bind(import);
        let statement = hashes.iter().fold(statement, |statement, hash| statement.bind(hash.as_bytes()));
        statement.execute(connection).await?;
    }
    Ok(())
}

/// Some of those who are on a list and whom the import did not name, after `after` in the order of hashes.
pub async fn not_named(
    connection: &mut Connection,
    filling: i64,
    list: List,
    import: i64,
    after: Option<ContextHash>,
    most: usize,
) -> Result<Vec<ContextHash>, StoreError> {
    let after = after.as_ref().map_or(&[][..], ContextHash::as_bytes);
    let rows = sql("SELECT context_hash FROM big_segment_member
         WHERE big_segment_id = $1 AND context_hash > $2 AND (state & $3) <> 0 AND import_id <> $4
         ORDER BY context_hash LIMIT $5")
    .bind(filling)
    .bind(after)
    .bind(list.now())
    .bind(import)
    .bind(most as i64)
    .fetch_all(connection)
    .await?;
    rows.iter().map(of_row).collect()
}

/// What is known of a context in one segment.
pub async fn state(
    connection: &mut Connection,
    filling: i64,
    hash: ContextHash,
) -> Result<Option<State>, StoreError> {
    let row = sql("SELECT state FROM big_segment_member WHERE big_segment_id = $1 AND context_hash = $2")
        .bind(filling)
        .bind(hash.as_bytes())
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(State::of_row))
}

/// In which segments of an environment a context is, and from which it is kept out, by their references.
pub async fn of_context(
    connection: &mut Connection,
    environment: EnvironmentId,
    hash: ContextHash,
) -> Result<Vec<(String, State)>, StoreError> {
    let rows = sql("SELECT filling.key, filling.generation, known.state FROM big_segment AS filling
         JOIN big_segment_member AS known
           ON known.big_segment_id = filling.id AND known.context_hash = $2
         WHERE filling.environment_id = $1 AND filling.ended_at IS NULL")
    .bind(environment.0)
    .bind(hash.as_bytes())
    .fetch_all(connection)
    .await?;
    let one = |row: &Row| (reference(row.get("key"), row.get("generation")), State::of_row(row));
    Ok(rows.iter().map(one).collect())
}

/// Members as rows have them.
pub(super) fn read(rows: &[Row]) -> Result<Vec<(ContextHash, State)>, StoreError> {
    rows.iter().map(|row| Ok((of_row(row)?, State::of_row(row)))).collect()
}

/// The hashes that rows have.
pub(super) fn read_hashes(rows: &[Row]) -> Result<Vec<ContextHash>, StoreError> {
    rows.iter().map(of_row).collect()
}

/// `($4,$5,…)`: so many places from this one on.
pub(super) fn places(first: usize, count: usize) -> String {
    let mut text = "(".to_owned();
    for place in first..first + count {
        let comma = if place > first { "," } else { "" };
        let _ = write!(text, "{comma}${place}");
    }
    text.push(')');
    text
}

//! What SDKs have to be told, in order. One row per changed item; the item itself is read where it
//! rests.
//!
//! Only live environments read it, each from the sequence number that it has reached. The last [`KEPT`] numbers
//! of each environment are kept: a live environment that is further behind, on a node that was cut off from the
//! database for long, is loaded anew instead. So what may be removed follows from the numbers alone, and no node
//! has to say how far it is.

use super::connection::{Connection, Row, sql};
use super::{EnvironmentId, StoreError};

/// How many numbers of an environment's sequence are kept: a row of them is short, and nobody is so far behind
/// who was not away for long.
pub const KEPT: u64 = 10_000;

/// What a data set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// A flag.
    Flag,
    /// A segment.
    Segment,
}

impl ItemKind {
    fn as_str(self) -> &'static str {
        match self {
            ItemKind::Flag => "flag",
            ItemKind::Segment => "segment",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedChange {
    /// Its place in the environment's sequence: the version of the item, or of its deletion.
    pub sequence: u64,
    /// What was changed.
    pub kind: ItemKind,
    /// Which one.
    pub key: String,
}

/// Writes down a change, and forgets what is not kept any more.
pub async fn append(
    connection: &mut Connection,
    environment: EnvironmentId,
    sequence: u64,
    kind: ItemKind,
    key: &str,
) -> Result<(), StoreError> {
    sql("INSERT INTO change_log (environment_id, sequence, kind, key) VALUES ($1, $2, $3, $4)")
        .bind(environment.0)
        .bind(sequence as i64)
        .bind(kind.as_str())
        .bind(key)
        .execute(&mut *connection)
        .await?;
    if let Some(last) = sequence.checked_sub(KEPT) {
        sql("DELETE FROM change_log WHERE environment_id = $1 AND sequence <= $2")
            .bind(environment.0)
            .bind(last as i64)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The last change of each item since `sequence`, in order; `sequence` is at most [`KEPT`] behind.
pub async fn since(
    connection: &mut Connection,
    environment: EnvironmentId,
    sequence: u64,
) -> Result<Vec<LoggedChange>, StoreError> {
    let rows = sql("SELECT max(sequence) AS sequence, kind, key FROM change_log
         WHERE environment_id = $1 AND sequence > $2
         GROUP BY kind, key ORDER BY max(sequence)")
    .bind(environment.0)
    .bind(sequence as i64)
    .fetch_all(connection)
    .await?;
    let change = |row: &Row| LoggedChange {
        sequence: row.get::<i64, _>("sequence") as u64,
        kind: if row.get::<&str, _>("kind") == "segment" { ItemKind::Segment } else { ItemKind::Flag },
        key: row.get("key"),
    };
    Ok(rows.iter().map(change).collect())
}

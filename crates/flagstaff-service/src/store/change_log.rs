//! What SDKs have to be told, in order. One row per changed item; the item itself is read where it
//! rests.
//!
//! Only live environments read it, each from the sequence number that it has reached. The last [`KEPT`] numbers
//! of each environment are kept: a live environment that is further behind, on a node that was cut off from the
//! database for long, is loaded anew instead. So what may be removed follows from the numbers alone, and no node
//! has to say how far it is.

use super::connection::{Connection, Row, Value, sql};
use super::integrity::checksum;
use super::{EnvironmentId, StoreError};
use crate::auth::secret;

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
    /// Tells the change from another one with this number, in another life of the database.
    pub stamp: u64,
}

/// Writes down a change, and forgets what is not kept any more.
pub async fn append(
    connection: &mut Connection,
    environment: EnvironmentId,
    sequence: u64,
    kind: ItemKind,
    key: &str,
) -> Result<(), StoreError> {
    let stamp = i64::from_ne_bytes(secret::random());
    sql("INSERT INTO change_log (environment_id, sequence, kind, key, stamp, checksum)
         VALUES ($1, $2, $3, $4, $5, $6)")
    .bind_checked(columns(environment, sequence as i64, kind.as_str(), key, stamp))
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

/// What the checksum is of, in the order of the table's description.
fn columns<'r>(
    environment: EnvironmentId,
    sequence: i64,
    kind: &'r str,
    key: &'r str,
    stamp: i64,
) -> [Value<'r>; 5] {
    [environment.0.into(), sequence.into(), kind.into(), key.into(), stamp.into()]
}

/// Every change since `sequence`, in order; `sequence` is at most [`KEPT`] behind.
pub async fn since(
    connection: &mut Connection,
    environment: EnvironmentId,
    sequence: u64,
) -> Result<Vec<LoggedChange>, StoreError> {
    let rows = sql("SELECT sequence, kind, key, stamp, checksum FROM change_log
         WHERE environment_id = $1 AND sequence > $2 ORDER BY sequence")
    .bind(environment.0)
    .bind(sequence as i64)
    .fetch_all(connection)
    .await?;
    let change = |row: &Row| {
        let (sequence, stamp): (i64, i64) = (row.try_get("sequence")?, row.try_get("stamp")?);
        let (kind, key): (&str, &str) = (row.try_get("kind")?, row.try_get("key")?);
        let columns = columns(environment, sequence, kind, key, stamp);
        checksum::check("change of", key, row.try_get("checksum")?, &columns)?;
        let kind = if kind == ItemKind::Segment.as_str() { ItemKind::Segment } else { ItemKind::Flag };
        Ok(LoggedChange { sequence: sequence as u64, kind, key: key.to_owned(), stamp: stamp as u64 })
    };
    rows.iter().map(change).collect()
}

/// The stamp of the change with this number, if that is kept.
pub async fn stamp_of(
    connection: &mut Connection,
    environment: EnvironmentId,
    sequence: u64,
) -> Result<Option<u64>, StoreError> {
    let stamp = sql("SELECT stamp FROM change_log WHERE environment_id = $1 AND sequence = $2")
        .bind(environment.0)
        .bind(sequence as i64)
        .fetch_optional_scalar::<i64>(connection)
        .await?;
    Ok(stamp.map(|stamp| stamp as u64))
}

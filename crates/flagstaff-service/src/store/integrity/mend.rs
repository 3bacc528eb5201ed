//! Every row looked at, and what is done about those that are damaged.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use serde_json::{Map, Value as Json};

use super::super::StoreError;
use super::super::connection::{Connection, Row, Value, composed_sql, sql};
use super::checksum::{self, UNKNOWN};
use super::tables::{ALL, BeyondHelp, Checked, FLAG, FLAG_TARGETING, Kind};
use crate::now_ms;

/// What came of looking at every row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Damaged, and put back from their copies.
    pub put_back: Vec<String>,
    /// Damaged together with their copies, and taken out.
    pub taken_out: Vec<String>,
}

impl Mended {
    /// Names each row in the log.
    pub(in crate::store) fn say(&self) {
        for row in &self.put_back {
            tracing::error!(row, "found damaged in the database, and put back from its copy");
        }
        for row in &self.taken_out {
            tracing::error!(
                row,
                "found damaged in the database beyond help: it is not served; make it anew, or restore a backup"
            );
        }
    }
}

/// The values of a primary key.
type Key = Vec<i64>;

/// What a row is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// As it was written, with this checksum.
    Good(i64),
    /// Written without one. This is what it comes to.
    Unknown(i64),
    Damaged,
}

/// What is to be done with a row.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Give it its checksum, and a copy.
    Adopt(i64),
    /// Write its copy anew.
    Copy,
    /// Write the row anew, from its copy.
    PutBack,
    /// There is nothing to write it from.
    TakeOut,
}

/// Whether [`mend`] would find something to do.
pub(in crate::store) async fn needs_mending(connection: &mut Connection) -> Result<bool, StoreError> {
    for table in ALL {
        if !steps(connection, table).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is damaged, by name: what a start would put back, and what it would take out.
pub(in crate::store) async fn damaged(connection: &mut Connection) -> Result<Mended, StoreError> {
    let mut damaged = Mended::default();
    for table in ALL {
        for (key, step) in steps(connection, table).await? {
            match step {
                Step::PutBack => damaged.put_back.push(named(connection, table, &key).await),
                Step::TakeOut => damaged.taken_out.push(named(connection, table, &key).await),
                Step::Adopt(_) | Step::Copy => {}
            }
        }
    }
    Ok(damaged)
}

/// Looks at every row: gives a checksum and a copy to those that have none, puts damaged ones back from their
/// copies, and takes out those that cannot be.
///
/// # Errors
/// If a row is beyond help without which nothing can be served.
pub(in crate::store) async fn mend(connection: &mut Connection) -> Result<Mended, StoreError> {
    let mut mended = Mended::default();
    for table in ALL {
        for (key, step) in steps(connection, table).await? {
            match step {
                Step::Adopt(checksum) => {
                    set_checksum(connection, table, &key, checksum).await?;
                    copy(connection, table, &key).await?;
                }
                Step::Copy => copy(connection, table, &key).await?,
                Step::PutBack => {
                    put_back(connection, table, &key).await?;
                    mended.put_back.push(named(connection, table, &key).await);
                }
                Step::TakeOut => {
                    let name = named(connection, table, &key).await;
                    match table.beyond_help {
                        BeyondHelp::Refuse => {
                            return Err(StoreError::WrongChecksum { entity: table.entity, key: name });
                        }
                        BeyondHelp::Quarantine => {
                            put_aside(connection, table, &key, &name).await?;
                            if table.table == FLAG.table {
                                put_aside_targeting(connection, &key).await?;
                            }
                        }
                        BeyondHelp::Drop => {}
                    }
                    delete(connection, table, &key).await?;
                    mended.taken_out.push(name);
                }
            }
        }
    }
    Ok(mended)
}

async fn steps(connection: &mut Connection, table: &Checked) -> Result<Vec<(Key, Step)>, StoreError> {
    let rows = look(connection, table, table.table).await?;
    let Some(copies) = table.copy else {
        let step = |(key, found)| match found {
            Found::Good(_) => None,
            Found::Unknown(checksum) => Some((key, Step::Adopt(checksum))),
            Found::Damaged => Some((key, Step::TakeOut)),
        };
        return Ok(rows.into_iter().filter_map(step).collect());
    };
    let copies = look(connection, table, copies).await?;
    let step = |(key, found): (Key, Found)| {
        let step = match (found, copies.get(&key)) {
            (Found::Good(checksum), Some(Found::Good(copied))) if *copied == checksum => return None,
            (Found::Good(_), _) => Step::Copy,
            (Found::Unknown(checksum), _) => Step::Adopt(checksum),
            (Found::Damaged, Some(Found::Good(_))) => Step::PutBack,
            (Found::Damaged, _) => Step::TakeOut,
        };
        Some((key, step))
    };
    Ok(rows.into_iter().filter_map(step).collect())
}

/// What each row of a table, or of its copies, is found to be.
async fn look(
    connection: &mut Connection,
    table: &Checked,
    name: &'static str,
) -> Result<BTreeMap<Key, Found>, StoreError> {
    let mut found = BTreeMap::new();
    let columns: Vec<_> = table.columns.iter().map(|(column, _)| *column).collect();
    let key = table.key.join(", ");
    let text = if table.columns.iter().any(|(column, _)| *column == table.key[0]) {
        format!("SELECT {}, checksum FROM {name}", columns.join(", "))
    } else {
        format!("SELECT {key}, {}, checksum FROM {name}", columns.join(", "))
    };
    let mut rows = composed_sql(text).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let key = table.key.iter().map(|column| row.try_get(*column)).collect::<Result<Key, _>>()?;
        found.insert(key, verdict(&row, table));
    }
    Ok(found)
}

fn verdict(row: &Row, table: &Checked) -> Found {
    // A value that is not even of its kind is damage, too.
    let values: Result<Vec<_>, sqlx::Error> =
        table.columns.iter().map(|(column, kind)| value(row, column, *kind)).collect();
    let (Ok(values), Ok(checksum)) = (values, row.try_get::<i64, _>("checksum")) else {
        return Found::Damaged;
    };
    match checksum::of(&values) {
        sum if checksum == UNKNOWN => Found::Unknown(sum),
        sum if checksum == sum => Found::Good(sum),
        _ => Found::Damaged,
    }
}

fn value<'r>(row: &'r Row, column: &str, kind: Kind) -> Result<Value<'r>, sqlx::Error> {
    Ok(match kind {
        Kind::Integer => Value::Integer(row.try_get(column)?),
        Kind::Text => Value::Text(row.try_get::<Option<&str>, _>(column)?.map(Into::into)),
    })
}

/// `a = $1 AND b = $2`
fn is_key(table: &Checked) -> String {
    let equal: Vec<_> =
        table.key.iter().zip(1..).map(|(column, place)| format!("{column} = ${place}")).collect();
    equal.join(" AND ")
}

async fn execute(connection: &mut Connection, text: String, key: &[i64]) -> Result<(), StoreError> {
    let statement = key.iter().fold(composed_sql(text), |statement, number| statement.bind(number));
    statement.execute(connection).await?;
    Ok(())
}

/// Writes the copy of a row that was just written.
pub(in crate::store) async fn copy(
    connection: &mut Connection,
    table: &Checked,
    key: &[i64],
) -> Result<(), StoreError> {
    let Some(copies) = table.copy else { return Ok(()) };
    let is_in_key = |column: &&str| table.key.contains(column);
    let columns = table.columns.iter().map(|(column, _)| *column).filter(|column| !is_in_key(column));
    let columns: Vec<_> = columns.chain(["checksum"]).collect();
    let set: Vec<_> = columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    let (keys, columns) = (table.key.join(", "), columns.join(", "));
    let text = format!(
        "INSERT INTO {copies} ({keys}, {columns}) SELECT {keys}, {columns} FROM {} WHERE {}
         ON CONFLICT ({keys}) DO UPDATE SET {}",
        table.table,
        is_key(table),
        set.join(", ")
    );
    execute(connection, text, key).await
}

async fn set_checksum(
    connection: &mut Connection,
    table: &Checked,
    key: &[i64],
    checksum: i64,
) -> Result<(), StoreError> {
    let text = format!("UPDATE {} SET checksum = {checksum} WHERE {}", table.table, is_key(table));
    execute(connection, text, key).await
}

/// Writes a row anew from its copy.
async fn put_back(connection: &mut Connection, table: &Checked, key: &[i64]) -> Result<(), StoreError> {
    let Some(copies) = table.copy else { return Ok(()) };
    let is_key = is_key(table);
    let from_copy = |column: &str| format!("{column} = (SELECT {column} FROM {copies} WHERE {is_key})");
    let columns = table.columns.iter().map(|(column, _)| *column);
    let columns: Vec<_> = columns.filter(|column| !table.key.contains(column)).map(from_copy).collect();
    // Apart from the rest: what changes without its checksum is taken for written by who knows of none.
    let text = format!("UPDATE {} SET {} WHERE {is_key}", table.table, columns.join(", "));
    execute(connection, text, key).await?;
    let text = format!("UPDATE {} SET {} WHERE {is_key}", table.table, from_copy("checksum"));
    execute(connection, text, key).await?;
    if look(connection, table, table.table)
        .await?
        .get(key)
        .is_some_and(|found| matches!(found, Found::Good(_)))
    {
        return Ok(());
    }
    Err(StoreError::WrongChecksum { entity: table.entity, key: named(connection, table, key).await })
}

async fn delete(connection: &mut Connection, table: &Checked, key: &[i64]) -> Result<(), StoreError> {
    execute(connection, format!("DELETE FROM {} WHERE {}", table.table, is_key(table)), key).await
}

/// Keeps what can be read of a row that is taken out.
async fn put_aside(
    connection: &mut Connection,
    table: &Checked,
    key: &[i64],
    name: &str,
) -> Result<(), StoreError> {
    let columns: Vec<_> = table.columns.iter().map(|(column, _)| *column).collect();
    let text = format!("SELECT {} FROM {} WHERE {}", columns.join(", "), table.table, is_key(table));
    let select = key.iter().fold(composed_sql(text), |statement, number| statement.bind(number));
    let row = select.fetch_optional(connection).await?;
    let mut content = Map::new();
    for (column, kind) in table.columns {
        let read = match row.as_ref().map(|row| value(row, column, *kind)) {
            Some(Ok(Value::Integer(Some(number)))) => number.into(),
            // PostgreSQL takes no such character.
            Some(Ok(Value::Text(Some(text)))) => text.replace('\0', "\u{fffd}").into(),
            _ => Json::Null,
        };
        content.insert((*column).to_owned(), read);
    }
    sql("INSERT INTO quarantine (found_at, entity, name, content) VALUES ($1, $2, $3, $4)")
        .bind(now_ms())
        .bind(table.entity)
        .bind(name.replace('\0', "\u{fffd}"))
        .bind(Json::Object(content).to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// What goes with a flag that is taken out: who got what of it.
async fn put_aside_targeting(connection: &mut Connection, flag: &[i64]) -> Result<(), StoreError> {
    let environments = flag.iter().fold(
        sql("SELECT environment_id FROM flag_targeting WHERE flag_id = $1 ORDER BY environment_id"),
        |statement, id| statement.bind(id),
    );
    for environment in environments.fetch_scalars::<i64>(connection).await? {
        let key = [flag, &[environment]].concat();
        let name = named(connection, &FLAG_TARGETING, &key).await;
        put_aside(connection, &FLAG_TARGETING, &key, &name).await?;
    }
    Ok(())
}

/// What people call a row; its number, where what it is called cannot be read.
async fn named(connection: &mut Connection, table: &Checked, key: &[i64]) -> String {
    let select = key.iter().fold(sql(table.name), |statement, number| statement.bind(number));
    match select.fetch_optional_scalar::<String>(connection).await {
        Ok(Some(name)) => format!("{} `{name}`", table.entity),
        _ => format!("{} number {key:?}", table.entity),
    }
}

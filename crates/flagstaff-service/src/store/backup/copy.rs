//! Rows from one database to another.
//!
//! A page at a time, by the primary key: so neither database is asked for long, and memory stays small
//! however large a table is.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;

use super::tables::{Kind, Table};
use crate::store::connection::{Connection, Row, Statement, Value, composed_sql, sql};

/// Rows that are asked for at once.
const PAGE: usize = 500;
/// Where a row may be large.
const PAGE_OF_BYTES: usize = 32;
/// About as many bytes are written at once.
const LARGE: usize = 4 * 1024 * 1024;
/// SQLite takes no more values in one statement.
const VALUES: usize = 30_000;

type Values = Vec<Value<'static>>;

/// Copies a table whole and says how many rows there were.
pub(super) async fn table(
    from: &mut Connection,
    to: &mut Connection,
    table: &Table,
) -> Result<u64, sqlx::Error> {
    let page =
        if table.columns.iter().any(|column| column.kind == Kind::Bytes) { PAGE_OF_BYTES } else { PAGE };
    let rows_at_once = (VALUES / table.columns.len()).min(PAGE);
    let mut after: Option<Values> = None;
    let mut copied = 0;
    loop {
        let mut waiting: Vec<Values> = Vec::new();
        let (mut bytes, mut count) = (0, 0);
        let select = select(table, page, after.as_deref());
        let mut rows = select.fetch(from);
        while let Some(row) = rows.try_next().await? {
            let values = read(&row, table)?;
            bytes += values.iter().map(size).sum::<usize>();
            count += 1;
            waiting.push(values);
            if waiting.len() == rows_at_once || bytes >= LARGE {
                after = last_key(&waiting, table);
                insert(to, table, std::mem::take(&mut waiting)).await?;
                bytes = 0;
            }
        }
        if !waiting.is_empty() {
            after = last_key(&waiting, table);
            insert(to, table, waiting).await?;
        }
        copied += count as u64;
        if count < page {
            return Ok(copied);
        }
    }
}

fn select<'q>(table: &Table, page: usize, after: Option<&[Value<'static>]>) -> Statement<'q> {
    let columns = names(table, 0..table.columns.len());
    let key = names(table, table.key.iter().copied());
    let beyond = match after {
        None => String::new(),
        Some(values) => {
            let places: Vec<_> = (1..=values.len()).map(|place| format!("${place}")).collect();
            format!("WHERE ({key}) > ({}) ", places.join(", "))
        }
    };
    let text = format!("SELECT {columns} FROM \"{}\" {beyond}ORDER BY {key} LIMIT {page}", table.name);
    after.into_iter().flatten().fold(composed_sql(text), |statement, value| statement.bind(value.clone()))
}

fn names(table: &Table, places: impl Iterator<Item = usize>) -> String {
    let names: Vec<_> = places.map(|place| format!("\"{}\"", table.columns[place].name)).collect();
    names.join(", ")
}

fn read(row: &Row, table: &Table) -> Result<Values, sqlx::Error> {
    let value = |(place, kind)| {
        Ok(match kind {
            Kind::Integer => Value::Integer(row.try_get(place)?),
            Kind::Text => Value::Text(row.try_get::<Option<String>, _>(place)?.map(Into::into)),
            Kind::Bytes => Value::Bytes(row.try_get::<Option<Vec<u8>>, _>(place)?.map(Into::into)),
        })
    };
    table.columns.iter().map(|column| column.kind).enumerate().map(value).collect()
}

fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Integer(_) => 8,
        Value::Text(text) => text.as_ref().map_or(0, |text| text.len()),
        Value::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len()),
    }
}

fn last_key(rows: &[Values], table: &Table) -> Option<Values> {
    rows.last().map(|row| table.key.iter().map(|place| row[*place].clone()).collect())
}

async fn insert(to: &mut Connection, table: &Table, rows: Vec<Values>) -> Result<(), sqlx::Error> {
    // Rows keep their numbers, also where the database gives them.
    let numbers = if to.is_postgres() { "OVERRIDING SYSTEM VALUE " } else { "" };
    let width = table.columns.len();
    let tuple = |row: usize| {
        let places: Vec<_> = (1..=width).map(|place| format!("${}", row * width + place)).collect();
        format!("({})", places.join(", "))
    };
    let tuples: Vec<_> = (0..rows.len()).map(tuple).collect();
    let columns = names(table, 0..width);
    let text = format!("INSERT INTO \"{}\" ({columns}) {numbers}VALUES {}", table.name, tuples.join(", "));
    let statement = rows.into_iter().flatten().fold(composed_sql(text), Statement::bind);
    statement.execute(to).await?;
    Ok(())
}

/// Has the database go on numbering rows after the ones that are there, and after those that were.
pub(super) async fn raise_ids(
    to: &mut Connection,
    tables: &[Table],
    last: &BTreeMap<String, i64>,
) -> Result<(), sqlx::Error> {
    for table in tables.iter().filter(|table| table.is_numbered()) {
        let largest: i64 = composed_sql(format!("SELECT COALESCE(MAX(id), 0) FROM \"{}\"", table.name))
            .fetch_scalar(to)
            .await?;
        let last = last.get(&table.name).copied().unwrap_or_default().max(largest);
        if last == 0 {
            continue;
        }
        if to.is_postgres() {
            // Null, and so nothing, for a table whose rows are numbered by us.
            sql("SELECT setval(pg_get_serial_sequence($1, 'id'), $2)")
                .bind(&table.name)
                .bind(last)
                .fetch_all(to)
                .await?;
        } else if is_listed(to, &table.name).await? {
            sql("UPDATE sqlite_sequence SET seq = $1 WHERE name = $2 AND seq < $1")
                .bind(last)
                .bind(&table.name)
                .execute(to)
                .await?;
        } else if never_gives_twice(to, &table.name).await? {
            sql("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)")
                .bind(&table.name)
                .bind(last)
                .execute(to)
                .await?;
        }
    }
    Ok(())
}

async fn is_listed(connection: &mut Connection, table: &str) -> Result<bool, sqlx::Error> {
    let known = sql("SELECT 1 FROM sqlite_sequence WHERE name = $1").bind(table);
    Ok(known.fetch_optional_scalar::<i64>(connection).await?.is_some())
}

async fn never_gives_twice(connection: &mut Connection, table: &str) -> Result<bool, sqlx::Error> {
    let made = sql("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = $1").bind(table);
    Ok(made.fetch_scalar::<String>(connection).await?.contains("AUTOINCREMENT"))
}

/// The last number that was given to a row of each table.
pub(super) async fn last_ids(from: &mut Connection) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let rows = if from.is_postgres() {
        sql("SELECT CAST(sequencename AS TEXT) AS name, COALESCE(last_value, 0) AS seq FROM pg_sequences
             WHERE schemaname = current_schema()")
    } else {
        sql("SELECT name, seq FROM sqlite_sequence")
    };
    let mut last = BTreeMap::new();
    for row in rows.fetch_all(from).await? {
        let name: String = row.try_get("name")?;
        // PostgreSQL calls the sequence after the table and the column.
        let table = name.strip_suffix("_id_seq").unwrap_or(&name).to_owned();
        last.insert(table, row.try_get("seq")?);
    }
    Ok(last)
}

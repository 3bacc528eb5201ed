//! Which tables and columns there are.

use super::ABOUT;
use crate::store::connection::{Connection, composed_sql, sql};

/// What must not come back: a session or a link that was ended meanwhile.
pub(super) const LEFT_OUT: [&str; 2] = ["session", "sign_in_link"];

/// A table, as SQLite has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The places of the primary key's columns, in its order.
    pub(super) key: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a column holds, or NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Text,
    Bytes,
}

impl Table {
    /// Whether its rows are numbered by the database.
    pub(super) fn is_numbered(&self) -> bool {
        matches!(&*self.key, [place] if self.columns[*place].name == "id"
            && self.columns[*place].kind == Kind::Integer)
    }
}

/// The tables of a SQLite database, in the order in which they were made: whatever one refers to is before it.
pub(super) async fn of(connection: &mut Connection) -> Result<Vec<Table>, sqlx::Error> {
    let names: Vec<String> = sql("SELECT name FROM sqlite_master
         WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name NOT LIKE '!_sqlx!_%' ESCAPE '!'
         ORDER BY rowid")
    .fetch_scalars(connection)
    .await?;
    let mut tables = Vec::new();
    for name in names {
        if name == ABOUT {
            continue;
        }
        let rows = sql("SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid")
            .bind(&name)
            .fetch_all(connection)
            .await?;
        let mut columns = Vec::new();
        let mut key = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let kind = match row.try_get::<&str, _>("type")? {
                "INTEGER" | "BIGINT" => Kind::Integer,
                "BLOB" => Kind::Bytes,
                _ => Kind::Text,
            };
            columns.push(Column { name: row.try_get("name")?, kind });
            let rank: i64 = row.try_get("pk")?;
            if rank > 0 {
                key.push((rank, place));
            }
        }
        key.sort_unstable();
        tables.push(Table { name, columns, key: key.into_iter().map(|(_, place)| place).collect() });
    }
    Ok(tables)
}

/// Notes in a backup when it was made, by which version, of what.
pub(super) async fn note(connection: &mut Connection, engine: &str, now: i64) -> Result<(), sqlx::Error> {
    let make = format!(
        "CREATE TABLE {ABOUT} (made_at BIGINT NOT NULL, version TEXT NOT NULL, engine TEXT NOT NULL)"
    );
    composed_sql(make).execute(connection).await?;
    composed_sql(format!("INSERT INTO {ABOUT} (made_at, version, engine) VALUES ($1, $2, $3)"))
        .bind(now)
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(engine)
        .execute(connection)
        .await?;
    Ok(())
}

/// When a backup was made; none if it is no backup.
pub(super) async fn made_at(connection: &mut Connection) -> Result<Option<i64>, sqlx::Error> {
    let is_there = sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1").bind(ABOUT);
    if is_there.fetch_optional_scalar::<i64>(connection).await?.is_none() {
        return Ok(None);
    }
    composed_sql(format!("SELECT made_at FROM {ABOUT}")).fetch_optional_scalar(connection).await
}

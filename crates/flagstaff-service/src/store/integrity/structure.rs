//! What SQLite finds wrong with its file: pages, the order of rows, indexes.
//!
//! The tables that decide who gets what are looked at whole, indexes included; they are small. The rest, in which
//! the history of changes and members of large segments may be gigabytes, is looked at more quickly, and for a
//! limited time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Error, Row as _, SqlSafeStr as _};

use super::super::health::Fault;
use super::super::schema;

/// Without any of these nothing can be served rightly.
const ESSENTIAL: [&str; 13] = [
    "setting",
    "project",
    "environment",
    "flag",
    "flag_targeting",
    "segment",
    "change_log",
    "payload_filter",
    "project_copy",
    "environment_copy",
    "flag_copy",
    "flag_targeting_copy",
    "segment_copy",
];

/// How long the rest may take.
const LIMIT: Duration = Duration::from_secs(10);

/// After so many of the engine's own steps it is looked at the clock.
const STEPS: i32 = 100_000;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Structure {
    Sound,
    /// Where flags are kept.
    Essential(String),
    /// Elsewhere.
    Elsewhere(String),
}

/// Looks at the whole file.
pub(in crate::store) async fn check(connection: &mut SqliteConnection) -> Result<Structure, Error> {
    let started = Instant::now();
    let tables: Vec<String> = match names(connection).await {
        Ok(tables) => tables,
        Err(error) => return damage(error).map(Structure::Essential),
    };
    if let Some(finding) = described_otherwise(connection).await? {
        return Ok(Structure::Essential(finding));
    }
    for table in ESSENTIAL.into_iter().filter(|table| tables.iter().any(|name| name == table)) {
        if let Some(finding) = run(connection, format!("PRAGMA integrity_check({table})")).await? {
            return Ok(Structure::Essential(finding));
        }
    }
    let essential = started.elapsed();
    let until = Instant::now() + LIMIT;
    connection.lock_handle().await?.set_progress_handler(STEPS, move || Instant::now() < until);
    let rest = run(connection, "PRAGMA quick_check(1)".to_owned()).await;
    connection.lock_handle().await?.remove_progress_handler();
    let whole = !matches!(&rest, Err(error) if is_interrupted(error));
    tracing::debug!(?essential, all = ?started.elapsed(), whole, "looked at the database's file");
    match rest {
        Ok(None) => Ok(Structure::Sound),
        Ok(Some(finding)) => Ok(Structure::Elsewhere(finding)),
        Err(_) if !whole => {
            tracing::info!(
                "the database is large: all that flags are made of was looked at, the rest in part"
            );
            Ok(Structure::Sound)
        }
        Err(error) => Err(error),
    }
}

/// Something that is not described as its steps have made it: a letter of that is damaged as easily as a row, and
/// columns would be missed that are there.
async fn described_otherwise(connection: &mut SqliteConnection) -> Result<Option<String>, Error> {
    let step: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *connection).await?;
    let mut pattern = SqliteConnectOptions::new().in_memory(true).connect().await?;
    let made = schema::sqlite().run_to(step.unwrap_or_default(), &mut pattern).await;
    made.map_err(|error| Error::Migrate(Box::new(error)))?;
    let (expected, found) = (descriptions(&mut pattern).await?, descriptions(connection).await?);
    pattern.close().await?;
    // The list of steps is the driver's own.
    let mut ours = expected.into_iter().filter(|(name, _)| !name.starts_with("_sqlx_"));
    let other = ours.find(|(name, text)| found.get(name) != Some(text));
    Ok(other.map(|(name, _)| format!("`{name}` is not described as it was made")))
}

/// What a file says of its tables, indexes and triggers, by their names.
async fn descriptions(connection: &mut SqliteConnection) -> Result<BTreeMap<String, String>, Error> {
    let rows = sqlx::query("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("sql")?))).collect()
}

async fn names(connection: &mut SqliteConnection) -> Result<Vec<String>, Error> {
    sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_all(connection).await
}

/// What a check says first, if it is not content.
async fn run(connection: &mut SqliteConnection, text: String) -> Result<Option<String>, Error> {
    match sqlx::query(AssertSqlSafe(text).into_sql_str()).fetch_all(connection).await {
        Ok(rows) => {
            let said = rows.first().map(|row| row.try_get::<String, _>(0)).transpose();
            // What is no text is what is damaged.
            let said = said.unwrap_or_else(|error| Some(error.to_string()));
            // One line, after one that names the database.
            let in_a_line =
                |said: String| said.trim_start_matches("*** in database main ***\n").replace('\n', "; ");
            Ok(said.filter(|said| said != "ok").map(in_a_line))
        }
        Err(error) => damage(error).map(Some),
    }
}

/// The engine's own words, if it says that the file is damaged.
fn damage(error: Error) -> Result<String, Error> {
    if Fault::of(&error) == Some(Fault::Damaged) { Ok(error.to_string()) } else { Err(error) }
}

fn is_interrupted(error: &Error) -> bool {
    const INTERRUPTED: &str = "9";
    matches!(error, Error::Database(error) if error.code().is_some_and(|code| code == INTERRUPTED))
}

//! Facts about the database itself.

use sqlx::{Row as _, SqliteConnection};

use super::StoreError;

/// Set to `true` in a demo's database.
pub const DEMO: &str = "demo";

/// The value of a setting.
pub async fn get(connection: &mut SqliteConnection, name: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT value FROM setting WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.get("value")))
}

/// Sets it.
pub async fn set(connection: &mut SqliteConnection, name: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO setting (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(connection)
    .await?;
    Ok(())
}

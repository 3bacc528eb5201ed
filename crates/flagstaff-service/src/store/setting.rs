//! Facts about the database itself.

use super::StoreError;
use super::connection::{Connection, sql};

/// Set to `true` in a demo's database.
pub const DEMO: &str = "demo";

/// The value of a setting.
pub async fn get(connection: &mut Connection, name: &str) -> Result<Option<String>, StoreError> {
    let row = sql("SELECT value FROM setting WHERE name = $1").bind(name).fetch_optional(connection).await?;
    Ok(row.map(|row| row.get("value")))
}

/// Sets it.
pub async fn set(connection: &mut Connection, name: &str, value: &str) -> Result<(), StoreError> {
    sql("INSERT INTO setting (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value")
    .bind(name)
    .bind(value)
    .execute(connection)
    .await?;
    Ok(())
}

//! Access tokens: credentials of a person or program on the admin API, known by their SHA-256.

use super::StoreError;
use super::connection::{Connection, Row, sql};
use crate::auth::Role;

/// An access token, without its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessToken {
    /// In the APIs.
    pub public_id: String,
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What its bearer may.
    pub role: Role,
    /// SHA-256 of the secret.
    pub token_hash: String,
    /// The secret's last characters, to tell tokens apart.
    pub token_end: String,
    /// Whether it belongs to a program, not to the member who made it.
    pub is_service: bool,
    /// The member who made it, in the store.
    pub member_id: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub changed_at: i64,
    /// When it was last used, to the minute.
    pub last_used_at: Option<i64>,
}

fn read(row: &Row) -> AccessToken {
    AccessToken {
        public_id: row.get("public_id"),
        name: row.get("name"),
        description: row.get("description"),
        // A role this version does not know may the least.
        role: Role::parse(row.get("role")).unwrap_or(Role::Reader),
        token_hash: row.get("token_hash"),
        token_end: row.get("token_end"),
        is_service: row.get("is_service"),
        member_id: row.get("member_id"),
        created_at: row.get("created_at"),
        changed_at: row.get("changed_at"),
        last_used_at: row.get("last_used_at"),
    }
}

/// The token with this SHA-256.
pub async fn by_hash(connection: &mut Connection, hash: &str) -> Result<Option<AccessToken>, StoreError> {
    let row =
        sql("SELECT * FROM access_token WHERE token_hash = $1").bind(hash).fetch_optional(connection).await?;
    Ok(row.as_ref().map(read))
}

/// The token with this public id.
pub async fn by_id(connection: &mut Connection, public_id: &str) -> Result<Option<AccessToken>, StoreError> {
    let row = sql("SELECT * FROM access_token WHERE public_id = $1")
        .bind(public_id)
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(read))
}

/// All tokens, oldest first.
pub async fn list(connection: &mut Connection) -> Result<Vec<AccessToken>, StoreError> {
    let rows = sql("SELECT * FROM access_token ORDER BY id").fetch_all(connection).await?;
    Ok(rows.iter().map(read).collect())
}

/// Adds a token.
pub async fn insert(connection: &mut Connection, token: &AccessToken) -> Result<(), StoreError> {
    sql("INSERT INTO access_token (public_id, name, description, role, token_hash, token_end, is_service,
            member_id, created_at, changed_at, last_used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
    .bind(&token.public_id)
    .bind(&token.name)
    .bind(&token.description)
    .bind(token.role.as_str())
    .bind(&token.token_hash)
    .bind(&token.token_end)
    .bind(token.is_service)
    .bind(token.member_id)
    .bind(token.created_at)
    .bind(token.changed_at)
    .bind(token.last_used_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes everything that can change, by public id.
pub async fn update(connection: &mut Connection, token: &AccessToken) -> Result<(), StoreError> {
    sql("UPDATE access_token SET name = $1, description = $2, role = $3, token_hash = $4, token_end = $5,
            changed_at = $6 WHERE public_id = $7")
    .bind(&token.name)
    .bind(&token.description)
    .bind(token.role.as_str())
    .bind(&token.token_hash)
    .bind(&token.token_end)
    .bind(token.changed_at)
    .bind(&token.public_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that it was used, unless that was noted within the last so many milliseconds: several may notice at
/// once that it is time, on several nodes. A clock that was set back does not stop it.
pub async fn used(
    connection: &mut Connection,
    public_id: &str,
    now: i64,
    every_ms: i64,
) -> Result<(), StoreError> {
    sql("UPDATE access_token SET last_used_at = $1
         WHERE public_id = $2 AND (last_used_at IS NULL OR last_used_at <= $3 OR last_used_at > $1)")
    .bind(now)
    .bind(public_id)
    .bind(now - every_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a token.
pub async fn delete(connection: &mut Connection, public_id: &str) -> Result<(), StoreError> {
    sql("DELETE FROM access_token WHERE public_id = $1").bind(public_id).execute(connection).await?;
    Ok(())
}

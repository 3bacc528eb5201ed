//! Sessions in the dashboard, and one-time sign-in links. Both are known by the SHA-256 of a secret.
//!
//! One counts if it ends at some time of a range: after now, and not so late that it can only have been begun while
//! the clock was wrong.

use std::ops::RangeInclusive;

use super::StoreError;
use super::connection::{Connection, sql};
use super::member::{self, Member};

/// Adds a session, and forgets those that ended.
pub async fn insert(
    connection: &mut Connection,
    token_hash: &str,
    member_id: i64,
    now: i64,
    expires_at: i64,
) -> Result<(), StoreError> {
    sql("DELETE FROM session WHERE expires_at <= $1").bind(now).execute(&mut *connection).await?;
    sql("INSERT INTO session (token_hash, member_id, created_at, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(token_hash)
        .bind(member_id)
        .bind(now)
        .bind(expires_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// The member whose session this is, if it counts.
pub async fn member(
    connection: &mut Connection,
    token_hash: &str,
    ends: RangeInclusive<i64>,
) -> Result<Option<Member>, StoreError> {
    let row = sql("SELECT member.* FROM session JOIN member ON member.id = member_id
         WHERE token_hash = $1 AND expires_at BETWEEN $2 AND $3")
    .bind(token_hash)
    .bind(*ends.start())
    .bind(*ends.end())
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(member::read))
}

/// Ends a session.
pub async fn delete(connection: &mut Connection, token_hash: &str) -> Result<(), StoreError> {
    sql("DELETE FROM session WHERE token_hash = $1").bind(token_hash).execute(connection).await?;
    Ok(())
}

/// Ends every session of a member.
pub async fn delete_of_member(connection: &mut Connection, member_id: i64) -> Result<(), StoreError> {
    sql("DELETE FROM session WHERE member_id = $1").bind(member_id).execute(connection).await?;
    Ok(())
}

/// Adds a sign-in link; earlier ones of the member stop working.
pub async fn insert_link(
    connection: &mut Connection,
    token_hash: &str,
    member_id: i64,
    expires_at: i64,
) -> Result<(), StoreError> {
    sql("DELETE FROM sign_in_link WHERE member_id = $1").bind(member_id).execute(&mut *connection).await?;
    sql("INSERT INTO sign_in_link (token_hash, member_id, expires_at) VALUES ($1, $2, $3)")
        .bind(token_hash)
        .bind(member_id)
        .bind(expires_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// The member a sign-in link is for; it stays usable.
pub async fn link_member(
    connection: &mut Connection,
    token_hash: &str,
    ends: RangeInclusive<i64>,
) -> Result<Option<i64>, StoreError> {
    let row =
        sql("SELECT member_id FROM sign_in_link WHERE token_hash = $1 AND expires_at BETWEEN $2 AND $3")
            .bind(token_hash)
            .bind(*ends.start())
            .bind(*ends.end())
            .fetch_optional(connection)
            .await?;
    Ok(row.map(|row| row.get("member_id")))
}

/// Uses a sign-in link up and gives the member it was for.
pub async fn take_link(
    connection: &mut Connection,
    token_hash: &str,
    ends: RangeInclusive<i64>,
) -> Result<Option<i64>, StoreError> {
    let taken =
        "DELETE FROM sign_in_link WHERE token_hash = $1 AND expires_at BETWEEN $2 AND $3 RETURNING member_id";
    let row =
        sql(taken).bind(token_hash).bind(*ends.start()).bind(*ends.end()).fetch_optional(connection).await?;
    Ok(row.map(|row| row.get("member_id")))
}

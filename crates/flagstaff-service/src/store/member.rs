//! Members: people who sign in.

use super::StoreError;
use super::connection::{Connection, Row, sql};
use crate::auth::Role;

/// A member.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// In the store.
    pub id: i64,
    /// In the APIs.
    pub public_id: String,
    /// Lower case; with it they sign in.
    pub email: String,
    /// First name, possibly empty.
    pub first_name: String,
    /// Last name, possibly empty.
    pub last_name: String,
    /// What they may.
    pub role: Role,
    /// argon2id; none until a password is chosen.
    pub password_hash: Option<String>,
    /// When they were added.
    pub created_at: i64,
}

impl Member {
    /// How to call them: by name, else by e-mail address.
    pub fn display_name(&self) -> String {
        let name = format!("{} {}", self.first_name, self.last_name);
        if name.trim().is_empty() { self.email.clone() } else { name.trim().to_owned() }
    }
}

pub(super) fn read(row: &Row) -> Member {
    Member {
        id: row.get("id"),
        public_id: row.get("public_id"),
        email: row.get("email"),
        first_name: row.get("first_name"),
        last_name: row.get("last_name"),
        // A role this version does not know may the least.
        role: Role::parse(row.get("role")).unwrap_or(Role::Reader),
        password_hash: row.get("password_hash"),
        created_at: row.get("created_at"),
    }
}

/// The member with this e-mail address.
pub async fn by_email(connection: &mut Connection, email: &str) -> Result<Option<Member>, StoreError> {
    let row = sql("SELECT * FROM member WHERE email = $1")
        .bind(email.to_lowercase())
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(read))
}

/// The member with this id.
pub async fn by_id(connection: &mut Connection, id: i64) -> Result<Option<Member>, StoreError> {
    let row = sql("SELECT * FROM member WHERE id = $1").bind(id).fetch_optional(connection).await?;
    Ok(row.as_ref().map(read))
}

/// The member with this public id.
pub async fn by_public_id(connection: &mut Connection, id: &str) -> Result<Option<Member>, StoreError> {
    let row = sql("SELECT * FROM member WHERE public_id = $1").bind(id).fetch_optional(connection).await?;
    Ok(row.as_ref().map(read))
}

/// All members, the first one first.
pub async fn list(connection: &mut Connection) -> Result<Vec<Member>, StoreError> {
    let rows = sql("SELECT * FROM member ORDER BY id").fetch_all(connection).await?;
    Ok(rows.iter().map(read).collect())
}

/// Adds a member and gives the id; the one in `member` is ignored.
pub async fn insert(connection: &mut Connection, member: &Member) -> Result<i64, StoreError> {
    let row =
        sql("INSERT INTO member (public_id, email, first_name, last_name, role, password_hash, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id")
        .bind(&member.public_id)
        .bind(member.email.to_lowercase())
        .bind(&member.first_name)
        .bind(&member.last_name)
        .bind(member.role.as_str())
        .bind(&member.password_hash)
        .bind(member.created_at)
        .fetch_one(connection)
        .await?;
    Ok(row.get("id"))
}

/// Sets a member's e-mail address and password.
pub async fn set_credentials(
    connection: &mut Connection,
    id: i64,
    email: &str,
    password_hash: &str,
) -> Result<(), StoreError> {
    sql("UPDATE member SET email = $1, password_hash = $2 WHERE id = $3")
        .bind(email.to_lowercase())
        .bind(password_hash)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

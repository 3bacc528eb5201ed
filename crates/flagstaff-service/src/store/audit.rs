//! Who changed what, when and why, with the state before and after.

use serde_json::Value;

use super::connection::{Connection, Row, sql};
use super::{StoreError, json, new_public_id};
use crate::auth::Actor;

/// What was done to an item.
#[derive(Clone, Debug, Default)]
pub struct AuditEntry<'a> {
    /// The project it belongs to.
    pub project_key: Option<&'a str>,
    /// The environment in which it changed; none if in all, or in no particular one.
    pub environment_key: Option<&'a str>,
    /// What was changed: `flag`, `environment`, `project`, `accessToken`, `member`.
    pub kind: &'a str,
    /// Its key, or its public id if it has none.
    pub key: &'a str,
    /// `create`, `update` or `delete`.
    pub action: &'a str,
    /// Why, in the words of who did it.
    pub comment: &'a str,
    /// Its state before.
    pub before: Option<Value>,
    /// Its state after.
    pub after: Option<Value>,
}

/// An entry as it was written.
#[derive(Clone, Debug)]
pub struct WrittenEntry {
    /// In the APIs.
    pub public_id: String,
    /// When.
    pub at: i64,
    /// By which door: `member`, `accessToken`, `system`.
    pub actor_kind: String,
    /// Who.
    pub actor_name: String,
    /// The environment in which it changed.
    pub environment_key: Option<String>,
    /// `create`, `update` or `delete`.
    pub action: String,
    /// Why.
    pub comment: String,
    /// The state before.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
}

/// Writes an entry.
pub async fn append(
    connection: &mut Connection,
    actor: &Actor,
    now: i64,
    entry: AuditEntry<'_>,
) -> Result<(), StoreError> {
    sql("INSERT INTO audit_entry (public_id, at, actor_kind, actor_id, actor_name, project_key,
            environment_key, kind, key, action, comment, before, after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)")
    .bind(new_public_id())
    .bind(now)
    .bind(actor.kind.as_str())
    .bind(&actor.id)
    .bind(&actor.name)
    .bind(entry.project_key)
    .bind(entry.environment_key)
    .bind(entry.kind)
    .bind(entry.key)
    .bind(entry.action)
    .bind(entry.comment)
    .bind(entry.before.map(|state| state.to_string()))
    .bind(entry.after.map(|state| state.to_string()))
    .execute(connection)
    .await?;
    Ok(())
}

/// What happened to one item, newest first.
pub async fn of_item(
    connection: &mut Connection,
    project_key: &str,
    kind: &str,
    key: &str,
    limit: u32,
) -> Result<Vec<WrittenEntry>, StoreError> {
    let rows = sql(
        "SELECT * FROM audit_entry WHERE project_key = $1 AND kind = $2 AND key = $3 ORDER BY id DESC LIMIT $4",
    )
    .bind(project_key)
    .bind(kind)
    .bind(key)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<WrittenEntry, StoreError> {
    let public_id: String = row.get("public_id");
    let state = |column: &str| {
        let text: Option<&str> = row.get(column);
        text.map(|text| json("audit entry", &public_id, text)).transpose()
    };
    Ok(WrittenEntry {
        at: row.get("at"),
        actor_kind: row.get("actor_kind"),
        actor_name: row.get("actor_name"),
        environment_key: row.get("environment_key"),
        action: row.get("action"),
        comment: row.get("comment"),
        before: state("before")?,
        after: state("after")?,
        public_id,
    })
}

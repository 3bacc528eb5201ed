//! What relays configure themselves with: keys, known by their SHA-256, and which environments each lets in on.

use serde::{Deserialize, Serialize};

use super::connection::{Connection, Row, sql};
use super::{StoreError, json, to_json};

/// A configuration for relays, without its key.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayAutoConfig {
    /// In the APIs.
    pub public_id: String,
    /// As people call it.
    pub name: String,
    /// Which environments its relays serve.
    pub policy: Vec<Statement>,
    /// SHA-256 of the key.
    pub key_hash: String,
    /// The key's last characters, to tell keys apart.
    pub key_end: String,
    /// The key before it, which counts on for a while.
    pub expiring_key: Option<ExpiringHash>,
    /// The member who made it, in the store; none if they are gone.
    pub member_id: Option<i64>,
    /// Rises with each change of the policy.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub changed_at: i64,
}

/// A key that was replaced and counts on until a time, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringHash {
    /// SHA-256 of the key.
    pub hash: String,
    /// When it stops counting, in Unix milliseconds.
    pub until: i64,
}

/// One sentence of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// What it says of them.
    pub effect: Effect,
    /// What may be done: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// What may not be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_actions: Vec<String>,
    /// The environments it is about: `proj/KEY:env/KEY`, with `*` for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// It is about all others than these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_resources: Vec<String>,
}

/// What a statement says of environments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// They are served, unless another statement says no.
    #[default]
    Allow,
    /// They are not served.
    Deny,
}

impl RelayAutoConfig {
    /// Whether a key with this SHA-256 counts.
    pub fn admits(&self, key_hash: &str, now: i64) -> bool {
        let old = self.expiring_key.as_ref().filter(|old| now < old.until);
        self.key_hash == key_hash || old.is_some_and(|old| old.hash == key_hash)
    }
}

fn read(row: &Row) -> Result<RelayAutoConfig, StoreError> {
    let public_id: String = row.get("public_id");
    let old: Option<String> = row.get("expiring_key_hash");
    let until: Option<i64> = row.get("key_expires_at");
    Ok(RelayAutoConfig {
        name: row.get("name"),
        policy: json("relay configuration", &public_id, row.get("policy"))?,
        key_hash: row.get("key_hash"),
        key_end: row.get("key_end"),
        expiring_key: old.zip(until).map(|(hash, until)| ExpiringHash { hash, until }),
        member_id: row.get("member_id"),
        version: row.get("version"),
        created_at: row.get("created_at"),
        changed_at: row.get("changed_at"),
        public_id,
    })
}

/// The configuration whose key, or the one before it, has this SHA-256. Whether it still counts says
/// [`RelayAutoConfig::admits`].
pub async fn by_key_hash(
    connection: &mut Connection,
    hash: &str,
) -> Result<Option<RelayAutoConfig>, StoreError> {
    let row = sql("SELECT * FROM relay_auto_config WHERE key_hash = $1 OR expiring_key_hash = $1")
        .bind(hash)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The configuration with this public id.
pub async fn by_id(
    connection: &mut Connection,
    public_id: &str,
) -> Result<Option<RelayAutoConfig>, StoreError> {
    let row = sql("SELECT * FROM relay_auto_config WHERE public_id = $1")
        .bind(public_id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// All configurations, oldest first.
pub async fn list(connection: &mut Connection) -> Result<Vec<RelayAutoConfig>, StoreError> {
    let rows = sql("SELECT * FROM relay_auto_config ORDER BY id").fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// Adds a configuration.
pub async fn insert(connection: &mut Connection, config: &RelayAutoConfig) -> Result<(), StoreError> {
    sql("INSERT INTO relay_auto_config (public_id, name, policy, key_hash, key_end, expiring_key_hash,
            key_expires_at, member_id, version, created_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
    .bind(&config.public_id)
    .bind(&config.name)
    .bind(to_json(&config.policy))
    .bind(&config.key_hash)
    .bind(&config.key_end)
    .bind(config.expiring_key.as_ref().map(|old| old.hash.as_str()))
    .bind(config.expiring_key.as_ref().map(|old| old.until))
    .bind(config.member_id)
    .bind(config.version)
    .bind(config.created_at)
    .bind(config.changed_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes everything that can change, by public id.
pub async fn update(connection: &mut Connection, config: &RelayAutoConfig) -> Result<(), StoreError> {
    sql("UPDATE relay_auto_config SET name = $1, policy = $2, key_hash = $3, key_end = $4,
            expiring_key_hash = $5, key_expires_at = $6, version = $7, changed_at = $8 WHERE public_id = $9")
    .bind(&config.name)
    .bind(to_json(&config.policy))
    .bind(&config.key_hash)
    .bind(&config.key_end)
    .bind(config.expiring_key.as_ref().map(|old| old.hash.as_str()))
    .bind(config.expiring_key.as_ref().map(|old| old.until))
    .bind(config.version)
    .bind(config.changed_at)
    .bind(&config.public_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a configuration.
pub async fn delete(connection: &mut Connection, public_id: &str) -> Result<(), StoreError> {
    sql("DELETE FROM relay_auto_config WHERE public_id = $1").bind(public_id).execute(connection).await?;
    Ok(())
}

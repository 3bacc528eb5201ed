//! Making, changing and deleting what relays configure themselves with.

pub(crate) mod policy;

use serde_json::json;

use super::environment::check_expiry;
use super::{ChangeError, name};
use crate::auth::{Action, Actor, MintedToken, mint_relay_key};
use crate::store::audit::{self, AuditEntry};
use crate::store::connection::Connection;
use crate::store::new_public_id;
use crate::store::relay_auto_config::{self as store, ExpiringHash, RelayAutoConfig, Statement};
use crate::{App, now_ms};

/// A configuration that is to be made.
#[derive(Clone, Debug)]
pub struct NewRelayAutoConfig {
    /// As people call it.
    pub name: String,
    /// Which environments its relays serve.
    pub policy: Vec<Statement>,
}

/// All configurations.
pub async fn list(app: &App, actor: &Actor) -> Result<Vec<RelayAutoConfig>, ChangeError> {
    actor.may(Action::Read)?;
    Ok(store::list(&mut *app.store.read().await?).await?)
}

/// Reads a configuration.
pub async fn get(app: &App, actor: &Actor, id: &str) -> Result<RelayAutoConfig, ChangeError> {
    actor.may(Action::Read)?;
    load(&mut *app.store.read().await?, id).await
}

/// Makes a configuration, and gives its key: it is not shown again.
pub async fn create(
    app: &App,
    actor: &Actor,
    new: &NewRelayAutoConfig,
) -> Result<(RelayAutoConfig, MintedToken), ChangeError> {
    // Whoever has its key has every SDK key of its environments.
    actor.may(Action::ChangeProjects)?;
    let minted = mint_relay_key();
    let mut write = app.store.write().await?;
    let config = insert(&mut write, actor, new, &minted).await?;
    write.commit().await?;
    Ok((config, minted))
}

/// Changes name and policy: whatever `edit` does to them.
pub async fn update(
    app: &App,
    actor: &Actor,
    id: &str,
    comment: &str,
    edit: impl FnOnce(&mut RelayAutoConfig) -> Result<(), ChangeError> + Send,
) -> Result<RelayAutoConfig, ChangeError> {
    actor.may(Action::ChangeProjects)?;
    name::check_text("comment", comment)?;
    let mut write = app.store.write().await?;
    let before = load(&mut write, id).await?;
    let mut after = before.clone();
    edit(&mut after)?;
    if after == before {
        return Ok(before);
    }
    check(&after.name, &after.policy)?;
    after.changed_at = now_ms();
    if after.policy != before.policy {
        after.version += 1;
    }
    store::update(&mut write, &after).await?;
    let entry = AuditEntry {
        action: "update",
        comment,
        before: Some(shown(&before)),
        after: Some(shown(&after)),
        ..entry(id)
    };
    audit::append(&mut write, actor, after.changed_at, entry).await?;
    write.commit().await?;
    Ok(after)
}

/// Gives a configuration a new key. The old one stops working at once, or counts on until `expiry`, in Unix
/// milliseconds.
pub async fn reset(
    app: &App,
    actor: &Actor,
    id: &str,
    expiry: Option<i64>,
) -> Result<(RelayAutoConfig, MintedToken), ChangeError> {
    let minted = mint_relay_key();
    let (hash, end) = (minted.hash.clone(), minted.end.clone());
    let renew = |config: &mut RelayAutoConfig| {
        let now = now_ms();
        if let Some(until) = expiry {
            check_expiry(until, now)?;
            if let Some(older) = config.expiring_key.as_ref().filter(|older| now < older.until) {
                let problem = format!(
                    "the key before the present one counts until {}, and only one can count on; wait until then, or \
                     leave `expiry` out, and both stop working at once",
                    older.until
                );
                return Err(ChangeError::invalid("expiry", problem));
            }
        }
        let old = std::mem::replace(&mut config.key_hash, hash);
        config.key_end = end;
        config.expiring_key = expiry.map(|until| ExpiringHash { hash: old, until });
        Ok(())
    };
    Ok((update(app, actor, id, "", renew).await?, minted))
}

/// Deletes a configuration; its relays are sent away.
pub async fn delete(app: &App, actor: &Actor, id: &str) -> Result<(), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    let config = load(&mut write, id).await?;
    store::delete(&mut write, id).await?;
    let entry = AuditEntry { action: "delete", before: Some(shown(&config)), ..entry(id) };
    audit::append(&mut write, actor, now_ms(), entry).await?;
    write.commit().await?;
    Ok(())
}

/// Makes a configuration inside a transaction.
pub(super) async fn insert(
    connection: &mut Connection,
    actor: &Actor,
    new: &NewRelayAutoConfig,
    minted: &MintedToken,
) -> Result<RelayAutoConfig, ChangeError> {
    check(&new.name, &new.policy)?;
    let now = now_ms();
    let config = RelayAutoConfig {
        public_id: new_public_id(),
        name: new.name.clone(),
        policy: new.policy.clone(),
        key_hash: minted.hash.clone(),
        key_end: minted.end.clone(),
        expiring_key: None,
        member_id: actor.member_id,
        version: 1,
        created_at: now,
        changed_at: now,
    };
    store::insert(connection, &config).await?;
    let entry = AuditEntry { action: "create", after: Some(shown(&config)), ..entry(&config.public_id) };
    audit::append(connection, actor, now, entry).await?;
    Ok(config)
}

async fn load(connection: &mut Connection, id: &str) -> Result<RelayAutoConfig, ChangeError> {
    store::by_id(connection, id).await?.ok_or_else(|| ChangeError::unknown("relay configuration", id))
}

fn check(name: &str, policy: &[Statement]) -> Result<(), ChangeError> {
    name::check_name("name", name)?;
    policy::check(policy)
}

fn entry(id: &str) -> AuditEntry<'_> {
    AuditEntry { kind: "relayAutoConfig", key: id, ..AuditEntry::default() }
}

fn shown(config: &RelayAutoConfig) -> serde_json::Value {
    json!({
        "name": config.name, "policy": config.policy, "end": config.key_end,
        "oldKeyUntil": config.expiring_key.as_ref().map(|old| old.until),
    })
}

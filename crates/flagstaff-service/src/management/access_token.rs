//! Making, changing and deleting access tokens.

use serde_json::json;

use super::{ChangeError, name};
use crate::auth::{Action, Actor, MintedToken, Role, mint_access_token};
use crate::store::access_token::{self, AccessToken};
use crate::store::audit::{self, AuditEntry};
use crate::store::connection::Connection;
use crate::store::new_public_id;
use crate::{App, now_ms};

/// An access token that is to be made.
#[derive(Clone, Debug)]
pub struct NewAccessToken {
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What its bearer may: at most what its maker may.
    pub role: Role,
    /// Whether it belongs to a program, not to the member who makes it.
    pub is_service: bool,
}

/// The tokens the actor may see: their own, or with `all` everybody's.
pub async fn list(app: &App, actor: &Actor, all: bool) -> Result<Vec<AccessToken>, ChangeError> {
    actor.may(Action::Read)?;
    if all {
        actor.may(Action::AllTokens)?;
    }
    let tokens = access_token::list(&mut *app.store.read().await?).await?;
    Ok(tokens.into_iter().filter(|token| all || Some(token.member_id) == actor.member_id).collect())
}

/// Reads a token.
pub async fn get(app: &App, actor: &Actor, id: &str) -> Result<AccessToken, ChangeError> {
    load(&mut *app.store.read().await?, actor, id).await
}

/// Makes a token, and gives its secret: it is not shown again.
pub async fn create(
    app: &App,
    actor: &Actor,
    member_id: i64,
    new: &NewAccessToken,
) -> Result<(AccessToken, MintedToken), ChangeError> {
    actor.may(Action::OwnTokens)?;
    check_role(actor, new.role)?;
    let minted = mint_access_token();
    let mut write = app.store.write().await?;
    let token = insert(&mut write, actor, member_id, new, &minted).await?;
    write.commit().await?;
    Ok((token, minted))
}

/// Changes name, description and role: whatever `edit` does to them.
pub async fn update(
    app: &App,
    actor: &Actor,
    id: &str,
    edit: impl FnOnce(&mut AccessToken) -> Result<(), ChangeError> + Send,
) -> Result<AccessToken, ChangeError> {
    actor.may(Action::OwnTokens)?;
    let mut write = app.store.write().await?;
    let before = load(&mut write, actor, id).await?;
    let mut after = before.clone();
    edit(&mut after)?;
    if after == before {
        return Ok(before);
    }
    check_role(actor, after.role)?;
    name::check_text("name", &after.name)?;
    name::check_text("description", &after.description)?;
    after.changed_at = now_ms();
    access_token::update(&mut write, &after).await?;
    let entry = AuditEntry {
        action: "update",
        before: Some(shown(&before)),
        after: Some(shown(&after)),
        ..entry(&after.public_id)
    };
    audit::append(&mut write, actor, after.changed_at, entry).await?;
    write.commit().await?;
    Ok(after)
}

/// Gives a token a new secret; the old one stops working at once.
pub async fn reset(app: &App, actor: &Actor, id: &str) -> Result<(AccessToken, MintedToken), ChangeError> {
    let minted = mint_access_token();
    let (hash, end) = (minted.hash.clone(), minted.end.clone());
    let token = update(app, actor, id, |token| {
        token.token_hash = hash;
        token.token_end = end;
        Ok(())
    })
    .await?;
    Ok((token, minted))
}

/// Deletes a token; it stops working at once.
pub async fn delete(app: &App, actor: &Actor, id: &str) -> Result<(), ChangeError> {
    actor.may(Action::OwnTokens)?;
    let mut write = app.store.write().await?;
    let token = load(&mut write, actor, id).await?;
    access_token::delete(&mut write, id).await?;
    let entry = AuditEntry { action: "delete", before: Some(shown(&token)), ..entry(id) };
    audit::append(&mut write, actor, now_ms(), entry).await?;
    write.commit().await?;
    Ok(())
}

/// Makes a token inside a transaction.
pub(super) async fn insert(
    connection: &mut Connection,
    actor: &Actor,
    member_id: i64,
    new: &NewAccessToken,
    minted: &MintedToken,
) -> Result<AccessToken, ChangeError> {
    name::check_text("name", &new.name)?;
    name::check_text("description", &new.description)?;
    let now = now_ms();
    let token = AccessToken {
        public_id: new_public_id(),
        name: new.name.clone(),
        description: new.description.clone(),
        role: new.role,
        token_hash: minted.hash.clone(),
        token_end: minted.end.clone(),
        is_service: new.is_service,
        member_id,
        created_at: now,
        changed_at: now,
        last_used_at: None,
    };
    access_token::insert(connection, &token).await?;
    let entry = AuditEntry { action: "create", after: Some(shown(&token)), ..entry(&token.public_id) };
    audit::append(connection, actor, now, entry).await?;
    Ok(token)
}

/// Somebody else's token is there only for those who may manage all.
async fn load(connection: &mut Connection, actor: &Actor, id: &str) -> Result<AccessToken, ChangeError> {
    actor.may(Action::Read)?;
    access_token::by_id(connection, id)
        .await?
        .filter(|token| Some(token.member_id) == actor.member_id || actor.may(Action::AllTokens).is_ok())
        .ok_or_else(|| ChangeError::unknown("access token", id))
}

fn check_role(actor: &Actor, role: Role) -> Result<(), ChangeError> {
    if role <= actor.role {
        return Ok(());
    }
    let problem = format!("a token may have at most your own role, `{}`, not `{role}`", actor.role);
    Err(ChangeError::invalid("role", problem))
}

fn entry(id: &str) -> AuditEntry<'_> {
    AuditEntry { kind: "accessToken", key: id, ..AuditEntry::default() }
}

fn shown(token: &AccessToken) -> serde_json::Value {
    json!({
        "name": token.name, "description": token.description, "role": token.role, "end": token.token_end,
        "serviceToken": token.is_service,
    })
}

//! The credential of people and programs on the admin API.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::sdk_key::credential;
use super::{Actor, ActorKind, secret};
use crate::error::ApiError;
use crate::store::access_token::{self, AccessToken};
use crate::store::member::Member;
use crate::store::{self, StoreError};
use crate::{SharedApp, now_ms};

/// How often the last use of a token is written down, in milliseconds.
const NOTE_USE_EVERY_MS: i64 = 60_000;

/// Whoever's access token stands, bare, in `Authorization`; 401 without one.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is to the rest of the house.
    pub actor: Actor,
    /// The token they came with.
    pub token: AccessToken,
    /// The member who made it.
    pub member: Member,
}

/// A new secret. Shown once, to whoever asked for it; only its hash is kept.
#[derive(Debug)]
pub struct MintedToken {
    /// The secret itself.
    pub secret: String,
    /// What is stored.
    pub hash: String,
    /// Its last characters, to tell tokens apart.
    pub end: String,
}

/// Makes the secret of an access token: `api-` and 256 random bits.
pub fn mint_access_token() -> MintedToken {
    MintedToken::of(format!("api-{}", secret::random_token()))
}

/// Makes the key of relays that configure themselves: `rel-` and 256 random bits.
pub fn mint_relay_key() -> MintedToken {
    MintedToken::of(format!("rel-{}", secret::random_token()))
}

impl MintedToken {
    /// Of a secret that is given; a demo's is known to all.
    pub fn of(secret: String) -> Self {
        let hash = secret::hash(&secret);
        let start = secret.char_indices().rev().nth(3).map_or(0, |(place, _)| place);
        Self { hash, end: secret[start..].to_owned(), secret }
    }
}

impl FromRequestParts<SharedApp> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let token = credential(&parts.headers).ok_or_else(|| {
            ApiError::unauthorized("no access token: send one, bare, in the `Authorization` header")
        })?;
        let (token, member) = known(app, token).await?.ok_or_else(|| {
            ApiError::unauthorized(
                "unknown access token: make one in the dashboard, or with POST /api/v2/tokens",
            )
        })?;
        note_use(app, &token);
        // A token never may more than the member behind it, unless it belongs to a program.
        let role = if token.is_service { token.role } else { token.role.min(member.role) };
        let actor = Actor {
            kind: ActorKind::AccessToken,
            id: token.public_id.clone(),
            name: token.name.clone(),
            role,
            member_id: Some(member.id),
        };
        Ok(Self { actor, token, member })
    }
}

async fn known(app: &SharedApp, token: &str) -> Result<Option<(AccessToken, Member)>, StoreError> {
    let mut connection = app.store.read().await?;
    let Some(token) = access_token::by_hash(&mut connection, &secret::hash(token)).await? else {
        return Ok(None);
    };
    let member = store::member::by_id(&mut connection, token.member_id).await?;
    Ok(member.map(|member| (token, member)))
}

/// Writes down the use, at most once a minute and behind the request's back.
fn note_use(app: &SharedApp, token: &AccessToken) {
    let now = now_ms();
    if token.last_used_at.is_some_and(|last| (last..last + NOTE_USE_EVERY_MS).contains(&now)) {
        return;
    }
    let (app, id) = (app.clone(), token.public_id.clone());
    app.tasks.clone().spawn(async move {
        let noted = async {
            let mut write = app.store.write_apart().await?;
            access_token::used(&mut write, &id, now, NOTE_USE_EVERY_MS).await?;
            write.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = %crate::error::chain(&error), "could not note the use of an access token");
        }
    });
}

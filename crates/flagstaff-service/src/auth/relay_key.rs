//! The credential of relays that configure themselves.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::sdk_key::credential;
use super::secret;
use crate::error::ApiError;
use crate::store::relay_auto_config::{self, RelayAutoConfig};
use crate::{SharedApp, now_ms};

/// The relays whose key stands, bare, in `Authorization`; 401 without one.
#[derive(Clone, Debug)]
pub struct Relay {
    /// What they configure themselves with.
    pub config: RelayAutoConfig,
    /// SHA-256 of the key that this one came with.
    pub key_hash: String,
}

impl FromRequestParts<SharedApp> for Relay {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let key = credential(&parts.headers).ok_or_else(|| {
            ApiError::unauthorized(
                "no relay key: send the relay configuration's key in the `Authorization` header",
            )
        })?;
        let key_hash = secret::hash(key);
        let config = relay_auto_config::by_key_hash(&mut *app.store.read().await?, &key_hash).await?;
        config.filter(|config| config.admits(&key_hash, now_ms())).map(|config| Self { config, key_hash }).ok_or_else(
            || {
                ApiError::unauthorized(
                    "unknown relay key: it is the `fullKey` that POST /api/v2/account/relay-auto-configs answers with",
                )
            },
        )
    }
}

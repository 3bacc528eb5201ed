//! The credential of server-side SDKs.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::{filtered, unknown};
use crate::SharedServing;
use crate::error::ApiError;
use crate::live_environment::LiveEnvironment;

/// The environment whose SDK key stands, bare, in `Authorization`; 401 without one.
#[derive(Clone, Debug)]
pub struct SdkEnvironment(pub Arc<LiveEnvironment>);

impl FromRequestParts<SharedServing> for SdkEnvironment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, serving: &SharedServing) -> Result<Self, ApiError> {
        let key = credential(&parts.headers).ok_or_else(|| {
            ApiError::unauthorized("no SDK key: send the environment's SDK key in the `Authorization` header")
        })?;
        let live = serving.live.by_sdk_key(key).ok_or_else(|| {
            ApiError::unauthorized(
                "unknown SDK key: it is the `apiKey` of an environment, which \
                 GET /api/v2/projects/PROJECT/environments shows",
            )
        });
        let live = live.map_err(|refusal| unknown(serving, refusal))?;
        filtered(live, &parts.uri).map(Self).map_err(|refusal| unknown(serving, refusal))
    }
}

/// The bare credential. Some senders put `api_key ` before it.
pub(super) fn credential(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let bare = value.strip_prefix("api_key ").unwrap_or(value).trim();
    (!bare.is_empty()).then_some(bare)
}

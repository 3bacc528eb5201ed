//! The credentials of browsers and mobile programs, which are no secrets.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::sdk_key::credential;
use super::{filtered, unknown};
use crate::SharedServing;
use crate::error::ApiError;
use crate::live_environment::LiveEnvironment;

/// The name that an environment's client-side ID has in routes.
pub const ENVIRONMENT: &str = "environment";

/// The environment whose client-side ID stands in the path as `{environment}`; 404 if there is none.
#[derive(Clone, Debug)]
pub struct BrowserEnvironment(pub Arc<LiveEnvironment>);

impl FromRequestParts<SharedServing> for BrowserEnvironment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, serving: &SharedServing) -> Result<Self, ApiError> {
        let unreadable = |error| ApiError::bad_request(format!("the path cannot be read: {error}"));
        let parameters = RawPathParams::from_request_parts(parts, serving).await.map_err(unreadable)?;
        let id =
            parameters.iter().find(|(name, _)| *name == ENVIRONMENT).map(|(_, id)| id).unwrap_or_default();
        let live = serving.live.by_client_side_id(id).ok_or_else(|| {
            ApiError::not_found(format!(
                "there is no environment with the client-side ID `{}`",
                id.escape_debug()
            ))
        });
        let live = live.map_err(|refusal| unknown(serving, refusal))?;
        filtered(live, &parts.uri).map(Self).map_err(|refusal| unknown(serving, refusal))
    }
}

/// The environment whose mobile key stands, bare, in `Authorization`; 401 without one.
#[derive(Clone, Debug)]
pub struct MobileEnvironment(pub Arc<LiveEnvironment>);

impl FromRequestParts<SharedServing> for MobileEnvironment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, serving: &SharedServing) -> Result<Self, ApiError> {
        let key = credential(&parts.headers).ok_or_else(|| {
            ApiError::unauthorized(
                "no mobile key: send the environment's mobile key in the `Authorization` header",
            )
        })?;
        let live = serving.live.by_mobile_key(key).ok_or_else(|| {
            ApiError::unauthorized(
                "unknown mobile key: it is the `mobileKey` of an environment, which \
                 GET /api/v2/projects/PROJECT/environments shows",
            )
        });
        let live = live.map_err(|refusal| unknown(serving, refusal))?;
        filtered(live, &parts.uri).map(Self).map_err(|refusal| unknown(serving, refusal))
    }
}

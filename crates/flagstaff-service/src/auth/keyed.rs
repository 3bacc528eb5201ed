//! A credential of any kind, where the path says nothing of it: whose it is says who asks.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::Uri;
use axum::http::request::Parts;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::sdk_key::credential;
use super::{filtered, unknown};
use crate::SharedServing;
use crate::error::ApiError;
use crate::live_environment::{Audience, LiveEnvironment};

/// Who asks, by which key.
#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) live: Arc<LiveEnvironment>,
    pub(crate) audience: Audience,
    /// Cancelled when the key stops counting.
    pub(crate) revoked: CancellationToken,
}

/// A browser's stream carries no header, so it says there which environment it is for.
#[derive(Deserialize)]
struct Asked {
    auth: Option<String>,
}

/// The client-side ID in the query.
pub(crate) fn asked_id(uri: &Uri) -> Option<String> {
    let Query(asked) = Query::<Asked>::try_from_uri(uri).ok()?;
    asked.auth.filter(|id| !id.is_empty())
}

impl Keyed {
    /// The environment whose SDK key or mobile key stands in `Authorization`, or whose client-side ID stands
    /// there or in the query as `auth`. Secret keys are not taken from a query, which ends up in logs.
    pub(crate) fn find(parts: &Parts, serving: &SharedServing) -> Result<Self, ApiError> {
        // As in `Lasting`: who is still found, after the token was taken, has one that will be cancelled.
        let mut found = look(parts, serving)?;
        loop {
            let (live, audience, key) = found;
            let revoked = match audience {
                Audience::Server => live.revoked_for(&key),
                Audience::Mobile | Audience::Browser => live.revoked(audience),
            };
            let again = look(parts, serving)?;
            if Arc::ptr_eq(&live, &again.0) && audience == again.1 {
                return Ok(Self { live, audience, revoked });
            }
            found = again;
        }
    }
}

fn look(
    parts: &Parts,
    serving: &SharedServing,
) -> Result<(Arc<LiveEnvironment>, Audience, String), ApiError> {
    let live = &serving.live;
    let (found, key) = if let Some(key) = credential(&parts.headers) {
        let found = (live.by_sdk_key(key).map(|live| (live, Audience::Server)))
            .or_else(|| live.by_mobile_key(key).map(|live| (live, Audience::Mobile)))
            .or_else(|| live.by_client_side_id(key).map(|live| (live, Audience::Browser)))
            .ok_or_else(|| {
                let refusal = "unknown key: it is neither an SDK key, a mobile key nor a client-side ID";
                unknown(serving, ApiError::unauthorized(refusal))
            })?;
        (found, key.to_owned())
    } else {
        let id = asked_id(&parts.uri).ok_or_else(|| {
            ApiError::unauthorized(
                "no key: send an SDK key or a mobile key in the `Authorization` header, or a client-side ID in the query as `auth`",
            )
        })?;
        let found = live.by_client_side_id(&id).ok_or_else(|| {
            let shown = id.escape_debug();
            let refusal = format!("there is no environment with the client-side ID `{shown}`");
            unknown(serving, ApiError::not_found(refusal))
        })?;
        ((found, Audience::Browser), id)
    };
    let (live, audience) = found;
    let live = filtered(live, &parts.uri).map_err(|refusal| unknown(serving, refusal))?;
    Ok((live, audience, key))
}

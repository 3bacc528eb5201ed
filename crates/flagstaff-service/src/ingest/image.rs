//! `GET /a/{environment}.gif?d=…`: events of a browser that cannot post, as the address of an image.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flagstaff_wire::headers::EVENT_SCHEMA;
use serde::Deserialize;

use super::bulk;
use crate::SharedServing;
use crate::auth;
use crate::client_side::context::base64;
use crate::error::ApiError;
use crate::extract::{Asked, Keys};
use crate::live_environment::{Audience, LiveEnvironment};

/// One transparent pixel.
const PIXEL: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
/// What such a browser speaks if it does not say.
const SCHEMA: HeaderValue = HeaderValue::from_static("3");

#[derive(Debug, Deserialize)]
pub(super) struct Events {
    /// A batch of events, as base64.
    d: Option<String>,
    /// Their schema.
    v: Option<String>,
}

/// Stores what it can. The browser is shown its image whatever that is: it could do nothing about it.
pub(super) async fn image(
    State(serving): State<SharedServing>,
    Keys(file): Keys<String>,
    events: Result<Asked<Events>, ApiError>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("there is no environment with this client-side ID");
    let id = file.strip_suffix(".gif").ok_or_else(unknown)?;
    let environment = serving.live.by_client_side_id(id);
    let environment = environment.ok_or_else(|| auth::unknown(&serving, unknown()))?;
    let stored = match events {
        Ok(Asked(events)) => store(&serving, &environment, events).await,
        Err(error) => Err(error),
    };
    if let Err(error) = stored {
        tracing::debug!("events in the address of an image were passed over: {}", error.message());
    }
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/gif")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, PIXEL).into_response())
}

async fn store(
    serving: &SharedServing,
    environment: &Arc<LiveEnvironment>,
    events: Events,
) -> Result<(), ApiError> {
    let schema = events.v.and_then(|schema| HeaderValue::try_from(schema).ok()).unwrap_or(SCHEMA);
    let headers = HeaderMap::from_iter([(header::HeaderName::from_static(EVENT_SCHEMA), schema)]);
    let batch = base64(&events.d.unwrap_or_default())
        .map_err(|error| ApiError::bad_request(format!("`d` is not base64: {error}")))?;
    bulk::take(serving, environment, Audience::Browser, headers, Body::from(batch)).await.map(drop)
}

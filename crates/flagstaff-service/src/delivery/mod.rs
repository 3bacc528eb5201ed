//! Flags out to server-side SDKs: streams, polls, and how the service is.
//!
//! Everything sent is made once per environment version and shared by all connections: see
//! [`crate::live_environment::Image`].

pub(crate) mod behind;
pub(crate) mod event_stream;
mod fdv2;
mod php;
pub(crate) mod poll;
mod relay_auto_config;
mod status;
pub(crate) mod stay;
pub(crate) mod stream;
pub(crate) mod turn;

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use axum::routing::get;
use flagstaff_wire::{headers, paths};

use crate::live_environment::LiveEnvironment;
use crate::{SharedApp, SharedServing};

/// The paths of SDKs.
pub fn router() -> Router<SharedServing> {
    Router::new()
        .route(paths::STREAM, get(stream::all))
        .route(paths::STREAM_FLAGS, get(stream::flags))
        .route(paths::POLL, get(poll::all))
        .route(paths::POLL_FLAGS, get(poll::flags))
        .route(&format!("{}/{{key}}", paths::POLL_FLAGS), get(poll::flag))
        .route(paths::POLL_SEGMENTS, get(poll::segments))
        .route(&format!("{}/{{key}}", paths::POLL_SEGMENTS), get(poll::segment))
        .route("/sdk/flags", get(php::flags))
        .route("/sdk/flags/{key}", get(php::flag))
        .route("/sdk/segments/{key}", get(php::segment))
        .route(paths::FDV2_STREAM, get(fdv2::stream))
        .route(paths::FDV2_POLL, get(fdv2::poll))
}

/// How the service is, and what relays serve.
pub fn service_router() -> Router<SharedApp> {
    Router::new()
        .route(paths::STATUS, get(status::status))
        .route(flagstaff_wire::relay::PATH, get(relay_auto_config::stream))
}

/// The environment's id, which SDKs pass on to their hooks; none in a relay that does not know it.
pub(crate) fn environment_id(live: &LiveEnvironment) -> Option<(HeaderName, HeaderValue)> {
    let id = HeaderValue::try_from(live.public_id()?).ok()?;
    Some((HeaderName::from_static(headers::ENVIRONMENT_ID), id))
}

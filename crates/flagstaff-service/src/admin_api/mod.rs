//! The JSON face, `/api/v2`: REST in the shapes of version 20240415.
//!
//! Handlers parse a request into a typed change, call [`crate::management`], and represent what comes
//! back. Unknown properties of a request are ignored, properties of a wrong type are 400.

mod access_token;
mod body;
mod environment;
mod flag;
mod json_patch;
mod link;
mod metric;
mod params;
mod patch;
mod payload_filter;
mod project;
mod relay_auto_config;
mod root;
mod segment;
mod transfer;
pub mod user;
mod version;

use axum::{Router, middleware};

use crate::SharedApp;

/// The paths of this room.
pub fn router() -> Router<SharedApp> {
    Router::new()
        .merge(root::router())
        .merge(project::router())
        .merge(environment::router())
        .merge(metric::router())
        .merge(payload_filter::router())
        .merge(flag::router())
        .merge(segment::router())
        .merge(transfer::router())
        .merge(access_token::router())
        .merge(relay_auto_config::router())
        .merge(user::router())
        .layer(middleware::from_fn(version::check))
}

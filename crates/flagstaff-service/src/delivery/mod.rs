//! Flags out to SDKs.

pub mod metrics;

use axum::Router;

use crate::SharedApp;

/// The paths of this room.
pub fn router() -> Router<SharedApp> {
    Router::new()
}

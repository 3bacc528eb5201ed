//! Users that were seen, by search.

use axum::Router;

use crate::SharedApp;

/// The paths of this file.
pub fn router() -> Router<SharedApp> {
    Router::new()
}

//! The HTML face, under `/ui/`.

use axum::Router;

use crate::SharedApp;

/// The paths of this room.
pub fn router() -> Router<SharedApp> {
    Router::new()
}

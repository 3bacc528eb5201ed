//! Event batches in: `/bulk` and `/diagnostic`.

use axum::Router;

use crate::SharedApp;

/// The paths of this room.
pub fn router() -> Router<SharedApp> {
    Router::new()
}

//! What SDKs send, as it comes in: a tail that goes on by itself, and one event whole.

mod line;
mod tail;

use axum::Router;
use axum::routing::get;

use crate::SharedApp;

/// The paths of this room.
pub(super) fn router() -> Router<SharedApp> {
    Router::new()
        .route("/ui/{project}/{environment}/events", get(tail::page))
        .route("/ui/{project}/{environment}/events/{batch}/{index}", get(tail::event))
}

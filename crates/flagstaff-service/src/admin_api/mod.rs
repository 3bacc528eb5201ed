//! The JSON face, `/api/v2`.

pub mod user;

use axum::Router;

use crate::SharedApp;

/// The paths of this room.
pub fn router() -> Router<SharedApp> {
    Router::new().merge(user::router())
}

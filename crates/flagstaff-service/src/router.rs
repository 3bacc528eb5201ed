//! Every path in one table.

use axum::Router;

use crate::{SharedApp, admin_api, dashboard, delivery, ingest};

/// The whole service as one router.
pub fn router(app: SharedApp) -> Router {
    Router::new()
        .merge(delivery::router())
        .merge(ingest::router())
        .merge(admin_api::router())
        .merge(dashboard::router())
        .with_state(app)
}

//! Every path in one table.
//!
//! | Paths | Room |
//! |---|---|
//! | `/all`, `/flags`, `/sdk/…`, `/status` | [`delivery`] |
//! | `/sdk/big-segments/…`, `/big-segments` | [`big_segments`] |
//! | `/sdk/eval…`, `/eval…`, `/ping…`, `/sdk/goals…`, `/msdk/…`, `/meval…`, `/mping`, `/ofrep/…` | [`client_side`] |
//! | `/bulk`, `/diagnostic`, `/mobile…`, `/events/…`, `/a/…` | [`ingest`] |
//! | `/api/v2…` | [`admin_api`] |
//! | `/`, `/ui/…` | [`dashboard`] |
//! | `/metrics` | [`metrics`] |

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{Redirect, Response};
use axum::routing::get;
use axum::{Router, middleware};

use crate::error::ApiError;
use crate::extract::whole_body;
use crate::{
    SharedApp, SharedServing, admin_api, big_segments, client_side, dashboard, delivery, ingest, metrics,
};

/// The whole service as one router.
pub fn router(app: SharedApp) -> Router {
    let own = Router::new()
        .route("/", get(async || Redirect::temporary("/ui/")))
        .merge(delivery::service_router())
        .merge(admin_api::router())
        .merge(dashboard::router().layer(middleware::from_fn_with_state(app.clone(), read_form)))
        .with_state(app.clone());
    let sdks = sdk_paths(&app.serving).merge(big_segments::router(&app));
    finish(own.merge(sdks), &app.serving)
}

/// The paths of SDKs of every kind, which a relay has as well.
pub fn sdk_paths(serving: &SharedServing) -> Router {
    delivery::router()
        .merge(client_side::router(serving))
        .merge(ingest::router(serving))
        .with_state(serving.clone())
}

/// What holds for every path, also for those that there are not.
pub fn finish(paths: Router, serving: &SharedServing) -> Router {
    let paths = match serving.config.metrics_listen {
        None => paths.merge(metrics::router(serving)),
        Some(_) => paths,
    };
    paths
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(serving.config.body_limit))
        .layer(middleware::from_fn_with_state(serving.clone(), metrics::requests::observe))
}

/// Forms are read whole before anybody looks at them, so that one that never ends takes nobody's time.
async fn read_form(State(app): State<SharedApp>, request: Request, next: Next) -> Result<Response, ApiError> {
    if request.method().is_safe() {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let body = whole_body(&parts.headers, body, app.config.body_limit).await?;
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

async fn unknown_path(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::not_found(format!("there is nothing at `{}`", uri.path().escape_debug()))
}

/// Where pages ask, it is said to them as well: there it is a route's own, inside what lets them read answers.
pub(crate) async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::wrong_method(format!("`{method}` is not possible at `{}`", uri.path().escape_debug()))
}

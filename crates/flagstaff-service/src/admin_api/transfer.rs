//! Everything at once: `/api/v2/export` and `/api/v2/import`. These two are our own.

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::body::JsonBody;
use super::params::Params;
use crate::SharedApp;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::ChangeError;
use crate::management::transfer::{self as rules, Document, Import, OnConflict, Report, Scope};

/// The longest document that is taken in, in bytes: several times what SDKs read of one environment.
const LONGEST: usize = 256 << 20;

pub(super) fn router() -> Router<SharedApp> {
    Router::new()
        .route("/api/v2/export", get(export))
        .route("/api/v2/import", post(import))
        .route("/api/v2/import/{project}/{environment}", post(import_into))
}

/// `?project=…&environment=…&keys=true`: one file, of everything unless it says less.
async fn export(State(app): State<SharedApp>, caller: Caller, params: Params) -> Result<Response, ApiError> {
    let scope = Scope {
        project_key: params.get("project"),
        environment_key: params.get("environment"),
        with_keys: params.flag("keys", false)?,
    };
    let document = rules::export(&app.store, &caller.actor, scope).await?;
    let text = aside(move || document.to_text()).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Everything goes where it came from.
async fn import(
    State(app): State<SharedApp>,
    caller: Caller,
    params: Params,
    request: Request,
) -> Result<Json<Report>, ApiError> {
    take_in(&app, &caller, None, &params, request).await
}

/// Everything goes into one environment.
async fn import_into(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(target): Keys<(String, String)>,
    params: Params,
    request: Request,
) -> Result<Json<Report>, ApiError> {
    take_in(&app, &caller, Some(target), &params, request).await
}

/// `?onConflict=fail|skip|replace&dryRun=true&partial=true&comment=…`. The answer says what became of each
/// item, and whether it is saved.
async fn take_in(
    app: &SharedApp,
    caller: &Caller,
    target: Option<(String, String)>,
    params: &Params,
    request: Request,
) -> Result<Json<Report>, ApiError> {
    caller.actor.may(Action::ChangeFlags)?;
    let how = Import {
        target,
        on_conflict: on_conflict(params)?,
        dry_run: params.flag("dryRun", false)?,
        partial: params.flag("partial", false)?,
        comment: params.get("comment").unwrap_or("Imported").to_owned(),
    };
    let body = JsonBody::up_to(LONGEST, request).await?;
    let document: Document = aside(move || body.read()).await??;
    Ok(Json(rules::import_live(app, &caller.actor, &document, &how).await?))
}

fn on_conflict(params: &Params) -> Result<OnConflict, ApiError> {
    match params.get("onConflict") {
        None | Some("fail") => Ok(OnConflict::Fail),
        Some("skip") => Ok(OnConflict::Skip),
        Some("replace") => Ok(OnConflict::Replace),
        Some(other) => {
            let shown = other.escape_debug();
            Err(ChangeError::invalid(
                "onConflict",
                format!("it is `fail`, `skip` or `replace`, not `{shown}`"),
            )
            .into())
        }
    }
}

/// Long work on text, off the threads that serve everybody.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
}

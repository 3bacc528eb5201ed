//! Segments: `/api/v2/segments/{project}/{environment}`.

mod big;
mod document;
mod keys_file;
mod list;
mod represent;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::body::JsonBody;
use super::json_patch;
use super::params::Params;
use super::patch::{SemanticPatch, expected_version, is_semantic, read_json_patch};
use crate::SharedApp;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::segment::change::KINDS;
use crate::management::segment::{self as rules, Edit, NewSegment, SegmentDefinition, SegmentState};
use crate::store::membership::Membership;

/// What `If-Match` holds.
const VERSION: &str = "segment's `version`";

pub(super) fn router() -> Router<SharedApp> {
    const PATH: &str = "/api/v2/segments/{project}/{environment}";
    Router::new()
        .route(PATH, get(list::list).post(create))
        .route(&format!("{PATH}/{{segment}}"), get(one).patch(patch).delete(delete))
        .merge(big::router(&format!("{PATH}/{{segment}}")))
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, environment, key)): Keys<(String, String, String)>,
) -> Result<Response, ApiError> {
    caller.actor.may(Action::Read)?;
    let state = rules::get(&app, &project, &environment, &key).await?;
    Ok(answer(StatusCode::OK, &state))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SegmentPost {
    key: String,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    unbounded: bool,
    #[serde(default)]
    unbounded_context_kind: Option<String>,
}

async fn create(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, environment)): Keys<(String, String)>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    caller.actor.may(Action::ChangeFlags)?;
    let post: SegmentPost = body.read()?;
    let kind = post.unbounded_context_kind.filter(|kind| post.unbounded && !kind.is_empty());
    let membership =
        Membership { unbounded: post.unbounded, unbounded_context_kind: kind, ..Membership::default() };
    let definition = SegmentDefinition {
        name: post.name,
        description: post.description.unwrap_or_default(),
        tags: post.tags,
        membership,
    };
    let new = NewSegment { key: post.key, definition, created_at: None };
    let state = rules::create(&app, &caller.actor, &project, &environment, &new).await?;
    Ok(answer(StatusCode::CREATED, &state))
}

async fn patch(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, environment, key)): Keys<(String, String, String)>,
    params: Params,
    body: JsonBody,
) -> Result<Response, ApiError> {
    caller.actor.may(Action::ChangeFlags)?;
    let edit = Edit {
        project_key: &project,
        environment_key: &environment,
        segment_key: &key,
        expected_version: expected_version(&body.headers, VERSION)?,
        dry_run: params.flag("dryRun", false)?,
        ..Edit::default()
    };
    let state = if is_semantic(&body) {
        let patch: SemanticPatch = body.read()?;
        check_environment(&environment, patch.environment_key.as_deref())?;
        let changes = patch.changes("segment", &KINDS)?;
        let edit = Edit { comment: &patch.comment, ..edit };
        rules::change(&app, &caller.actor, &edit, &changes).await?
    } else {
        let (operations, comment) = read_json_patch(&body)?;
        let edit = Edit { comment: &comment, ..edit };
        rules::rewrite(&app, &caller.actor, &edit, |state, definition| {
            let before = represent::with_flags(state);
            let mut after = before.clone();
            json_patch::apply(&mut after, &operations)?;
            document::read_back(&before, after, definition)
        })
        .await?
    };
    Ok(answer(StatusCode::OK, &state))
}

/// The path names the environment already; a body that names another was meant for another.
fn check_environment(in_path: &str, in_body: Option<&str>) -> Result<(), ApiError> {
    match in_body.filter(|key| !key.is_empty() && *key != in_path) {
        None => Ok(()),
        Some(other) => {
            let shown = other.escape_debug();
            Err(ApiError::bad_request(format!(
                "environmentKey: the path names environment `{in_path}`, the body `{shown}`; name the same in both"
            )))
        }
    }
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, environment, key)): Keys<(String, String, String)>,
    params: Params,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let edit = Edit {
        project_key: &project,
        environment_key: &environment,
        segment_key: &key,
        comment: params.get("comment").unwrap_or_default(),
        expected_version: expected_version(&headers, VERSION)?,
        ..Edit::default()
    };
    rules::delete(&app, &caller.actor, &edit).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn answer(status: StatusCode, state: &SegmentState) -> Response {
    let tag = format!("\"{}\"", state.row.version);
    (status, [(header::ETAG, tag)], Json(represent::with_flags(state))).into_response()
}

//! Environments: `/api/v2/projects/{project}/environments`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::JsonBody;
use super::json_patch::Operation;
use super::link::{link, part};
use super::params::Params;
use super::patch::patched;
use crate::SharedApp;
use crate::auth::secret::mask;
use crate::auth::{Action, Actor, Caller};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::environment::{self as rules, NewEnvironment};
use crate::management::{ChangeError, project};
use crate::store::environment::Environment;
use crate::store::project::Project;

pub(super) fn router() -> Router<SharedApp> {
    const PATH: &str = "/api/v2/projects/{project}/environments";
    Router::new()
        .route(PATH, get(list).post(create))
        .route(&format!("{PATH}/{{environment}}"), get(one).patch(patch).delete(delete))
        .route(&format!("{PATH}/{{environment}}/apiKey"), post(reset_sdk_key))
        .route(&format!("{PATH}/{{environment}}/mobileKey"), post(reset_mobile_key))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnvironmentPost {
    key: String,
    name: String,
    color: String,
    #[serde(default)]
    default_ttl: i64,
    #[serde(default)]
    secure_mode: bool,
    #[serde(default)]
    default_track_events: bool,
    #[serde(default)]
    confirm_changes: bool,
    #[serde(default)]
    require_comments: bool,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    critical: bool,
    #[serde(default)]
    source: Option<Value>,
}

impl EnvironmentPost {
    pub(super) fn into_new(self) -> Result<NewEnvironment, ApiError> {
        if self.source.is_some() {
            // Better refused than made with every flag off.
            let message = "source: an environment is not made as a copy; leave it out, and fill it with what \
                           GET /api/v2/export gives of the other by POST /api/v2/import/{project}/{environment}";
            return Err(ApiError::bad_request(message));
        }
        Ok(NewEnvironment {
            key: self.key,
            name: self.name,
            colour: self.color,
            tags: self.tags,
            default_ttl: self.default_ttl,
            secure_mode: self.secure_mode,
            default_track_events: self.default_track_events,
            confirm_changes: self.confirm_changes,
            require_comments: self.require_comments,
            critical: self.critical,
            keys: None,
        })
    }
}

async fn list(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(key): Keys<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let page = params.page(20)?;
    let (project, environments) = project::get(&app, &key).await?;
    let one = |environment: &Environment| represent(&caller.actor, &project, environment);
    Ok(Json(params.paged(page, &environments, one)))
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let (project, environment) = rules::get(&app, &project, &key).await?;
    Ok(Json(represent(&caller.actor, &project, &environment)))
}

async fn create(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(project): Keys<String>,
    body: JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let new = body.read::<EnvironmentPost>()?.into_new()?;
    let (project, environment) = rules::create(&app, &caller.actor, &project, &new).await?;
    Ok((StatusCode::CREATED, Json(represent(&caller.actor, &project, &environment))))
}

async fn patch(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let operations: Vec<Operation> = body.read_list()?;
    let (project, environment) =
        rules::update(&app, &caller.actor, &project, &key, |environment| edit(environment, &operations))
            .await?;
    Ok(Json(represent(&caller.actor, &project, &environment)))
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
) -> Result<StatusCode, ApiError> {
    rules::delete(&app, &caller.actor, &project, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn reset_sdk_key(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let expiry = params.expiry()?;
    let (project, environment) = rules::renew_sdk_key(&app, &caller.actor, &project, &key, expiry).await?;
    Ok(Json(represent(&caller.actor, &project, &environment)))
}

async fn reset_mobile_key(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    // Better refused than taken for a promise.
    if params.expiry()?.is_some() {
        let message = "an old mobile key always stops working at once; leave `expiry` out";
        return Err(ApiError::bad_request(message));
    }
    let (project, environment) = rules::renew_mobile_key(&app, &caller.actor, &project, &key).await?;
    Ok(Json(represent(&caller.actor, &project, &environment)))
}

/// What of an environment a patch may change.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changeable {
    name: String,
    color: String,
    tags: Vec<String>,
    default_ttl: i64,
    secure_mode: bool,
    default_track_events: bool,
    confirm_changes: bool,
    require_comments: bool,
    critical: bool,
}

fn edit(environment: &mut Environment, operations: &[Operation]) -> Result<(), ChangeError> {
    let names = [
        "name",
        "color",
        "tags",
        "defaultTtl",
        "secureMode",
        "defaultTrackEvents",
        "confirmChanges",
        "requireComments",
        "critical",
    ];
    let changed: Changeable = patched(&settings(environment), operations, &names)?;
    environment.name = changed.name;
    environment.colour = changed.color;
    environment.tags = changed.tags;
    environment.default_ttl = changed.default_ttl;
    environment.secure_mode = changed.secure_mode;
    environment.default_track_events = changed.default_track_events;
    environment.confirm_changes = changed.confirm_changes;
    environment.require_comments = changed.require_comments;
    environment.critical = changed.critical;
    Ok(())
}

fn settings(environment: &Environment) -> Value {
    json!({
        "_id": environment.client_side_id,
        "key": environment.key,
        "name": environment.name,
        "color": environment.colour,
        "defaultTtl": environment.default_ttl,
        "secureMode": environment.secure_mode,
        "defaultTrackEvents": environment.default_track_events,
        "requireComments": environment.require_comments,
        "confirmChanges": environment.confirm_changes,
        "tags": environment.tags,
        "critical": environment.critical,
    })
}

/// The keys are masked for those who may not see them. The id is the client-side ID.
pub(super) fn represent(actor: &Actor, project: &Project, environment: &Environment) -> Value {
    let shown = |key: &str| if actor.may(Action::SeeKeys).is_ok() { key.to_owned() } else { mask(key) };
    let mut value = settings(environment);
    let path = format!("/api/v2/projects/{}/environments/{}", part(&project.key), part(&environment.key));
    value["_links"] = json!({"self": link(path)});
    value["apiKey"] = json!(shown(&environment.sdk_key));
    value["mobileKey"] = json!(shown(&environment.mobile_key));
    value
}

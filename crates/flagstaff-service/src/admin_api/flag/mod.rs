//! Flags: `/api/v2/flags/{project}`.

mod document;
mod evaluate;
mod list;
mod represent;
mod semantic_patch;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flagstaff_eval::model::ClientSideAvailability;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use document::{ClauseDocument, id_or_new};

use super::body::JsonBody;
use super::json_patch::{self, Operation};
use super::link::link;
use super::params::Params;
use super::patch::{expected_version, is_semantic, read_json_patch};
use crate::SharedApp;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::flag::{self as rules, Edit, FlagState, NewFlag};
use crate::management::project;
use crate::store::project::Project;
use crate::store::targeting::{Defaults, FlagDefinition, Variation};

/// What `If-Match` holds.
const VERSION: &str = "flag's `_version`";

pub(super) fn router() -> Router<SharedApp> {
    Router::new()
        .route("/api/v2/flags", get(projects))
        .route("/api/v2/flags/{project}", get(list::list).post(create))
        .route("/api/v2/flags/{project}/{flag}", get(one).patch(patch).delete(delete))
        .route(
            "/api/v2/projects/{project}/environments/{environment}/flags/evaluate",
            post(evaluate::evaluate),
        )
}

/// A flag is listed by project: these are they.
async fn projects(State(app): State<SharedApp>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let projects = project::list(&app).await?;
    let links: serde_json::Map<_, _> = projects
        .iter()
        .map(|project| {
            (project.key.clone(), link(format!("/api/v2/flags/{}", super::link::part(&project.key))))
        })
        .collect();
    Ok(Json(json!({"links": links})))
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
    params: Params,
) -> Result<Response, ApiError> {
    caller.actor.may(Action::Read)?;
    let mut state = rules::get(&app, &project, &key).await?;
    let wanted: Vec<&str> = params.all("env").flat_map(|keys| keys.split(',')).collect();
    if let Some(unknown) =
        wanted.iter().find(|wanted| !state.environments.iter().any(|(known, _)| known.key == **wanted))
    {
        let shown = unknown.escape_debug();
        return Err(ApiError::not_found(format!("there is no environment `{shown}` in project `{project}`")));
    }
    state
        .environments
        .retain(|(environment, _)| wanted.is_empty() || wanted.contains(&environment.key.as_str()));
    Ok(answer(StatusCode::OK, &state))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlagPost {
    key: String,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    include_in_snippet: Option<bool>,
    #[serde(default)]
    client_side_availability: Option<ClientSideAvailability>,
    #[serde(default)]
    variations: Option<Vec<VariationPost>>,
    #[serde(default)]
    temporary: Option<bool>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    defaults: Option<Defaults>,
    #[serde(default)]
    maintainer_id: Option<String>,
    #[serde(default)]
    is_flag_on: bool,
    #[serde(default)]
    initial_prerequisites: Vec<Value>,
    #[serde(default)]
    migration_settings: Option<Value>,
}

#[derive(Deserialize)]
struct VariationPost {
    #[serde(default, rename = "_id")]
    id: Option<String>,
    value: Value,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

impl FlagPost {
    /// Refuses what would have the flag serve something else, if it were passed over.
    fn check_understood(&self) -> Result<(), ApiError> {
        if !self.initial_prerequisites.is_empty() {
            let message = "initialPrerequisites: a flag is made without prerequisites; leave them out, and send the \
                           semantic patch instruction `addPrerequisite` for each environment before it is turned on";
            return Err(ApiError::bad_request(message));
        }
        if self.migration_settings.is_some() {
            let message = "migrationSettings: flags are not made with the stages of a migration; give the stages as \
                           text variations: off, dualwrite, shadow, live, rampdown, complete";
            return Err(ApiError::bad_request(message));
        }
        Ok(())
    }

    fn into_new(self, project: &Project, creator: &str) -> NewFlag {
        let availability = self.client_side_availability.unwrap_or(ClientSideAvailability {
            using_environment_id: self
                .include_in_snippet
                .unwrap_or(project.new_flag_availability.using_environment_id),
            using_mobile_key: project.new_flag_availability.using_mobile_key,
        });
        let variations: Vec<Variation> = match self.variations {
            Some(given) if !given.is_empty() => {
                given.into_iter().map(VariationPost::into_variation).collect()
            }
            _ => [true, false].map(|value| VariationPost::of(json!(value)).into_variation()).into(),
        };
        let last = variations.len() as i64 - 1;
        let definition = FlagDefinition {
            name: self.name,
            description: self.description.unwrap_or_default(),
            tags: self.tags,
            variations,
            temporary: self.temporary.unwrap_or(true),
            availability,
            maintainer_id: Some(self.maintainer_id.unwrap_or_else(|| creator.to_owned())),
            defaults: self.defaults.unwrap_or(Defaults { on_variation: 0, off_variation: last }),
        };
        NewFlag { key: self.key, definition, on: self.is_flag_on }
    }
}

impl VariationPost {
    fn of(value: Value) -> Self {
        Self { id: None, value, name: None, description: None }
    }

    fn into_variation(self) -> Variation {
        let id = self.id.filter(|id| !id.is_empty()).unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        Variation { id, value: self.value, name: self.name, description: self.description }
    }
}

async fn create(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(project_key): Keys<String>,
    params: Params,
    body: JsonBody,
) -> Result<Response, ApiError> {
    caller.actor.may(Action::ChangeFlags)?;
    if params.get("clone").is_some() {
        return Err(ApiError::bad_request("clone: flags cannot be cloned yet; send the variations instead"));
    }
    let post: FlagPost = body.read()?;
    post.check_understood()?;
    let (project, _) = project::get(&app, &project_key).await?;
    let new = post.into_new(&project, &caller.member.public_id);
    let state = rules::create(&app, &caller.actor, &project_key, new, "").await?;
    Ok(answer(StatusCode::CREATED, &state))
}

async fn patch(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
    params: Params,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let edit = Edit {
        project_key: &project,
        flag_key: &key,
        expected_version: expected_version(&body.headers, VERSION)?,
        dry_run: params.flag("dryRun", false)?,
        ..Edit::default()
    };
    let state = if is_semantic(&body) {
        semantic_patch::apply(&app, &caller.actor, &edit, &body).await?
    } else {
        let (operations, comment) = read_json_patch(&body)?;
        let edit = Edit { comment: &comment, ..edit };
        json_patch_flag(&app, &caller, &edit, &operations).await?
    };
    Ok(answer(StatusCode::OK, &state))
}

async fn json_patch_flag(
    app: &SharedApp,
    caller: &Caller,
    edit: &Edit<'_>,
    operations: &[Operation],
) -> Result<FlagState, ApiError> {
    caller.actor.may(Action::ChangeFlags)?;
    let state = rules::rewrite_state(app, &caller.actor, edit, |state, draft| {
        let before = represent::flag(state, represent::Detail::Full);
        let mut after = before.clone();
        json_patch::apply(&mut after, operations)?;
        document::read_back(&before, after, draft)
    })
    .await?;
    Ok(state)
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
    params: Params,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let edit = Edit {
        project_key: &project,
        flag_key: &key,
        comment: params.get("comment").unwrap_or_default(),
        expected_version: expected_version(&headers, VERSION)?,
        ..Edit::default()
    };
    rules::delete(&app, &caller.actor, &edit).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn answer(status: StatusCode, state: &FlagState) -> Response {
    let tag = format!("\"{}\"", state.flag.version);
    let body = represent::flag(state, represent::Detail::Full);
    (status, [(header::ETAG, tag)], Json(body)).into_response()
}

//! Projects: `/api/v2/projects`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use flagstaff_eval::model::ClientSideAvailability;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::JsonBody;
use super::environment::{self, EnvironmentPost};
use super::json_patch::Operation;
use super::link::{link, part};
use super::params::Params;
use super::patch::patched;
use crate::SharedApp;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::ChangeError;
use crate::management::project::{self as rules, NewProject};
use crate::store::environment::Environment;
use crate::store::project::Project;

pub(super) fn router() -> Router<SharedApp> {
    Router::new()
        .route("/api/v2/projects", get(list).post(create))
        .route("/api/v2/projects/{project}", get(one).patch(patch).delete(delete))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProjectPost {
    key: String,
    name: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    include_in_snippet_by_default: Option<bool>,
    #[serde(default)]
    default_client_side_availability: Option<ClientSideAvailability>,
    #[serde(default)]
    environments: Vec<EnvironmentPost>,
}

async fn list(State(app): State<SharedApp>, caller: Caller, params: Params) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let page = params.page(20)?;
    let projects = rules::list(&app).await?;
    Ok(Json(params.paged(page, &projects, |project| represent(project, None))))
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(key): Keys<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let (project, environments) = rules::get(&app, &key).await?;
    let expanded =
        params.all("expand").flat_map(|fields| fields.split(',')).any(|field| field == "environments");
    if !expanded {
        return Ok(Json(represent(&project, None)));
    }
    let items: Vec<_> = environments
        .iter()
        .map(|environment| environment::represent(&caller.actor, &project, environment))
        .collect();
    let listed = json!({"items": items, "totalCount": items.len()});
    Ok(Json(represent(&project, Some(listed))))
}

async fn create(
    State(app): State<SharedApp>,
    caller: Caller,
    body: JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let post: ProjectPost = body.read()?;
    let availability = post.default_client_side_availability.unwrap_or(ClientSideAvailability {
        using_environment_id: post.include_in_snippet_by_default.unwrap_or(false),
        using_mobile_key: true,
    });
    let new = NewProject {
        key: post.key,
        name: post.name,
        tags: post.tags,
        new_flag_availability: availability,
        environments: post
            .environments
            .into_iter()
            .map(EnvironmentPost::into_new)
            .collect::<Result<_, _>>()?,
    };
    let (project, environments) = rules::create(&app, &caller.actor, &new).await?;
    Ok((StatusCode::CREATED, Json(whole(&caller, &project, &environments))))
}

async fn patch(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(key): Keys<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let operations: Vec<Operation> = body.read_list()?;
    let (project, environments) =
        rules::update(&app, &caller.actor, &key, |project| edit(project, &operations)).await?;
    Ok(Json(whole(&caller, &project, &environments)))
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(key): Keys<String>,
) -> Result<StatusCode, ApiError> {
    rules::delete(&app, &caller.actor, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What of a project a patch may change.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changeable {
    name: String,
    tags: Vec<String>,
    include_in_snippet_by_default: bool,
    default_client_side_availability: ClientSideAvailability,
}

fn edit(project: &mut Project, operations: &[Operation]) -> Result<(), ChangeError> {
    let names = ["name", "tags", "includeInSnippetByDefault", "defaultClientSideAvailability"];
    let changed: Changeable = patched(&represent(project, None), operations, &names)?;
    project.name = changed.name;
    project.tags = changed.tags;
    let old = project.new_flag_availability;
    project.new_flag_availability = changed.default_client_side_availability;
    // The older name of one half of it.
    if changed.include_in_snippet_by_default != old.using_environment_id {
        project.new_flag_availability.using_environment_id = changed.include_in_snippet_by_default;
    }
    Ok(())
}

fn whole(caller: &Caller, project: &Project, environments: &[Environment]) -> Value {
    let environments = environments
        .iter()
        .map(|environment| environment::represent(&caller.actor, project, environment))
        .collect();
    represent(project, Some(Value::Array(environments)))
}

fn represent(project: &Project, environments: Option<Value>) -> Value {
    let path = format!("/api/v2/projects/{}", part(&project.key));
    let mut value = json!({
        "_links": {
            "self": link(&path),
            "environments": link(format!("{path}/environments")),
            "flags": link(format!("/api/v2/flags/{}", part(&project.key))),
        },
        "_id": project.public_id,
        "key": project.key,
        "name": project.name,
        "tags": project.tags,
        "includeInSnippetByDefault": project.new_flag_availability.using_environment_id,
        "defaultClientSideAvailability": project.new_flag_availability,
    });
    if let Some(environments) = environments {
        value["environments"] = environments;
    }
    value
}

//! Payload filters: `/api/v2/projects/{project}/payload-filters`. The published document has none; the shape
//! is that of its siblings.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::JsonBody;
use super::json_patch::Operation;
use super::link::{link, part};
use super::params::Params;
use super::patch::patched;
use crate::SharedApp;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::ChangeError;
use crate::management::payload_filter::{self as rules, NewPayloadFilter};
use crate::store::payload_filter::{Condition, PayloadFilter};

pub(super) fn router() -> Router<SharedApp> {
    const PATH: &str = "/api/v2/projects/{project}/payload-filters";
    Router::new()
        .route(PATH, get(list).post(create))
        .route(&format!("{PATH}/{{filter}}"), get(one).patch(patch).delete(delete))
}

#[derive(Deserialize)]
struct PayloadFilterPost {
    key: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: String,
    conditions: Vec<Condition>,
}

async fn list(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(project): Keys<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let page = params.page(20)?;
    let filters = rules::list(&app, &project).await?;
    Ok(Json(params.paged(page, &filters, |filter| represent(&project, filter))))
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    Ok(Json(represent(&project, &rules::get(&app, &project, &key).await?)))
}

async fn create(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(project): Keys<String>,
    body: JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let PayloadFilterPost { key, name, description, conditions } = body.read()?;
    let name = name.unwrap_or_else(|| key.clone());
    let new = NewPayloadFilter { key, name, description, conditions };
    let filter = rules::create(&app, &caller.actor, &project, &new).await?;
    Ok((StatusCode::CREATED, Json(represent(&project, &filter))))
}

async fn patch(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let operations: Vec<Operation> = body.read_list()?;
    let filter =
        rules::update(&app, &caller.actor, &project, &key, |filter| edit(filter, &operations)).await?;
    Ok(Json(represent(&project, &filter)))
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
) -> Result<StatusCode, ApiError> {
    rules::delete(&app, &caller.actor, &project, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What of a payload filter a patch may change.
#[derive(Deserialize)]
struct Changeable {
    name: String,
    description: String,
    conditions: Vec<Condition>,
}

fn edit(filter: &mut PayloadFilter, operations: &[Operation]) -> Result<(), ChangeError> {
    let changed: Changeable = patched(&settings(filter), operations, &["name", "description", "conditions"])?;
    filter.name = changed.name;
    filter.description = changed.description;
    filter.conditions = changed.conditions;
    Ok(())
}

fn settings(filter: &PayloadFilter) -> Value {
    json!({
        "_id": filter.public_id,
        "_version": filter.version,
        "key": filter.key,
        "name": filter.name,
        "description": filter.description,
        "conditions": filter.conditions,
        "creationDate": filter.created_at,
    })
}

fn represent(project_key: &str, filter: &PayloadFilter) -> Value {
    let path = format!("/api/v2/projects/{}/payload-filters/{}", part(project_key), part(&filter.key));
    let mut value = settings(filter);
    value["_links"] = json!({"self": link(path)});
    value
}

//! Metrics: `/api/v2/metrics/{project}`.

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
use crate::management::{ChangeError, metric as rules};
use crate::store::metric::{Metric, Page};

pub(super) fn router() -> Router<SharedApp> {
    const PATH: &str = "/api/v2/metrics/{project}";
    Router::new()
        .route(PATH, get(list).post(create))
        .route(&format!("{PATH}/{{metric}}"), get(one).patch(patch).delete(delete))
}

/// Which way is better.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
enum Success {
    #[default]
    HigherThanBaseline,
    LowerThanBaseline,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricPost {
    key: String,
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    selector: String,
    #[serde(default)]
    urls: Vec<Page>,
    #[serde(default)]
    is_numeric: bool,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    event_key: String,
    #[serde(default)]
    success_criteria: Success,
    #[serde(default)]
    tags: Vec<String>,
}

async fn list(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(project): Keys<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let page = params.page(20)?;
    let metrics = rules::list(&app, &project).await?;
    Ok(Json(params.paged(page, &metrics, |metric| represent(&project, metric))))
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
    let post: MetricPost = body.read()?;
    let new = Metric {
        public_id: String::new(),
        project_id: 0,
        name: post.name.unwrap_or_else(|| post.key.clone()),
        key: post.key,
        description: post.description,
        kind: post.kind,
        event_key: post.event_key,
        is_numeric: post.is_numeric,
        unit: post.unit,
        higher_is_better: post.success_criteria == Success::HigherThanBaseline,
        selector: post.selector,
        pages: post.urls,
        tags: post.tags,
        version: 0,
        created_at: 0,
    };
    let metric = rules::create(&app, &caller.actor, &project, new).await?;
    Ok((StatusCode::CREATED, Json(represent(&project, &metric))))
}

async fn patch(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let operations: Vec<Operation> = body.read_list()?;
    let metric =
        rules::update(&app, &caller.actor, &project, &key, |metric| edit(metric, &operations)).await?;
    Ok(Json(represent(&project, &metric)))
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, key)): Keys<(String, String)>,
) -> Result<StatusCode, ApiError> {
    rules::delete(&app, &caller.actor, &project, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What of a metric a patch may change.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changeable {
    name: String,
    description: String,
    event_key: String,
    is_numeric: bool,
    unit: String,
    success_criteria: Success,
    selector: String,
    urls: Vec<Page>,
    tags: Vec<String>,
}

const CHANGEABLE: [&str; 9] =
    ["name", "description", "eventKey", "isNumeric", "unit", "successCriteria", "selector", "urls", "tags"];

fn edit(metric: &mut Metric, operations: &[Operation]) -> Result<(), ChangeError> {
    let changed: Changeable = patched(&settings(metric), operations, &CHANGEABLE)?;
    metric.name = changed.name;
    metric.description = changed.description;
    metric.event_key = changed.event_key;
    metric.is_numeric = changed.is_numeric;
    metric.unit = changed.unit;
    metric.higher_is_better = changed.success_criteria == Success::HigherThanBaseline;
    metric.selector = changed.selector;
    metric.pages = changed.urls;
    metric.tags = changed.tags;
    Ok(())
}

fn settings(metric: &Metric) -> Value {
    let success = if metric.higher_is_better { "HigherThanBaseline" } else { "LowerThanBaseline" };
    json!({
        "_id": metric.public_id,
        "_versionId": format!("{}-{}", metric.public_id, metric.version),
        "_version": metric.version,
        "_creationDate": metric.created_at,
        "key": metric.key,
        "name": metric.name,
        "description": metric.description,
        "kind": metric.kind,
        "eventKey": metric.event_key,
        "isNumeric": metric.is_numeric,
        "unit": metric.unit,
        "successCriteria": success,
        "selector": metric.selector,
        "urls": metric.pages,
        "tags": metric.tags,
        // Events come from SDKs alone.
        "dataSource": {"key": "sdk"},
    })
}

fn represent(project_key: &str, metric: &Metric) -> Value {
    let path = format!("/api/v2/metrics/{}/{}", part(project_key), part(&metric.key));
    let mut value = settings(metric);
    value["_links"] = json!({"self": link(path)});
    value
}

//! What relays configure themselves with: `/api/v2/account/relay-auto-configs`. The key is in the answer that
//! makes it, and never again.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access_token::represent_member;
use super::body::JsonBody;
use super::json_patch::Operation;
use super::params::Params;
use super::patch::{patched, read_json_patch};
use crate::SharedApp;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::ChangeError;
use crate::management::relay_auto_config::{self as rules, NewRelayAutoConfig};
use crate::store::member::{self, Member};
use crate::store::relay_auto_config::{RelayAutoConfig, Statement};

pub(super) fn router() -> Router<SharedApp> {
    const PATH: &str = "/api/v2/account/relay-auto-configs";
    Router::new()
        .route(PATH, get(list).post(create))
        .route(&format!("{PATH}/{{id}}"), get(one).patch(patch).delete(delete))
        .route(&format!("{PATH}/{{id}}/reset"), post(reset))
}

#[derive(Deserialize)]
struct ConfigPost {
    name: String,
    policy: Vec<Statement>,
}

async fn list(State(app): State<SharedApp>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let configs = rules::list(&app, &caller.actor).await?;
    let members = members(&app).await?;
    let items: Vec<_> = configs.iter().map(|config| represent(config, &members, None)).collect();
    Ok(Json(json!({"items": items})))
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(id): Keys<String>,
) -> Result<Json<Value>, ApiError> {
    let config = rules::get(&app, &caller.actor, &id).await?;
    Ok(Json(represent(&config, &members(&app).await?, None)))
}

async fn create(
    State(app): State<SharedApp>,
    caller: Caller,
    body: JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let ConfigPost { name, policy } = body.read()?;
    let (config, minted) = rules::create(&app, &caller.actor, &NewRelayAutoConfig { name, policy }).await?;
    Ok((StatusCode::CREATED, Json(represent(&config, &members(&app).await?, Some(&minted.secret)))))
}

async fn patch(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(id): Keys<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let (operations, comment) = read_json_patch(&body)?;
    let edit = |config: &mut RelayAutoConfig| edit(config, &operations);
    let config = rules::update(&app, &caller.actor, &id, &comment, edit).await?;
    Ok(Json(represent(&config, &members(&app).await?, None)))
}

async fn reset(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(id): Keys<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let (config, minted) = rules::reset(&app, &caller.actor, &id, params.expiry()?).await?;
    Ok(Json(represent(&config, &members(&app).await?, Some(&minted.secret))))
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(id): Keys<String>,
) -> Result<StatusCode, ApiError> {
    rules::delete(&app, &caller.actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What of a configuration a patch may change.
#[derive(Deserialize)]
struct Changeable {
    name: String,
    policy: Vec<Statement>,
}

fn edit(config: &mut RelayAutoConfig, operations: &[Operation]) -> Result<(), ChangeError> {
    let changed: Changeable = patched(&represent(config, &[], None), operations, &["name", "policy"])?;
    config.name = changed.name;
    config.policy = changed.policy;
    Ok(())
}

async fn members(app: &SharedApp) -> Result<Vec<Member>, ApiError> {
    Ok(member::list(&mut *app.store.read().await?).await?)
}

/// With the key only when it was just made; else its last characters.
fn represent(config: &RelayAutoConfig, members: &[Member], key: Option<&str>) -> Value {
    let mut value = json!({
        "_id": config.public_id,
        "name": config.name,
        "policy": config.policy,
        "displayKey": config.key_end,
        "creationDate": config.created_at,
        "lastModified": config.changed_at,
    });
    if let Some(key) = key {
        value["fullKey"] = json!(key);
    }
    if let Some(creator) = members.iter().find(|member| Some(member.id) == config.member_id) {
        value["_creator"] = represent_member(creator);
    }
    value
}

//! Access tokens: `/api/v2/tokens`. The secret is in the answer that makes it, and never again.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::JsonBody;
use super::json_patch::Operation;
use super::link::link;
use super::params::Params;
use super::patch::patched;
use super::version;
use crate::SharedApp;
use crate::auth::{Caller, Role};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::ChangeError;
use crate::management::access_token::{self as rules, NewAccessToken};
use crate::store::access_token::AccessToken;
use crate::store::member::{self, Member};

pub(super) fn router() -> Router<SharedApp> {
    Router::new()
        .route("/api/v2/tokens", get(list).post(create))
        .route("/api/v2/tokens/{id}", get(one).patch(patch).delete(delete))
        .route("/api/v2/tokens/{id}/reset", post(reset))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenPost {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    service_token: bool,
    #[serde(default)]
    custom_role_ids: Vec<Value>,
    #[serde(default)]
    inline_role: Vec<Value>,
    #[serde(default)]
    default_api_version: Option<u32>,
}

async fn list(State(app): State<SharedApp>, caller: Caller, params: Params) -> Result<Json<Value>, ApiError> {
    let page = params.page(25)?;
    let tokens = rules::list(&app, &caller.actor, params.flag("showAll", false)?).await?;
    let members = members(&app).await?;
    Ok(Json(params.paged(page, &tokens, |token| represent(token, &members, None))))
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(id): Keys<String>,
) -> Result<Json<Value>, ApiError> {
    let token = rules::get(&app, &caller.actor, &id).await?;
    Ok(Json(represent(&token, &members(&app).await?, None)))
}

async fn create(
    State(app): State<SharedApp>,
    caller: Caller,
    body: JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let post: TokenPost = body.read()?;
    if !post.custom_role_ids.is_empty() || !post.inline_role.is_empty() {
        let message = "there are no custom or inline roles here; give `role`: reader, writer, admin or owner";
        return Err(ApiError::bad_request(message));
    }
    if let Some(other) = post.default_api_version.filter(|version| *version != version::CURRENT) {
        let message =
            format!("defaultApiVersion: version {other} is not served here; it is {}", version::CURRENT);
        return Err(ApiError::bad_request(message));
    }
    let role = post
        .role
        .ok_or_else(|| ApiError::bad_request("role: a role is needed: reader, writer, admin or owner"))?;
    let new = NewAccessToken {
        name: post.name,
        description: post.description,
        role: parse_role(&role)?,
        is_service: post.service_token,
    };
    let (token, minted) = rules::create(&app, &caller.actor, caller.member.id, &new).await?;
    let shown = represent(&token, &members(&app).await?, Some(&minted.secret));
    Ok((StatusCode::CREATED, Json(shown)))
}

async fn patch(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(id): Keys<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let operations: Vec<Operation> = body.read_list()?;
    let token = rules::update(&app, &caller.actor, &id, |token| edit(token, &operations)).await?;
    Ok(Json(represent(&token, &members(&app).await?, None)))
}

async fn reset(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(id): Keys<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    if params.get("expiry").is_some() {
        let message =
            "an old token cannot be kept until a time; leave `expiry` out, and it stops working at once";
        return Err(ApiError::bad_request(message));
    }
    let (token, minted) = rules::reset(&app, &caller.actor, &id).await?;
    Ok(Json(represent(&token, &members(&app).await?, Some(&minted.secret))))
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(id): Keys<String>,
) -> Result<StatusCode, ApiError> {
    rules::delete(&app, &caller.actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What of a token a patch may change.
#[derive(Deserialize)]
struct Changeable {
    name: String,
    description: String,
    role: String,
}

fn edit(token: &mut AccessToken, operations: &[Operation]) -> Result<(), ChangeError> {
    let changed: Changeable =
        patched(&represent(token, &[], None), operations, &["name", "description", "role"])?;
    token.name = changed.name;
    token.description = changed.description;
    token.role = parse_role(&changed.role)?;
    Ok(())
}

fn parse_role(text: &str) -> Result<Role, ChangeError> {
    Role::parse(text).ok_or_else(|| {
        let shown = text.escape_debug();
        ChangeError::invalid(
            "role",
            format!("`{shown}` is not a role; there are reader, writer, admin and owner"),
        )
    })
}

async fn members(app: &SharedApp) -> Result<Vec<Member>, ApiError> {
    Ok(member::list(&mut *app.store.read().await?).await?)
}

/// With the secret only when it was just made; else its last characters.
fn represent(token: &AccessToken, members: &[Member], secret: Option<&str>) -> Value {
    let member = members.iter().find(|member| member.id == token.member_id);
    let member_id = member.map(|member| member.public_id.as_str()).unwrap_or_default();
    let mut value = json!({
        "_links": {
            "self": link(format!("/api/v2/tokens/{}", token.public_id)),
            "parent": link("/api/v2/tokens"),
        },
        "_id": token.public_id,
        "ownerId": member_id,
        "memberId": member_id,
        "name": token.name,
        "description": token.description,
        "role": token.role,
        "token": secret.unwrap_or(&token.token_end),
        "serviceToken": token.is_service,
        "creationDate": token.created_at,
        "lastModified": token.changed_at,
        "lastUsed": token.last_used_at.unwrap_or(0),
        "defaultApiVersion": version::CURRENT,
        "customRoleIds": [],
        "inlineRole": [],
    });
    if let Some(member) = member {
        value["_member"] = represent_member(member);
    }
    value
}

/// A member, in short.
pub(super) fn represent_member(member: &Member) -> Value {
    json!({
        "_links": {"self": link(format!("/api/v2/members/{}", member.public_id))},
        "_id": member.public_id,
        "firstName": member.first_name,
        "lastName": member.last_name,
        "role": member.role,
        "email": member.email,
    })
}

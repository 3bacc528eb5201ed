//! What there is, who asks, and which version: `/api/v2`, `/api/v2/caller-identity`,
//! `/api/v2/versions`.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::link::link;
use super::version;
use crate::SharedApp;
use crate::auth::Caller;

pub(super) fn router() -> Router<SharedApp> {
    Router::new()
        .route("/api/v2", get(root))
        .route("/api/v2/", get(root))
        .route("/api/v2/caller-identity", get(caller_identity))
        .route("/api/v2/versions", get(versions))
}

async fn root() -> Json<Value> {
    Json(json!({"links": {
        "self": link("/api/v2"),
        "caller-identity": link("/api/v2/caller-identity"),
        "flags": link("/api/v2/flags"),
        "projects": link("/api/v2/projects"),
        "tokens": link("/api/v2/tokens"),
        "versions": link("/api/v2/versions"),
    }}))
}

async fn caller_identity(caller: Caller) -> Json<Value> {
    Json(json!({
        "authKind": "token",
        "tokenKind": if caller.token.is_service { "service" } else { "personal" },
        "tokenName": caller.token.name,
        "tokenId": caller.token.public_id,
        "memberId": caller.member.public_id,
        "serviceToken": caller.token.is_service,
    }))
}

async fn versions(_: Caller) -> Json<Value> {
    let current = version::CURRENT;
    Json(
        json!({"validVersions": [current], "latestVersion": current, "currentVersion": current, "beta": false}),
    )
}

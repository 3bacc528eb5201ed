//! Access tokens over the admin API.

use serde_json::json;

use crate::rest::assert_refused;
use crate::support::Service;

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_is_deleted() {
    let service = Service::demo().await;
    let made = service.rest("POST", "/api/v2/tokens", Some(json!({"name": "ci", "role": "writer"}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let (id, token) = (made["_id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert!(token.starts_with("api-") && token.len() >= 4 + 64, "256 bits: {token}");
    let path = format!("/api/v2/tokens/{id}");
    for shown in [service.rest("GET", &path, None).await, service.rest("GET", "/api/v2/tokens", None).await] {
        let text = String::from_utf8(shown.body).unwrap();
        assert!(!text.contains(token), "the secret is shown again");
        assert!(text.contains(&token[token.len() - 4..]));
    }
    assert_eq!(service.rest_as(token, "GET", "/api/v2/projects", None).await.status, 200);
    let who = service.rest_as(token, "GET", "/api/v2/caller-identity", None).await.json();
    assert_eq!((&who["tokenName"], &who["tokenId"]), (&json!("ci"), &json!(id)));
    let reset = service.rest("POST", &format!("{path}/reset"), None).await.json();
    let renewed = reset["token"].as_str().unwrap();
    assert_eq!(service.rest_as(token, "GET", "/api/v2/projects", None).await.status, 401);
    assert_eq!(service.rest_as(renewed, "GET", "/api/v2/projects", None).await.status, 200);
    assert_eq!(service.rest("DELETE", &path, None).await.status, 204);
    assert_eq!(service.rest_as(renewed, "GET", "/api/v2/projects", None).await.status, 401);
    assert_refused(&service.rest("GET", &path, None).await, 404, "not_found", id);
}

#[tokio::test]
async fn a_token_may_be_renamed_and_given_another_role() {
    let service = Service::demo().await;
    let made = service
        .rest("POST", "/api/v2/tokens", Some(json!({"role": "admin", "serviceToken": true})))
        .await
        .json();
    let path = format!("/api/v2/tokens/{}", made["_id"].as_str().unwrap());
    let patch = json!([
        {"op": "replace", "path": "/name", "value": "nightly"},
        {"op": "replace", "path": "/role", "value": "reader"},
    ]);
    let patched = service.rest("PATCH", &path, Some(patch)).await.json();
    assert_eq!((&patched["name"], &patched["role"]), (&json!("nightly"), &json!("reader")));
    let token = made["token"].as_str().unwrap();
    let answer = service.rest_as(token, "DELETE", "/api/v2/flags/demo/checkout-redesign", None).await;
    assert_refused(
        &answer,
        403,
        "forbidden",
        "the role `reader` may not change flags; it takes at least `writer`",
    );
    let steal = json!([{"op": "replace", "path": "/token", "value": "api-mine"}]);
    assert_refused(
        &service.rest("PATCH", &path, Some(steal)).await,
        400,
        "invalid_request",
        "`/token` cannot be changed",
    );
}

#[tokio::test]
async fn nobody_makes_a_token_that_may_more_than_they_do() {
    let service = Service::demo().await;
    let made = service.rest("POST", "/api/v2/tokens", Some(json!({"role": "writer"}))).await.json();
    let writer = made["token"].as_str().unwrap();
    let answer = service.rest_as(writer, "POST", "/api/v2/tokens", Some(json!({"role": "admin"}))).await;
    assert_refused(&answer, 400, "invalid_request", "at most your own role, `writer`");
    let raise = json!([{"op": "replace", "path": "/role", "value": "owner"}]);
    let path = format!("/api/v2/tokens/{}", made["_id"].as_str().unwrap());
    let answer = service.rest_as(writer, "PATCH", &path, Some(raise)).await;
    assert_refused(&answer, 400, "invalid_request", "at most your own role");
    let answer = service.rest_as(writer, "GET", "/api/v2/tokens?showAll=true", None).await;
    assert_refused(&answer, 403, "forbidden", "of others");
    for (body, said) in [
        (json!({}), "role: a role is needed"),
        (json!({"role": "king"}), "`king` is not a role"),
        (json!({"role": "reader", "customRoleIds": ["x"]}), "no custom"),
        (json!({"role": "reader", "defaultApiVersion": 20160426}), "20160426"),
    ] {
        assert_refused(
            &service.rest("POST", "/api/v2/tokens", Some(body)).await,
            400,
            "invalid_request",
            said,
        );
    }
}

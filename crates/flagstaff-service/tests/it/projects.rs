//! Projects and environments over the admin API.

use flagstaff_service::store::environment;
use serde_json::json;

use crate::engine;
use crate::rest::assert_refused;
use crate::support::Service;

#[tokio::test]
async fn a_project_is_made_changed_and_deleted() {
    let service = Service::demo().await;
    let made = service
        .rest("POST", "/api/v2/projects", Some(json!({"key": "shop-2", "name": "Second", "tags": ["x"]})))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let environments: Vec<_> =
        made["environments"].as_array().unwrap().iter().map(|known| &known["key"]).collect();
    assert_eq!(environments, ["production", "test"]);
    assert_eq!(made["_id"].as_str().unwrap().len(), 24);
    let list = service.rest("GET", "/api/v2/projects", None).await.json();
    assert_eq!((&list["totalCount"], &list["items"][1]["key"]), (&json!(2), &json!("shop-2")));
    let patch = json!([
        {"op": "replace", "path": "/name", "value": "Other"},
        {"op": "add", "path": "/tags/0", "value": "y"},
        {"op": "replace", "path": "/defaultClientSideAvailability/usingEnvironmentId", "value": true},
    ]);
    let patched = service.rest("PATCH", "/api/v2/projects/shop-2", Some(patch)).await.json();
    assert_eq!((&patched["name"], &patched["tags"]), (&json!("Other"), &json!(["y", "x"])));
    assert_eq!(patched["includeInSnippetByDefault"], true);
    assert_eq!(patched, {
        let mut shown = service.rest("GET", "/api/v2/projects/shop-2?expand=environments", None).await.json();
        shown["environments"] = shown["environments"]["items"].clone();
        shown
    });
    assert_eq!(service.rest("DELETE", "/api/v2/projects/shop-2", None).await.status, 204);
    let gone = service.rest("GET", "/api/v2/projects/shop-2", None).await;
    assert_refused(&gone, 404, "not_found", "there is no project `shop-2`");
}

#[tokio::test]
async fn a_project_that_breaks_a_rule_is_refused() {
    let service = Service::demo().await;
    let post = async |body| service.rest("POST", "/api/v2/projects", Some(body)).await;
    let answer = post(json!({"key": "demo", "name": "Again"})).await;
    assert_refused(&answer, 409, "conflict", "project `demo` exists already");
    assert_refused(
        &post(json!({"key": "ä", "name": "Umlaut"})).await,
        400,
        "invalid_request",
        "`ä` is not a key",
    );
    let twice = json!({"key": "a", "name": "A", "environments": [
        {"key": "e", "name": "E", "color": "000000"}, {"key": "e", "name": "F", "color": "000000"},
    ]});
    assert_refused(&post(twice).await, 409, "conflict", "environment `e` exists already in project `a`");
    assert_eq!(
        service.rest("GET", "/api/v2/projects", None).await.json()["totalCount"],
        1,
        "nothing half-made"
    );
    let patch = json!([{"op": "replace", "path": "/key", "value": "other"}]);
    let answer = service.rest("PATCH", "/api/v2/projects/demo", Some(patch)).await;
    assert_refused(&answer, 400, "invalid_request", "`/key` cannot be changed");
    let answer = service.rest("DELETE", "/api/v2/projects/demo", None).await;
    assert_refused(&answer, 409, "conflict", "the only project `demo`");
}

#[tokio::test]
async fn a_new_environment_has_every_flag_and_keys_of_its_own() {
    let service = Service::demo().await;
    let body = json!({"key": "qa", "name": "QA", "color": "ff0000", "requireComments": true});
    let made = service.rest("POST", "/api/v2/projects/demo/environments", Some(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let sdk_key = made["apiKey"].as_str().unwrap();
    assert!(sdk_key.starts_with("sdk-") && made["mobileKey"].as_str().unwrap().starts_with("mob-"));
    assert_eq!(made["_id"].as_str().unwrap().len(), 24);
    let polled = service.request("GET", "/sdk/latest-all", &[("authorization", sdk_key)], b"").await;
    assert_eq!(polled.header("x-ld-envid"), made["_id"].as_str());
    let flags = polled.json()["flags"].as_object().unwrap().clone();
    assert_eq!(flags.len(), 8);
    assert!(flags.values().all(|flag| flag["on"] == false));
    let flip = json!([{"op": "replace", "path": "/environments/qa/on", "value": true}]);
    let answer = service.rest("PATCH", "/api/v2/flags/demo/new-payments", Some(flip.clone())).await;
    assert_refused(&answer, 400, "invalid_request", "environment `qa` requires a comment");
    let said = json!({"patch": flip, "comment": "because"});
    assert_eq!(service.rest("PATCH", "/api/v2/flags/demo/new-payments", Some(said)).await.status, 200);
    let flag = json!({"key": "brand-new", "name": "Brand new"});
    assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(flag)).await.status, 201, "needs no comment");
}

#[tokio::test]
async fn an_environment_is_changed_and_deleted() {
    let service = Service::demo().await;
    const PATH: &str = "/api/v2/projects/demo/environments/staging";
    let patch = json!([
        {"op": "replace", "path": "/name", "value": "Stage"},
        {"op": "replace", "path": "/color", "value": "00ff00"},
        {"op": "replace", "path": "/secureMode", "value": true},
    ]);
    let patched = service.rest("PATCH", PATH, Some(patch)).await.json();
    assert_eq!(
        (&patched["name"], &patched["color"], &patched["secureMode"]),
        (&json!("Stage"), &json!("00ff00"), &json!(true))
    );
    assert_eq!(service.rest("GET", PATH, None).await.json(), patched);
    for (path, value, said) in [
        ("/color", json!("red"), "`red` is not a colour"),
        ("/defaultTtl", json!(61), "from 0 to 60"),
        ("/apiKey", json!("sdk-mine"), "there is nothing at `/apiKey`"),
        ("/key", json!("other"), "`/key` cannot be changed"),
    ] {
        let patch = json!([{"op": "replace", "path": path, "value": value}]);
        assert_refused(&service.rest("PATCH", PATH, Some(patch)).await, 400, "invalid_request", said);
    }
    assert_eq!(service.rest("DELETE", PATH, None).await.status, 204);
    assert_refused(&service.rest("GET", PATH, None).await, 404, "not_found", "staging");
    let last = service.rest("DELETE", "/api/v2/projects/demo/environments/production", None).await;
    assert_refused(&last, 409, "conflict", "the only environment `production`");
}

#[tokio::test]
async fn a_reset_sdk_key_stops_the_old_one_at_once() {
    let service = Service::demo().await;
    let reset = service.rest("POST", "/api/v2/projects/demo/environments/staging/apiKey", None).await;
    let new = reset.json()["apiKey"].as_str().unwrap().to_owned();
    let poll = async |key: &str| {
        service.request("GET", "/sdk/latest-all", &[("authorization", key)], b"").await.status
    };
    assert_eq!((poll("sdk-demo-staging").await, poll(&new).await), (401, 200));
}

#[tokio::test]
async fn an_environment_that_was_given_the_id_of_a_deleted_one_is_not_taken_for_it() {
    let service = Service::demo().await;
    let live = &service.app().live;
    let old = live.by_sdk_key("sdk-demo-staging").unwrap();
    let mut other = old.about().environment.clone();
    other.key = "other".to_owned();
    other.sdk_key = "sdk-of-another".to_owned();
    other.mobile_key = "mob-of-another".to_owned();
    other.client_side_id = "another".to_owned();
    other.lineage = "another".to_owned();
    // Both at once, as when nobody looked between the two.
    let mut write = service.app().store.write().await.unwrap();
    environment::delete(&mut write, old.id()).await.unwrap();
    let id = environment::insert(&mut write, &other).await.unwrap();
    // PostgreSQL gives no number twice.
    assert!(id == old.id() || engine::is_postgres(), "the id is given again");
    write.commit().await.unwrap();
    service.app().catch_up().await.unwrap();
    assert!(live.by_sdk_key("sdk-demo-staging").is_none(), "a deleted environment's key still counts");
    let now = live.by_sdk_key("sdk-of-another").expect("the new environment is known");
    assert_eq!(now.about().environment.key, "other");
    assert_eq!(now.flag_count(), 0, "the flags are those of the old one");
    service.stop().await;
}

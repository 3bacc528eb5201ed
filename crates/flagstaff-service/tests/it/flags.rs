//! Flags over the admin API: list, make, read, delete.

use serde_json::{Value, json};

use crate::rest::{FLAG, TOKEN, assert_refused};
use crate::support::Service;

fn keys(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|flag| flag["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_list_has_pages_filters_and_an_order() {
    let service = Service::demo().await;
    let list = async |query: &str| {
        let answer = service.rest("GET", &format!("/api/v2/flags/demo{query}"), None).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json()
    };
    let all = list("").await;
    assert_eq!(all["totalCount"], 8);
    assert!(all["items"][0].get("environments").is_none(), "environments only when asked for");
    let page = list("?limit=3&offset=3&sort=-key").await;
    assert_eq!(keys(&page), ["recommendations", "new-payments", "instant-refunds"]);
    assert_eq!(page["_links"]["next"]["href"], "/api/v2/flags/demo?limit=3&sort=%2Dkey&offset=6");
    assert!(page["_links"].get("prev").is_some());
    for (filter, expected) in [
        ("query:CHECKOUT", vec!["checkout-redesign"]),
        ("tags:search%2Bmarketing", vec!["recommendations"]),
        ("type:permanent", vec!["exports-enabled"]),
        ("query:new,tags:payments", vec!["new-payments"]),
        ("creationDate:{%22before%22:1}", vec![]),
        ("sdkAvailability:server", vec![]),
        ("state:archived", vec![]),
    ] {
        assert_eq!(keys(&list(&format!("?filter={filter}")).await), expected, "{filter}");
    }
    assert_eq!(keys(&list("?query=wish").await), ["wish-lists"]);
    assert_eq!(keys(&list("?tag=beta").await), ["wish-lists"]);
    let shown = list("?env=production&query=wish").await;
    let environments = &shown["items"][0]["environments"];
    assert_eq!(environments.as_object().unwrap().keys().collect::<Vec<_>>(), ["production"]);
    assert!(environments["production"].get("rules").is_none(), "a summary has no rules");
    let shown = list("?env=production&env=staging&query=wish&summary=0").await;
    assert_eq!(shown["items"][0]["environments"]["production"]["rules"].as_array().unwrap().len(), 1);
    for (query, said) in [
        ("?filter=colour:red", "there is no filter `colour`"),
        ("?sort=colour", "no field `colour`"),
        ("?limit=-1", "`limit`"),
        ("?offset=x", "`offset`"),
        ("?summary=maybe", "`summary`"),
        ("?sort=targetingModifiedDate", "`env`"),
    ] {
        let answer = service.rest("GET", &format!("/api/v2/flags/demo{query}"), None).await;
        assert_refused(&answer, 400, "invalid_request", said);
    }
    let answer = service.rest("GET", "/api/v2/flags/demo?env=moon", None).await;
    assert_refused(&answer, 404, "not_found", "there is no environment `moon` in project `demo`");
}

#[tokio::test]
async fn a_new_flag_is_off_in_every_environment_and_reaches_sdks() {
    let service = Service::demo().await;
    let made =
        service.rest("POST", "/api/v2/flags/demo", Some(json!({"key": "fresh.1", "name": "Fresh"}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let flag = made.json();
    assert_eq!(
        (&flag["kind"], &flag["_version"], &flag["temporary"]),
        (&json!("boolean"), &json!(1), &json!(true))
    );
    assert_eq!(flag["_id"].as_str().unwrap().len(), 24);
    for environment in ["production", "staging"] {
        assert_eq!(flag["environments"][environment]["on"], false);
    }
    let sent = service.sdk_flag("fresh.1").await;
    assert_eq!(sent["variations"], json!([true, false]));
    assert_eq!(
        (&sent["on"], &sent["offVariation"], &sent["fallthrough"]),
        (&json!(false), &json!(1), &json!({"variation": 0}))
    );
    assert_eq!(sent["version"], flag["environments"]["production"]["version"]);
    let custom = json!({
        "key": "sizes", "name": "Sizes", "description": "How large", "tags": ["a"], "temporary": false,
        "variations": [{"value": 1, "name": "One"}, {"value": {"n": null}}, {"value": "three"}],
        "defaults": {"onVariation": 1, "offVariation": 2}, "isFlagOn": true,
        "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": false},
    });
    let made = service.rest("POST", "/api/v2/flags/demo", Some(custom)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let sent = service.sdk_flag("sizes").await;
    assert_eq!(sent["variations"], json!([1, {"n": null}, "three"]));
    assert_eq!((&sent["on"], &sent["fallthrough"]), (&json!(true), &json!({"variation": 1})));
    assert_eq!(sent["clientSideAvailability"], json!({"usingEnvironmentId": true, "usingMobileKey": false}));
}

#[tokio::test]
async fn a_flag_that_breaks_a_rule_is_not_made() {
    let service = Service::demo().await;
    for (body, status, code, said) in [
        (
            json!({"key": "checkout-redesign", "name": "Again"}),
            409,
            "conflict",
            "flag `checkout-redesign` exists already in project `demo`",
        ),
        (json!({"key": "a b", "name": "Blank"}), 400, "invalid_request", "`a b` is not a key"),
        (json!({"key": "a\u{0}b", "name": "NUL"}), 400, "invalid_request", "is not a key"),
        (json!({"key": "", "name": "None"}), 400, "invalid_request", "a key is needed"),
        (json!({"key": "a", "name": " "}), 400, "invalid_request", "name: a name is needed"),
        (
            json!({"key": "a", "name": "A", "defaults": {"onVariation": 2, "offVariation": 0}}),
            400,
            "invalid_request",
            "defaults.onVariation: there is no variation 2; the flag has 2",
        ),
        (json!({"key": "a", "name": 5}), 400, "invalid_request", "string"),
        (
            json!({"key": "a", "name": "A", "initialPrerequisites": [{"key": "wish-lists", "variationId": "x"}]}),
            400,
            "invalid_request",
            "send the semantic patch instruction `addPrerequisite`",
        ),
        (
            json!({"key": "a", "name": "A", "migrationSettings": {"stageCount": 4}}),
            400,
            "invalid_request",
            "give the stages as text variations",
        ),
    ] {
        let answer = service.rest("POST", "/api/v2/flags/demo", Some(body)).await;
        assert_refused(&answer, status, code, said);
    }
    let answer = service.rest("POST", "/api/v2/flags/moon", Some(json!({"key": "a", "name": "A"}))).await;
    assert_refused(&answer, 404, "not_found", "there is no project `moon`");
    assert_eq!(service.rest("GET", "/api/v2/flags/demo", None).await.json()["totalCount"], 8);
}

#[tokio::test]
async fn a_deleted_and_remade_flag_has_a_higher_version() {
    let service = Service::demo().await;
    let before = service.sdk_flag("checkout-redesign").await["version"].as_u64().unwrap();
    let deleted = service.rest("DELETE", FLAG, None).await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_refused(
        &service.rest("GET", FLAG, None).await,
        404,
        "not_found",
        "there is no flag `checkout-redesign`",
    );
    assert_refused(&service.rest("DELETE", FLAG, None).await, 404, "not_found", "checkout-redesign");
    let new = json!({"key": "checkout-redesign", "name": "Anew"});
    assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(new)).await.status, 201);
    let after = service.sdk_flag("checkout-redesign").await["version"].as_u64().unwrap();
    assert!(after > before + 1, "{after} is above the deletion, which is above {before}");
}

#[tokio::test]
async fn a_prerequisite_cannot_be_deleted() {
    let service = Service::demo().await;
    let answer = service.rest("DELETE", "/api/v2/flags/demo/new-payments", None).await;
    assert_refused(&answer, 409, "conflict", "is used by flag `instant-refunds` as a prerequisite");
    assert_eq!(service.sdk_flag("new-payments").await["key"], "new-payments");
}

#[tokio::test]
async fn a_stale_writer_is_told_the_current_version() {
    let service = Service::demo().await;
    let flip = async |if_match: &str, on: bool| {
        let patch = json!([{"op": "replace", "path": "/environments/production/on", "value": on}]);
        let headers =
            [("authorization", TOKEN), ("content-type", "application/json"), ("if-match", if_match)];
        service.request("PATCH", FLAG, &headers, patch.to_string().as_bytes()).await
    };
    let first = flip("\"2\"", true).await;
    assert_eq!((first.status, first.header("etag")), (200, Some("\"3\"")));
    let stale = flip("\"2\"", false).await;
    assert_refused(
        &stale,
        409,
        "optimistic_locking_error",
        "is at version 3, but the change was made against version 2",
    );
    assert_eq!(stale.json()["current"]["version"], 3);
    assert_refused(&flip("soon", false).await, 400, "invalid_request", "`If-Match`");
    assert_eq!(flip("*", false).await.status, 200);
}

#[tokio::test]
async fn two_writers_at_once_both_count() {
    let service = Service::demo().await;
    let add = async |user: usize| {
        let flag = service.flag("wish-lists").await;
        let variation = flag["variations"][0]["_id"].clone();
        let instruction =
            json!([{"kind": "addTargets", "variationId": variation, "values": [format!("user-{user}")]}]);
        assert_eq!(service.instruct("wish-lists", instruction).await.status, 200);
    };
    tokio::join!(add(0), add(1), add(2), add(3), add(4), add(5));
    let targets = service.sdk_flag("wish-lists").await["targets"].clone();
    let values = targets[0]["values"].as_array().unwrap();
    assert_eq!(values.len(), 2 + 6, "{values:?}");
}

#[tokio::test]
async fn a_value_is_refused_where_it_nests_too_deep_for_readers_of_json() {
    let service = Service::demo().await;
    let nested = |levels: usize| (1..levels).fold(json!([]), |inner, _| json!([inner]));
    let make = async |key: &str, value: Value| {
        let flag = json!({"key": key, "name": "Deep", "variations": [{"value": value}, {"value": 1}]});
        service.rest("POST", "/api/v2/flags/demo", Some(flag)).await
    };
    assert_eq!(make("deep", nested(64)).await.status, 201);
    let said = "variations[0].value: a value is at most 64 levels deep, this one has 65";
    assert_refused(&make("deeper", nested(65)).await, 400, "invalid_request", said);
    let clause = json!({"attribute": "a", "op": "in", "values": [1, nested(65)], "contextKind": "user"});
    let path = "/environments/production/rules/-";
    let patch = json!([{"op": "add", "path": path, "value": {"variation": 0, "clauses": [clause]}}]);
    assert_refused(
        &service.rest("PATCH", FLAG, Some(patch)).await,
        400,
        "invalid_request",
        "values[1]: a value is at most 64 levels deep",
    );
}

#[tokio::test]
async fn a_flag_is_looked_after_by_a_member_or_nobody() {
    let service = Service::demo().await;
    let flag = json!({"key": "lost", "name": "Lost", "maintainerId": "569f514183f2164430000002"});
    let answer = service.rest("POST", "/api/v2/flags/demo", Some(flag)).await;
    assert_refused(&answer, 400, "invalid_request", "there is no member `569f514183f2164430000002`");
}

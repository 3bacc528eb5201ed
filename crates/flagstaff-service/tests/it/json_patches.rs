//! Flags changed by JSON patch.

use serde_json::{Value, json};

use crate::rest::{FLAG, SEGMENT, assert_refused};
use crate::support::Service;

#[tokio::test]
async fn a_patch_changes_what_its_paths_name() {
    let service = Service::demo().await;
    let patch = async |flag: &str, patch: Value| {
        let answer = service.rest("PATCH", &format!("/api/v2/flags/demo/{flag}"), Some(patch)).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    let flag = patch("checkout-redesign", json!([
        {"op": "test", "path": "/environments/production/on", "value": false},
        {"op": "replace", "path": "/environments/production/on", "value": true},
        {"op": "replace", "path": "/name", "value": "One page"},
        {"op": "add", "path": "/tags/-", "value": "new"},
        {"op": "add", "path": "/environments/production/targets/-", "value": {"variation": 1, "values": ["bob"]}},
        {"op": "add", "path": "/environments/production/contextTargets/-", "value": {"contextKind": "org", "variation": 0, "values": ["acme"]}},
        {"op": "add", "path": "/environments/production/rules/-", "value": {"variation": 1, "clauses": [{"attribute": "country", "op": "in", "values": ["NO"], "negate": true, "contextKind": "user"}]}},
        {"op": "replace", "path": "/environments/production/fallthrough", "value": {"rollout": {"variations": [{"variation": 0, "weight": 40000}, {"variation": 1, "weight": 60000}]}}},
    ])).await;
    assert_eq!((&flag["name"], &flag["tags"]), (&json!("One page"), &json!(["checkout", "new"])));
    let sent = service.sdk_flag("checkout-redesign").await;
    assert_eq!(sent["on"], true);
    assert_eq!(sent["targets"], json!([{"variation": 1, "values": ["bob"]}]));
    assert_eq!(
        sent["contextTargets"],
        json!([
            {"contextKind": "org", "variation": 0, "values": ["acme"]},
            {"contextKind": "user", "variation": 1, "values": []},
        ])
    );
    assert_eq!(
        sent["rules"][0]["clauses"],
        json!([
            {"contextKind": "user", "attribute": "country", "op": "in", "values": ["NO"], "negate": true},
        ])
    );
    assert_eq!(sent["fallthrough"]["rollout"]["variations"][0], json!({"variation": 0, "weight": 40000}));
    // In place, with a comment, and back.
    let commented = json!({"comment": "back", "patch": [
        {"op": "add", "path": "/environments/production/targets/0/values/-", "value": "eve"},
        {"op": "remove", "path": "/environments/production/rules/0"},
        {"op": "replace", "path": "/environments/production/fallthrough", "value": {"variation": 1}},
    ]});
    patch("checkout-redesign", commented).await;
    let sent = service.sdk_flag("checkout-redesign").await;
    assert_eq!(sent["targets"][0]["values"], json!(["bob", "eve"]));
    assert_eq!((&sent["rules"], &sent["fallthrough"]), (&json!([]), &json!({"variation": 1})));
}

#[tokio::test]
async fn a_patch_of_the_definition_touches_every_environment_only_if_sdks_see_it() {
    let service = Service::demo().await;
    let versions = async || {
        let flag = service.flag("checkout-redesign").await;
        let version = |environment: &str| flag["environments"][environment]["version"].as_u64().unwrap();
        (version("production"), version("staging"))
    };
    let before = versions().await;
    service.rest("PATCH", FLAG, Some(json!([{"op": "replace", "path": "/description", "value": "x"}]))).await;
    assert_eq!(versions().await, before, "SDKs see no descriptions");
    service
        .rest("PATCH", FLAG, Some(json!([{"op": "replace", "path": "/variations/0/value", "value": "yes"}])))
        .await;
    let after = versions().await;
    assert!(after.0 > before.0 && after.1 > before.1);
    assert_eq!(service.sdk_flag("checkout-redesign").await["variations"], json!(["yes", false]));
}

#[tokio::test]
async fn a_failed_test_is_a_conflict_and_changes_nothing() {
    let service = Service::demo().await;
    let answer = service
        .rest(
            "PATCH",
            FLAG,
            Some(json!([
                {"op": "replace", "path": "/environments/production/on", "value": true},
                {"op": "test", "path": "/environments/staging/on", "value": false},
            ])),
        )
        .await;
    assert_refused(
        &answer,
        409,
        "conflict",
        "`/environments/staging/on` in operation 1 failed: the value there is true",
    );
    assert_eq!(service.sdk_flag("checkout-redesign").await["on"], false);
}

#[tokio::test]
async fn a_patch_that_changes_nothing_writes_nothing() {
    let service = Service::demo().await;
    let before = service.flag("checkout-redesign").await;
    let answer = service
        .rest(
            "PATCH",
            FLAG,
            Some(json!([{"op": "replace", "path": "/environments/production/on", "value": false}])),
        )
        .await;
    assert_eq!((answer.status, answer.json()), (200, before));
}

#[tokio::test]
async fn a_patch_that_is_tried_shows_what_would_come_of_it_and_keeps_nothing() {
    let service = Service::demo().await;
    for (path, patch, place) in [
        (
            FLAG,
            json!([{"op": "replace", "path": "/environments/production/on", "value": true}]),
            "/environments/production/on",
        ),
        (SEGMENT, json!([{"op": "replace", "path": "/included", "value": ["ann"]}]), "/included"),
    ] {
        let before = service.rest("GET", path, None).await.json();
        let tried = service.rest("PATCH", &format!("{path}?dryRun=true"), Some(patch.clone())).await;
        assert_eq!(tried.status, 200, "{tried:?}");
        assert_eq!(tried.json().pointer(place), patch.pointer("/0/value"), "{path}");
        assert_eq!(service.rest("GET", path, None).await.json(), before, "{path}");
        let wrong = json!([{"op": "replace", "path": "/name", "value": ""}]);
        assert_eq!(service.rest("PATCH", &format!("{path}?dryRun=true"), Some(wrong)).await.status, 400);
    }
}

#[tokio::test]
async fn a_patch_that_breaks_a_rule_says_what_and_where() {
    let service = Service::demo().await;
    let before = service.flag("checkout-redesign").await;
    let in_production = |path: &str, value: Value| json!([{"op": "add", "path": format!("/environments/production/{path}"), "value": value}]);
    let rule = |clause: Value| in_production("rules/-", json!({"variation": 0, "clauses": [clause]}));
    for (patch, said) in [
        (
            in_production("offVariation", json!(7)),
            "environments.production.offVariation: there is no variation 7; the flag has 2",
        ),
        (in_production("fallthrough", json!({})), "a variation or a rollout is needed"),
        (
            in_production(
                "fallthrough",
                json!({"rollout": {"variations": [{"variation": 0, "weight": 50000}]}}),
            ),
            "add up to 50000; they have to add up to 100000",
        ),
        (
            in_production(
                "fallthrough",
                json!({"rollout": {"variations": [{"variation": 0, "weight": 150000}, {"variation": 1, "weight": -50000}]}}),
            ),
            "a weight is from 0 to 100000",
        ),
        (
            in_production(
                "targets",
                json!([{"variation": 0, "values": ["a"]}, {"variation": 1, "values": ["a"]}]),
            ),
            "`a` is a target of variation 0 and of 1",
        ),
        (
            in_production(
                "contextTargets",
                json!([{"contextKind": "multi", "variation": 0, "values": ["a"]}]),
            ),
            "`multi` is not a context kind",
        ),
        (in_production("rules/-", json!({"variation": 0, "clauses": []})), "would match everybody"),
        (
            rule(json!({"attribute": "a", "op": "sounds like", "values": [1]})),
            "rules[0].clauses[0].op: there is no operator `sounds like`",
        ),
        (rule(json!({"attribute": "a", "op": "in", "values": []})), "at least one value"),
        (rule(json!({"attribute": "", "op": "in", "values": [1]})), "an attribute is needed"),
        (
            rule(json!({"contextKind": "user", "attribute": "/a//b", "op": "in", "values": [1]})),
            "not an attribute reference",
        ),
        (
            rule(json!({"attribute": "a", "op": "matches", "values": ["(?=x)"]})),
            "not a regular expression that SDKs understand",
        ),
        (
            in_production("prerequisites/-", json!({"key": "nothing", "variation": 0})),
            "there is no flag `nothing`",
        ),
        (
            in_production("prerequisites/-", json!({"key": "checkout-redesign", "variation": 0})),
            "its own prerequisite",
        ),
        (
            in_production("prerequisites/-", json!({"key": "new-payments", "variation": 5})),
            "there is no variation 5",
        ),
        (in_production("on", json!("yes")), "what comes out is not right"),
        (in_production("salt", json!("x")), "`/salt` cannot be changed"),
        (json!([{"op": "replace", "path": "/key", "value": "other"}]), "`/key` cannot be changed"),
        (json!([{"op": "remove", "path": "/environments/production"}]), "cannot be removed"),
        (json!([{"op": "remove", "path": "/variations/1"}]), "removeVariation"),
        (
            json!([{"op": "replace", "path": "/maintainerId", "value": "nobody"}]),
            "there is no member `nobody`",
        ),
        (
            json!([{"op": "add", "path": "/environments/moon", "value": {"on": true}}]),
            "there is no environment `moon`",
        ),
        (json!({"patch": "x"}), "the body has to be a JSON patch"),
        (json!([{"path": "/name"}]), "operation 0 of the patch: missing field `op`"),
    ] {
        let answer = service.rest("PATCH", FLAG, Some(patch.clone())).await;
        assert_refused(&answer, 400, "invalid_request", said);
    }
    assert_eq!(service.flag("checkout-redesign").await, before);
    let cycle = json!([{"op": "add", "path": "/environments/production/prerequisites/-", "value": {"key": "instant-refunds", "variation": 0}}]);
    let answer = service.rest("PATCH", "/api/v2/flags/demo/new-payments", Some(cycle)).await;
    assert_refused(
        &answer,
        400,
        "invalid_request",
        "flag `instant-refunds` has `new-payments` as a prerequisite itself",
    );
}

//! Everything out as one file, and in again.

use serde_json::{Value, json};

use crate::rest::{TOKEN, assert_refused};
use crate::support::{Answer, Service};

impl Service {
    /// The file, byte by byte.
    async fn export(&self, query: &str) -> String {
        let answer = self.rest("GET", &format!("/api/v2/export{query}"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        String::from_utf8(answer.body).unwrap()
    }

    async fn take_in(&self, path: &str, document: &Value) -> Answer {
        self.rest("POST", &format!("/api/v2/import{path}"), Some(document.clone())).await
    }

    /// As [`Service::take_in`], which has to be saved; gives how many items had which outcome.
    async fn imported(&self, path: &str, document: &Value) -> Value {
        let answer = self.take_in(path, document).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let report = answer.json();
        assert_eq!(report["saved"], true, "{report:#}");
        counts(&report)
    }

    /// Everything SDKs of an environment get, but for versions.
    async fn sent(&self, sdk_key: &str) -> Value {
        let mut all = self.request("GET", "/sdk/latest-all", &[("authorization", sdk_key)], b"").await.json();
        for kind in ["flags", "segments"] {
            for item in all[kind].as_object_mut().unwrap().values_mut() {
                item.as_object_mut().unwrap().remove("version");
            }
        }
        all
    }

    /// Makes an environment and gives its SDK key.
    async fn sdk_key(&self, project: &str, environment: &str) -> String {
        let path = format!("/api/v2/projects/{project}/environments/{environment}");
        self.rest("GET", &path, None).await.json()["apiKey"].as_str().unwrap().to_owned()
    }
}

fn counts(report: &Value) -> Value {
    let mut counts = serde_json::Map::new();
    for item in report["items"].as_array().unwrap() {
        let name = format!("{} {}", item["kind"].as_str().unwrap(), item["outcome"].as_str().unwrap());
        let count = counts.get(&name).and_then(Value::as_u64).unwrap_or(0) + 1;
        counts.insert(name, json!(count));
    }
    counts.into()
}

fn refusals(report: &Value) -> Vec<String> {
    let items = report["items"].as_array().unwrap().iter();
    let refused = items.filter(|item| item["outcome"] == "refused");
    refused
        .map(|item| format!("{}: {}", item["key"].as_str().unwrap(), item["reason"].as_str().unwrap()))
        .collect()
}

/// A plain file of flags, as SDKs read it.
fn plain(flags: Value) -> Value {
    json!({"flags": flags, "segments": {}})
}

fn boolean(key: &str) -> Value {
    json!({"key": key, "version": 7, "on": true, "variations": [true, false], "offVariation": 1,
        "fallthrough": {"variation": 0}, "salt": "salt-of-old"})
}

#[tokio::test]
async fn a_second_service_comes_back_equal_byte_by_byte() {
    let service = Service::demo().await;
    let [id] = [service.flag("shipping-banner").await["variations"][0]["_id"].clone()];
    let text = service.export("").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["flagstaff"]["project"], "demo");
    assert_eq!(document["flags"]["wish-lists"]["version"], 1);
    assert!(!text.contains("sdk-demo-production"), "keys are not in it unless asked for");

    // Into a service of the same beginnings, whose own demo flags have other ids and salts.
    let other = Service::demo().await;
    assert_ne!(other.export("").await, text);
    let again = other.take_in("", &document).await.json();
    assert_eq!(again["saved"], false, "what is there already is in the way");
    assert!(refusals(&again)[0].contains("--on-conflict"), "{again:#}");
    let counts = other.imported("?onConflict=replace", &document).await;
    assert_eq!((&counts["flag replaced"], &counts["segment replaced"]), (&json!(8), &json!(2)));
    assert_eq!(other.export("").await, text);
    assert_eq!(other.flag("shipping-banner").await["variations"][0]["_id"], id);
    assert_eq!(other.sent("sdk-demo-staging").await, service.sent("sdk-demo-staging").await);
    let counts = other.imported("", &document).await;
    assert_eq!(counts["flag unchanged"], 8);
    assert_eq!(other.export("").await, text, "nothing was changed");
}

#[tokio::test]
async fn a_project_that_is_missing_is_made_with_its_environments_and_their_keys() {
    let service = Service::demo().await;
    let mut document: Value = serde_json::from_str(&service.export("?keys=true").await).unwrap();
    let mut project = document["flagstaff"]["projects"].as_object_mut().unwrap().remove("demo").unwrap();
    for environment in project["environments"].as_array_mut().unwrap() {
        for key in ["sdkKey", "mobileKey", "clientSideId"] {
            let old = environment["keys"][key].as_str().unwrap().to_owned();
            environment["keys"][key] = json!(format!("{old}-copy"));
        }
    }
    document["flagstaff"]["projects"]["copy"] = project;
    let counts = service.imported("", &document).await;
    assert_eq!(
        counts,
        json!({"project created": 1, "environment created": 2, "metric created": 2, "segment created": 2, "flag created": 8})
    );
    for environment in ["production", "staging"] {
        let key = format!("sdk-demo-{environment}");
        assert_eq!(service.sdk_key("copy", environment).await, format!("{key}-copy"));
        assert_eq!(service.sent(&format!("{key}-copy")).await, service.sent(&key).await, "{environment}");
    }
    let path = "/api/v2/flags/copy/wish-lists";
    let copied = service.rest("GET", path, None).await.json();
    let own = service.flag("wish-lists").await;
    for name in ["name", "description", "tags", "temporary", "maintainerId", "defaults", "creationDate"] {
        assert_eq!(copied[name], own[name], "{name}");
    }
    assert_eq!(copied["environments"]["production"]["rules"], own["environments"]["production"]["rules"]);
}

#[tokio::test]
async fn one_environment_goes_into_another_and_several_do_not() {
    let service = Service::demo().await;
    let all: Value = serde_json::from_str(&service.export("?project=demo").await).unwrap();
    let refused = service.take_in("/demo/qa", &all).await;
    assert_refused(
        &refused,
        400,
        "invalid_request",
        "the file holds 2 environments (demo/production, demo/staging)",
    );
    let one: Value = serde_json::from_str(&service.export("?environment=staging").await).unwrap();
    let counts = service.imported("/demo/qa?onConflict=replace", &one).await;
    assert_eq!((&counts["environment created"], &counts["segment created"]), (&json!(1), &json!(1)));
    let key = service.sdk_key("demo", "qa").await;
    assert_eq!(service.sent(&key).await, service.sent("sdk-demo-staging").await);
    let elsewhere = service.rest("GET", "/api/v2/export?project=demo&environment=moon", None).await;
    assert_refused(&elsewhere, 404, "not_found", "there is no environment `moon`");
}

#[tokio::test]
async fn a_plain_file_needs_a_place_and_brings_whatever_sdks_see() {
    let service = Service::demo().await;
    let rich = json!({
        "key": "rich", "version": 3, "on": true, "salt": "pepper", "variations": ["a", "b", {"c": [1, null]}],
        "offVariation": 2, "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": false},
        "clientSide": true, "trackEvents": true, "trackEventsFallthrough": true,
        "debugEventsUntilDate": 1_900_000_000_000_i64, "samplingRatio": 10, "excludeFromSummaries": true,
        "migration": {"checkRatio": 5}, "deleted": false,
        "prerequisites": [{"key": "plain", "variation": 0}],
        "targets": [{"variation": 0, "values": ["ann"]}],
        "contextTargets": [
            {"contextKind": "org", "variation": 1, "values": ["acme"]},
            {"contextKind": "user", "variation": 0, "values": []},
        ],
        "rules": [{"id": "r1", "trackEvents": true, "clauses": [
            {"contextKind": "user", "attribute": "/address/city", "op": "matches", "values": ["^B"], "negate": true},
            {"attribute": "", "op": "segmentMatch", "values": ["beta-testers", "elsewhere"], "negate": false},
        ], "rollout": {"kind": "experiment", "contextKind": "user", "seed": 61, "variations": [
            {"variation": 0, "weight": 30000, "untracked": true}, {"variation": 1, "weight": 70000},
        ]}}],
        "fallthrough": {"rollout": {"contextKind": "user", "bucketBy": "plan", "variations": [
            {"variation": 0, "weight": 1}, {"variation": 2, "weight": 99999},
        ]}},
    });
    let document = plain(json!({"rich": rich, "plain": boolean("plain")}));
    let nowhere = service.take_in("", &document).await;
    assert_refused(&nowhere, 400, "invalid_request", "does not say where it belongs");
    assert_eq!(service.imported("/demo/production", &document).await, json!({"flag created": 2}));
    let sent = service.sdk_flag("rich").await;
    let mut expected = rich.clone();
    expected["version"] = sent["version"].clone();
    assert_eq!(sent, expected);
    assert_eq!(service.imported("/demo/production", &document).await, json!({"flag unchanged": 2}));
    let staging =
        service.request("GET", "/sdk/latest-flags/rich", &[("authorization", "sdk-demo-staging")], b"");
    assert_eq!(staging.await.json()["on"], false, "elsewhere a new flag is off");
}

#[tokio::test]
async fn names_and_ids_stay_where_a_plain_file_replaces_a_flag() {
    let service = Service::demo().await;
    let before = service.flag("shipping-banner").await;
    let mut sent = service.sdk_flag("shipping-banner").await;
    sent["variations"].as_array_mut().unwrap().push(json!("pigeon"));
    sent["fallthrough"] = json!({"variation": 3});
    let version = sent["version"].as_u64().unwrap();
    let document = plain(json!({"shipping-banner": sent}));
    let skipped = service.imported("/demo/production?onConflict=skip", &document).await;
    assert_eq!(skipped, json!({"flag skipped": 1}));
    assert_eq!(service.flag("shipping-banner").await, before);
    let replaced = service.imported("/demo/production?onConflict=replace", &document).await;
    assert_eq!(replaced, json!({"flag replaced": 1}));
    let after = service.flag("shipping-banner").await;
    assert_eq!((&after["name"], &after["tags"]), (&before["name"], &before["tags"]));
    assert_eq!(after["variations"][0], before["variations"][0]);
    assert_eq!(after["environments"]["production"]["rules"], before["environments"]["production"]["rules"]);
    let sent = service.sdk_flag("shipping-banner").await;
    assert_eq!((&sent["fallthrough"], &sent["variations"][3]), (&json!({"variation": 3}), &json!("pigeon")));
    assert!(sent["version"].as_u64().unwrap() > version);
}

#[tokio::test]
async fn a_dry_run_says_everything_and_does_nothing() {
    let service = Service::demo().await;
    let before = service.export("").await;
    let document = plain(json!({"plain": boolean("plain")}));
    let report = service.take_in("/new/place?dryRun=true", &document).await.json();
    assert_eq!(
        (&report["saved"], counts(&report)),
        (&json!(false), json!({"project created": 1, "environment created": 1, "flag created": 1}))
    );
    assert_eq!(service.export("").await, before);
    assert_eq!(service.rest("GET", "/api/v2/projects/new", None).await.status, 404);
}

#[tokio::test]
async fn every_refused_item_is_named_and_nothing_is_saved_unless_the_rest_is_wanted() {
    let service = Service::demo().await;
    let before = service.export("").await;
    let with = |key: &str, change: Value| {
        let mut flag = boolean(key);
        for (name, value) in change.as_object().unwrap() {
            flag[name] = value.clone();
        }
        flag
    };
    let rollout = json!({"fallthrough": {"rollout": {"variations": [{"variation": 0, "weight": 5}]}}});
    let document = plain(json!({
        "good": boolean("good"),
        "b a d": boolean("b a d"),
        "no-variations": with("no-variations", json!({"variations": []})),
        "weights": with("weights", rollout),
        "needs-weights": with("needs-weights", json!({"prerequisites": [{"key": "weights", "variation": 0}]})),
        "needs-that": with("needs-that", json!({"prerequisites": [{"key": "needs-weights", "variation": 0}]})),
        "circle": with("circle", json!({"prerequisites": [{"key": "circle", "variation": 0}]})),
        "operator": with("operator", json!({"rules": [{"id": "r", "variation": 0, "clauses": [
            {"attribute": "a", "op": "resembles", "values": ["x"]}]}]})),
    }));
    let report = service.take_in("/demo/production", &document).await.json();
    assert_eq!(report["saved"], false);
    let refused = refusals(&report);
    for said in [
        "b a d: key: `b a d` is not a key",
        "no-variations: variations: a flag needs at least one",
        "weights: environments.production.fallthrough.rollout: the weights add up to 5",
        "needs-weights: environments.production.prerequisites[0]: there is no flag `weights`",
        "needs-that: environments.production.prerequisites[0]: there is no flag `needs-weights`",
        "circle: environments.production.prerequisites[0]: a flag cannot be its own",
        "operator: environments.production.rules[0].clauses[0].op: there is no operator `resembles`",
    ] {
        assert!(refused.iter().any(|line| line.starts_with(said)), "`{said}` in {refused:#?}");
    }
    assert_eq!(refused.len(), 7);
    assert_eq!(service.export("").await, before);
    let counts = service.imported("/demo/production?partial=true", &document).await;
    assert_eq!(counts, json!({"flag created": 1, "flag refused": 7}));
    assert_eq!(service.sdk_flag("good").await["salt"], "salt-of-old");
}

#[tokio::test]
async fn a_flag_that_others_need_keeps_the_variations_they_need() {
    let service = Service::demo().await;
    let three = |key: &str| {
        let mut flag = boolean(key);
        flag["variations"] = json!([1, 2, 3]);
        flag
    };
    let mut needs = boolean("needs");
    needs["prerequisites"] = json!([{"key": "base", "variation": 2}]);
    service.imported("/demo/production", &plain(json!({"base": three("base"), "needs": needs}))).await;
    let fewer = plain(json!({"base": boolean("base")}));
    let report = service.take_in("/demo/production?onConflict=replace", &fewer).await.json();
    assert_eq!(
        refusals(&report),
        [
            "base: flag `needs` needs a variation of it in `production` that would be gone, or in another place"
        ]
    );
}

#[tokio::test]
async fn environments_that_the_file_says_nothing_of_serve_what_they_served() {
    let service = Service::demo().await;
    let colours = json!({"key": "banner", "name": "Banner", "variations": [
        {"value": "red"}, {"value": "green"}, {"value": "blue"}], "isFlagOn": true});
    assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(colours)).await.status, 201);
    let share = |variation, weight| json!({"variation": variation, "weight": weight});
    let rollout = json!({"rollout": {"variations": [share(1, 30_000), share(0, 70_000)]}});
    let split = json!([
        {"op": "replace", "path": "/environments/production/fallthrough", "value": rollout},
        {"op": "replace", "path": "/environments/production/offVariation", "value": 1},
    ]);
    let path = "/api/v2/flags/demo/banner";
    assert_eq!(service.rest("PATCH", path, Some(split)).await.status, 200);
    let before = service.sdk_flag("banner").await;

    // Another order, in staging alone: production serves the same shares of the same values as before.
    let mut sent = json!({"key": "banner", "on": true, "salt": "s", "variations": ["blue", "green", "red"],
        "offVariation": 0, "fallthrough": {"variation": 2}});
    let into = "/demo/staging?onConflict=replace";
    service.imported(into, &plain(json!({"banner": sent}))).await;
    let after = service.sdk_flag("banner").await;
    let expected = json!({"rollout": {"variations": [share(1, 30_000), share(2, 70_000)]}});
    for (place, share) in expected["rollout"]["variations"].as_array().unwrap().iter().enumerate() {
        let now = &after["fallthrough"]["rollout"]["variations"][place];
        assert_eq!((&now["variation"], &now["weight"]), (&share["variation"], &share["weight"]));
    }
    assert_eq!((&after["offVariation"], &after["salt"]), (&json!(1), &before["salt"]));
    assert!(
        after["version"].as_u64() > before["version"].as_u64(),
        "SDKs of production hear of the new order"
    );
    let defaults = &service.flag("banner").await["defaults"];
    assert_eq!(
        *defaults,
        json!({"onVariation": 2, "offVariation": 0}),
        "a new environment starts with the same values"
    );

    // What production serves cannot be taken away, nor become another flag's prerequisite by accident.
    sent["variations"] = json!(["blue", "green"]);
    sent["fallthrough"] = json!({"variation": 1});
    let report = service.take_in(into, &plain(json!({"banner": sent}))).await.json();
    assert_eq!(
        refusals(&report),
        [
            "banner: in `production`, of which the document says nothing, the default rule serves \"red\", which \
          would be gone; change that first"
        ]
    );
    let mut needs = boolean("needs");
    needs["prerequisites"] = json!([{"key": "banner", "variation": 2}]);
    service.imported("/demo/production", &plain(json!({"needs": needs}))).await;
    sent["variations"] = json!(["red", "green", "blue"]);
    let report = service.take_in(into, &plain(json!({"banner": sent}))).await.json();
    assert_eq!(
        refusals(&report),
        [
            "banner: flag `needs` needs a variation of it in `production` that would be gone, or in another place"
        ]
    );

    // A value that is edited is edited everywhere, as by hand, and that is said.
    sent["variations"] = json!(["blue", "green", "crimson"]);
    let report = service.take_in(into, &plain(json!({"banner": sent}))).await.json();
    assert_eq!(report["saved"], true, "{report:#}");
    assert_eq!(
        report["notes"],
        json!([
            "flag `banner`: \"red\" becomes \"crimson\", also in `production`, of which the document says nothing"
        ])
    );
}

#[tokio::test]
async fn payload_filters_come_along_and_take_an_admin() {
    let service = Service::demo().await;
    let path = "/api/v2/projects/demo/payload-filters";
    let condition = |tag: &str| json!([{"attribute": "tags", "op": "in", "values": [tag]}]);
    let new =
        json!({"key": "shop", "name": "Shop", "description": "All of it", "conditions": condition("shop")});
    assert_eq!(service.rest("POST", path, Some(new)).await.status, 201);
    let text = service.export("").await;
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let writer = service.rest("POST", "/api/v2/tokens", Some(json!({"role": "writer"}))).await.json();
    let writer = writer["token"].as_str().unwrap();
    let unchanged = service.rest_as(writer, "POST", "/api/v2/import", Some(document.clone())).await;
    assert_eq!(unchanged.json()["saved"], true, "{unchanged:?}");

    let other = Service::demo().await;
    other.imported("?onConflict=replace", &document).await;
    assert_eq!(other.export("").await, text);
    let only_shop = [("authorization", "sdk-demo-production")];
    assert_eq!(other.request("GET", "/sdk/latest-all?filter=shop", &only_shop, b"").await.status, 200);

    document["flagstaff"]["projects"]["demo"]["payloadFilters"]["shop"]["conditions"] = condition("search");
    let refused =
        service.rest_as(writer, "POST", "/api/v2/import?onConflict=replace", Some(document.clone())).await;
    assert_refused(&refused, 403, "forbidden", "role");
    let counts = other.imported("?onConflict=replace", &document).await;
    assert_eq!(counts["payloadFilter replaced"], 1, "{counts}");
    let shown = other.rest("GET", &format!("{path}/shop"), None).await.json();
    assert_eq!((&shown["conditions"], &shown["_version"]), (&condition("search"), &json!(2)));
    let log = other.imported("", &document).await;
    assert_eq!(log["payloadFilter unchanged"], 1, "{log}");
}

#[tokio::test]
async fn what_says_only_a_part_makes_what_is_missing_and_changes_no_settings() {
    let service = Service::demo().await;
    let items = json!({"flags": {"plain": boolean("plain")}, "segments": {}});
    let environment = |key: &str| json!({"key": key, "name": "Renamed", "data": items});
    let document = json!({"flags": {}, "segments": {}, "flagstaff": {"format": 1, "project": "", "environment": "",
        "isPartial": true, "projects": {"demo": {"name": "Renamed",
            "environments": [environment("production"), environment("qa")]}}}});
    let counts = service.imported("", &document).await;
    assert_eq!(counts, json!({"environment created": 1, "flag created": 1}));
    let shown = service.rest("GET", "/api/v2/projects/demo?expand=environments", None).await.json();
    assert_eq!(shown["name"], "Demo shop");
    let names: Vec<_> =
        shown["environments"]["items"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["Production", "Staging", "Renamed"]);
}

#[tokio::test]
async fn an_environment_that_wants_to_know_why_is_told_why() {
    let service = Service::demo().await;
    let path = "/api/v2/projects/demo/environments/production";
    let patch = json!([{"op": "replace", "path": "/requireComments", "value": true}]);
    assert_eq!(service.rest("PATCH", path, Some(patch)).await.status, 200);
    let document = plain(json!({"plain": boolean("plain")}));
    let refused = service.take_in("/demo/production?comment=%20", &document).await;
    assert_refused(&refused, 400, "invalid_request", "environment `production` requires a comment");
    service.imported("/demo/production?comment=moving", &document).await;
    service.imported("/demo/production?comment=", &document).await;
}

#[tokio::test]
async fn keys_that_another_environment_has_are_not_given_twice() {
    let service = Service::demo().await;
    let text = service.export("?keys=true").await.replace("\"demo\": {", "\"copy\": {");
    let refused = service.take_in("", &serde_json::from_str(&text).unwrap()).await;
    assert_refused(
        &refused,
        409,
        "conflict",
        "client-side ID for environment `production` is used by another",
    );
}

#[tokio::test]
async fn environments_of_one_file_agree_on_the_variations_of_a_flag() {
    let service = Service::demo().await;
    let mut document: Value = serde_json::from_str(&service.export("").await).unwrap();
    document["flags"]["wish-lists"]["variations"] = json!(["yes", "no"]);
    let report = service.take_in("?onConflict=replace", &document).await.json();
    let refused = refusals(&report);
    assert!(refused[0].contains("not the same in `production` and in `staging`"), "{refused:?}");
    document["flagstaff"]["format"] = json!(2);
    let newer = service.take_in("", &document).await;
    assert_refused(&newer, 400, "invalid_request", "the file is of form 2");
}

#[tokio::test]
async fn a_pattern_that_not_all_sdks_understand_is_taken_and_mentioned() {
    let service = Service::demo().await;
    let mut flag = boolean("ahead");
    let clause = json!({"attribute": "email", "op": "matches", "values": ["^(?!test)"]});
    flag["rules"] = json!([{"variation": 0, "clauses": [clause]}]);
    let report = service.take_in("/demo/production", &plain(json!({"ahead": flag}))).await.json();
    assert_eq!(report["saved"], true);
    assert!(
        report["notes"][0].as_str().unwrap().contains("`^(?!test)` is not a regular expression"),
        "{report}"
    );
    assert_eq!(service.sdk_flag("ahead").await["rules"][0]["id"], "rule-1", "a rule without an id gets one");
}

#[tokio::test]
async fn a_deleted_flag_that_is_imported_again_has_a_greater_version() {
    let service = Service::demo().await;
    let document = plain(json!({"plain": boolean("plain")}));
    service.imported("/demo/production", &document).await;
    let first = service.sdk_flag("plain").await["version"].as_u64().unwrap();
    assert_eq!(service.rest("DELETE", "/api/v2/flags/demo/plain", None).await.status, 204);
    service.imported("/demo/production", &document).await;
    assert!(service.sdk_flag("plain").await["version"].as_u64().unwrap() > first + 1);
}

#[tokio::test]
async fn who_may_not_is_refused_and_wrong_questions_are_too() {
    let service = Service::demo().await;
    let token = |role: &str| json!({"role": role, "serviceToken": true});
    let mut tokens = Vec::new();
    for role in ["reader", "writer"] {
        let made = service.rest("POST", "/api/v2/tokens", Some(token(role))).await.json();
        tokens.push(made["token"].as_str().unwrap().to_owned());
    }
    let document = plain(json!({"plain": boolean("plain")}));
    let [reader, writer] = [&tokens[0], &tokens[1]];
    assert_eq!(service.rest_as(reader, "GET", "/api/v2/export", None).await.status, 200);
    assert_eq!(service.rest_as(reader, "GET", "/api/v2/export?keys=1", None).await.status, 403);
    let path = "/api/v2/import/demo/production";
    assert_eq!(service.rest_as(reader, "POST", path, Some(document.clone())).await.status, 403);
    let new = service.rest_as(writer, "POST", "/api/v2/import/demo/qa", Some(document.clone())).await;
    assert_refused(&new, 403, "forbidden", "change projects and environments");
    assert_eq!(service.rest_as(writer, "POST", path, Some(document.clone())).await.status, 200);
    let wrong = service.take_in("/demo/production?onConflict=maybe", &document).await;
    assert_refused(&wrong, 400, "invalid_request", "`fail`, `skip` or `replace`, not `maybe`");
    let headers = [("authorization", TOKEN), ("content-type", "text/plain")];
    assert_eq!(service.request("POST", path, &headers, b"{}").await.status, 415);
}

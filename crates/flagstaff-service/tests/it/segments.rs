//! Segments over the admin API, and what SDKs see of it.

use serde_json::{Value, json};

use crate::rest::{TOKEN, assert_refused};
use crate::streams::Stream;
use crate::support::{Answer, Service};

const SEGMENTS: &str = "/api/v2/segments/demo/production";
const BETA: &str = "/api/v2/segments/demo/production/beta-testers";

impl Service {
    async fn segment(&self, path: &str) -> Value {
        let answer = self.rest("GET", path, None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn instruct_segment(&self, path: &str, instructions: Value) -> Answer {
        let kind = "application/json; domain-model=launchdarkly.semanticpatch";
        let headers = [("authorization", TOKEN), ("content-type", kind)];
        let body = json!({"instructions": instructions}).to_string();
        self.request("PATCH", path, &headers, body.as_bytes()).await
    }

    /// Carries out one instruction on the demo's segment and gives what SDKs get then.
    async fn after(&self, instruction: Value) -> Value {
        let answer = self.instruct_segment(BETA, json!([instruction])).await;
        assert_eq!(answer.status, 200, "{instruction}: {}", String::from_utf8_lossy(&answer.body));
        let path = "/sdk/latest-segments/beta-testers";
        self.request("GET", path, &[("authorization", "sdk-demo-production")], b"").await.json()
    }
}

#[tokio::test]
async fn a_segment_is_made_changed_and_deleted_and_sdks_see_each_step() {
    let service = Service::demo().await;
    let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
    let put = stream.expect("put").await;
    let before = put["data"]["segments"]["beta-testers"]["version"].as_u64().unwrap();
    let new = json!({"key": "vip", "name": "Very important", "description": "They pay", "tags": ["money"]});
    let made = service.rest("POST", SEGMENTS, Some(new.clone())).await;
    assert_eq!((made.status, &made.json()["name"]), (201, &json!("Very important")));
    let patch = stream.expect("patch").await;
    assert_eq!((&patch["path"], &patch["data"]["included"]), (&json!("/segments/vip"), &json!([])));
    assert!(!patch["data"]["salt"].as_str().unwrap().is_empty());
    assert!(patch["data"]["version"].as_u64().unwrap() > before);

    let again = service.rest("POST", SEGMENTS, Some(new)).await;
    assert_refused(&again, 409, "conflict", "segment `vip` exists already in environment `production`");
    let path = format!("{SEGMENTS}/vip");
    let operations = json!([
        {"op": "add", "path": "/included/-", "value": "ann"},
        {"op": "add", "path": "/includedContexts/-", "value": {"contextKind": "org", "values": ["acme"]}},
        {"op": "add", "path": "/rules/-", "value": {"clauses": [
            {"contextKind": "user", "attribute": "plan", "op": "in", "values": ["gold"], "negate": false}
        ], "weight": 50000}},
    ]);
    let changed = service.rest("PATCH", &path, Some(operations)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.header("etag").unwrap(), format!("\"{}\"", changed.json()["version"]));
    let data = stream.expect("patch").await["data"].clone();
    assert_eq!((&data["included"], &data["rules"][0]["weight"]), (&json!(["ann"]), &json!(50000)));
    assert_eq!(data["includedContexts"], json!([{"contextKind": "org", "values": ["acme"]}]));

    assert_eq!(service.rest("DELETE", &path, None).await.status, 204);
    let gone = stream.expect("delete").await;
    assert_eq!(gone["path"], "/segments/vip");
    let deleted_at = gone["version"].as_u64().unwrap();
    assert!(deleted_at > data["version"].as_u64().unwrap());
    assert_refused(&service.rest("GET", &path, None).await, 404, "not_found", "there is no segment `vip`");
    service.rest("POST", SEGMENTS, Some(json!({"key": "vip", "name": "Again"}))).await;
    let back = stream.expect("patch").await;
    assert!(back["data"]["version"].as_u64().unwrap() > deleted_at, "versions never fall");
}

#[tokio::test]
async fn a_browser_s_values_follow_a_segment() {
    let service = Service::demo().await;
    let on = json!([{"kind": "turnFlagOn"}]);
    assert_eq!(service.instruct("wish-lists", on).await.status, 200);
    // {"kind":"user","key":"zoe"}
    let path = "/eval/demo-production/eyJraW5kIjoidXNlciIsImtleSI6InpvZSJ9";
    let mut stream = Stream::open(&service, path, "").await;
    assert_eq!(stream.expect("put").await["wish-lists"]["value"], false);
    service.after(json!({"kind": "addIncludedUsers", "values": ["zoe"]})).await;
    let patch = stream.expect("patch").await;
    assert_eq!((&patch["key"], &patch["value"]), (&json!("wish-lists"), &json!(true)));
}

#[tokio::test]
async fn every_instruction_does_what_it_says() {
    let service = Service::demo().await;
    let user = |values: &[&str]| json!(values);
    let sent = service.after(json!({"kind": "addIncludedTargets", "values": ["eve", "ada"]})).await;
    assert_eq!(sent["included"], user(&["ada", "grace", "eve"]));
    let sent = service.after(json!({"kind": "removeIncludedUsers", "values": ["ada", "grace"]})).await;
    assert_eq!(sent["included"], user(&["eve"]));
    let sent = service.after(json!({"kind": "addExcludedUsers", "values": ["bob"]})).await;
    assert_eq!(sent["excluded"], user(&["mallory", "bob"]));
    let sent = service.after(json!({"kind": "removeExcludedTargets", "values": ["mallory"]})).await;
    assert_eq!(sent["excluded"], user(&["bob"]));
    let org = json!({"kind": "addExcludedTargets", "contextKind": "org", "values": ["acme"]});
    let sent = service.after(org).await;
    assert_eq!(sent["excludedContexts"], json!([{"contextKind": "org", "values": ["acme"]}]));
    let org = json!({"kind": "removeExcludedTargets", "contextKind": "org", "values": ["acme"]});
    assert_eq!(service.after(org).await["excludedContexts"], json!([]));

    let clause = json!({"attribute": "plan", "op": "in", "values": ["gold"]});
    let rule = json!({"kind": "addRule", "clauses": [clause], "description": "Gold"});
    assert_eq!(service.after(rule).await["rules"].as_array().unwrap().len(), 2);
    let shown = service.segment(BETA).await;
    assert_eq!(shown["rules"][1]["description"], "Gold");
    let [first, second] = [0, 1].map(|place| shown["rules"][place]["_id"].clone());
    let sent = service.after(json!({"kind": "reorderRules", "ruleIds": [second, first]})).await;
    assert_eq!((&sent["rules"][0]["id"], &sent["rules"][1]["id"]), (&second, &first));
    let share = json!({"kind": "updateRuleRolloutAndContextKind", "ruleId": second, "weight": "20000", "contextKind": "org"});
    let sent = service.after(share).await;
    assert_eq!(
        (&sent["rules"][0]["weight"], &sent["rules"][0]["rolloutContextKind"]),
        (&json!(20000), &json!("org"))
    );
    let more = json!({"kind": "addClauses", "ruleId": second, "clauses": [clause]});
    assert_eq!(service.after(more).await["rules"][0]["clauses"].as_array().unwrap().len(), 2);
    let shown = service.segment(BETA).await;
    let [one, other] = [0, 1].map(|place| shown["rules"][0]["clauses"][place]["_id"].clone());
    let values =
        json!({"kind": "addValuesToClause", "ruleId": second, "clauseId": one, "values": ["silver", "gold"]});
    assert_eq!(service.after(values).await["rules"][0]["clauses"][0]["values"], json!(["gold", "silver"]));
    let values =
        json!({"kind": "removeValuesFromClause", "ruleId": second, "clauseId": one, "values": ["gold"]});
    assert_eq!(service.after(values).await["rules"][0]["clauses"][0]["values"], json!(["silver"]));
    let negated = json!({"attribute": "plan", "op": "in", "values": ["free"], "negate": true});
    let clause = json!({"kind": "updateClause", "ruleId": second, "clauseId": other, "clause": negated});
    assert_eq!(service.after(clause).await["rules"][0]["clauses"][1]["negate"], true);
    let fewer = json!({"kind": "removeClauses", "ruleId": second, "clauseIds": [one]});
    assert_eq!(service.after(fewer).await["rules"][0]["clauses"].as_array().unwrap().len(), 1);
    service.after(json!({"kind": "updateRuleDescription", "ruleId": second, "description": ""})).await;
    assert_eq!(service.segment(BETA).await["rules"][0].get("description"), None);
    let sent = service.after(json!({"kind": "removeRule", "ruleId": second})).await;
    assert_eq!(sent["rules"].as_array().unwrap().len(), 1);

    service.after(json!({"kind": "updateName", "value": "Testers"})).await;
    service.after(json!({"kind": "updateDescription", "value": "They test"})).await;
    service.after(json!({"kind": "addTags", "values": ["a", "beta"]})).await;
    service.after(json!({"kind": "removeTags", "values": ["beta"]})).await;
    let shown = service.segment(BETA).await;
    assert_eq!(
        (&shown["name"], &shown["description"], &shown["tags"]),
        (&json!("Testers"), &json!("They test"), &json!(["a"]))
    );
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_name_and_changes_nothing() {
    let service = Service::demo().await;
    let before = service.segment(BETA).await;
    let rule = &before["rules"][0]["_id"];
    let circle = json!([{"attribute": "", "op": "segmentMatch", "values": ["beta-testers"]}]);
    for (instruction, said) in [
        (json!({"kind": "dance"}), "there is no instruction `dance` for a segment"),
        (json!({"kind": "addExcludedUsers", "values": ["ada"]}), "`ada` is both included and excluded"),
        (json!({"kind": "addIncludedUsers", "values": [""]}), "included: a key cannot be empty"),
        (
            json!({"kind": "addIncludedTargets", "contextKind": "multi", "values": ["a"]}),
            "`multi` is not a context kind",
        ),
        (json!({"kind": "addRule", "clauses": []}), "rules[1]: a rule without clauses"),
        (json!({"kind": "addRule", "clauses": circle}), "would be asked for by its own rules"),
        (
            json!({"kind": "addRule", "clauses": [{"attribute": "a", "op": "matches", "values": ["("]}]}),
            "`(` is not a regular expression",
        ),
        (
            json!({"kind": "updateRuleRolloutAndContextKind", "ruleId": rule, "weight": 100_001}),
            "rules[0].weight: a weight is from 0 to 100000",
        ),
        (json!({"kind": "removeClauses", "ruleId": "x", "clauseIds": []}), "there is no rule `x`"),
        (json!({"kind": "reorderRules", "ruleIds": []}), "has to name every rule"),
        (json!({"kind": "updateName", "value": " "}), "name: a name is needed"),
    ] {
        let first = json!({"kind": "updateDescription", "value": "changed"});
        let answer = service.instruct_segment(BETA, json!([first, instruction])).await;
        assert_refused(&answer, 400, "invalid_request", said);
    }
    let unbounded = json!([{"op": "replace", "path": "/unbounded", "value": true}]);
    let answer = service.rest("PATCH", BETA, Some(unbounded)).await;
    assert_refused(&answer, 400, "invalid_request", "`/unbounded` cannot be changed");
    assert_eq!(service.segment(BETA).await, before);
    let other = json!({"environmentKey": "staging", "instructions": [{"kind": "updateName", "value": "x"}]});
    let kind = "application/json; domain-model=launchdarkly.semanticpatch";
    let headers = [("authorization", TOKEN), ("content-type", kind)];
    let answer = service.request("PATCH", BETA, &headers, other.to_string().as_bytes()).await;
    assert_refused(&answer, 400, "invalid_request", "the path names environment `production`");
    let key = json!({"key": "a b", "name": "A"});
    assert_refused(&service.rest("POST", SEGMENTS, Some(key)).await, 400, "invalid_request", "not a key");
    let nowhere = service.rest("GET", "/api/v2/segments/demo/moon", None).await;
    assert_refused(&nowhere, 404, "not_found", "there is no environment `moon`");
}

#[tokio::test]
async fn two_segments_cannot_ask_for_each_other() {
    let service = Service::demo().await;
    service.rest("POST", SEGMENTS, Some(json!({"key": "other", "name": "Other"}))).await;
    let asks = |key: &str| {
        let clause = json!({"attribute": "", "op": "segmentMatch", "values": [key]});
        json!([{"kind": "addRule", "clauses": [clause]}])
    };
    let answer = service.instruct_segment(&format!("{SEGMENTS}/other"), asks("beta-testers")).await;
    assert_eq!(answer.status, 200);
    let answer = service.instruct_segment(BETA, asks("other")).await;
    assert_refused(&answer, 400, "invalid_request", "`beta-testers` would be asked for by its own rules");
}

#[tokio::test]
async fn a_segment_that_is_used_cannot_be_deleted() {
    let service = Service::demo().await;
    let shown = service.segment(BETA).await;
    assert_eq!(shown["_flags"][0]["key"], "wish-lists");
    let answer = service.rest("DELETE", BETA, None).await;
    assert_refused(&answer, 409, "conflict", "is used by a rule of flag `wish-lists`");
    service.rest("POST", SEGMENTS, Some(json!({"key": "other", "name": "Other"}))).await;
    let clause = json!({"attribute": "", "op": "segmentMatch", "values": ["other"]});
    service.after(json!({"kind": "addRule", "clauses": [clause]})).await;
    let answer = service.rest("DELETE", &format!("{SEGMENTS}/other"), None).await;
    assert_refused(&answer, 409, "conflict", "is used by a rule of segment `beta-testers`");
}

#[tokio::test]
async fn a_change_against_an_older_version_is_a_conflict_and_a_comment_is_asked_for() {
    let service = Service::demo().await;
    let version = service.segment(BETA).await["version"].as_u64().unwrap();
    let rename = json!([{"op": "replace", "path": "/name", "value": "New"}]).to_string();
    let send = async |version: u64, body: &str| {
        let tag = format!("\"{version}\"");
        let headers =
            [("authorization", TOKEN), ("content-type", "application/json"), ("if-match", tag.as_str())];
        service.request("PATCH", BETA, &headers, body.as_bytes()).await
    };
    let answer = send(version + 7, &rename).await;
    assert_refused(&answer, 409, "optimistic_locking_error", "segment `beta-testers` is at version");
    assert_eq!(send(version, &rename).await.status, 200);
    assert_eq!(send(version, &rename).await.status, 409);
    let settings = json!([{"op": "replace", "path": "/requireComments", "value": true}]);
    service.rest("PATCH", "/api/v2/projects/demo/environments/production", Some(settings)).await;
    let again = json!([{"op": "replace", "path": "/name", "value": "Newer"}]);
    let answer = service.rest("PATCH", BETA, Some(again.clone())).await;
    assert_refused(&answer, 400, "invalid_request", "requires a comment");
    let said = json!({"patch": again, "comment": "a better name"});
    assert_eq!(service.rest("PATCH", BETA, Some(said)).await.status, 200);
}

#[tokio::test]
async fn a_big_segment_has_a_generation_of_its_own_and_no_keys() {
    let service = Service::demo().await;
    let new =
        json!({"key": "millions", "name": "Millions", "unbounded": true, "unboundedContextKind": "org"});
    let made = service.rest("POST", SEGMENTS, Some(new)).await.json();
    assert_eq!((&made["unbounded"], &made["generation"]), (&json!(true), &made["version"]));
    let path = "/sdk/latest-segments/millions";
    let sent = service.request("GET", path, &[("authorization", "sdk-demo-production")], b"").await.json();
    assert_eq!(
        (&sent["unbounded"], &sent["generation"], &sent["unboundedContextKind"]),
        (&json!(true), &made["generation"], &json!("org"))
    );
    let add = json!([{"kind": "addIncludedUsers", "values": ["a"]}]);
    let answer = service.instruct_segment(&format!("{SEGMENTS}/millions"), add).await;
    assert_refused(&answer, 400, "invalid_request", "the keys of a big segment");
}

#[tokio::test]
async fn the_list_is_filtered_sorted_and_paged() {
    let service = Service::demo().await;
    for (key, name, tag) in [("b", "Zebra", "x"), ("c", "Apple", "y"), ("a", "Mango", "x")] {
        let new = json!({"key": key, "name": name, "tags": [tag], "unbounded": key == "c"});
        assert_eq!(service.rest("POST", SEGMENTS, Some(new)).await.status, 201);
    }
    let keys = async |query: &str| -> Vec<String> {
        let answer = service.rest("GET", &format!("{SEGMENTS}?{query}"), None).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let items = answer.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys("").await, ["a", "b", "beta-testers", "c"]);
    assert_eq!(keys("sort=-name").await, ["b", "a", "beta-testers", "c"]);
    assert_eq!(keys("limit=2&offset=1").await, ["b", "beta-testers"]);
    assert_eq!(keys("filter=tags%20anyOf%20%5B%22x%22%5D").await, ["a", "b"]);
    assert_eq!(keys("filter=query%20equals%20%22ZEB%22").await, ["b"]);
    assert_eq!(keys("filter=unbounded%20equals%20true").await, ["c"]);
    assert_eq!(
        keys("filter=excludedKeys%20anyOf%20%5B%22a%22,%22b%22%5D,unbounded%20equals%20false").await,
        ["beta-testers"]
    );
    let wrong = service.rest("GET", &format!("{SEGMENTS}?filter=external%20exists%20true"), None).await;
    assert_refused(&wrong, 400, "invalid_request", "there is no condition `external exists`");
    let wrong = service.rest("GET", &format!("{SEGMENTS}?sort=size"), None).await;
    assert_refused(&wrong, 400, "invalid_request", "no field `size`");
}

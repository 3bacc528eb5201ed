//! Flags changed by instructions.

use serde_json::{Value, json};

use crate::rest::{FLAG, TOKEN, assert_refused};
use crate::support::Service;

/// A demo service, and one flag with its ids.
struct Patched {
    service: Service,
    key: &'static str,
    variations: Vec<String>,
}

impl Patched {
    async fn of(key: &'static str) -> Self {
        let service = Service::demo().await;
        let flag = service.flag(key).await;
        let id = |variation: &Value| variation["_id"].as_str().unwrap().to_owned();
        let variations = flag["variations"].as_array().unwrap().iter().map(id).collect();
        Self { service, key, variations }
    }

    /// Carries out one instruction and gives what SDKs get then.
    async fn after(&self, instruction: Value) -> Value {
        let answer = self.service.instruct(self.key, json!([instruction])).await;
        assert_eq!(answer.status, 200, "{instruction}: {}", String::from_utf8_lossy(&answer.body));
        self.service.sdk_flag(self.key).await
    }

    async fn rules(&self) -> Value {
        self.service.flag(self.key).await["environments"]["production"]["rules"].clone()
    }
}

#[tokio::test]
async fn a_rule_is_described_in_at_most_4096_characters() {
    let flag = Patched::of("checkout-redesign").await;
    let clauses = json!([{"contextKind": "user", "attribute": "country", "op": "in", "values": ["NO"]}]);
    let rule = json!({"kind": "addRule", "variationId": flag.variations[0], "clauses": clauses,
        "description": "x".repeat(4097)});
    let answer = flag.service.instruct(flag.key, json!([rule])).await;
    assert_refused(&answer, 400, "invalid_request", "rules[0].description: at most 4096 characters");
}

#[tokio::test]
async fn a_flag_is_turned_on_and_off() {
    let flag = Patched::of("checkout-redesign").await;
    assert_eq!(flag.after(json!({"kind": "turnFlagOn"})).await["on"], true);
    assert_eq!(flag.after(json!({"kind": "turnFlagOff"})).await["on"], false);
    let staging = flag.service.flag(flag.key).await["environments"]["staging"]["on"].clone();
    assert_eq!(staging, true, "the other environment stays as it was");
}

#[tokio::test]
async fn targets_are_added_removed_and_replaced() {
    let flag = Patched::of("wish-lists").await;
    let [shown, hidden] = [&flag.variations[0], &flag.variations[1]];
    let sent =
        flag.after(json!({"kind": "addTargets", "variationId": hidden, "values": ["eve", "eve"]})).await;
    assert_eq!(sent["targets"][1], json!({"variation": 1, "values": ["eve"]}));
    let sent =
        flag.after(json!({"kind": "addUserTargets", "variationId": shown, "values": ["ada", "ken"]})).await;
    assert_eq!(sent["targets"][0]["values"], json!(["ada", "linus", "ken"]));
    let sent = flag
        .after(json!({"kind": "removeTargets", "variationId": shown, "contextKind": "organization", "values": ["acme"]}))
        .await;
    assert_eq!(sent["contextTargets"], json!([]));
    let sent =
        flag.after(json!({"kind": "removeUserTargets", "variationId": hidden, "values": ["eve"]})).await;
    assert_eq!(sent["targets"].as_array().unwrap().len(), 1);
    let sent = flag
        .after(json!({"kind": "replaceTargets", "targets": [
            {"variationId": hidden, "values": ["a"]}, {"contextKind": "device", "variationId": shown, "values": ["b"]},
        ]}))
        .await;
    assert_eq!(sent["targets"], json!([{"variation": 1, "values": ["a"]}]));
    assert_eq!(sent["contextTargets"][1], json!({"contextKind": "device", "variation": 0, "values": ["b"]}));
    let sent = flag
        .after(json!({"kind": "replaceUserTargets", "targets": [{"variationId": shown, "values": ["c"]}]}))
        .await;
    assert_eq!(sent["targets"], json!([{"variation": 0, "values": ["c"]}]));
    assert_eq!(sent["contextTargets"].as_array().unwrap().len(), 2);
    let sent = flag.after(json!({"kind": "clearUserTargets", "variationId": shown})).await;
    assert_eq!((&sent["targets"], sent["contextTargets"].as_array().unwrap().len()), (&json!([]), 1));
    let sent = flag.after(json!({"kind": "clearTargets", "variationId": shown})).await;
    assert_eq!(sent["contextTargets"], json!([]));
}

#[tokio::test]
async fn rules_are_added_changed_reordered_and_removed() {
    let flag = Patched::of("checkout-redesign").await;
    let [new, old] = [&flag.variations[0], &flag.variations[1]];
    let clause =
        json!({"contextKind": "user", "attribute": "country", "op": "in", "negate": false, "values": ["NO"]});
    let sent = flag
        .after(json!({"kind": "addRule", "variationId": new, "clauses": [clause], "description": "Norway"}))
        .await;
    assert_eq!((&sent["rules"][0]["variation"], &sent["rules"][0]["clauses"][0]), (&json!(0), &clause));
    let first = flag.rules().await[0]["_id"].clone();
    let sent = flag
        .after(
            json!({"kind": "addRule", "beforeRuleId": first, "rolloutWeights": {(new): 30000, (old): 70000},
            "rolloutContextKind": "org", "rolloutBucketBy": "name", "clauses": [clause]}),
        )
        .await;
    assert_eq!(
        sent["rules"][0]["rollout"],
        json!({"contextKind": "org", "bucketBy": "name",
        "variations": [{"variation": 0, "weight": 30000}, {"variation": 1, "weight": 70000}]})
    );
    let second = flag.rules().await[0]["_id"].clone();
    let sent = flag.after(json!({"kind": "reorderRules", "ruleIds": [first, second]})).await;
    assert_eq!(sent["rules"][0]["id"], first);
    let sent = flag
        .after(json!({"kind": "updateRuleVariationOrRollout", "ruleId": second, "variationId": old}))
        .await;
    assert_eq!((&sent["rules"][1]["variation"], sent["rules"][1].get("rollout")), (&json!(1), None));
    let plan = json!({"contextKind": "user", "attribute": "plan", "op": "startsWith", "negate": true, "values": ["p"]});
    let sent = flag.after(json!({"kind": "addClauses", "ruleId": first, "clauses": [plan]})).await;
    assert_eq!(sent["rules"][0]["clauses"][1], plan);
    let clauses = flag.rules().await[0]["clauses"].clone();
    let (country, plan) = (&clauses[0]["_id"], &clauses[1]["_id"]);
    let sent = flag
        .after(
            json!({"kind": "addValuesToClause", "ruleId": first, "clauseId": country, "values": ["SE", 5]}),
        )
        .await;
    assert_eq!(sent["rules"][0]["clauses"][0]["values"], json!(["NO", "SE", 5]));
    let sent = flag
        .after(
            json!({"kind": "removeValuesFromClause", "ruleId": first, "clauseId": country, "values": ["NO"]}),
        )
        .await;
    assert_eq!(sent["rules"][0]["clauses"][0]["values"], json!(["SE", 5]));
    let other = json!({"attribute": "age", "op": "lessThan", "values": [18]});
    let sent =
        flag.after(json!({"kind": "updateClause", "ruleId": first, "clauseId": plan, "clause": other})).await;
    assert_eq!(sent["rules"][0]["clauses"][1]["op"], "lessThan");
    let sent = flag.after(json!({"kind": "removeClauses", "ruleId": first, "clauseIds": [plan]})).await;
    assert_eq!(sent["rules"][0]["clauses"].as_array().unwrap().len(), 1);
    let sent =
        flag.after(json!({"kind": "updateRuleTrackEvents", "ruleId": first, "trackEvents": true})).await;
    assert_eq!(sent["rules"][0]["trackEvents"], true);
    flag.after(json!({"kind": "updateRuleDescription", "ruleId": first, "description": "Sweden"})).await;
    assert_eq!(flag.rules().await[0]["description"], "Sweden");
    let sent = flag.after(json!({"kind": "removeRule", "ruleId": first})).await;
    assert_eq!(sent["rules"].as_array().unwrap().len(), 1);
    let sent = flag.after(json!({"kind": "replaceRules", "rules": [
        {"variationId": new, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["beta-testers"]}]},
    ]})).await;
    assert_eq!(sent["rules"][0]["clauses"][0]["op"], "segmentMatch");
}

#[tokio::test]
async fn what_is_served_otherwise_and_when_off_is_changed() {
    let flag = Patched::of("checkout-redesign").await;
    let [new, old] = [&flag.variations[0], &flag.variations[1]];
    let sent = flag.after(json!({"kind": "updateFallthroughVariationOrRollout", "variationId": old})).await;
    assert_eq!(sent["fallthrough"], json!({"variation": 1}));
    let sent = flag
        .after(json!({"kind": "updateFallthroughVariationOrRollout", "rolloutWeights": {(new): 15000, (old): 85000}}))
        .await;
    assert_eq!(sent["fallthrough"]["rollout"]["variations"][1], json!({"variation": 1, "weight": 85000}));
    assert_eq!(
        flag.after(json!({"kind": "updateOffVariation", "variationId": new})).await["offVariation"],
        0
    );
    assert_eq!(
        flag.after(json!({"kind": "updateTrackEvents", "trackEvents": true})).await["trackEvents"],
        true
    );
    let sent = flag.after(json!({"kind": "updateTrackEventsFallthrough", "trackEvents": true})).await;
    assert_eq!(sent["trackEventsFallthrough"], true);
}

#[tokio::test]
async fn whoever_gets_another_share_of_a_split_keeps_their_place_in_it() {
    let service = Service::demo().await;
    let flag = service.flag("shipping-banner").await;
    let rollout = json!({"rollout": {"contextKind": "user", "seed": 61, "variations": [
        {"variation": 0, "weight": 40_000}, {"variation": 1, "weight": 60_000}]}});
    let path = "/environments/production/fallthrough";
    let seeded = json!([{"op": "replace", "path": path, "value": rollout}]);
    let answer = service.rest("PATCH", "/api/v2/flags/demo/shipping-banner", Some(seeded)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let [first, second] = [0, 1].map(|place| flag["variations"][place]["_id"].as_str().unwrap());
    for (bucket_by, seed) in [(Value::Null, json!(61)), (json!("company"), Value::Null)] {
        let change = json!([{"kind": "updateFallthroughVariationOrRollout", "rolloutBucketBy": bucket_by,
            "rolloutWeights": {first: 50_000, second: 50_000}}]);
        let changed = service.instruct("shipping-banner", change).await.json();
        let rollout = &changed["environments"]["production"]["fallthrough"]["rollout"];
        assert_eq!(rollout["variations"][0]["weight"], 50_000, "{changed:#}");
        assert_eq!(rollout["seed"], seed, "by {bucket_by}");
    }
}

#[tokio::test]
async fn prerequisites_are_added_changed_and_removed() {
    let flag = Patched::of("checkout-redesign").await;
    let other = flag.service.flag("new-payments").await;
    let (on, off) = (&other["variations"][0]["_id"], &other["variations"][1]["_id"]);
    let sent = flag.after(json!({"kind": "addPrerequisite", "key": "new-payments", "variationId": on})).await;
    assert_eq!(sent["prerequisites"], json!([{"key": "new-payments", "variation": 0}]));
    let sent =
        flag.after(json!({"kind": "updatePrerequisite", "key": "new-payments", "variationId": off})).await;
    assert_eq!(sent["prerequisites"][0]["variation"], 1);
    let sent = flag.after(json!({"kind": "removePrerequisite", "key": "new-payments"})).await;
    assert_eq!(sent["prerequisites"], json!([]));
    let list = json!([{"key": "new-payments", "variationId": on}]);
    let sent = flag.after(json!({"kind": "replacePrerequisites", "prerequisites": list})).await;
    assert_eq!(sent["prerequisites"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_definition_is_changed_in_all_environments() {
    let flag = Patched::of("shipping-banner").await;
    let sent = flag.after(json!({"kind": "addVariation", "value": "pigeon", "name": "By pigeon"})).await;
    assert_eq!(sent["variations"][3], "pigeon");
    let variations = flag.service.flag(flag.key).await["variations"].clone();
    let pigeon = &variations[3]["_id"];
    let sent = flag.after(json!({"kind": "updateVariation", "variationId": pigeon, "value": null})).await;
    assert_eq!(sent["variations"][3], Value::Null);
    let sent = flag.after(json!({"kind": "removeVariation", "variationId": pigeon})).await;
    assert_eq!(sent["variations"].as_array().unwrap().len(), 3);
    flag.after(json!({"kind": "updateDefaultVariation", "OnVariationValue": "next-day", "offVariationValue": "free-shipping"})).await;
    for change in [
        json!({"kind": "updateName", "value": "Banner"}),
        json!({"kind": "updateDescription", "value": "On top"}),
        json!({"kind": "addTags", "values": ["a", "b", "a"]}),
        json!({"kind": "removeTags", "values": ["marketing"]}),
        json!({"kind": "makeFlagPermanent"}),
        json!({"kind": "turnOffClientSideAvailability", "value": "usingMobileKey"}),
        json!({"kind": "turnOnClientSideAvailability", "value": "usingEnvironmentId"}),
        json!({"kind": "removeMaintainer"}),
    ] {
        flag.after(change).await;
    }
    let shown = flag.service.flag(flag.key).await;
    assert_eq!(shown["defaults"], json!({"onVariation": 2, "offVariation": 1}));
    assert_eq!(
        (&shown["name"], &shown["description"], &shown["tags"]),
        (&json!("Banner"), &json!("On top"), &json!(["a", "b"]))
    );
    assert_eq!((&shown["temporary"], shown.get("maintainerId")), (&json!(false), None));
    assert_eq!(shown["clientSideAvailability"], json!({"usingEnvironmentId": true, "usingMobileKey": false}));
    flag.after(json!({"kind": "makeFlagTemporary"})).await;
}

#[tokio::test]
async fn removing_a_variation_shifts_the_ones_behind_it() {
    let flag = Patched::of("shipping-banner").await;
    let used = json!([{"kind": "removeVariation", "variationId": flag.variations[1]}]);
    let answer = flag.service.instruct(flag.key, used).await;
    assert_refused(&answer, 400, "invalid_request", "still served by rule 2 in `production`");
    let rules = flag.rules().await;
    let other = json!({"environmentKey": "staging", "instructions": [
        {"kind": "updateFallthroughVariationOrRollout", "variationId": flag.variations[0]},
    ]});
    let kind = "application/json; domain-model=launchdarkly.semanticpatch";
    let headers = [("authorization", TOKEN), ("content-type", kind)];
    let path = "/api/v2/flags/demo/shipping-banner";
    assert_eq!(flag.service.request("PATCH", path, &headers, other.to_string().as_bytes()).await.status, 200);
    let both = json!([
        {"kind": "removeRule", "ruleId": rules[1]["_id"]},
        {"kind": "removeVariation", "variationId": flag.variations[1]},
    ]);
    assert_eq!(flag.service.instruct(flag.key, both).await.status, 200);
    let sent = flag.service.sdk_flag(flag.key).await;
    assert_eq!(sent["variations"], json!(["none", "next-day"]));
    assert_eq!(sent["rules"][0]["variation"], 1, "the rule still serves next-day");
}

#[tokio::test]
async fn an_instruction_that_cannot_be_done_says_why_and_none_is_done() {
    let flag = Patched::of("checkout-redesign").await;
    let before = flag.service.flag(flag.key).await;
    let weights = json!({(flag.variations[0].clone()): 10, (flag.variations[1].clone()): 10});
    for (instruction, said) in [
        (json!({"kind": "dance"}), "instructions[1]: there is no instruction `dance`"),
        (json!({}), "instructions[1]: `kind` is missing"),
        (
            json!({"kind": "updateOffVariation"}),
            "instructions[1], `updateOffVariation`: missing field `variationId`",
        ),
        (
            json!({"kind": "updateOffVariation", "variationId": "x"}),
            "instructions[1]: there is no variation with id `x`",
        ),
        (json!({"kind": "removeClauses", "ruleId": "x", "clauseIds": []}), "there is no rule `x`"),
        (json!({"kind": "updateFallthroughVariationOrRollout"}), "either `variationId` or `rolloutWeights`"),
        (json!({"kind": "updateFallthroughVariationOrRollout", "rolloutWeights": weights}), "add up to 20"),
        (
            json!({"kind": "addPrerequisite", "key": "nothing", "variationId": "x"}),
            "there is no flag `nothing`",
        ),
        (
            json!({"kind": "updatePrerequisite", "key": "nothing", "variationId": "x"}),
            "there is no flag `nothing`",
        ),
        (json!({"kind": "updateName", "value": ""}), "a name is needed"),
    ] {
        let answer = flag.service.instruct(flag.key, json!([{"kind": "turnFlagOn"}, instruction])).await;
        assert_refused(&answer, 400, "invalid_request", said);
    }
    assert_eq!(flag.service.flag(flag.key).await, before);
    assert_refused(&flag.service.instruct(flag.key, json!([])).await, 400, "invalid_request", "at least one");
    let kind = "application/json; domain-model=launchdarkly.semanticpatch";
    let headers = [("authorization", TOKEN), ("content-type", kind)];
    let send =
        async |body: Value| flag.service.request("PATCH", FLAG, &headers, body.to_string().as_bytes()).await;
    let on = json!([{"kind": "turnFlagOn"}]);
    assert_refused(
        &send(json!({"instructions": on})).await,
        400,
        "invalid_request",
        "name it in `environmentKey`",
    );
    let answer = send(json!({"instructions": on, "environmentKey": "moon"})).await;
    assert_refused(&answer, 404, "not_found", "there is no environment `moon`");
}

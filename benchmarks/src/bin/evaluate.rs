//! `evaluate` of both evaluation crates on the same flags, by reference. Both answers are compared
//! before the clock starts. Not timed: reading JSON, making contexts, looking the flag up.

use std::collections::HashMap;
use std::hint::black_box;

use flagstaff_benchmarks::{head, line, pair};
use flagstaff_eval as ours;
use launchdarkly_server_sdk_evaluation as peer;
use serde_json::{Value, json};

struct PeerStore {
    flags: HashMap<String, peer::Flag>,
    segments: HashMap<String, peer::Segment>,
}

impl peer::Store for PeerStore {
    fn flag(&self, key: &str) -> Option<peer::Flag> {
        self.flags.get(key).cloned()
    }

    fn segment(&self, key: &str) -> Option<peer::Segment> {
        self.segments.get(key).cloned()
    }
}

fn main() {
    head("Evaluation, flag by reference", "launchdarkly-server-sdk-evaluation 2.2.2");
    let keys: Vec<String> = (0..1000).map(|i| format!("user-{i:05}")).collect();
    let user = json!({"kind": "user", "key": "aa0ceb", "email": "ernestina@example.com", "country": "NO", "plan": "pro", "age": 41, "appVersion": "2.3.1", "joined": "2020-02-03T10:00:00Z"});
    let with_key = |key: &str| {
        let mut user = user.clone();
        user["key"] = json!(key);
        user
    };
    let rule = |last: &str| {
        json!({"id": "r", "variation": 1, "trackEvents": false, "clauses": [
            {"contextKind": "user", "attribute": "country", "op": "in", "values": ["NO", "SE"], "negate": false},
            {"contextKind": "user", "attribute": "plan", "op": "in", "values": ["pro", "team"], "negate": false},
            {"contextKind": "user", "attribute": "email", "op": "endsWith", "values": [last], "negate": false}]})
    };
    let one_clause = |op: &str, attribute: &str, value: Value| {
        json!({"rules": [{"id": "r", "variation": 1, "trackEvents": false, "clauses": [{"contextKind": "user", "attribute": attribute, "op": op, "values": [value], "negate": false}]}]})
    };
    let rollout = json!({"fallthrough": {"rollout": {"kind": "rollout", "contextKind": "user", "variations": [
        {"variation": 0, "weight": 60000}, {"variation": 1, "weight": 40000}]}}});

    case("off", json!({"on": false}), json!({}), &user, "2x");
    case("fallthrough", json!({}), json!({}), &user, "4x");
    let targets = json!({"targets": [{"variation": 1, "values": keys}]});
    case("1,000 targets, last", targets.clone(), json!({}), &with_key("user-00999"), "< 50 ns");
    case("1,000 targets, miss", targets, json!({}), &user, "< 50 ns");
    case("1 rule of 3 clauses", json!({"rules": [rule("@example.com")]}), json!({}), &user, "4x");
    let rules: Vec<Value> = (0..5).map(|i| rule(if i == 4 { "@example.com" } else { "@example.org" })).collect();
    case("5 rules of 3 clauses, last matches", json!({"rules": rules}), json!({}), &user, "5x");
    case("percentage rollout", rollout, json!({}), &user, "2.5x");
    case("prerequisite chain of 3", json!({"prerequisites": [{"key": "p1", "variation": 0}]}), json!({}), &user, "4x");
    let many: Vec<String> = (0..10_000).map(|i| format!("user-{i:05}")).collect();
    let segment = |user: &Value, mark: &str, name: &str| {
        let segments = json!({"big": {"key": "big", "version": 1, "included": many, "excluded": [], "rules": [], "salt": "s"}});
        case(name, one_clause("segmentMatch", "", json!("big")), segments, user, mark);
    };
    segment(&with_key("user-09999"), "< 80 ns", "segment of 10,000 keys, last");
    segment(&user, "< 80 ns", "segment of 10,000 keys, miss");
    case("regular expression", one_clause("matches", "email", json!("^[a-z]+@example\\.(com|org)$")), json!({}), &user, "< 200 ns");
    case("semantic version", one_clause("semVerGreaterThan", "appVersion", json!("2.1.0")), json!({}), &user, "3x");
    case("date", one_clause("before", "joined", json!("2026-01-01T00:00:00Z")), json!({}), &user, "3x");
}

/// Runs one case. `changes` are laid over a plain flag; a chain of prerequisites is always there.
fn case(name: &str, changes: Value, segments: Value, user: &Value, mark: &str) {
    let plain = |key: &str, prerequisites: Value| {
        json!({"key": key, "version": 1, "on": true, "salt": "salt", "targets": [], "rules": [], "prerequisites": prerequisites,
            "fallthrough": {"variation": 0}, "offVariation": 1, "variations": [true, false], "trackEvents": false,
            "clientSideAvailability": {"usingEnvironmentId": false, "usingMobileKey": false}})
    };
    let mut flag = plain("flag", json!([]));
    flag.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let flags = json!({"flag": flag, "p1": plain("p1", json!([{"key": "p2", "variation": 0}])),
        "p2": plain("p2", json!([{"key": "p3", "variation": 0}])), "p3": plain("p3", json!([]))});

    let data = ours::DataSet::from_model(serde_json::from_value(json!({"flags": flags, "segments": segments})).unwrap());
    let our_flag = data.flag("flag").unwrap();
    let our_context = ours::Context::from_json(user).unwrap();

    let store = PeerStore { flags: serde_json::from_value(flags).unwrap(), segments: serde_json::from_value(segments).unwrap() };
    let peer_flag = &store.flags["flag"];
    let peer_context: peer::Context = serde_json::from_value(user.clone()).unwrap();

    let evaluate_ours = || ours::evaluate(black_box(&data), black_box(our_flag), black_box(&our_context), &mut |_| {});
    let evaluate_peer = || peer::evaluate(black_box(&store), black_box(peer_flag), black_box(&peer_context), None);
    assert_eq!(evaluate_ours().variation_index, evaluate_peer().variation_index.map(|i| i as usize), "{name}");

    line(name, pair(evaluate_ours, evaluate_peer), mark);
}

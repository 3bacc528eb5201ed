//! An evaluation allocates nothing, whatever the flag. A test binary of its own, as it counts what
//! the whole process allocates.

use allocation_counter::measure;
use flagstaff_eval::model::FlagData;
use flagstaff_eval::{Context, DataSet, evaluate};
use serde_json::json;

#[test]
fn an_evaluation_allocates_nothing() {
    let keys: Vec<String> = (0..1000).map(|i| format!("key-{i}")).collect();
    let rule = |op: &str, attribute: &str, value: serde_json::Value| {
        json!({"version": 1, "on": true, "variations": ["a", {"b": [1, 2, 3]}], "fallthrough": {"variation": 0}, "rules": [
            {"id": "r", "clauses": [{"attribute": attribute, "op": op, "values": [value]}], "variation": 1}]})
    };
    let data: FlagData = serde_json::from_value(json!({
        "flags": {
            "off": {"version": 1, "on": false, "offVariation": 0, "variations": ["a"]},
            "targets": {"version": 1, "on": true, "variations": [true], "fallthrough": {"variation": 0}, "targets": [{"variation": 0, "values": keys}]},
            "rollout": {"version": 1, "on": true, "variations": [1, 2], "salt": "s", "fallthrough": {"rollout": {"variations": [{"variation": 0, "weight": 50000}, {"variation": 1, "weight": 50000}]}}},
            "prerequisite": {"version": 1, "on": true, "variations": [1], "fallthrough": {"variation": 0}, "prerequisites": [{"key": "rollout", "variation": 0}, {"key": "off", "variation": 0}]},
            "malformed": {"version": 1, "on": true, "variations": []},
            "in": rule("in", "groups", json!("Google")),
            "matches": rule("matches", "email", json!("^.*@example\\.com$")),
            "semver": rule("semVerGreaterThan", "version", json!("2.1.0-rc.1")),
            "date": rule("before", "joined", json!("2026-01-01T00:00:00Z")),
            "segment": rule("segmentMatch", "", json!("s")),
            "number": rule("lessThan", "age", json!(60)),
        },
        "segments": {"s": {"version": 1, "salt": "x", "included": keys, "rules": [{"weight": 40000, "clauses": [{"attribute": "email", "op": "endsWith", "values": [".com"]}]}]}}
    }))
    .unwrap();
    let data = DataSet::from_model(data);
    let context = Context::builder("aa0ceb")
        .set("email", "ernestina@example.com")
        .set("groups", json!(["Microsoft", "Google"]))
        .set("version", "2.1.0")
        .set("joined", "2020-02-03T00:00:00Z")
        .set("age", 41)
        .build()
        .unwrap();
    for flag in data.flags() {
        let run = || std::hint::black_box(evaluate(&data, flag, &context, &mut |_| {})).variation_index;
        // A regular expression is compiled, and its scratch space made, at first use.
        run();
        let found = measure(|| {
            run();
        });
        assert_eq!(found.count_total, 0, "flag `{}`: {found:?}", flag.key());
    }
}

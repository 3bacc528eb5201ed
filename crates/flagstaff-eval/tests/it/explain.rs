//! Evaluations told step by step: the same answers as the evaluator's, and the right steps.

use flagstaff_eval::explain::{Explainer, Explanation, Share, Step, WhySegment};
use flagstaff_eval::model::FlagData;
use flagstaff_eval::{Context, Value, evaluate};
use proptest::prelude::*;
use serde_json::json;

fn explainer(data: Value) -> Explainer {
    Explainer::new(serde_json::from_value::<FlagData>(data).expect("flag data"))
}

fn told(data: Value, key: &str, context: Value) -> Explanation {
    explainer(data).explain(key, &Context::from_json(&context).unwrap()).expect("the flag is there")
}

/// One flag of three variations, with `more` in it.
fn flag(key: &str, more: Value) -> Value {
    let mut flag = json!({"key": key, "version": 1, "on": true, "salt": "s", "variations": ["a", "b", "c"],
        "offVariation": 2, "fallthrough": {"variation": 0}});
    for (name, value) in more.as_object().unwrap() {
        flag[name] = value.clone();
    }
    flag
}

fn clause(attribute: &str, op: &str, values: Value) -> Value {
    json!({"contextKind": "user", "attribute": attribute, "op": op, "values": values})
}

#[test]
fn a_rule_is_told_clause_by_clause_with_what_the_context_has() {
    let rules = json!([
        {"id": "first", "variation": 1, "clauses": [
            clause("/address/city", "in", json!(["Bergen"])), clause("age", "lessThan", json!([18])),
            clause("never", "in", json!(["seen"])),
        ]},
        {"id": "second", "variation": 2, "clauses": [clause("age", "greaterThan", json!([17]))]},
    ]);
    let context = json!({"kind": "user", "key": "ann", "age": 40, "address": {"city": "Bergen"}});
    let told = told(json!({"flags": {"f": flag("f", json!({"rules": rules}))}}), "f", context);
    assert_eq!((told.value, told.variation), (Some(json!("c")), Some(2)));
    let [Step::Rule { clauses, matched: false, .. }, Step::Rule { index: 1, matched: true, .. }] =
        &told.steps[..]
    else {
        panic!("{:#?}", told.steps);
    };
    assert_eq!(clauses[0].found, Some(json!("Bergen")));
    let seen: Vec<_> = clauses.iter().map(|clause| clause.matched).collect();
    assert_eq!(seen, [Some(true), Some(false), None], "what is behind is not looked at");
}

#[test]
fn a_rollout_is_told_with_the_bucket_and_the_share_it_falls_in() {
    let rollout = json!({"fallthrough": {"rollout": {"contextKind": "user", "seed": 61, "variations": [
        {"variation": 0, "weight": 10000}, {"variation": 1, "weight": 20000}, {"variation": 2, "weight": 70000}]}}});
    let told = told(json!({"flags": {"f": flag("f", rollout)}}), "f", json!({"key": "userKeyA"}));
    let Some(Step::Fallthrough { share: Some(share) }) = told.steps.last() else {
        panic!("{:#?}", told.steps);
    };
    // The protocol's published bucket of this key and seed.
    assert!((share.bucket.unwrap() - 0.098_012_07).abs() < 1e-6, "{share:?}");
    let Share { hashed_with, from, to, variation, .. } = share;
    assert_eq!((hashed_with.as_str(), *from, *to, *variation), ("61", 0.0, 0.1, Some(0)));
}

#[test]
fn a_failed_prerequisite_is_told_with_its_own_steps() {
    let data = json!({"flags": {
        "f": flag("f", json!({"prerequisites": [{"key": "g", "variation": 0}]})),
        "g": flag("g", json!({"targets": [{"variation": 1, "values": ["ann"]}]})),
    }});
    let told = told(data, "f", json!({"key": "ann"}));
    let [Step::Prerequisite { key, wanted: 0, met: false, explanation: Some(inner) }] = &told.steps[..]
    else {
        panic!("{:#?}", told.steps);
    };
    assert_eq!((key.as_str(), inner.variation), ("g", Some(1)));
    assert!(matches!(&inner.steps[..], [Step::Targets { keys: 1, found: Some(_) }]));
}

#[test]
fn a_segment_is_told_by_the_list_or_the_rule_that_decided() {
    let rules = json!([{"id": "r", "variation": 1, "clauses": [
        {"attribute": "", "op": "segmentMatch", "values": ["nowhere", "out", "in"]}]}]);
    let data = json!({"flags": {"f": flag("f", json!({"rules": rules}))}, "segments": {
        "out": {"key": "out", "version": 1, "salt": "x", "excluded": ["ann"]},
        "in": {"key": "in", "version": 1, "salt": "x", "rules": [
            {"clauses": [clause("plan", "in", json!(["free"]))]}, {"clauses": [clause("plan", "in", json!(["pro"]))]}]},
    }});
    let told = told(data, "f", json!({"key": "ann", "custom": {"plan": "pro"}}));
    let [Step::Rule { clauses, matched: true, .. }] = &told.steps[..] else { panic!("{:#?}", told.steps) };
    let [nowhere, out, inside] = &clauses[0].segments[..] else { panic!("{clauses:#?}") };
    assert_eq!((&nowhere.why, nowhere.inside), (&WhySegment::Unknown, false));
    assert!(matches!(&out.why, WhySegment::Excluded(listed) if listed.key == "ann"));
    let WhySegment::Rules { rules, big: false } = &inside.why else { panic!("{inside:#?}") };
    assert!(inside.inside && !rules[0].matched && rules[1].matched);
}

#[test]
fn a_circle_is_told_as_one() {
    let data = json!({"flags": {
        "f": flag("f", json!({"prerequisites": [{"key": "g", "variation": 0}]})),
        "g": flag("g", json!({"prerequisites": [{"key": "f", "variation": 0}]})),
    }});
    let told = told(data, "f", json!({"key": "ann"}));
    assert_eq!(json!(told.reason), json!({"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}));
    let text = json!(told.steps).to_string();
    assert!(text.contains("its prerequisite `f` leads back to where it is needed"), "{text}");
}

fn any_clause() -> impl Strategy<Value = Value> {
    let op = proptest::sample::select(vec![
        "in",
        "startsWith",
        "contains",
        "matches",
        "lessThan",
        "before",
        "semVerEqual",
        "segmentMatch",
        "resembles",
    ]);
    let attribute = proptest::sample::select(vec!["key", "kind", "a", "b", "/c/d", "/c/x", "", "//"]);
    let values = proptest::sample::subsequence(
        vec![
            json!("x"),
            json!("y"),
            json!("user"),
            json!(1),
            json!(2),
            json!(true),
            json!("s1"),
            json!("s2"),
        ],
        0..4,
    );
    let kind = proptest::option::of(proptest::sample::select(vec!["user", "org", ""]));
    (attribute, op, values, any::<bool>(), kind).prop_map(|(attribute, op, values, negate, kind)| {
        let mut clause = json!({"attribute": attribute, "op": op, "values": values, "negate": negate});
        if let Some(kind) = kind {
            clause["contextKind"] = json!(kind);
        }
        clause
    })
}

fn any_serve() -> impl Strategy<Value = Value> {
    let shares = proptest::collection::vec((0..4_i64, 0..60_000_i64, any::<bool>()), 0..4);
    let rollout = (shares, any::<bool>(), proptest::option::of(0..9_i64), any::<bool>());
    prop_oneof![
        (0..4_i64).prop_map(|variation| json!({"variation": variation})),
        rollout.prop_map(|(shares, is_experiment, seed, by_org)| {
            let share = |(variation, weight, untracked)| {
                json!({"variation": variation, "weight": weight, "untracked": untracked})
            };
            let mut rollout = json!({"variations": shares.into_iter().map(share).collect::<Vec<_>>()});
            if is_experiment {
                rollout["kind"] = json!("experiment");
            }
            if let Some(seed) = seed {
                rollout["seed"] = json!(seed);
            }
            if by_org {
                rollout["contextKind"] = json!("org");
                rollout["bucketBy"] = json!("a");
            }
            json!({"rollout": rollout})
        }),
    ]
}

fn any_flag() -> impl Strategy<Value = Value> {
    let rule =
        (proptest::collection::vec(any_clause(), 0..3), any_serve()).prop_map(|(clauses, mut rule)| {
            rule["clauses"] = json!(clauses);
            rule["id"] = json!("r");
            rule
        });
    let targets =
        proptest::collection::vec((0..3_i64, proptest::sample::subsequence(vec!["x", "y", "z"], 0..3)), 0..3);
    let needs = proptest::collection::vec((0..3_usize, 0..3_i64), 0..2);
    (any::<bool>(), proptest::collection::vec(rule, 0..3), any_serve(), targets, needs, 0..4_i64).prop_map(
        |(on, rules, fallthrough, targets, needs, off)| {
            let target = |(variation, values)| json!({"variation": variation, "values": values});
            let need = |(flag, variation)| json!({"key": format!("f{flag}"), "variation": variation});
            json!({
                "on": on, "rules": rules, "fallthrough": fallthrough, "offVariation": off,
                "targets": targets.into_iter().map(target).collect::<Vec<_>>(),
                "prerequisites": needs.into_iter().map(need).collect::<Vec<_>>(),
            })
        },
    )
}

fn any_segment() -> impl Strategy<Value = Value> {
    let keys = || proptest::sample::subsequence(vec!["x", "y", "z"], 0..3);
    let rule = (proptest::collection::vec(any_clause(), 0..3), proptest::option::of(0..100_000_i64));
    let rule = rule.prop_map(|(clauses, weight)| {
        let mut rule = json!({"clauses": clauses});
        if let Some(weight) = weight {
            rule["weight"] = json!(weight);
        }
        rule
    });
    (keys(), keys(), proptest::collection::vec(rule, 0..3), 0..8_u8).prop_map(|(included, excluded, rules, big)| {
        let mut segment =
            json!({"version": 1, "salt": "s", "included": included, "excluded": excluded, "rules": rules});
        if big == 0 {
            segment["unbounded"] = json!(true);
        }
        if big <= 1 {
            segment["generation"] = json!(1);
        }
        segment
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_told_is_what_the_evaluator_answers(
        flags in proptest::collection::vec(any_flag(), 3),
        segments in proptest::collection::vec(any_segment(), 2),
        key in proptest::sample::select(vec!["x", "y", "w"]),
        a in proptest::option::of(proptest::sample::select(vec![json!("x"), json!(1), json!(["y", 2]), json!({"b": 1})])),
        multi in any::<bool>(),
    ) {
        let named = |prefix: &str, items: Vec<Value>| {
            let item = |(place, mut item): (usize, Value)| {
                let key = format!("{prefix}{place}");
                item["key"] = json!(key);
                (key, item)
            };
            Value::Object(items.into_iter().enumerate().map(item).collect())
        };
        let flags = flags.into_iter().map(|more| flag("", more)).collect();
        let explainer = explainer(json!({"flags": named("f", flags), "segments": named("s", segments)}));
        let mut member = json!({"key": key, "c": {"d": "x"}});
        if let Some(a) = a {
            member["a"] = a;
        }
        let context = if multi {
            json!({"kind": "multi", "user": member, "org": {"key": "acme", "a": "y"}})
        } else {
            member["kind"] = json!("user");
            member
        };
        let context = Context::from_json(&context).unwrap();
        for key in ["f0", "f1", "f2"] {
            let data = explainer.data();
            let detail = evaluate(data, data.flag(key).unwrap(), &context, &mut |_| {});
            let told = explainer.explain(key, &context).unwrap();
            prop_assert_eq!(told.value.as_ref(), detail.value);
            prop_assert_eq!(told.variation, detail.variation_index);
            prop_assert_eq!(&told.reason, &detail.reason);
            prop_assert!(!told.steps.is_empty());
        }
    }
}

//! The project's own table: every step of an evaluation, every reason, every error.

use std::sync::Arc;

use flagstaff_eval::big_segments::{BigSegments, Membership};
use flagstaff_eval::model::FlagData;
use flagstaff_eval::{
    BigSegmentsStatus, Context, DataSet, MAX_DEPTH, Value, evaluate, evaluate_with_big_segments,
};
use serde_json::json;

/// An environment in which `flag` is the one under test.
fn data(flag: Value, others: Value, segments: Value) -> DataSet {
    let mut base = json!({
        "key": "flag", "version": 3, "on": true, "salt": "salt", "variations": ["a", "b", "c"],
        "offVariation": 2, "fallthrough": {"variation": 0}
    });
    merge(&mut base, flag);
    let mut flags = json!({"flag": base});
    merge(&mut flags, others);
    from_json(json!({"flags": flags, "segments": segments}))
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn from_json(json: Value) -> DataSet {
    DataSet::from_model(serde_json::from_value::<FlagData>(json).expect("flag data"))
}

fn context(json: Value) -> Context {
    Context::from_json(&json).expect("a context")
}

/// Value, variation index and reason, as SDKs report them.
fn answer(data: &DataSet, context: &Context) -> Value {
    let detail = evaluate(data, data.flag("flag").unwrap(), context, &mut |_| {});
    json!([detail.value, detail.variation_index, detail.reason])
}

fn check(flag: Value, expected: Value) {
    check_with(flag, json!({}), json!({}), json!({"key": "u"}), expected);
}

fn check_with(flag: Value, others: Value, segments: Value, user: Value, expected: Value) {
    let found = answer(&data(flag.clone(), others, segments), &context(user.clone()));
    assert_eq!(found, expected, "{flag} for {user}");
}

fn malformed() -> Value {
    json!([null, null, {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}])
}

fn fallthrough() -> Value {
    json!(["a", 0, {"kind": "FALLTHROUGH"}])
}

fn rule_match() -> Value {
    json!(["b", 1, {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r"}])
}

/// A flag whose one rule has these clauses and serves variation 1.
fn rule(clauses: Value) -> Value {
    json!({"rules": [{"id": "r", "clauses": clauses, "variation": 1}]})
}

#[test]
fn off_flag_serves_the_off_variation() {
    check(json!({"on": false}), json!(["c", 2, {"kind": "OFF"}]));
    check(json!({"on": false, "offVariation": null}), json!([null, null, {"kind": "OFF"}]));
    check(json!({"on": false, "offVariation": 3}), malformed());
    check(json!({"on": false, "offVariation": -1}), malformed());
}

#[test]
fn fallthrough_serves_when_nothing_matched() {
    check(json!({}), fallthrough());
    check(
        json!({"fallthrough": {"variation": 1, "rollout": {"variations": []}}}),
        json!(["b", 1, {"kind": "FALLTHROUGH"}]),
    );
    for wrong in [
        json!({}),
        json!({"variation": 9}),
        json!({"variation": -1}),
        json!({"rollout": {"variations": []}}),
        Value::Null,
    ] {
        check(json!({"fallthrough": wrong}), malformed());
    }
}

#[test]
fn null_is_a_value_that_can_be_served() {
    check(json!({"variations": [null]}), json!([null, 0, {"kind": "FALLTHROUGH"}]));
}

#[test]
fn targets_serve_by_key() {
    let flag =
        json!({"targets": [{"variation": 1, "values": ["x", "u"]}, {"variation": 2, "values": ["u", "v"]}]});
    check(flag.clone(), json!(["b", 1, {"kind": "TARGET_MATCH"}]));
    check_with(
        flag.clone(),
        json!({}),
        json!({}),
        json!({"key": "v"}),
        json!(["c", 2, {"kind": "TARGET_MATCH"}]),
    );
    check_with(flag.clone(), json!({}), json!({}), json!({"key": "w"}), fallthrough());
    check_with(flag, json!({}), json!({}), json!({"kind": "org", "key": "u"}), fallthrough());
    check(json!({"targets": [{"variation": 7, "values": ["u"]}]}), malformed());
    check(json!({"targets": [{"variation": 7, "values": ["other"]}]}), fallthrough());
}

#[test]
fn context_targets_decide_the_order_of_kinds() {
    let both = json!({"kind": "multi", "user": {"key": "u"}, "org": {"key": "o"}});
    let flag = |first: Value, second: Value| json!({"targets": [{"variation": 1, "values": ["u"]}], "contextTargets": [first, second]});
    let org = json!({"contextKind": "org", "variation": 2, "values": ["o"]});
    let user = json!({"contextKind": "user", "variation": 1, "values": []});
    check_with(
        flag(org.clone(), user.clone()),
        json!({}),
        json!({}),
        both.clone(),
        json!(["c", 2, {"kind": "TARGET_MATCH"}]),
    );
    check_with(
        flag(user, org.clone()),
        json!({}),
        json!({}),
        both.clone(),
        json!(["b", 1, {"kind": "TARGET_MATCH"}]),
    );
    // User keys that no entry stands for are not looked at; own keys of a user entry are.
    check_with(
        json!({"targets": [{"variation": 1, "values": ["u"]}], "contextTargets": [{"variation": 0, "values": ["u"]}]}),
        json!({}),
        json!({}),
        both,
        json!(["a", 0, {"kind": "TARGET_MATCH"}]),
    );
}

#[test]
fn rules_serve_in_order() {
    check(rule(json!([{"attribute": "key", "op": "in", "values": ["u"]}])), rule_match());
    check(rule(json!([])), rule_match());
    check(json!({"rules": [{"variation": 1}]}), json!(["b", 1, {"kind": "RULE_MATCH", "ruleIndex": 0}]));
    check(
        json!({"rules": [
            {"id": "x", "clauses": [{"attribute": "key", "op": "in", "values": ["w"]}], "variation": 1},
            {"id": "y", "clauses": [], "variation": 2}]}),
        json!(["c", 2, {"kind": "RULE_MATCH", "ruleIndex": 1, "ruleId": "y"}]),
    );
    check(json!({"rules": [{"id": "r", "clauses": []}]}), malformed());
    check(
        json!({"rules": [{"id": "r", "clauses": [], "variation": 5}, {"id": "s", "variation": 1}]}),
        malformed(),
    );
}

#[test]
fn clauses_read_the_member_of_their_kind() {
    let org = |attribute: &str, value: Value| {
        rule(json!([{"contextKind": "org", "attribute": attribute, "op": "in", "values": [value]}]))
    };
    let both = json!({"kind": "multi", "user": {"key": "u", "a": 1}, "org": {"key": "o", "a": {"b": [2]}, "anonymous": true}});
    check_with(org("key", json!("o")), json!({}), json!({}), both.clone(), rule_match());
    check_with(org("/a/b", json!(2)), json!({}), json!({}), both.clone(), rule_match());
    check_with(org("/a/c", json!(2)), json!({}), json!({}), both.clone(), fallthrough());
    check_with(org("/a/b/0", json!(2)), json!({}), json!({}), both.clone(), fallthrough());
    check_with(org("anonymous", json!(true)), json!({}), json!({}), both.clone(), rule_match());
    check_with(org("/key/x", json!("o")), json!({}), json!({}), both.clone(), fallthrough());
    let kind = |value: &str, negate: bool| {
        rule(json!([{"attribute": "kind", "op": "in", "values": [value], "negate": negate}]))
    };
    check_with(kind("org", false), json!({}), json!({}), both.clone(), rule_match());
    check_with(kind("car", true), json!({}), json!({}), both.clone(), rule_match());
    check_with(kind("org", true), json!({}), json!({}), both, fallthrough());
}

#[test]
fn without_a_kind_an_attribute_is_a_plain_name() {
    let clause = |kind: Option<&str>| {
        rule(json!([{"contextKind": kind, "attribute": "/a", "op": "in", "values": [1]}]))
    };
    let odd = json!({"kind": "user", "key": "u", "/a": 1, "a": 2});
    check_with(clause(None), json!({}), json!({}), odd.clone(), rule_match());
    check_with(clause(Some("")), json!({}), json!({}), odd.clone(), rule_match());
    check_with(clause(Some("user")), json!({}), json!({}), odd, fallthrough());
}

#[test]
fn a_clause_that_cannot_be_read_makes_the_flag_malformed() {
    for (kind, attribute) in [(None, ""), (Some("user"), "//"), (Some("user"), "/"), (Some("org"), "/a~2")] {
        check(
            rule(json!([{"contextKind": kind, "attribute": attribute, "op": "in", "values": [1]}])),
            malformed(),
        );
    }
    // The first clause decides before the second is read.
    check(
        rule(
            json!([{"attribute": "key", "op": "in", "values": ["x"]}, {"attribute": "", "op": "in", "values": []}]),
        ),
        fallthrough(),
    );
}

#[test]
fn prerequisites_must_serve_what_they_must() {
    let flag = json!({"prerequisites": [{"key": "p", "variation": 1}]});
    let p = |changes: Value| {
        let mut p = json!({"version": 9, "on": true, "variations": [0, 1], "offVariation": 1, "fallthrough": {"variation": 1}});
        merge(&mut p, changes);
        json!({"p": p})
    };
    let failed = || json!(["c", 2, {"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "p"}]);
    let run = |others: Value, expected: Value| {
        check_with(flag.clone(), others, json!({}), json!({"key": "u"}), expected)
    };
    run(p(json!({})), fallthrough());
    run(p(json!({"fallthrough": {"variation": 0}})), failed());
    run(p(json!({"on": false})), failed());
    run(p(json!({"fallthrough": {"variation": 5}})), failed());
    run(
        p(
            json!({"fallthrough": {"rollout": {"contextKind": "user", "bucketBy": "//", "variations": [{"variation": 1, "weight": 1}]}}}),
        ),
        failed(),
    );
    run(p(json!({"deleted": true})), failed());
    run(json!({}), failed());
    run(p(json!({"rules": [{"clauses": [{"attribute": "", "op": "in"}]}]})), malformed());
    run(p(json!({"prerequisites": [{"key": "flag", "variation": 0}]})), malformed());
    // A cycle behind an off flag goes unnoticed: its prerequisites are not looked at.
    run(p(json!({"on": false, "prerequisites": [{"key": "flag", "variation": 0}]})), failed());
}

#[test]
fn each_prerequisite_is_reported_innermost_first() {
    let others = json!({
        "p": {"version": 1, "on": true, "variations": [0], "fallthrough": {"variation": 0}, "prerequisites": [{"key": "q", "variation": 0}]},
        "q": {"version": 2, "on": true, "variations": [0], "fallthrough": {"variation": 0}},
        "r": {"version": 3, "on": false, "variations": [0], "offVariation": 0},
    });
    let flag = json!({"prerequisites": [{"key": "p", "variation": 0}, {"key": "q", "variation": 0}, {"key": "r", "variation": 0}, {"key": "p", "variation": 0}]});
    let data = data(flag, others, json!({}));
    let mut heard = Vec::new();
    let user = context(json!({"key": "u"}));
    evaluate(&data, data.flag("flag").unwrap(), &user, &mut |result| {
        heard.push(format!(
            "{} of {}: {:?}",
            result.flag.key(),
            result.prerequisite_of.key(),
            result.detail.variation_index
        ));
    });
    assert_eq!(heard, ["q of p: Some(0)", "p of flag: Some(0)", "q of flag: Some(0)", "r of flag: Some(0)"]);
}

#[test]
fn chains_that_are_too_deep_are_malformed_and_harm_nobody() {
    let chain = |length: usize| {
        let flags: serde_json::Map<String, Value> = (0..=length)
            .map(|i| {
                let next = if i < length { json!([{"key": format!("f{}", i + 1), "variation": 0}]) } else { json!([]) };
                (format!("f{i}"), json!({"version": 1, "on": true, "variations": [0], "fallthrough": {"variation": 0}, "prerequisites": next}))
            })
            .collect();
        flags
    };
    let run = |length: usize| {
        let data = data(
            json!({"prerequisites": [{"key": "f0", "variation": 0}]}),
            Value::Object(chain(length)),
            json!({}),
        );
        answer(&data, &context(json!({"key": "u"})))
    };
    assert_eq!(run(MAX_DEPTH - 2), fallthrough());
    assert_eq!(run(MAX_DEPTH - 1), malformed());
    assert_eq!(run(10_000), malformed());
    let segments: serde_json::Map<String, Value> = (0..10_000)
        .map(|i| (format!("s{i}"), json!({"version": 1, "rules": [{"clauses": [{"op": "segmentMatch", "values": [format!("s{}", i + 1)]}]}]})))
        .collect();
    let deep = rule(json!([{"op": "segmentMatch", "values": ["s0"]}]));
    check_with(deep, json!({}), Value::Object(segments), json!({"key": "u"}), malformed());
}

#[test]
fn segments_include_exclude_and_rule() {
    let flag = rule(json!([{"op": "segmentMatch", "values": ["nope", 5, "s"]}]));
    let run = |segment: Value, user: Value, expected: Value| {
        let mut s = json!({"version": 1, "salt": "salty"});
        merge(&mut s, segment);
        check_with(flag.clone(), json!({}), json!({"s": s}), user, expected);
    };
    let u = || json!({"key": "u"});
    run(json!({"included": ["u"], "excluded": ["u"]}), u(), rule_match());
    run(json!({"excluded": ["u"], "rules": [{"clauses": []}]}), u(), fallthrough());
    run(json!({"rules": [{"clauses": []}]}), u(), rule_match());
    run(
        json!({"includedContexts": [{"contextKind": "org", "values": ["o"]}]}),
        json!({"kind": "org", "key": "o"}),
        rule_match(),
    );
    run(
        json!({"excludedContexts": [{"contextKind": "org", "values": ["o"]}], "rules": [{}]}),
        json!({"kind": "org", "key": "o"}),
        fallthrough(),
    );
    run(json!({"included": ["o"]}), json!({"kind": "org", "key": "o"}), fallthrough());
    run(json!({"rules": [{"clauses": [{"attribute": "", "op": "in"}]}]}), u(), malformed());
    run(
        json!({"rules": [{"weight": 50000, "rolloutContextKind": "user", "bucketBy": "//"}]}),
        u(),
        malformed(),
    );
    run(json!({"rules": [{"weight": 100000, "rolloutContextKind": "org"}]}), u(), fallthrough());
    run(json!({"rules": [{"weight": 1, "bucketBy": "missing"}]}), u(), rule_match());
    run(json!({"rules": [{"clauses": [{"op": "segmentMatch", "values": ["s"]}]}]}), u(), malformed());
    run(json!({"deleted": true, "included": ["u"]}), u(), fallthrough());
    check(rule(json!([{"op": "segmentMatch", "values": ["nope"], "negate": true}])), rule_match());
}

#[test]
fn segment_shares_go_by_the_segments_salt() {
    let flag = rule(json!([{"op": "segmentMatch", "values": ["segment3"]}]));
    let segment =
        json!({"segment3": {"key": "segment3", "version": 1, "salt": "salty", "rules": [{"weight": 14955}]}});
    check_with(flag.clone(), json!({}), segment.clone(), json!({"key": "user-key"}), rule_match());
    check_with(flag, json!({}), segment, json!({"key": "unmatching-key"}), fallthrough());
}

/// Users and their buckets of flag `hashKey` with salt `saltyA`, in hundred-thousandths.
const BUCKETS: [(&str, i64); 3] = [("userKeyA", 42157), ("userKeyB", 67084), ("userKeyC", 10343)];

fn rollout_flag(rollout: Value) -> Value {
    json!({"key": "hashKey", "salt": "saltyA", "fallthrough": {"rollout": rollout}})
}

#[test]
fn rollouts_place_contexts_by_hash() {
    for (key, bucket) in BUCKETS {
        for (weight, variation) in [(bucket, 1), (bucket + 1, 0)] {
            let rollout = json!({"variations": [{"variation": 0, "weight": weight}, {"variation": 1, "weight": 100_000 - weight}]});
            let value = ["a", "b"][variation];
            check_with(
                rollout_flag(rollout),
                json!({}),
                json!({}),
                json!({"key": key}),
                json!([value, variation, {"kind": "FALLTHROUGH"}]),
            );
        }
    }
}

#[test]
fn seeds_replace_key_and_salt() {
    for (seed, key, bucket) in
        [(61, "userKeyA", 9801), (61, "userKeyB", 14483), (0, "userKeyA", 61562), (-5, "userKeyA", 12902)]
    {
        let rollout = json!({"seed": seed, "kind": "experiment", "variations": [{"variation": 0, "weight": bucket}, {"variation": 1, "weight": 1}, {"variation": 2, "weight": 99_999 - bucket}]});
        check_with(
            rollout_flag(rollout),
            json!({}),
            json!({}),
            json!({"key": key}),
            json!(["b", 1, {"kind": "FALLTHROUGH", "inExperiment": true}]),
        );
    }
}

#[test]
fn whole_numbers_are_hashed_as_digits_and_fractions_are_placed_first() {
    for (value, variation) in [
        (json!(33333), 1),
        (json!(33333.0), 1),
        (json!("33333"), 1),
        (json!(33333.5), 0),
        (json!(true), 0),
        (json!([1]), 0),
        (Value::Null, 0),
    ] {
        let rollout = json!({"bucketBy": "n", "variations": [{"variation": 0, "weight": 54771}, {"variation": 1, "weight": 1}, {"variation": 2, "weight": 45228}]});
        let user = json!({"key": "u", "custom": {"n": value}});
        let served = ["a", "b"][variation];
        let expected = json!([served, variation, {"kind": "FALLTHROUGH"}]);
        check_with(rollout_flag(rollout), json!({}), json!({}), user, expected);
    }
}

#[test]
fn weight_left_over_goes_to_the_last_variation() {
    let rollout = json!({"variations": [{"variation": 0, "weight": 1}, {"variation": 2, "weight": 1}]});
    check_with(
        rollout_flag(rollout),
        json!({}),
        json!({}),
        json!({"key": "userKeyA"}),
        json!(["c", 2, {"kind": "FALLTHROUGH"}]),
    );
    let negative =
        json!({"variations": [{"variation": 0, "weight": -5}, {"variation": 1, "weight": 100_005}]});
    check_with(
        rollout_flag(negative),
        json!({}),
        json!({}),
        json!({"key": "userKeyA"}),
        json!(["b", 1, {"kind": "FALLTHROUGH"}]),
    );
}

#[test]
fn without_the_kind_the_first_share_with_weight_serves_and_no_experiment_counts_it() {
    let rollout = json!({"kind": "experiment", "contextKind": "org", "variations": [{"variation": 0, "weight": 0}, {"variation": 1, "weight": 10}, {"variation": 2, "weight": 10}]});
    check_with(
        rollout_flag(rollout),
        json!({}),
        json!({}),
        json!({"key": "u"}),
        json!(["b", 1, {"kind": "FALLTHROUGH"}]),
    );
    let weightless =
        json!({"kind": "experiment", "contextKind": "org", "variations": [{"variation": 0, "weight": 0}]});
    check_with(
        rollout_flag(weightless),
        json!({}),
        json!({}),
        json!({"key": "u"}),
        json!(["a", 0, {"kind": "FALLTHROUGH"}]),
    );
}

#[test]
fn experiments_hash_the_key_whatever_they_say_and_skip_untracked_shares() {
    let rollout = |untracked: bool| json!({"kind": "experiment", "bucketBy": "//", "contextKind": "user", "variations": [{"variation": 1, "weight": 100_000, "untracked": untracked}]});
    let run = |untracked, reason: Value| {
        check_with(
            rollout_flag(rollout(untracked)),
            json!({}),
            json!({}),
            json!({"key": "u"}),
            json!(["b", 1, reason]),
        );
    };
    run(false, json!({"kind": "FALLTHROUGH", "inExperiment": true}));
    run(true, json!({"kind": "FALLTHROUGH"}));
    let plain =
        json!({"bucketBy": "//", "contextKind": "user", "variations": [{"variation": 1, "weight": 100_000}]});
    check_with(rollout_flag(plain), json!({}), json!({}), json!({"key": "u"}), malformed());
}

#[test]
fn only_legacy_users_have_a_second_bucketing_key() {
    let rollout = |kind: &str| json!({"kind": kind, "variations": [{"variation": 0, "weight": 26429}, {"variation": 1, "weight": 1}, {"variation": 2, "weight": 73570}]});
    let user = json!({"key": "userKeyA", "secondary": "mySecondaryKey"});
    let served = |rollout: Value, user: &Context| {
        answer(&data(rollout_flag(rollout), json!({}), json!({})), user)[1].clone()
    };
    let legacy = Context::from_legacy_user(&user).unwrap();
    assert_eq!(served(rollout("rollout"), &legacy), json!(1));
    assert_eq!(served(rollout("experiment"), &legacy), json!(2));
    assert_eq!(served(rollout("rollout"), &context(user)), json!(2));
}

#[test]
fn a_legacy_users_anonymous_that_was_not_given_does_not_match() {
    let flag = rule(json!([{"attribute": "anonymous", "op": "in", "values": [true], "negate": true}]));
    let served = |user: &Context| answer(&data(flag.clone(), json!({}), json!({})), user)[1].clone();
    assert_eq!(served(&Context::from_legacy_user(&json!({"key": "u"})).unwrap()), json!(0));
    assert_eq!(
        served(&Context::from_legacy_user(&json!({"key": "u", "anonymous": false})).unwrap()),
        json!(1)
    );
    assert_eq!(served(&context(json!({"key": "u"}))), json!(1));
}

/// A store that knows one user, and counts how often it is asked.
struct Store {
    status: BigSegmentsStatus,
    membership: Option<Arc<Membership>>,
    asked: std::cell::Cell<usize>,
}

impl BigSegments for Store {
    fn membership(&self, context_key: &str) -> (Option<Arc<Membership>>, BigSegmentsStatus) {
        self.asked.set(self.asked.get() + 1);
        (self.membership.clone().filter(|_| context_key == "u"), self.status)
    }
}

#[test]
fn big_segments_ask_the_store_once_and_report_its_worst_state() {
    let store = |status, included: &[&str], excluded: &[&str]| Store {
        status,
        membership: Some(Arc::new(Membership::new(included.iter().copied(), excluded.iter().copied()))),
        asked: Default::default(),
    };
    let big = |generation: Value, rules: Value| json!({"version": 1, "unbounded": true, "generation": generation, "included": ["u"], "rules": rules});
    let flag = |segments: Value| {
        let one = |key: &Value| json!({"op": "segmentMatch", "values": [key], "negate": false});
        rule(Value::Array(segments.as_array().unwrap().iter().map(one).collect()))
    };
    let run = |segments: Value, names: Value, store: Option<&Store>, user: Value| {
        let data = data(flag(names), json!({}), segments);
        let user = context(user);
        let detail = evaluate_with_big_segments(
            &data,
            store.map(|store| store as &dyn BigSegments),
            data.flag("flag").unwrap(),
            &user,
            &mut |_| {},
        );
        json!([detail.variation_index, detail.reason.big_segments_status.map(BigSegmentsStatus::as_str)])
    };
    let user = || json!({"key": "u"});
    let healthy = store(BigSegmentsStatus::Healthy, &["s.g1", "t.g2"], &["x.g1"]);
    let both = json!({"s": big(json!(1), json!([])), "t": big(json!(2), json!([]))});
    assert_eq!(run(both, json!(["s", "t"]), Some(&healthy), user()), json!([1, "HEALTHY"]));
    assert_eq!(healthy.asked.get(), 1);
    let one = |generation: Value, rules: Value| json!({"s": big(generation, rules)});
    assert_eq!(run(one(json!(9), json!([])), json!(["s"]), Some(&healthy), user()), json!([0, "HEALTHY"]));
    assert_eq!(run(one(json!(9), json!([{}])), json!(["s"]), Some(&healthy), user()), json!([1, "HEALTHY"]));
    assert_eq!(
        run(json!({"x": big(json!(1), json!([{}]))}), json!(["x"]), Some(&healthy), user()),
        json!([0, "HEALTHY"])
    );
    assert_eq!(
        run(one(Value::Null, json!([{}])), json!(["s"]), Some(&healthy), user()),
        json!([0, "NOT_CONFIGURED"])
    );
    let asked = healthy.asked.get();
    assert_eq!(
        run(one(json!(1), json!([{}])), json!(["s"]), Some(&healthy), json!({"kind": "org", "key": "u"})),
        json!([0, null])
    );
    assert_eq!(healthy.asked.get(), asked, "without the kind there is nothing to ask");
    assert_eq!(run(one(json!(1), json!([{}])), json!(["s"]), None, user()), json!([1, "NOT_CONFIGURED"]));
    for status in [BigSegmentsStatus::Stale, BigSegmentsStatus::StoreError] {
        assert_eq!(
            run(one(json!(1), json!([])), json!(["s"]), Some(&store(status, &["s.g1"], &[])), user()),
            json!([1, status.as_str()])
        );
    }
}

#[test]
fn experiments_of_both_generations_are_told_by_flag_and_reason() {
    let data = data(
        json!({"trackEventsFallthrough": true, "rules": [
            {"id": "r", "clauses": [{"attribute": "key", "op": "in", "values": ["r"]}], "variation": 1, "trackEvents": true},
            {"id": "s", "clauses": [{"attribute": "key", "op": "in", "values": ["s"]}], "variation": 1}]}),
        json!({}),
        json!({}),
    );
    let flag = data.flag("flag").unwrap();
    let is_experiment = |key: &str| {
        flag.is_experiment(&evaluate(&data, flag, &Context::from_key(key).unwrap(), &mut |_| {}).reason)
    };
    assert_eq!([is_experiment("r"), is_experiment("s"), is_experiment("x")], [true, false, true]);
}

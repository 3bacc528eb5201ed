//! Properties: the fast forms agree with slow and plain ones, and no input panics.

use std::collections::HashMap;

use flagstaff_eval::model::{Flag, Segment};
use flagstaff_eval::{AttributeRef, Context, DataSet, Entry, Value, bucket, evaluate};
use proptest::prelude::*;
use serde_json::json;
use sha1::{Digest, Sha1};

/// Bucketing as the protocol words it: hex digits, then exact integer comparison against weights.
fn reference_choice(input: &str, weights: &[i64]) -> usize {
    let hex: String = Sha1::digest(input.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = i128::from_str_radix(&hex[..15], 16).unwrap();
    let all = 0x0FFF_FFFF_FFFF_FFFF_i128;
    let mut sum = 0;
    for (index, weight) in weights.iter().enumerate() {
        sum += i128::from(*weight);
        if hash * 100_000 < sum * all {
            return index;
        }
    }
    weights.len() - 1
}

/// How near the hash is to a boundary between shares, as a fraction.
fn distance_to_boundary(input: &str, weights: &[i64]) -> f64 {
    let hex: String = Sha1::digest(input.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let place = u64::from_str_radix(&hex[..15], 16).unwrap() as f64 / 0x0FFF_FFFF_FFFF_FFFF_u64 as f64;
    let mut sum = 0.0;
    weights.iter().fold(1.0_f64, |nearest, weight| {
        sum += *weight as f64 / 100_000.0;
        nearest.min((place - sum).abs())
    })
}

#[derive(Clone, Debug)]
enum Change {
    Upsert { key: u8, version: u64 },
    Delete { key: u8, version: u64 },
}

fn change() -> impl Strategy<Value = Change> {
    (0..6_u8, prop_oneof![0..12_u64, Just(1 << 53), Just((1 << 53) - 1)], any::<bool>()).prop_map(
        |(key, version, delete)| {
            if delete { Change::Delete { key, version } } else { Change::Upsert { key, version } }
        },
    )
}

/// Any JSON of modest size.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop_oneof![
            Just("user"),
            Just("multi"),
            Just("in"),
            Just("key"),
            Just("segmentMatch"),
            Just("2-rc"),
            Just("/a/b")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let name = prop_oneof![
            "\\PC{0,4}",
            proptest::sample::select(vec![
                "key",
                "kind",
                "version",
                "on",
                "rules",
                "clauses",
                "attribute",
                "op",
                "values",
                "variation",
                "rollout",
                "variations",
                "weight",
                "fallthrough",
                "targets",
                "contextTargets",
                "contextKind",
                "prerequisites",
                "offVariation",
                "custom",
                "_meta",
                "name",
                "anonymous",
                "included",
                "salt",
                "bucketBy",
                "seed",
                "user",
            ])
            .prop_map(str::to_owned),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn buckets_agree_with_the_slow_reference(
        key in "\\PC{0,20}", salt in "[a-z0-9]{0,32}", context_key in "\\PC{1,40}", seed in proptest::option::of(any::<i32>()),
        weights in prop::collection::vec(0..60_000_i64, 1..5),
    ) {
        let input = match seed {
            Some(seed) => format!("{seed}.{context_key}"),
            None => format!("{key}.{salt}.{context_key}"),
        };
        // Single precision may fall on the other side within a rounding of the boundary.
        prop_assume!(distance_to_boundary(&input, &weights) > 1e-6);
        let shares: Vec<Value> = weights.iter().enumerate().map(|(i, weight)| json!({"variation": i, "weight": weight})).collect();
        let values: Vec<usize> = (0..weights.len()).collect();
        let flag = json!({"key": key, "version": 1, "on": true, "salt": salt, "variations": values, "fallthrough": {"rollout": {"seed": seed, "variations": shares}}});
        let data = DataSet::new([Entry::flag(&key, serde_json::from_value(flag).unwrap())], []);
        let context = Context::from_key(context_key).unwrap();
        let detail = evaluate(&data, data.flag(&key).unwrap(), &context, &mut |_| {});
        prop_assert_eq!(detail.variation_index, Some(reference_choice(&input, &weights)));
    }

    #[test]
    fn buckets_lie_between_zero_and_one(prefix in "\\PC{0,20}", value in "\\PC{0,20}") {
        prop_assert!((0.0..=1.0).contains(&bucket(&prefix, &value)));
    }

    #[test]
    fn the_greatest_version_wins_in_any_order(changes in prop::collection::vec(change(), 0..40)) {
        let mut data = DataSet::default();
        let mut model: HashMap<u8, (u64, bool)> = HashMap::new();
        for change in changes {
            let (key, version, live) = match change {
                Change::Upsert { key, version } => (key, version, true),
                Change::Delete { key, version } => (key, version, false),
            };
            let name = format!("flag-{key}");
            let entry = if live {
                Entry::flag(&name, Flag { version, ..Flag::default() })
            } else {
                Entry::tombstone(&name, version)
            };
            let newer = model.get(&key).is_none_or(|(known, _)| version > *known);
            let next = data.with_flag(entry);
            prop_assert_eq!(next.is_some(), newer);
            if let Some(next) = next {
                data = next;
                model.insert(key, (version, live));
            }
        }
        for (key, (version, live)) in &model {
            let name = format!("flag-{key}");
            prop_assert_eq!(data.flag_version(&name), Some(*version));
            prop_assert_eq!(data.flag(&name).is_some(), *live);
        }
        prop_assert_eq!(data.flag_entries().count(), model.len());
    }

    #[test]
    fn references_survive_their_spelling(text in "[/~01ab\\PC]{0,10}") {
        let reference = AttributeRef::new(&text);
        prop_assert_eq!(&AttributeRef::new(&reference.to_string()), &reference);
        let literal = AttributeRef::literal(&text);
        prop_assert_eq!(&AttributeRef::new(&literal.to_string()), &literal);
    }

    #[test]
    fn contexts_survive_their_json(json in any_json()) {
        if let Ok(context) = Context::from_json(&json) {
            let written = serde_json::to_value(&context).unwrap();
            // A user's key may be empty; a context's may not.
            if !context.members()[0].key().is_empty() {
                prop_assert_eq!(&Context::from_json(&written).unwrap(), &context);
            }
        }
        let _ = Context::from_legacy_user(&json);
    }

    #[test]
    fn any_flag_and_segment_can_be_evaluated(flag in any_json(), segment in any_json(), context in any_json()) {
        let flag = serde_json::from_value::<Flag>(flag).unwrap_or_default();
        let segment = serde_json::from_value::<Segment>(segment).unwrap_or_default();
        let context = Context::from_json(&context).unwrap_or_else(|_| Context::from_key("u").unwrap());
        let data = DataSet::new([Entry::flag("f", Flag { deleted: false, ..flag })], [Entry::segment("s", segment)]);
        let detail = evaluate(&data, data.flag("f").unwrap(), &context, &mut |_| {});
        prop_assert!(detail.value.is_none() || detail.variation_index.is_some());
    }

    #[test]
    fn texts_that_are_no_json_are_refused(text in "\\PC{0,30}") {
        let _ = text.parse::<Context>();
        let _ = serde_json::from_str::<Flag>(&text);
    }

    #[test]
    fn dates_versions_and_patterns_never_panic(text in "[-0-9TtZz:.+va()*\\[\\]\\\\{}é]{0,32}", operator in proptest::sample::select(vec!["before", "after", "semVerEqual", "semVerLessThan", "matches"])) {
        let flag = json!({"version": 1, "on": true, "variations": [0, 1], "fallthrough": {"variation": 0},
            "rules": [{"clauses": [{"attribute": "a", "op": operator, "values": [text]}], "variation": 1}]});
        let data = DataSet::new([Entry::flag("f", serde_json::from_value(flag).unwrap())], []);
        let context = Context::builder("u").set("a", text).build().unwrap();
        let detail = evaluate(&data, data.flag("f").unwrap(), &context, &mut |_| {});
        prop_assert!(detail.value.is_some());
    }
}

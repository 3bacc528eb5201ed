//! Flags and segments as SDKs get them, turned back into what rests here.
//!
//! What comes out gives SDKs the same again. What has the same meaning in several spellings has one here: an
//! empty kind or attribute is none, and a variation wins over a rollout beside it.

use flagstaff_eval::Value;
use flagstaff_eval::model::{
    self, Clause, ClientSideAvailability, Flag, Rollout, Segment, VariationOrRollout,
};

use super::document::{RulePart, SegmentPart};
use crate::management::segment::SegmentDefinition;
use crate::store::membership::{Membership, SegmentRule};
use crate::store::targeting::{Rule, RuleClause, Targeting, join_targets};

/// What a flag says of all environments: its values, and which client-side SDKs see it.
pub(super) fn shared(flag: &Flag) -> (Vec<Value>, ClientSideAvailability) {
    (flag.variations.clone(), flag.availability())
}

/// What a flag says of its environment. `parts` stands beside its rules.
pub(super) fn targeting(flag: &Flag, parts: &[RulePart]) -> Targeting {
    let rules = flag.rules.iter().enumerate();
    Targeting {
        on: flag.on,
        salt: flag.salt.clone(),
        prerequisites: flag.prerequisites.clone(),
        targets: join_targets(counting(flag), flag.context_targets.clone()),
        rules: rules.map(|(place, rule)| flag_rule(place, rule, parts.get(place))).collect(),
        fallthrough: serve(&flag.fallthrough),
        off_variation: flag.off_variation,
        track_events: flag.track_events,
        track_events_fallthrough: flag.track_events_fallthrough,
        debug_events_until_date: flag.debug_events_until_date,
        sampling_ratio: flag.sampling_ratio,
        exclude_from_summaries: flag.exclude_from_summaries,
        migration: flag.migration,
    }
}

/// The lists of users that count: where other kinds have lists, an entry among those holds the place of each
/// list of users, and one without a place is never looked at.
fn counting(flag: &Flag) -> Vec<model::Target> {
    let has_place = |target: &&model::Target| {
        flag.context_targets.is_empty()
            || flag.context_targets.iter().any(|place| {
                place.variation == target.variation
                    && place.values.is_empty()
                    && crate::store::targeting::kind_of(place) == "user"
            })
    };
    flag.targets.iter().filter(has_place).cloned().collect()
}

fn flag_rule(place: usize, rule: &model::FlagRule, part: Option<&RulePart>) -> Rule {
    let served = VariationOrRollout { variation: rule.variation, rollout: rule.rollout.clone() };
    let served = serve(&served);
    Rule {
        id: id_or_place(&rule.id, place),
        description: part.and_then(|part| part.description.clone()),
        clauses: clauses(&rule.clauses, part),
        variation: served.variation,
        rollout: served.rollout,
        track_events: rule.track_events,
    }
}

/// The same for the same rule every time, so that a file that is imported again changes nothing.
fn id_or_place(id: &str, place: usize) -> String {
    if id.is_empty() { format!("rule-{}", place + 1) } else { id.to_owned() }
}

fn clauses(clauses: &[Clause], part: Option<&RulePart>) -> Vec<RuleClause> {
    let clause = |(place, clause): (usize, &Clause)| {
        let id = part.and_then(|part| part.clauses.get(place)).filter(|id| !id.is_empty());
        RuleClause {
            id: id.cloned().unwrap_or_else(|| format!("clause-{}", place + 1)),
            clause: Clause { context_kind: filled(&clause.context_kind), ..clause.clone() },
        }
    };
    clauses.iter().enumerate().map(clause).collect()
}

fn serve(served: &VariationOrRollout) -> VariationOrRollout {
    match (served.variation, &served.rollout) {
        (Some(variation), _) => VariationOrRollout::variation(variation),
        (None, Some(rollout)) => VariationOrRollout::rollout(Rollout {
            context_kind: filled(&rollout.context_kind),
            bucket_by: filled(&rollout.bucket_by),
            ..rollout.clone()
        }),
        (None, None) => VariationOrRollout::default(),
    }
}

fn membership(segment: &Segment, part: Option<&SegmentPart>) -> Membership {
    let rule = |(place, rule): (usize, &model::SegmentRule)| {
        let part = part.and_then(|part| part.rules.get(place));
        SegmentRule {
            id: id_or_place(rule.id.as_deref().unwrap_or_default(), place),
            description: part.and_then(|part| part.description.clone()),
            clauses: clauses(&rule.clauses, part),
            weight: rule.weight,
            bucket_by: filled(&rule.bucket_by),
            rollout_context_kind: filled(&rule.rollout_context_kind),
        }
    };
    Membership {
        included: segment.included.clone(),
        excluded: segment.excluded.clone(),
        included_contexts: segment.included_contexts.clone(),
        excluded_contexts: segment.excluded_contexts.clone(),
        rules: segment.rules.iter().enumerate().map(rule).collect(),
        salt: segment.salt.clone(),
        unbounded: segment.unbounded,
        unbounded_context_kind: filled(&segment.unbounded_context_kind),
        generation: segment.generation,
    }
}

/// A segment, and what stands beside it.
pub(super) fn segment(key: &str, segment: &Segment, part: Option<&SegmentPart>) -> SegmentDefinition {
    let membership = membership(segment, part);
    match part {
        Some(part) => SegmentDefinition {
            name: part.name.clone(),
            description: part.description.clone(),
            tags: part.tags.clone(),
            membership,
        },
        None => SegmentDefinition { name: key.to_owned(), membership, ..SegmentDefinition::default() },
    }
}

fn filled(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::store::membership::sdk_segment;
    use crate::store::targeting::{FlagDefinition, Variation, sdk_flag};

    /// Through what rests here, and out again.
    fn there_and_back(flag: &Flag) -> Flag {
        let (values, availability) = shared(flag);
        let variation = |value| Variation { value, ..Variation::default() };
        let variations = values.into_iter().map(variation).collect();
        let definition = FlagDefinition { variations, availability, ..FlagDefinition::default() };
        sdk_flag(&flag.key, &definition, &targeting(flag, &[]), flag.version)
    }

    fn text(choices: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
        proptest::sample::select(choices)
    }

    fn any_clauses() -> impl Strategy<Value = Value> {
        let values = proptest::collection::vec(
            prop_oneof![Just(json!("x")), Just(json!(1.5)), Just(json!(null))],
            0..3,
        );
        let kind = proptest::option::of(text(&["user", "org"]));
        let clause = (
            kind,
            text(&["a", "/b/c", ""]),
            text(&["in", "matches", "segmentMatch", "new"]),
            values,
            any::<bool>(),
        );
        let clause = clause.prop_map(|(kind, attribute, op, values, negate)| {
            json!({"contextKind": kind, "attribute": attribute, "op": op, "values": values, "negate": negate})
        });
        proptest::collection::vec(clause, 0..3).prop_map(Value::from)
    }

    fn any_served() -> impl Strategy<Value = Value> {
        let share = (0..4_i64, 0..100_001_i64, any::<bool>());
        let share = share.prop_map(|(variation, weight, untracked)| {
            json!({"variation": variation, "weight": weight, "untracked": untracked})
        });
        let rollout = (
            text(&["rollout", "experiment"]),
            proptest::option::of(text(&["user", "org"])),
            proptest::option::of(text(&["plan", "/a/b"])),
            proptest::option::of(any::<i64>()),
            proptest::collection::vec(share, 0..3),
        );
        prop_oneof![
            (0..4_i64).prop_map(|variation| json!({"variation": variation})),
            rollout.prop_map(|(kind, context, by, seed, shares)| json!({"rollout": {
                "kind": kind, "contextKind": context, "bucketBy": by, "seed": seed, "variations": shares}})),
        ]
    }

    /// Lists of targets as services send them: users apart, their places held among those of other kinds.
    fn any_targets() -> impl Strategy<Value = (Value, Value)> {
        let list =
            (text(&["user", "org", "device"]), 0..4_i64, proptest::collection::vec("[a-z]{1,3}", 1..3));
        proptest::collection::vec(list, 0..4).prop_map(|mut lists| {
            lists.sort_by_key(|(kind, variation, _)| (*variation, *kind));
            lists.dedup_by_key(|(kind, variation, _)| (*variation, *kind));
            let target = |(kind, variation, values): (&str, i64, Vec<String>)| model::Target {
                context_kind: Some(kind.to_owned()),
                variation,
                values,
            };
            let lists: Vec<_> = lists.into_iter().map(target).collect();
            let (users, all) = crate::store::targeting::split_targets(&lists);
            (json!(users), json!(all))
        })
    }

    prop_compose! {
        fn any_flag()(
            bits in any::<[bool; 8]>(),
            values in proptest::collection::vec(prop_oneof![Just(json!(true)), Just(json!({"a": [1, null]})), Just(json!("x"))], 0..4),
            off in proptest::option::of(0..4_i64),
            numbers in any::<(Option<i32>, Option<i32>, Option<u32>)>(),
            salt in "[a-z0-9]{0,8}",
            targets in any_targets(),
            rules in proptest::collection::vec((any_clauses(), any_served(), any::<bool>()), 0..3),
            fallthrough in any_served(),
            needs in proptest::collection::vec(("[a-z]{1,3}", 0..3_i64), 0..3),
        ) -> Value {
            let rule = |(place, (clauses, mut rule, track)): (usize, (Value, Value, bool))| {
                rule["id"] = json!(format!("id-{place}"));
                rule["clauses"] = clauses;
                rule["trackEvents"] = json!(track);
                rule
            };
            let need = |(key, variation)| json!({"key": key, "variation": variation});
            json!({
                "key": "f", "version": 5, "on": bits[0], "salt": salt, "variations": values, "offVariation": off,
                "trackEvents": bits[1], "trackEventsFallthrough": bits[2], "excludeFromSummaries": bits[3],
                "clientSide": bits[4],
                "clientSideAvailability": bits[5].then(|| json!({"usingEnvironmentId": bits[6], "usingMobileKey": bits[7]})),
                "samplingRatio": numbers.0, "migration": numbers.1.map(|ratio| json!({"checkRatio": ratio})),
                "debugEventsUntilDate": numbers.2, "targets": targets.0, "contextTargets": targets.1,
                "rules": rules.into_iter().enumerate().map(rule).collect::<Vec<_>>(), "fallthrough": fallthrough,
                "prerequisites": needs.into_iter().map(need).collect::<Vec<_>>(),
            })
        }
    }

    prop_compose! {
        fn any_segment()(
            users in proptest::collection::vec(proptest::collection::vec("[a-z]{1,3}", 0..3), 4),
            rules in proptest::collection::vec((any_clauses(), any::<Option<u16>>(), any::<bool>()), 0..3),
            big in any::<bool>(),
            generation in any::<Option<i32>>(),
        ) -> Value {
            let rule = |(place, (clauses, weight, more)): (usize, (Value, Option<u16>, bool))| json!({
                "id": format!("id-{place}"), "clauses": clauses, "weight": weight,
                "bucketBy": more.then_some("plan"), "rolloutContextKind": more.then_some("org"),
            });
            json!({
                "key": "s", "version": 3, "salt": "x", "included": users[0], "excluded": users[1],
                "includedContexts": [{"contextKind": "org", "values": users[2]}],
                "excludedContexts": [{"contextKind": "org", "values": users[3]}],
                "rules": rules.into_iter().enumerate().map(rule).collect::<Vec<_>>(),
                "unbounded": big, "unboundedContextKind": big.then_some("org"), "generation": generation,
            })
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn nothing_that_an_sdk_could_see_of_a_flag_is_lost(json in any_flag()) {
            let flag: Flag = serde_json::from_value(json).unwrap();
            // Availability is written in both its forms, whichever was read.
            prop_assert_eq!(json!(there_and_back(&flag)), json!(flag));
        }

        #[test]
        fn nothing_that_an_sdk_could_see_of_a_segment_is_lost(json in any_segment()) {
            let sent: Segment = serde_json::from_value(json).unwrap();
            let definition = segment("s", &sent, None);
            prop_assert_eq!(sdk_segment("s", &definition.membership, 3), sent);
        }
    }

    #[test]
    fn a_list_of_users_that_was_never_looked_at_does_not_begin_to_count() {
        let flag: Flag = serde_json::from_value(json!({
            "targets": [{"variation": 0, "values": ["ann"]}, {"variation": 1, "values": ["bob"]}],
            "contextTargets": [
                {"contextKind": "org", "variation": 0, "values": ["acme"]},
                {"contextKind": "user", "variation": 1, "values": []},
            ],
        }))
        .unwrap();
        let kept: Vec<_> = targeting(&flag, &[]).targets.iter().map(|target| target.values.clone()).collect();
        assert_eq!(kept, [["acme"], ["bob"]]);
    }
}

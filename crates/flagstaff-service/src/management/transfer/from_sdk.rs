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

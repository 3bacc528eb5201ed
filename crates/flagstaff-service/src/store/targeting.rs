//! A flag as it rests: what all environments share, and the targeting of each. Rules and clauses have
//! ids here, targets stand in one list, and [`sdk_flag`] makes of both what SDKs get.

use flagstaff_eval::Value;
use flagstaff_eval::model::{
    self, Clause, ClientSideAvailability, Prerequisite, Rollout, Target, VariationOrRollout,
};
use serde::{Deserialize, Serialize};

/// What all environments share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagDefinition {
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// The values it can serve.
    pub variations: Vec<Variation>,
    /// Whether it is meant to be removed one day.
    pub temporary: bool,
    /// Which client-side SDKs see it.
    pub availability: ClientSideAvailability,
    /// The public id of the member who looks after it.
    pub maintainer_id: Option<String>,
    /// What a new environment serves when on, and when off.
    pub defaults: Defaults,
}

/// What a new environment serves, by variation index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// When targeting is on.
    pub on_variation: i64,
    /// When it is off.
    pub off_variation: i64,
}

/// A value a flag can serve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Variation {
    /// A stable id: indexes shift when a variation is removed.
    pub id: String,
    /// The value.
    pub value: Value,
    /// As people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Who gets which variation in one environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Targeting {
    /// Whether targeting is in force.
    pub on: bool,
    /// What keys are hashed with in a rollout.
    pub salt: String,
    /// Flags that must serve a given variation first.
    pub prerequisites: Vec<Prerequisite>,
    /// Keys that get a variation by name, of any kind, in priority order. Each names its kind, also
    /// `user`.
    pub targets: Vec<Target>,
    /// Tried in order; the first match serves.
    pub rules: Vec<Rule>,
    /// What is served when nothing matched.
    pub fallthrough: VariationOrRollout,
    /// What is served when targeting is off; none means the caller's default.
    pub off_variation: Option<i64>,
    /// Whether each evaluation is reported by an event of its own.
    pub track_events: bool,
    /// As `track_events`, for evaluations that end in the fallthrough.
    pub track_events_fallthrough: bool,
    /// Debug events are sent until then, Unix milliseconds.
    pub debug_events_until_date: Option<i64>,
    /// One in so many events is sent; 0 means none. Absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_ratio: Option<i64>,
    /// Whether evaluations are left out of summaries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclude_from_summaries: bool,
    /// Settings of a migration flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<model::Migration>,
}

/// Clauses joined by AND that serve a variation or rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// A stable id.
    pub id: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All must match.
    pub clauses: Vec<RuleClause>,
    /// The variation index served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variation: Option<i64>,
    /// The split served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Whether evaluations that end here are reported one by one.
    pub track_events: bool,
}

/// A clause with an id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleClause {
    /// A stable id.
    #[serde(default)]
    pub id: String,
    /// The test.
    #[serde(flatten)]
    pub clause: Clause,
}

/// The kind of a target's keys.
pub fn kind_of(target: &Target) -> &str {
    target.context_kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("user")
}

/// What SDKs get: the shared part and one environment's targeting, at a version.
pub fn sdk_flag(key: &str, definition: &FlagDefinition, targeting: &Targeting, version: u64) -> model::Flag {
    let (targets, context_targets) = split_targets(&targeting.targets);
    model::Flag {
        key: key.to_owned(),
        version,
        on: targeting.on,
        prerequisites: targeting.prerequisites.clone(),
        targets,
        context_targets,
        rules: targeting.rules.iter().map(sdk_rule).collect(),
        fallthrough: targeting.fallthrough.clone(),
        off_variation: targeting.off_variation,
        variations: definition.variations.iter().map(|variation| variation.value.clone()).collect(),
        client_side_availability: Some(definition.availability),
        client_side: definition.availability.using_environment_id,
        salt: targeting.salt.clone(),
        track_events: targeting.track_events,
        track_events_fallthrough: targeting.track_events_fallthrough,
        debug_events_until_date: targeting.debug_events_until_date,
        deleted: false,
        sampling_ratio: targeting.sampling_ratio,
        exclude_from_summaries: targeting.exclude_from_summaries,
        migration: targeting.migration,
    }
}

/// The two lists of the wire: user keys stand in the first, and in the second, if it is needed at
/// all, an entry without keys holds their place.
pub fn split_targets(all: &[Target]) -> (Vec<Target>, Vec<Target>) {
    let user = |target: &&Target| kind_of(target) == "user";
    let plain = |target: &Target| Target { context_kind: None, ..target.clone() };
    let targets = all.iter().filter(user).map(plain).collect();
    if all.iter().all(|target| kind_of(target) == "user") {
        return (targets, Vec::new());
    }
    let in_place = |target: &Target| {
        let kind = kind_of(target);
        let values = if kind == "user" { Vec::new() } else { target.values.clone() };
        Target { context_kind: Some(kind.to_owned()), variation: target.variation, values }
    };
    (targets, all.iter().map(in_place).collect())
}

/// [`split_targets`] turned round, one list of the two: in the order of the second, where an entry of kind `user` without keys holds
/// the place of the first's, then what of the first has no place.
pub fn join_targets(users: Vec<Target>, all: Vec<Target>) -> Vec<Target> {
    let as_user = |target: Target| Target { context_kind: Some("user".to_owned()), ..target };
    let mut users: Vec<Option<Target>> = users.into_iter().map(|target| Some(as_user(target))).collect();
    let mut joined = Vec::new();
    for target in all {
        if kind_of(&target) == "user" && target.values.is_empty() {
            let place = users
                .iter_mut()
                .find(|user| user.as_ref().is_some_and(|user| user.variation == target.variation));
            joined.extend(place.and_then(Option::take));
        } else {
            let kind = kind_of(&target).to_owned();
            joined.push(Target { context_kind: Some(kind), ..target });
        }
    }
    joined.extend(users.into_iter().flatten());
    joined.retain(|target| !target.values.is_empty());
    joined
}

fn sdk_rule(rule: &Rule) -> model::FlagRule {
    model::FlagRule {
        id: rule.id.clone(),
        clauses: rule.clauses.iter().map(|clause| clause.clause.clone()).collect(),
        variation: rule.variation,
        rollout: rule.rollout.clone(),
        track_events: rule.track_events,
    }
}

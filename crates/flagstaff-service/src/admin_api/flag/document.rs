//! A patched document, read back into the draft it was made of.

use std::collections::BTreeMap;

use flagstaff_eval::model::{
    Clause, ClientSideAvailability, Prerequisite, Rollout, Target, VariationOrRollout,
};
use serde::Deserialize;
use serde_json::Value;

use crate::admin_api::patch::changeable;
use crate::management::ChangeError;
use crate::management::flag::Draft;
use crate::store::targeting::{Defaults, Rule, RuleClause, Targeting, Variation, join_targets};

const OF_A_FLAG: [&str; 11] = [
    "name",
    "description",
    "tags",
    "temporary",
    "includeInSnippet",
    "clientSideAvailability",
    "variations",
    "maintainerId",
    "_maintainer",
    "defaults",
    "environments",
];

const OF_AN_ENVIRONMENT: [&str; 10] = [
    "on",
    "fallthrough",
    "offVariation",
    "trackEvents",
    "trackEventsFallthrough",
    "_debugEventsUntilDate",
    "targets",
    "contextTargets",
    "rules",
    "prerequisites",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlagDocument {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    tags: Vec<String>,
    temporary: bool,
    #[serde(default)]
    include_in_snippet: bool,
    #[serde(default)]
    client_side_availability: ClientSideAvailability,
    variations: Vec<VariationDocument>,
    #[serde(default)]
    maintainer_id: Option<String>,
    defaults: Defaults,
    #[serde(default)]
    environments: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct VariationDocument {
    #[serde(default, rename = "_id")]
    id: Option<String>,
    value: Value,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvironmentDocument {
    on: bool,
    #[serde(default)]
    fallthrough: VariationOrRollout,
    #[serde(default)]
    off_variation: Option<i64>,
    #[serde(default)]
    track_events: bool,
    #[serde(default)]
    track_events_fallthrough: bool,
    #[serde(default, rename = "_debugEventsUntilDate")]
    debug_events_until_date: Option<i64>,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    context_targets: Vec<Target>,
    #[serde(default)]
    rules: Vec<RuleDocument>,
    #[serde(default)]
    prerequisites: Vec<Prerequisite>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleDocument {
    #[serde(default, rename = "_id")]
    id: Option<String>,
    #[serde(default)]
    description: Option<String>,
    clauses: Vec<ClauseDocument>,
    #[serde(default)]
    variation: Option<i64>,
    #[serde(default)]
    rollout: Option<Rollout>,
    #[serde(default)]
    track_events: bool,
}

/// A clause with its id.
#[derive(Deserialize)]
pub(in crate::admin_api) struct ClauseDocument {
    #[serde(default, rename = "_id")]
    pub(in crate::admin_api) id: Option<String>,
    #[serde(flatten)]
    pub(in crate::admin_api) clause: Clause,
}

/// Takes over what the patch changed.
pub(super) fn read_back(before: &Value, after: Value, draft: &mut Draft) -> Result<(), ChangeError> {
    let flag: FlagDocument = changeable("patch", before, after, &OF_A_FLAG)?;
    let definition = &mut draft.definition;
    let was_in_snippet = definition.availability.using_environment_id;
    definition.name = flag.name;
    definition.description = flag.description;
    definition.tags = flag.tags;
    definition.temporary = flag.temporary;
    definition.availability = flag.client_side_availability;
    // The older name of one half of it.
    if flag.include_in_snippet != was_in_snippet {
        definition.availability.using_environment_id = flag.include_in_snippet;
    }
    definition.maintainer_id = flag.maintainer_id.filter(|id| !id.is_empty());
    definition.defaults = flag.defaults;
    definition.variations = variations(&definition.variations, flag.variations)?;
    if let Some(unknown) = flag.environments.keys().find(|key| !draft.environments.contains_key(*key)) {
        return Err(ChangeError::invalid(
            "patch",
            format!("there is no environment `{}`", unknown.escape_debug()),
        ));
    }
    for (key, targeting) in &mut draft.environments {
        let before = &before["environments"][key];
        let after = flag.environments.get(key).cloned().ok_or_else(|| {
            ChangeError::invalid("patch", format!("environment `{key}` cannot be removed from a flag"))
        })?;
        let document: EnvironmentDocument =
            changeable(&format!("environments.{key}"), before, after, &OF_AN_ENVIRONMENT)?;
        document.write(targeting);
    }
    Ok(())
}

/// Indexes stand in targeting, so those that were there stay where they were.
fn variations(old: &[Variation], new: Vec<VariationDocument>) -> Result<Vec<Variation>, ChangeError> {
    let new: Vec<Variation> = new
        .into_iter()
        .map(|given| Variation {
            id: id_or_new(given.id),
            value: given.value,
            name: given.name,
            description: given.description,
        })
        .collect();
    let in_place = new.len() >= old.len() && old.iter().zip(&new).all(|(old, new)| old.id == new.id);
    if in_place {
        return Ok(new);
    }
    let problem = "a JSON patch can change variations and add some at the end; to remove one, send the semantic \
                   patch instruction `removeVariation`";
    Err(ChangeError::invalid("variations", problem))
}

/// What has no id yet gets one.
pub(in crate::admin_api) fn id_or_new(id: Option<String>) -> String {
    id.filter(|id| !id.is_empty()).unwrap_or_else(|| uuid::Uuid::new_v4().to_string())
}

impl EnvironmentDocument {
    fn write(self, targeting: &mut Targeting) {
        targeting.on = self.on;
        targeting.fallthrough = self.fallthrough;
        targeting.off_variation = self.off_variation;
        targeting.track_events = self.track_events;
        targeting.track_events_fallthrough = self.track_events_fallthrough;
        targeting.debug_events_until_date = self.debug_events_until_date;
        targeting.prerequisites = self.prerequisites;
        targeting.targets = join_targets(self.targets, self.context_targets);
        targeting.rules = self.rules.into_iter().map(RuleDocument::into_rule).collect();
    }
}

impl RuleDocument {
    fn into_rule(self) -> Rule {
        let clause = |given: ClauseDocument| RuleClause {
            id: id_or_new(given.id),
            clause: Clause {
                context_kind: given.clause.context_kind.filter(|kind| !kind.is_empty()),
                ..given.clause
            },
        };
        Rule {
            id: id_or_new(self.id),
            description: self.description.filter(|text| !text.is_empty()),
            clauses: self.clauses.into_iter().map(clause).collect(),
            variation: self.variation,
            rollout: self.rollout,
            track_events: self.track_events,
        }
    }
}

//! The changes that can be made to a flag, each typed. Their JSON is the admin API's semantic patch:
//! `{"kind": "turnFlagOn"}`.
//!
//! Variations, rules and clauses are named by id: indexes shift while others are at work.

use std::collections::BTreeMap;

use flagstaff_eval::Value;
use serde::Deserialize;

/// One change of a flag. Those from [`FlagChange::TurnFlagOn`] to
/// [`FlagChange::ReplacePrerequisites`] are made in one environment, the others in all.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
#[allow(missing_docs, reason = "names and fields are those of the admin API's semantic patch")]
pub enum FlagChange {
    TurnFlagOn,
    TurnFlagOff,
    AddTargets {
        variation_id: String,
        #[serde(default)]
        context_kind: Option<String>,
        values: Vec<String>,
    },
    RemoveTargets {
        variation_id: String,
        #[serde(default)]
        context_kind: Option<String>,
        values: Vec<String>,
    },
    ReplaceTargets {
        targets: Vec<NewTarget>,
    },
    ClearTargets {
        variation_id: String,
    },
    AddUserTargets {
        variation_id: String,
        values: Vec<String>,
    },
    RemoveUserTargets {
        variation_id: String,
        values: Vec<String>,
    },
    ReplaceUserTargets {
        targets: Vec<NewTarget>,
    },
    ClearUserTargets {
        variation_id: String,
    },
    AddRule {
        #[serde(flatten)]
        rule: NewRule,
        #[serde(default)]
        before_rule_id: Option<String>,
    },
    RemoveRule {
        rule_id: String,
    },
    ReplaceRules {
        rules: Vec<NewRule>,
    },
    ReorderRules {
        rule_ids: Vec<String>,
    },
    UpdateRuleVariationOrRollout {
        rule_id: String,
        #[serde(flatten)]
        serve: Serve,
    },
    UpdateRuleDescription {
        rule_id: String,
        description: String,
    },
    UpdateRuleTrackEvents {
        rule_id: String,
        track_events: bool,
    },
    AddClauses {
        rule_id: String,
        clauses: Vec<NewClause>,
    },
    RemoveClauses {
        rule_id: String,
        clause_ids: Vec<String>,
    },
    UpdateClause {
        rule_id: String,
        clause_id: String,
        clause: NewClause,
    },
    AddValuesToClause {
        rule_id: String,
        clause_id: String,
        values: Vec<Value>,
    },
    RemoveValuesFromClause {
        rule_id: String,
        clause_id: String,
        values: Vec<Value>,
    },
    UpdateFallthroughVariationOrRollout {
        #[serde(flatten)]
        serve: Serve,
    },
    UpdateOffVariation {
        variation_id: String,
    },
    UpdateTrackEvents {
        track_events: bool,
    },
    UpdateTrackEventsFallthrough {
        track_events: bool,
    },
    AddPrerequisite {
        #[serde(flatten)]
        prerequisite: NewPrerequisite,
    },
    UpdatePrerequisite {
        #[serde(flatten)]
        prerequisite: NewPrerequisite,
    },
    RemovePrerequisite {
        key: String,
    },
    ReplacePrerequisites {
        prerequisites: Vec<NewPrerequisite>,
    },

    AddVariation {
        value: Value,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        description: Option<String>,
    },
    RemoveVariation {
        variation_id: String,
    },
    UpdateVariation {
        variation_id: String,
        #[serde(default, deserialize_with = "present")]
        value: Option<Value>,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        description: Option<String>,
    },
    UpdateDefaultVariation {
        #[serde(default, alias = "OnVariationValue", deserialize_with = "present")]
        on_variation_value: Option<Value>,
        #[serde(default, alias = "OffVariationValue", deserialize_with = "present")]
        off_variation_value: Option<Value>,
    },
    UpdateName {
        value: String,
    },
    UpdateDescription {
        value: String,
    },
    AddTags {
        values: Vec<String>,
    },
    RemoveTags {
        values: Vec<String>,
    },
    MakeFlagTemporary,
    MakeFlagPermanent,
    TurnOnClientSideAvailability {
        value: Availability,
    },
    TurnOffClientSideAvailability {
        value: Availability,
    },
    UpdateMaintainerMember {
        value: String,
    },
    RemoveMaintainer,
}

/// Every kind, as the wire spells it.
pub const KINDS: [&str; 44] = [
    "turnFlagOn",
    "turnFlagOff",
    "addTargets",
    "removeTargets",
    "replaceTargets",
    "clearTargets",
    "addUserTargets",
    "removeUserTargets",
    "replaceUserTargets",
    "clearUserTargets",
    "addRule",
    "removeRule",
    "replaceRules",
    "reorderRules",
    "updateRuleVariationOrRollout",
    "updateRuleDescription",
    "updateRuleTrackEvents",
    "addClauses",
    "removeClauses",
    "updateClause",
    "addValuesToClause",
    "removeValuesFromClause",
    "updateFallthroughVariationOrRollout",
    "updateOffVariation",
    "updateTrackEvents",
    "updateTrackEventsFallthrough",
    "addPrerequisite",
    "updatePrerequisite",
    "removePrerequisite",
    "replacePrerequisites",
    "addVariation",
    "removeVariation",
    "updateVariation",
    "updateDefaultVariation",
    "updateName",
    "updateDescription",
    "addTags",
    "removeTags",
    "makeFlagTemporary",
    "makeFlagPermanent",
    "turnOnClientSideAvailability",
    "turnOffClientSideAvailability",
    "updateMaintainerMember",
    "removeMaintainer",
];

/// Keys that get a variation by name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewTarget {
    /// The kind of the keys; `user` when absent.
    #[serde(default)]
    pub context_kind: Option<String>,
    /// What they get.
    pub variation_id: String,
    /// The keys.
    pub values: Vec<String>,
}

/// What a rule or the fallthrough serves: one variation, or a split by weights.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Serve {
    /// One variation for all.
    #[serde(default)]
    pub variation_id: Option<String>,
    /// Thousandths of a percent by variation id.
    #[serde(default)]
    pub rollout_weights: Option<BTreeMap<String, i64>>,
    /// The attribute that is hashed; the key when absent.
    #[serde(default)]
    pub rollout_bucket_by: Option<String>,
    /// The kind that is placed in a bucket; `user` when absent.
    #[serde(default)]
    pub rollout_context_kind: Option<String>,
}

/// A rule that is to be added.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRule {
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// All must match.
    pub clauses: Vec<NewClause>,
    /// What it serves.
    #[serde(flatten)]
    pub serve: Serve,
    /// Whether evaluations that end here are reported one by one.
    #[serde(default)]
    pub track_events: bool,
}

/// A clause that is to be added.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewClause {
    /// The kind whose attribute is tested.
    #[serde(default)]
    pub context_kind: Option<String>,
    /// The attribute.
    #[serde(default)]
    pub attribute: String,
    /// How it is compared.
    pub op: String,
    /// With what: one match is enough.
    pub values: Vec<Value>,
    /// Whether the outcome is turned round.
    #[serde(default)]
    pub negate: bool,
}

/// A prerequisite that is to be added.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewPrerequisite {
    /// The other flag's key.
    pub key: String,
    /// The id of the variation it must serve.
    pub variation_id: String,
}

/// A family of client-side SDKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Availability {
    /// Those with a mobile key.
    UsingMobileKey,
    /// Those with a client-side ID.
    UsingEnvironmentId,
}

impl FlagChange {
    /// The other flags it speaks of.
    pub(super) fn other_flags(&self) -> Vec<&str> {
        match self {
            FlagChange::AddPrerequisite { prerequisite }
            | FlagChange::UpdatePrerequisite { prerequisite } => {
                vec![&prerequisite.key]
            }
            FlagChange::ReplacePrerequisites { prerequisites } => {
                prerequisites.iter().map(|prerequisite| prerequisite.key.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A value that is there, also when it is null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_of_kinds_is_that_of_the_changes() {
        let error = serde_json::from_value::<FlagChange>(json!({"kind": "dance"})).unwrap_err().to_string();
        let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(known, KINDS);
    }
}

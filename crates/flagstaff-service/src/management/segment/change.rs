//! The changes that can be made to a segment, each typed. Their JSON is the admin API's semantic patch:
//! `{"kind": "addIncludedTargets", "contextKind": "device", "values": ["a"]}`.

use flagstaff_eval::Value;
use serde::Deserialize;

use crate::management::flag::change::NewClause;

/// One change of a segment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
#[allow(missing_docs, reason = "names and fields are those of the admin API's semantic patch")]
pub enum SegmentChange {
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
    AddIncludedTargets {
        #[serde(default)]
        context_kind: Option<String>,
        values: Vec<String>,
    },
    RemoveIncludedTargets {
        #[serde(default)]
        context_kind: Option<String>,
        values: Vec<String>,
    },
    AddExcludedTargets {
        #[serde(default)]
        context_kind: Option<String>,
        values: Vec<String>,
    },
    RemoveExcludedTargets {
        #[serde(default)]
        context_kind: Option<String>,
        values: Vec<String>,
    },
    AddIncludedUsers {
        values: Vec<String>,
    },
    RemoveIncludedUsers {
        values: Vec<String>,
    },
    AddExcludedUsers {
        values: Vec<String>,
    },
    RemoveExcludedUsers {
        values: Vec<String>,
    },
    AddRule {
        #[serde(flatten)]
        rule: NewSegmentRule,
    },
    RemoveRule {
        rule_id: String,
    },
    ReorderRules {
        rule_ids: Vec<String>,
    },
    UpdateRuleDescription {
        rule_id: String,
        description: String,
    },
    UpdateRuleRolloutAndContextKind {
        rule_id: String,
        #[serde(deserialize_with = "number_or_text")]
        weight: i64,
        #[serde(default)]
        context_kind: Option<String>,
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
}

/// Every kind, as the wire spells it.
pub const KINDS: [&str; 22] = [
    "updateName",
    "updateDescription",
    "addTags",
    "removeTags",
    "addIncludedTargets",
    "removeIncludedTargets",
    "addExcludedTargets",
    "removeExcludedTargets",
    "addIncludedUsers",
    "removeIncludedUsers",
    "addExcludedUsers",
    "removeExcludedUsers",
    "addRule",
    "removeRule",
    "reorderRules",
    "updateRuleDescription",
    "updateRuleRolloutAndContextKind",
    "addClauses",
    "removeClauses",
    "updateClause",
    "addValuesToClause",
    "removeValuesFromClause",
];

/// A rule that is to be added.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewSegmentRule {
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// All must match.
    pub clauses: Vec<NewClause>,
    /// The share that is in, in thousandths of a percent; all when absent.
    #[serde(default)]
    pub weight: Option<i64>,
    /// The kind that is placed in a bucket; `user` when absent.
    #[serde(default)]
    pub rollout_context_kind: Option<String>,
    /// The attribute that is hashed; the key when absent.
    #[serde(default)]
    pub bucket_by: Option<String>,
}

/// The published example writes the weight as text.
fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Number(i64),
        Text(String),
    }
    match Given::deserialize(deserializer)? {
        Given::Number(number) => Ok(number),
        Given::Text(text) => text.trim().parse().map_err(|_| {
            let shown = text.escape_debug();
            serde::de::Error::custom(format!("`weight` is a whole number, not `{shown}`"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_of_kinds_is_that_of_the_changes() {
        let error =
            serde_json::from_value::<SegmentChange>(json!({"kind": "dance"})).unwrap_err().to_string();
        let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(known, KINDS);
    }
}

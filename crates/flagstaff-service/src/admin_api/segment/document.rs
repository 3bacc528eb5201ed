//! A patched document, read back into the definition it was made of.

use flagstaff_eval::model::{Clause, SegmentTarget};
use serde::Deserialize;
use serde_json::Value;

use crate::admin_api::flag::{ClauseDocument, id_or_new};
use crate::admin_api::patch::changeable;
use crate::management::ChangeError;
use crate::management::segment::SegmentDefinition;
use crate::store::membership::SegmentRule;
use crate::store::targeting::RuleClause;

const CHANGEABLE: [&str; 8] =
    ["name", "description", "tags", "included", "excluded", "includedContexts", "excludedContexts", "rules"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SegmentDocument {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    included: Vec<String>,
    #[serde(default)]
    excluded: Vec<String>,
    #[serde(default)]
    included_contexts: Vec<SegmentTarget>,
    #[serde(default)]
    excluded_contexts: Vec<SegmentTarget>,
    #[serde(default)]
    rules: Vec<RuleDocument>,
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
    weight: Option<i64>,
    #[serde(default)]
    bucket_by: Option<String>,
    #[serde(default)]
    rollout_context_kind: Option<String>,
}

/// Takes over what the patch changed.
pub(super) fn read_back(
    before: &Value,
    after: Value,
    definition: &mut SegmentDefinition,
) -> Result<(), ChangeError> {
    let document: SegmentDocument = changeable("patch", before, after, &CHANGEABLE)?;
    definition.name = document.name;
    definition.description = document.description;
    definition.tags = document.tags;
    let membership = &mut definition.membership;
    membership.included = document.included;
    membership.excluded = document.excluded;
    membership.included_contexts = without_empty(document.included_contexts);
    membership.excluded_contexts = without_empty(document.excluded_contexts);
    membership.rules = document.rules.into_iter().map(RuleDocument::into_rule).collect();
    Ok(())
}

fn without_empty(targets: Vec<SegmentTarget>) -> Vec<SegmentTarget> {
    targets.into_iter().filter(|target| !target.values.is_empty()).collect()
}

impl RuleDocument {
    fn into_rule(self) -> SegmentRule {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let clause = |given: ClauseDocument| RuleClause {
            id: id_or_new(given.id),
            clause: Clause { context_kind: filled(given.clause.context_kind), ..given.clause },
        };
        SegmentRule {
            id: id_or_new(self.id),
            description: filled(self.description),
            clauses: self.clauses.into_iter().map(clause).collect(),
            weight: self.weight,
            bucket_by: filled(self.bucket_by),
            rollout_context_kind: filled(self.rollout_context_kind),
        }
    }
}

//! Who is in a segment, as it rests. Rules and clauses have ids here, and [`sdk_segment`] makes of it
//! what SDKs get.

use flagstaff_eval::model::{self, SegmentTarget};
use serde::{Deserialize, Serialize};

use super::targeting::RuleClause;

/// Who is in a segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Membership {
    /// Keys of kind `user` that are in.
    pub included: Vec<String>,
    /// Keys of kind `user` that are out, unless included.
    pub excluded: Vec<String>,
    /// Keys of other kinds that are in.
    pub included_contexts: Vec<SegmentTarget>,
    /// Keys of other kinds that are out, unless included.
    pub excluded_contexts: Vec<SegmentTarget>,
    /// Any match puts a context in.
    pub rules: Vec<SegmentRule>,
    /// What keys are hashed with in a rule's rollout.
    pub salt: String,
    /// Whether this is a big segment: its keys are not sent with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unbounded: bool,
    /// The kind of a big segment's keys; `user` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unbounded_context_kind: Option<String>,
    /// Which filling of a big segment counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}

/// Clauses joined by AND that put a context, or a share of contexts, in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SegmentRule {
    /// A stable id.
    pub id: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All must match.
    pub clauses: Vec<RuleClause>,
    /// The share that is in, in thousandths of a percent; none means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// The attribute that is hashed; the key when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_by: Option<String>,
    /// The kind that is placed in a bucket; `user` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_context_kind: Option<String>,
}

/// The kind of keys in a list; `user` unless it says another.
pub fn kind_or_user(kind: Option<&str>) -> &str {
    kind.filter(|kind| !kind.is_empty()).unwrap_or("user")
}

/// What SDKs get.
pub fn sdk_segment(key: &str, membership: &Membership, version: u64) -> model::Segment {
    model::Segment {
        key: key.to_owned(),
        version,
        included: membership.included.clone(),
        excluded: membership.excluded.clone(),
        included_contexts: membership.included_contexts.clone(),
        excluded_contexts: membership.excluded_contexts.clone(),
        rules: membership.rules.iter().map(sdk_rule).collect(),
        salt: membership.salt.clone(),
        unbounded: membership.unbounded,
        unbounded_context_kind: membership.unbounded_context_kind.clone(),
        generation: membership.generation,
        deleted: false,
    }
}

fn sdk_rule(rule: &SegmentRule) -> model::SegmentRule {
    model::SegmentRule {
        id: Some(rule.id.clone()),
        clauses: rule.clauses.iter().map(|clause| clause.clause.clone()).collect(),
        weight: rule.weight,
        bucket_by: rule.bucket_by.clone(),
        rollout_context_kind: rule.rollout_context_kind.clone(),
    }
}

impl Membership {
    /// Gives those rules and clauses an id that have none.
    pub fn fill_in_ids(&mut self) {
        for (place, rule) in self.rules.iter_mut().enumerate() {
            if rule.id.is_empty() {
                rule.id = format!("rule-{}", place + 1);
            }
            for (place, clause) in rule.clauses.iter_mut().enumerate() {
                if clause.id.is_empty() {
                    clause.id = format!("clause-{}", place + 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_that_came_without_ids_can_be_named_all_the_same() {
        let clause = json!({"attribute": "a", "op": "in", "values": ["b"]});
        let given = json!({"rules": [{"clauses": [clause, clause]}, {"id": "own", "clauses": []}]});
        let mut membership: Membership = serde_json::from_value(given).unwrap();
        membership.fill_in_ids();
        let ids: Vec<_> = membership.rules.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(ids, ["rule-1", "own"]);
        assert_eq!(membership.rules[0].clauses[1].id, "clause-2");
    }
}

//! Makes a typed change on a draft.

use std::collections::HashSet;

use flagstaff_eval::model::SegmentTarget;

use super::SegmentDefinition;
use super::change::{NewSegmentRule, SegmentChange};
use crate::management::ChangeError;
use crate::management::flag::new_clause;
use crate::management::rule_edits::{add_values, clause_of, filled, remove_values, reorder, rule_of};
use crate::store::membership::{Membership, SegmentRule, kind_or_user};

/// Makes one change. `place` names it in errors: `instructions[2]`.
pub(super) fn apply(
    draft: &mut SegmentDefinition,
    place: &str,
    change: &SegmentChange,
) -> Result<(), ChangeError> {
    let membership = &mut draft.membership;
    match change {
        SegmentChange::UpdateName { value } => draft.name.clone_from(value),
        SegmentChange::UpdateDescription { value } => draft.description.clone_from(value),
        SegmentChange::AddTags { values } => {
            for tag in values {
                if !draft.tags.contains(tag) {
                    draft.tags.push(tag.clone());
                }
            }
        }
        SegmentChange::RemoveTags { values } => draft.tags.retain(|tag| !values.contains(tag)),
        SegmentChange::AddIncludedTargets { context_kind, values } => {
            add(keys(membership, Side::In, context_kind.as_deref()), values);
        }
        SegmentChange::RemoveIncludedTargets { context_kind, values } => {
            remove(keys(membership, Side::In, context_kind.as_deref()), values);
        }
        SegmentChange::AddExcludedTargets { context_kind, values } => {
            add(keys(membership, Side::Out, context_kind.as_deref()), values);
        }
        SegmentChange::RemoveExcludedTargets { context_kind, values } => {
            remove(keys(membership, Side::Out, context_kind.as_deref()), values);
        }
        SegmentChange::AddIncludedUsers { values } => add(&mut membership.included, values),
        SegmentChange::RemoveIncludedUsers { values } => remove(&mut membership.included, values),
        SegmentChange::AddExcludedUsers { values } => add(&mut membership.excluded, values),
        SegmentChange::RemoveExcludedUsers { values } => remove(&mut membership.excluded, values),
        _ => apply_to_rules(&mut membership.rules, place, change)?,
    }
    membership.included_contexts.retain(|target| !target.values.is_empty());
    membership.excluded_contexts.retain(|target| !target.values.is_empty());
    Ok(())
}

#[derive(Clone, Copy)]
enum Side {
    In,
    Out,
}

/// The list of a kind's keys; those of users stand apart.
fn keys<'m>(membership: &'m mut Membership, side: Side, kind: Option<&str>) -> &'m mut Vec<String> {
    let (users, others) = match side {
        Side::In => (&mut membership.included, &mut membership.included_contexts),
        Side::Out => (&mut membership.excluded, &mut membership.excluded_contexts),
    };
    let kind = kind_or_user(kind);
    if kind == "user" {
        return users;
    }
    let known = others.iter().position(|target| kind_or_user(target.context_kind.as_deref()) == kind);
    let place = known.unwrap_or_else(|| {
        others.push(SegmentTarget { context_kind: Some(kind.to_owned()), values: Vec::new() });
        others.len() - 1
    });
    &mut others[place].values
}

fn add(keys: &mut Vec<String>, new: &[String]) {
    let mut known: HashSet<String> = keys.iter().cloned().collect();
    keys.extend(new.iter().filter(|key| known.insert((*key).clone())).cloned());
}

fn remove(keys: &mut Vec<String>, gone: &[String]) {
    let gone: HashSet<&String> = gone.iter().collect();
    keys.retain(|key| !gone.contains(key));
}

fn apply_to_rules(
    rules: &mut Vec<SegmentRule>,
    place: &str,
    change: &SegmentChange,
) -> Result<(), ChangeError> {
    match change {
        SegmentChange::AddRule { rule } => rules.push(new_rule(rule)),
        SegmentChange::RemoveRule { rule_id } => rules.retain(|rule| rule.id != *rule_id),
        SegmentChange::ReorderRules { rule_ids } => reorder(rules, place, rule_ids)?,
        SegmentChange::UpdateRuleDescription { rule_id, description } => {
            rule_of(rules, place, rule_id)?.description = filled(description);
        }
        SegmentChange::UpdateRuleRolloutAndContextKind { rule_id, weight, context_kind } => {
            let rule = rule_of(rules, place, rule_id)?;
            rule.weight = Some(*weight);
            let kind = context_kind.as_deref().and_then(filled);
            rule.rollout_context_kind = kind.or(rule.rollout_context_kind.take());
        }
        SegmentChange::AddClauses { rule_id, clauses } => {
            rule_of(rules, place, rule_id)?.clauses.extend(clauses.iter().map(new_clause));
        }
        SegmentChange::RemoveClauses { rule_id, clause_ids } => {
            rule_of(rules, place, rule_id)?.clauses.retain(|clause| !clause_ids.contains(&clause.id));
        }
        SegmentChange::UpdateClause { rule_id, clause_id, clause } => {
            clause_of(rules, place, rule_id, clause_id)?.clause = new_clause(clause).clause;
        }
        SegmentChange::AddValuesToClause { rule_id, clause_id, values } => {
            add_values(clause_of(rules, place, rule_id, clause_id)?, values);
        }
        SegmentChange::RemoveValuesFromClause { rule_id, clause_id, values } => {
            remove_values(clause_of(rules, place, rule_id, clause_id)?, values);
        }
        // Made by the caller.
        _ => {}
    }
    Ok(())
}

fn new_rule(new: &NewSegmentRule) -> SegmentRule {
    SegmentRule {
        id: uuid::Uuid::new_v4().to_string(),
        description: new.description.as_deref().and_then(filled),
        clauses: new.clauses.iter().map(new_clause).collect(),
        weight: new.weight,
        bucket_by: new.bucket_by.as_deref().and_then(filled),
        rollout_context_kind: new.rollout_context_kind.as_deref().and_then(filled),
    }
}

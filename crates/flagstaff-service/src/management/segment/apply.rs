//! Makes a typed change on a draft.

use std::collections::HashSet;

use flagstaff_eval::Value;
use flagstaff_eval::model::SegmentTarget;

use super::SegmentDefinition;
use super::change::{NewSegmentRule, SegmentChange};
use crate::management::ChangeError;
use crate::management::flag::new_clause;
use crate::store::membership::{Membership, SegmentRule, kind_or_user};
use crate::store::targeting::RuleClause;

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
            rule_of(rules, place, rule_id)?.description =
                Some(description.clone()).filter(|text| !text.is_empty());
        }
        SegmentChange::UpdateRuleRolloutAndContextKind { rule_id, weight, context_kind } => {
            let rule = rule_of(rules, place, rule_id)?;
            rule.weight = Some(*weight);
            rule.rollout_context_kind = filled(context_kind).or(rule.rollout_context_kind.take());
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
            let listed = &mut clause_of(rules, place, rule_id, clause_id)?.clause.values;
            let mut known: HashSet<Value> = listed.iter().cloned().collect();
            listed.extend(values.iter().filter(|value| known.insert((*value).clone())).cloned());
        }
        SegmentChange::RemoveValuesFromClause { rule_id, clause_id, values } => {
            let gone: HashSet<&Value> = values.iter().collect();
            let clause = clause_of(rules, place, rule_id, clause_id)?;
            clause.clause.values.retain(|value| !gone.contains(value));
        }
        // Made by the caller.
        _ => {}
    }
    Ok(())
}

fn new_rule(new: &NewSegmentRule) -> SegmentRule {
    SegmentRule {
        id: uuid::Uuid::new_v4().to_string(),
        description: filled(&new.description),
        clauses: new.clauses.iter().map(new_clause).collect(),
        weight: new.weight,
        bucket_by: filled(&new.bucket_by),
        rollout_context_kind: filled(&new.rollout_context_kind),
    }
}

fn filled(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

fn reorder(rules: &mut Vec<SegmentRule>, place: &str, ids: &[String]) -> Result<(), ChangeError> {
    let mut rest = std::mem::take(rules);
    for id in ids {
        let index = rule_index(&rest, place, id)?;
        rules.push(rest.remove(index));
    }
    match rest.first() {
        None => Ok(()),
        Some(left) => {
            let problem = format!("`ruleIds` has to name every rule, but `{}` is missing", left.id);
            Err(ChangeError::invalid(place, problem))
        }
    }
}

fn rule_index(rules: &[SegmentRule], place: &str, id: &str) -> Result<usize, ChangeError> {
    let index = rules.iter().position(|rule| rule.id == id);
    index.ok_or_else(|| ChangeError::invalid(place, format!("there is no rule `{}`", id.escape_debug())))
}

fn rule_of<'r>(
    rules: &'r mut [SegmentRule],
    place: &str,
    id: &str,
) -> Result<&'r mut SegmentRule, ChangeError> {
    let index = rule_index(rules, place, id)?;
    Ok(&mut rules[index])
}

fn clause_of<'r>(
    rules: &'r mut [SegmentRule],
    place: &str,
    rule_id: &str,
    clause_id: &str,
) -> Result<&'r mut RuleClause, ChangeError> {
    let clauses = &mut rule_of(rules, place, rule_id)?.clauses;
    clauses.iter_mut().find(|clause| clause.id == clause_id).ok_or_else(|| {
        let shown = clause_id.escape_debug();
        ChangeError::invalid(place, format!("there is no clause `{shown}` in rule `{rule_id}`"))
    })
}

//! What the rules of flags and of segments have in common when they are changed: they are found by their ids, stand
//! in an order, and are made of clauses.

use std::collections::HashSet;

use flagstaff_eval::Value;

use super::ChangeError;
use crate::store::membership::SegmentRule;
use crate::store::targeting::{Rule, RuleClause};

/// A rule of a flag or of a segment.
pub(super) trait AnyRule {
    fn id(&self) -> &str;
    fn clauses(&mut self) -> &mut Vec<RuleClause>;
}

impl AnyRule for Rule {
    fn id(&self) -> &str {
        &self.id
    }

    fn clauses(&mut self) -> &mut Vec<RuleClause> {
        &mut self.clauses
    }
}

impl AnyRule for SegmentRule {
    fn id(&self) -> &str {
        &self.id
    }

    fn clauses(&mut self) -> &mut Vec<RuleClause> {
        &mut self.clauses
    }
}

/// Where a rule stands. `place` names the change in errors, here and below: `instructions[2]`.
pub(super) fn rule_index(rules: &[impl AnyRule], place: &str, id: &str) -> Result<usize, ChangeError> {
    let index = rules.iter().position(|rule| rule.id() == id);
    index.ok_or_else(|| ChangeError::invalid(place, format!("there is no rule `{}`", id.escape_debug())))
}

/// A rule.
pub(super) fn rule_of<'r, R: AnyRule>(
    rules: &'r mut [R],
    place: &str,
    id: &str,
) -> Result<&'r mut R, ChangeError> {
    let index = rule_index(rules, place, id)?;
    Ok(&mut rules[index])
}

/// A clause of a rule.
pub(super) fn clause_of<'r>(
    rules: &'r mut [impl AnyRule],
    place: &str,
    rule_id: &str,
    clause_id: &str,
) -> Result<&'r mut RuleClause, ChangeError> {
    let clauses = rule_of(rules, place, rule_id)?.clauses();
    clauses.iter_mut().find(|clause| clause.id == clause_id).ok_or_else(|| {
        let (rule, clause) = (rule_id.escape_debug(), clause_id.escape_debug());
        ChangeError::invalid(place, format!("there is no clause `{clause}` in rule `{rule}`"))
    })
}

/// Puts rules into the order of `ids`, which have to be all of them.
pub(super) fn reorder<R: AnyRule>(
    rules: &mut Vec<R>,
    place: &str,
    ids: &[String],
) -> Result<(), ChangeError> {
    let mut rest = std::mem::take(rules);
    for id in ids {
        let index = rule_index(&rest, place, id)?;
        rules.push(rest.remove(index));
    }
    match rest.first() {
        None => Ok(()),
        Some(left) => {
            let problem = format!("`ruleIds` has to name every rule, but `{}` is missing", left.id());
            Err(ChangeError::invalid(place, problem))
        }
    }
}

/// Adds values to a clause, those that are new.
pub(super) fn add_values(clause: &mut RuleClause, values: &[Value]) {
    let listed = &mut clause.clause.values;
    let mut known: HashSet<Value> = listed.iter().cloned().collect();
    listed.extend(values.iter().filter(|value| known.insert((*value).clone())).cloned());
}

/// Takes values from a clause.
pub(super) fn remove_values(clause: &mut RuleClause, values: &[Value]) {
    let gone: HashSet<&Value> = values.iter().collect();
    clause.clause.values.retain(|value| !gone.contains(value));
}

/// A text that is there, or none.
pub(super) fn filled(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

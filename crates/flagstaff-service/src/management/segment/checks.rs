//! What a segment must hold to, whatever changed it.

use std::collections::{HashMap, HashSet};

use flagstaff_eval::model::{Operator, Segment, SegmentTarget};
use flagstaff_eval::{PreparedSegment, Value};

use super::SegmentDefinition;
use crate::management::flag::{check_attribute, check_clause};
use crate::management::{ChangeError, name};
use crate::store::connection::Connection;
use crate::store::membership::{Membership, SegmentRule, kind_or_user, sdk_segment};
use crate::store::targeting::RuleClause;
use crate::store::{EnvironmentId, StoreError, flag, segment};

/// All contexts: thousandths of a percent.
const WHOLE: i64 = 100_000;

/// Checks a segment by itself.
pub(in crate::management) fn check_definition(definition: &SegmentDefinition) -> Result<(), ChangeError> {
    name::check_name("name", &definition.name)?;
    name::check_text("description", &definition.description)?;
    name::check_tags(&definition.tags)?;
    let membership = &definition.membership;
    check_big(membership)?;
    check_keys(membership)?;
    let mut ids = HashSet::new();
    for (place, rule) in membership.rules.iter().enumerate() {
        let place = format!("rules[{place}]");
        if !ids.insert(rule.id.as_str()) {
            return Err(ChangeError::invalid(place, format!("the id `{}` is there twice", rule.id)));
        }
        check_rule(&place, rule)?;
    }
    Ok(())
}

/// Checks that SDKs understand every regular expression.
pub(in crate::management) fn check_patterns(key: &str, membership: &Membership) -> Result<(), ChangeError> {
    let sent: Segment = sdk_segment(key, membership, 1);
    match PreparedSegment::new(key, sent).unsupported_patterns().next() {
        None => Ok(()),
        Some(pattern) => {
            let shown = pattern.escape_debug();
            let problem =
                format!("`{shown}` is not a regular expression that SDKs understand; it would never match");
            Err(ChangeError::invalid("rules", problem))
        }
    }
}

fn check_big(membership: &Membership) -> Result<(), ChangeError> {
    let has_keys = !membership.included.is_empty()
        || !membership.excluded.is_empty()
        || !membership.included_contexts.is_empty()
        || !membership.excluded_contexts.is_empty();
    if membership.unbounded && has_keys {
        let problem = "the keys of a big segment do not stand in the segment itself";
        return Err(ChangeError::invalid("included", problem));
    }
    match &membership.unbounded_context_kind {
        Some(kind) => name::check_context_kind("unboundedContextKind", kind),
        None => Ok(()),
    }
}

fn check_keys(membership: &Membership) -> Result<(), ChangeError> {
    let mut included = HashSet::new();
    for (place, kind, key) in
        all_keys(&membership.included, "included", &membership.included_contexts, "includedContexts")
    {
        check_listed(place, kind, key)?;
        included.insert((kind, key));
    }
    for (place, kind, key) in
        all_keys(&membership.excluded, "excluded", &membership.excluded_contexts, "excludedContexts")
    {
        check_listed(place, kind, key)?;
        if included.contains(&(kind, key)) {
            let shown = key.escape_debug();
            let problem = format!("the {kind} `{shown}` is both included and excluded; take one away");
            return Err(ChangeError::invalid(place, problem));
        }
    }
    Ok(())
}

/// The keys of two lists, each with the list's name and its kind.
fn all_keys<'m>(
    users: &'m [String],
    place: &'static str,
    others: &'m [SegmentTarget],
    place_of_others: &'static str,
) -> impl Iterator<Item = (&'static str, &'m str, &'m str)> {
    let users = users.iter().map(move |key| (place, "user", key.as_str()));
    users.chain(others.iter().flat_map(move |target| {
        let kind = kind_or_user(target.context_kind.as_deref());
        target.values.iter().map(move |key| (place_of_others, kind, key.as_str()))
    }))
}

fn check_listed(place: &str, kind: &str, key: &str) -> Result<(), ChangeError> {
    name::check_context_kind(place, kind)?;
    if key.is_empty() {
        return Err(ChangeError::invalid(place, "a key cannot be empty"));
    }
    Ok(())
}

fn check_rule(place: &str, rule: &SegmentRule) -> Result<(), ChangeError> {
    name::check_text(&format!("{place}.description"), rule.description.as_deref().unwrap_or_default())?;
    if rule.clauses.is_empty() {
        let problem = "a rule without clauses would match everybody; add one";
        return Err(ChangeError::invalid(place, problem));
    }
    let mut ids = HashSet::new();
    for (index, clause) in rule.clauses.iter().enumerate() {
        let place = format!("{place}.clauses[{index}]");
        if !ids.insert(clause.id.as_str()) {
            return Err(ChangeError::invalid(place, format!("the id `{}` is there twice", clause.id)));
        }
        check_clause(&place, &clause.clause)?;
    }
    if let Some(weight) = rule.weight.filter(|weight| !(0..=WHOLE).contains(weight)) {
        let problem = format!("a weight is from 0 to {WHOLE} thousandths of a percent, not {weight}");
        return Err(ChangeError::invalid(format!("{place}.weight"), problem));
    }
    let kind = rule.rollout_context_kind.as_deref().filter(|kind| !kind.is_empty());
    if let Some(kind) = kind {
        name::check_context_kind(&format!("{place}.rolloutContextKind"), kind)?;
    }
    check_attribute(&format!("{place}.bucketBy"), kind.is_some(), rule.bucket_by.as_deref())
}

/// Checks that the segments a segment's rules speak of do not lead back to it. `others` holds, for each
/// segment of the environment, those it speaks of.
pub(in crate::management) fn check_no_circle(
    key: &str,
    membership: &Membership,
    others: &HashMap<String, Vec<String>>,
) -> Result<(), ChangeError> {
    let mut open: Vec<&str> = mentioned(membership.rules.iter().flat_map(|rule| &rule.clauses)).collect();
    let mut seen = HashSet::new();
    while let Some(other) = open.pop() {
        if other == key {
            let problem = format!("segment `{key}` would be asked for by its own rules, directly or not");
            return Err(ChangeError::invalid("rules", problem));
        }
        if seen.insert(other) {
            open.extend(others.get(other).into_iter().flatten().map(String::as_str));
        }
    }
    Ok(())
}

/// For each segment of an environment, the segments its rules speak of.
pub(in crate::management) async fn segments_in_segments(
    connection: &mut Connection,
    environment: EnvironmentId,
) -> Result<HashMap<String, Vec<String>>, StoreError> {
    let rows = segment::in_environment(connection, environment).await?;
    let item = |row: segment::SegmentRow| {
        let keys = mentioned(row.membership.rules.iter().flat_map(|rule| &rule.clauses));
        let keys = keys.map(str::to_owned).collect();
        (row.key, keys)
    };
    Ok(rows.into_iter().map(item).collect())
}

/// The segments that clauses speak of.
pub(in crate::management) fn mentioned<'c>(
    clauses: impl Iterator<Item = &'c RuleClause>,
) -> impl Iterator<Item = &'c str> {
    clauses
        .filter(|clause| clause.clause.op == Operator::SegmentMatch)
        .flat_map(|clause| clause.clause.values.iter().filter_map(Value::as_str))
}

/// The keys of the flags whose rules speak of a segment, with their names.
pub(super) async fn flags_using(
    connection: &mut Connection,
    environment: EnvironmentId,
    key: &str,
) -> Result<Vec<(String, String)>, StoreError> {
    let rows = flag::mentioning(connection, environment, key).await?;
    let uses = |targeting: &crate::store::targeting::Targeting| {
        mentioned(targeting.rules.iter().flat_map(|rule| &rule.clauses)).any(|known| known == key)
    };
    let using = rows.into_iter().filter(|(_, row)| uses(&row.targeting));
    Ok(using.map(|(flag, _)| (flag.key, flag.definition.name)).collect())
}

/// What speaks of a segment, in words; none if nothing does.
pub(super) async fn used_by(
    connection: &mut Connection,
    environment: EnvironmentId,
    key: &str,
) -> Result<Option<String>, StoreError> {
    if let Some((flag, _)) = flags_using(connection, environment, key).await?.into_iter().next() {
        return Ok(Some(format!("a rule of flag `{flag}`")));
    }
    let others = segments_in_segments(connection, environment).await?;
    let mut using: Vec<&String> = others
        .iter()
        .filter(|(_, known)| known.iter().any(|known| known == key))
        .map(|(key, _)| key)
        .collect();
    using.sort();
    Ok(using.first().map(|other| format!("a rule of segment `{other}`")))
}

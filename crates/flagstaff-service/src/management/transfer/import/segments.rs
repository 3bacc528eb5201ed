//! The segments of one environment.

use std::collections::HashMap;

use super::super::document::{RulePart, SegmentPart};
use super::super::from_sdk;
use super::incoming::IncomingEnvironment;
use super::{Decision, Import, Outcome, Report, other_name};
use crate::auth::Actor;
use crate::management::segment::checks::{check_definition, check_no_circle, check_patterns, mentioned};
use crate::management::segment::{self as segments, Edit, NewSegment, SegmentDefinition};
use crate::management::{ChangeError, name};
use crate::store::connection::Connection;
use crate::store::environment::Environment;
use crate::store::membership::{Membership, sdk_segment};
use crate::store::project::Project;
use crate::store::segment::{self, SegmentRow};

/// A segment that is to be written.
#[derive(Debug)]
pub(super) struct Planned {
    before: Option<SegmentRow>,
    new: NewSegment,
}

/// Decides what becomes of each segment.
pub(super) async fn plan(
    connection: &mut Connection,
    project: &Project,
    environment: &Environment,
    incoming: &IncomingEnvironment<'_>,
    how: &Import,
    report: &mut Report,
) -> Result<Vec<Planned>, ChangeError> {
    let mut known: HashMap<String, SegmentRow> = segment::in_environment(connection, environment.id)
        .await?
        .into_iter()
        .map(|row| (row.key.clone(), row))
        .collect();
    let mut links: HashMap<String, Vec<String>> =
        known.iter().map(|(key, row)| (key.clone(), mentioned_by(&row.membership))).collect();
    let mut planned: Vec<Planned> = Vec::new();
    let place = (project.key.as_str(), Some(environment.key.as_str()));
    for (key, sent) in incoming.items.segments.iter().filter(|(_, segment)| !segment.deleted) {
        if let Some(reason) = other_name(key, &sent.key) {
            report.refuse("segment", place.0, place.1, key, reason);
            continue;
        }
        let mut before = known.remove(key);
        let old = before.as_ref().map(SegmentDefinition::of);
        let part = incoming.part.and_then(|part| part.segments.get(key));
        let beside = part.cloned().or_else(|| old.as_ref().map(part_of_known));
        let mut definition = from_sdk::segment(key, sent, beside.as_ref());
        if definition.membership.unbounded {
            definition.membership.generation = before.as_ref().and_then(|row| row.membership.generation);
            report.notes.push(format!(
                "the keys of the big segment `{key}` in `{}` are not in the document; bring them in by \
                 POST /api/v2/segments/{}/{}/{key}/imports",
                environment.key, project.key, environment.key
            ));
        }
        let created_at = part.and_then(|part| part.created_at);
        let was_created_at = before.as_ref().map(|row| row.created_at);
        let same = old.as_ref().is_some_and(|old| {
            if part.is_some() {
                definition == *old && created_at.is_none_or(|at| was_created_at == Some(at))
            } else {
                sent_is_same(key, &definition, old)
            }
        });
        let decision = how.on_conflict.decide(before.is_some(), same);
        if let Decision::Leave(outcome) = decision {
            report.add("segment", place.0, place.1, key, outcome);
            continue;
        }
        let checked = name::check_key("key", key).and_then(|()| check_definition(&definition));
        if let Err(problem) = checked {
            report.refuse("segment", place.0, place.1, key, problem.to_string());
            continue;
        }
        if let Err(problem) = check_patterns(key, &definition.membership) {
            report.notes.push(format!("segment `{key}` in `{}`: {problem}", environment.key));
        }
        links.insert(key.clone(), mentioned_by(&definition.membership));
        if let (Some(before), Some(created_at)) = (&mut before, created_at) {
            before.created_at = created_at;
        }
        planned.push(Planned { before, new: NewSegment { key: key.clone(), definition, created_at } });
    }
    planned.retain(|planned| {
        let key = &planned.new.key;
        match check_no_circle(key, &planned.new.definition.membership, &links) {
            Ok(()) => {
                let outcome = if planned.before.is_some() { Outcome::Replaced } else { Outcome::Created };
                report.add("segment", place.0, place.1, key, outcome);
                true
            }
            Err(problem) => {
                report.refuse("segment", place.0, place.1, key, problem.to_string());
                false
            }
        }
    });
    Ok(planned)
}

/// Writes what was decided.
pub(super) async fn write(
    connection: &mut Connection,
    actor: &Actor,
    project: &Project,
    environment: &Environment,
    planned: Vec<Planned>,
    comment: &str,
) -> Result<(), ChangeError> {
    for Planned { before, new } in planned {
        match before {
            Some(before) => {
                let edit = Edit {
                    project_key: &project.key,
                    environment_key: &environment.key,
                    segment_key: &new.key,
                    comment,
                    ..Edit::default()
                };
                segments::save(connection, actor, &edit, environment, &before, &new.definition).await?;
            }
            None => {
                segments::insert_checked(connection, actor, &project.key, environment, &new, comment).await?;
            }
        }
    }
    Ok(())
}

fn mentioned_by(membership: &Membership) -> Vec<String> {
    mentioned(membership.rules.iter().flat_map(|rule| &rule.clauses)).map(str::to_owned).collect()
}

/// Whether SDKs would see no difference.
fn sent_is_same(key: &str, new: &SegmentDefinition, old: &SegmentDefinition) -> bool {
    sdk_segment(key, &new.membership, 0) == sdk_segment(key, &old.membership, 0)
}

/// What stands beside a segment that is here, for one that comes without.
fn part_of_known(known: &SegmentDefinition) -> SegmentPart {
    let rules = known.membership.rules.iter().map(|rule| RulePart {
        description: rule.description.clone(),
        clauses: rule.clauses.iter().map(|clause| clause.id.clone()).collect(),
    });
    SegmentPart {
        name: known.name.clone(),
        description: known.description.clone(),
        tags: known.tags.clone(),
        created_at: None,
        rules: rules.collect(),
    }
}

//! The flags of one project.
//!
//! A flag has values that all environments share, and targeting in each. It is looked at as a whole: what the
//! document says of it in each of its environments, and, in those that the document does not speak of, what
//! is here.

mod moves;
mod needs;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use flagstaff_eval::Value;
use flagstaff_eval::model::{ClientSideAvailability, Flag};

use self::moves::Moves;
use super::places::Place;
use super::{Decision, Import, Outcome, Report, other_name};
use crate::auth::Actor;
use crate::management::flag::{self as flags, Draft, FlagState, NewFlag, first_targeting, rules};
use crate::management::transfer::document::{FlagPart, RulePart};
use crate::management::transfer::from_sdk;
use crate::management::{ChangeError, name};
use crate::now_ms;
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment};
use crate::store::flag;
use crate::store::member;
use crate::store::project::Project;
use crate::store::targeting::{Defaults, FlagDefinition, Targeting, Variation, sdk_flag};

/// A flag that is to be written.
#[derive(Debug)]
pub(super) struct Planned {
    key: String,
    before: Option<FlagState>,
    /// Of a new flag, with the environments that the document speaks of.
    new: Draft,
    created_at: Option<i64>,
}

/// Decides what becomes of each flag.
pub(super) async fn plan(
    connection: &mut Connection,
    place: &Place<'_>,
    how: &Import,
    report: &mut Report,
) -> Result<Vec<Planned>, ChangeError> {
    let known = states(connection, &place.project).await?;
    let members = member::list(connection).await?;
    let members: HashMap<_, _> = members.into_iter().map(|member| (member.email, member.public_id)).collect();
    let mut planning = Planning { place, how, known, members, planned: BTreeMap::new() };
    let keys: BTreeSet<&String> =
        place.environments.iter().flat_map(|(_, incoming)| incoming.items.flags.keys()).collect();
    for key in keys {
        planning.look_at(key, report);
    }
    planning.drop_those_without_prerequisites(report);
    let Planning { planned, .. } = planning;
    for planned in planned.values() {
        let outcome = if planned.before.is_some() { Outcome::Replaced } else { Outcome::Created };
        report.add("flag", &place.project.key, None, &planned.key, outcome);
    }
    Ok(planned.into_values().collect())
}

/// Writes what was decided.
pub(super) async fn write(
    connection: &mut Connection,
    actor: &Actor,
    project: &Project,
    planned: Vec<Planned>,
    comment: &str,
) -> Result<(), ChangeError> {
    for Planned { key, before, new, created_at } in planned {
        match before {
            Some(before) => {
                let old = Draft::of(&before);
                flags::save(connection, actor, &before, &old, &new, comment).await?;
            }
            None => {
                let created_at = created_at.unwrap_or_else(now_ms);
                let Draft { definition, environments } = new;
                let flag = NewFlag { key, definition, on: false };
                let targeting = |environment: &Environment| match environments.get(&environment.key) {
                    Some(targeting) => targeting.clone(),
                    None => first_targeting(&flag.definition, environment),
                };
                flags::insert_checked(connection, actor, project, &flag, created_at, targeting, comment)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Every flag of a project with its targeting in every environment.
async fn states(
    connection: &mut Connection,
    project: &Project,
) -> Result<HashMap<String, FlagState>, ChangeError> {
    let environments = environment::of_project(connection, project.id).await?;
    let ids: Vec<_> = environments.iter().map(|environment| environment.id).collect();
    let mut targeting = flag::targeting_of_project(connection, project.id, &ids).await?;
    let mut states = HashMap::new();
    for flag in flag::of_project(connection, project.id).await? {
        let rows = targeting.remove(&flag.id).unwrap_or_default();
        let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.environment_id, row)).collect();
        let environments = environments
            .iter()
            .filter_map(|environment| Some((environment.clone(), rows.remove(&environment.id)?)))
            .collect();
        let project = project.clone();
        states.insert(flag.key.clone(), FlagState { project, flag, environments, maintainer: None });
    }
    Ok(states)
}

/// What is to become of a flag.
struct Drafted {
    new: Draft,
    /// Why it cannot.
    problem: Option<String>,
    /// What somebody should know if it does.
    notes: Vec<String>,
}

struct Planning<'p, 'd> {
    place: &'p Place<'d>,
    how: &'p Import,
    known: HashMap<String, FlagState>,
    /// Public ids by e-mail address.
    members: HashMap<String, String>,
    planned: BTreeMap<String, Planned>,
}

impl Planning<'_, '_> {
    fn look_at(&mut self, key: &str, report: &mut Report) {
        let project = self.place.project.key.as_str();
        let sent: Vec<(&str, &Flag)> = self
            .place
            .environments
            .iter()
            .filter_map(|(environment, incoming)| {
                Some((environment.key.as_str(), incoming.items.flags.get(key)?))
            })
            .filter(|(_, flag)| !flag.deleted)
            .collect();
        let Some(((first, flag), others)) = sent.split_first() else {
            return;
        };
        if let Some(reason) = sent.iter().find_map(|(_, flag)| other_name(key, &flag.key)) {
            return report.refuse("flag", project, None, key, reason);
        }
        let shared = from_sdk::shared(flag);
        if let Some((other, _)) = others.iter().find(|(_, flag)| from_sdk::shared(flag) != shared) {
            let reason = format!(
                "its variations or its client-side availability are not the same in `{first}` and in `{other}`, and \
                 a flag has them in common in all environments"
            );
            return report.refuse("flag", project, None, key, reason);
        }
        let before = self.known.get(key);
        let Drafted { new, problem, notes } = self.draft(key, before, shared, &sent);
        let same = before.is_some_and(|before| self.is_same(key, before, &new));
        if let Decision::Leave(outcome) = self.how.on_conflict.decide(before.is_some(), same) {
            return report.add("flag", project, None, key, outcome);
        }
        if let Some(problem) = problem {
            return report.refuse("flag", project, None, key, problem);
        }
        if let Err(problem) = self.check(key, before, &new) {
            return report.refuse("flag", project, None, key, problem.to_string());
        }
        for (environment, targeting) in &new.environments {
            let place = format!("flag `{key}` in `{environment}`");
            if let Err(problem) = rules::check_patterns(&place, key, &new.definition, targeting) {
                report.notes.push(problem.to_string());
            }
        }
        report.notes.extend(notes);
        let created_at = self.part(key).and_then(|part| part.created_at);
        let mut before = before.cloned();
        if let (Some(before), Some(created_at)) = (&mut before, created_at) {
            before.flag.created_at = created_at;
        }
        let planned = Planned { key: key.to_owned(), before, new, created_at };
        self.planned.insert(key.to_owned(), planned);
    }

    fn part(&self, key: &str) -> Option<&FlagPart> {
        self.place.part?.flags.get(key)
    }

    /// What is to be here afterwards.
    fn draft(
        &self,
        key: &str,
        before: Option<&FlagState>,
        (values, availability): (Vec<Value>, ClientSideAvailability),
        sent: &[(&str, &Flag)],
    ) -> Drafted {
        let known = before.map(Draft::of);
        let mut notes = Vec::new();
        let old_definition = known.as_ref().map(|known| &known.definition);
        let definition = self.definition(key, old_definition, values, availability, sent, &mut notes);
        let mut environments = BTreeMap::new();
        let mut problem = None;
        if let Some(known) = &known {
            environments.clone_from(&known.environments);
            let moves = Moves::between(&known.definition.variations, &definition.variations);
            let is_sent = |key: &str| sent.iter().any(|(sent, _)| *sent == key);
            for (environment, targeting) in environments.iter_mut().filter(|(key, _)| !is_sent(key)) {
                for (old, new) in moves.edited_in(targeting) {
                    notes.push(format!(
                        "flag `{key}`: {} becomes {}, also in `{environment}`, of which the document says nothing",
                        old.value, new.value
                    ));
                }
                if let Err(gone) = moves.follow(targeting) {
                    problem = Some(format!(
                        "in `{environment}`, of which the document says nothing, {gone}; change that first"
                    ));
                }
            }
        }
        for (environment, flag) in sent {
            let parts = self.rule_parts(key, environment);
            let parts = parts
                .map(<[RulePart]>::to_vec)
                .or_else(|| Some(rule_parts_of_known(flag, known.as_ref()?.environments.get(*environment)?)));
            let targeting = from_sdk::targeting(flag, &parts.unwrap_or_default());
            environments.insert((*environment).to_owned(), targeting);
        }
        Drafted { new: Draft { definition, environments }, problem, notes }
    }

    fn rule_parts(&self, key: &str, environment: &str) -> Option<&[RulePart]> {
        let mut environments = self.place.environments.iter();
        let (_, incoming) = environments.find(|(known, _)| known.key == environment)?;
        Some(incoming.part?.rules.get(key)?)
    }

    fn definition(
        &self,
        key: &str,
        known: Option<&FlagDefinition>,
        values: Vec<Value>,
        availability: ClientSideAvailability,
        sent: &[(&str, &Flag)],
        notes: &mut Vec<String>,
    ) -> FlagDefinition {
        let part = self.part(key);
        let variations = match part {
            Some(part) => with_parts(values, part),
            None => like_known(values, known.map_or(&[], |known| &known.variations)),
        };
        let last = variations.len() as i64 - 1;
        // One that is not there is found where it is served.
        let there = |index: Option<i64>, usual: i64| {
            index.filter(|index| (0..=last).contains(index)).unwrap_or(usual)
        };
        let usual = || Defaults {
            on_variation: there(sent.first().and_then(|(_, flag)| flag.fallthrough.variation), 0),
            off_variation: there(sent.first().and_then(|(_, flag)| flag.off_variation), last),
        };
        match (part, known) {
            (Some(part), known) => FlagDefinition {
                name: part.name.clone(),
                description: part.description.clone(),
                tags: part.tags.clone(),
                variations,
                temporary: part.temporary,
                availability,
                maintainer_id: self.maintainer(key, part, known, notes),
                defaults: part.defaults.unwrap_or_else(usual),
            },
            (None, Some(known)) => {
                let moves = Moves::between(&known.variations, &variations);
                let (old, usual) = (known.defaults, usual());
                let defaults = Defaults {
                    on_variation: moves.of(old.on_variation).unwrap_or(usual.on_variation),
                    off_variation: moves.of(old.off_variation).unwrap_or(usual.off_variation),
                };
                FlagDefinition { variations, availability, defaults, ..known.clone() }
            }
            (None, None) => FlagDefinition {
                name: key.to_owned(),
                variations,
                temporary: true,
                availability,
                defaults: usual(),
                ..FlagDefinition::default()
            },
        }
    }

    fn maintainer(
        &self,
        key: &str,
        part: &FlagPart,
        known: Option<&FlagDefinition>,
        notes: &mut Vec<String>,
    ) -> Option<String> {
        let email = part.maintainer.as_ref()?;
        let found = self.members.get(email).cloned();
        if found.is_none() {
            notes.push(format!(
                "flag `{key}` is looked after by {}, who is no member here; it keeps whom it has, or has nobody",
                email.escape_debug()
            ));
            return known?.maintainer_id.clone();
        }
        found
    }

    fn is_same(&self, key: &str, before: &FlagState, new: &Draft) -> bool {
        let old = Draft::of(before);
        if let Some(part) = self.part(key) {
            return old == *new && part.created_at.is_none_or(|at| at == before.flag.created_at);
        }
        let sent = |draft: &Draft, environment: &String| {
            Some(sdk_flag(key, &draft.definition, draft.environments.get(environment)?, 0))
        };
        new.environments.keys().all(|environment| sent(&old, environment) == sent(new, environment))
    }

    fn check(&self, key: &str, before: Option<&FlagState>, new: &Draft) -> Result<(), ChangeError> {
        name::check_key("key", key)?;
        rules::check_definition(&new.definition)?;
        let old = before.map(Draft::of);
        for (environment, targeting) in &new.environments {
            let untouched = old.as_ref().is_some_and(|old| {
                old.environments.get(environment) == Some(targeting)
                    && old.definition.variations.len() == new.definition.variations.len()
            });
            if !untouched {
                let place = format!("environments.{environment}");
                rules::check_targeting(&place, &new.definition, targeting)?;
            }
        }
        Ok(())
    }
}

/// The values with what stands beside them.
fn with_parts(values: Vec<Value>, part: &FlagPart) -> Vec<Variation> {
    let mut used = BTreeSet::new();
    let variation = |(place, value): (usize, Value)| {
        let part = part.variations.get(place).cloned().unwrap_or_default();
        let id = Some(part.id).filter(|id| !id.is_empty() && used.insert(id.clone())).unwrap_or_else(new_id);
        Variation { id, value, name: part.name, description: part.description }
    };
    values.into_iter().enumerate().map(variation).collect()
}

/// The values; one that is known keeps its id and names, at the same place rather than elsewhere.
fn like_known(values: Vec<Value>, known: &[Variation]) -> Vec<Variation> {
    let mut free: Vec<Option<&Variation>> = known.iter().map(Some).collect();
    let mut found: Vec<Option<&Variation>> = Vec::new();
    for (place, value) in values.iter().enumerate() {
        let same = free.get_mut(place).filter(|known| known.is_some_and(|known| known.value == *value));
        found.push(same.and_then(Option::take));
    }
    for (value, found) in values.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
        let elsewhere = free.iter_mut().find(|known| known.is_some_and(|known| known.value == *value));
        *found = elsewhere.and_then(Option::take);
    }
    let variation = |(value, known): (Value, Option<&Variation>)| match known {
        Some(known) => Variation { value, ..known.clone() },
        None => Variation { id: new_id(), value, name: None, description: None },
    };
    values.into_iter().zip(found).map(variation).collect()
}

fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// What stands beside those rules here that have the same ids.
fn rule_parts_of_known(flag: &Flag, known: &Targeting) -> Vec<RulePart> {
    let part = |rule: &flagstaff_eval::model::FlagRule| {
        let known = known.rules.iter().find(|known| known.id == rule.id)?;
        let same_clauses = known.clauses.len() == rule.clauses.len();
        let clauses = known.clauses.iter().filter(|_| same_clauses).map(|clause| clause.id.clone());
        Some(RulePart { description: known.description.clone(), clauses: clauses.collect() })
    };
    flag.rules.iter().map(|rule| part(rule).unwrap_or_default()).collect()
}

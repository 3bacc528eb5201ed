//! Projects and environments that something goes into, made where there are none; and a project's metrics and payload
//! filters.

use super::super::document::{EnvironmentPart, MetricPart, PayloadFilterPart, ProjectPart};
use super::super::export::settings_part;
use super::incoming::{Incoming, IncomingEnvironment};
use super::{Decision, Import, Outcome, Report};
use crate::auth::{Action, Actor};
use crate::management::ChangeError;
use crate::management::environment::{self as environments, Keys, NewEnvironment};
use crate::management::metric as metrics;
use crate::management::payload_filter::{self as filters, NewPayloadFilter};
use crate::management::project::{self as projects, NewProject};
use crate::now_ms;
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment};
use crate::store::metric::{self, Metric};
use crate::store::new_public_id;
use crate::store::payload_filter::{self, PayloadFilter};
use crate::store::project::{self, Project};

/// The colour of an environment whose own is not known.
const COLOUR: &str = "7B8794";

/// A project with the environments that something goes into, in the order of their ids.
#[derive(Debug)]
pub(super) struct Place<'d> {
    pub(super) project: Project,
    pub(super) part: Option<&'d ProjectPart>,
    pub(super) environments: Vec<(Environment, IncomingEnvironment<'d>)>,
}

/// Makes what is missing of a project.
pub(super) async fn prepare<'d>(
    connection: &mut Connection,
    actor: &Actor,
    incoming: Incoming<'d>,
    how: &Import,
    report: &mut Report,
) -> Result<Place<'d>, ChangeError> {
    let project = match project::by_key(connection, incoming.key).await? {
        Some(project) => known_project(connection, actor, &incoming, project, how, report).await?,
        None => new_project(connection, actor, &incoming, report).await?,
    };
    let mut places = Vec::new();
    for wanted in &incoming.environments {
        let known = environment::by_key(connection, project.id, wanted.key).await?;
        let environment = match known {
            // Made along with the project, or known.
            Some(environment) => {
                known_environment(connection, actor, &incoming, wanted, environment, how, report).await?
            }
            None => {
                actor.may(Action::ChangeProjects)?;
                let id = environments::insert(connection, actor, &project, &new_environment(wanted)).await?;
                report.add("environment", &project.key, None, wanted.key, Outcome::Created);
                environment::by_id(connection, id)
                    .await?
                    .ok_or_else(|| ChangeError::unknown("environment", wanted.key))?
            }
        };
        places.push((environment, *wanted));
    }
    places.sort_by_key(|(environment, _)| environment.id);
    if let Some(part) = incoming.part.filter(|_| !incoming.elsewhere) {
        take_metrics(connection, actor, &project, part, how, report).await?;
        take_filters(connection, actor, &project, part, how, report).await?;
    }
    Ok(Place { project, part: incoming.part, environments: places })
}

async fn new_project(
    connection: &mut Connection,
    actor: &Actor,
    incoming: &Incoming<'_>,
    report: &mut Report,
) -> Result<Project, ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let part = incoming.part.cloned().unwrap_or_default();
    let new = NewProject {
        key: incoming.key.to_owned(),
        name: if part.name.is_empty() { incoming.key.to_owned() } else { part.name },
        tags: part.tags,
        new_flag_availability: part.new_flag_availability,
        environments: incoming.environments.iter().map(new_environment).collect(),
    };
    let id = projects::insert(connection, actor, &new).await?;
    report.add("project", incoming.key, None, incoming.key, Outcome::Created);
    for wanted in &incoming.environments {
        report.add("environment", incoming.key, None, wanted.key, Outcome::Created);
    }
    project::by_id(connection, id).await?.ok_or_else(|| ChangeError::unknown("project", incoming.key))
}

async fn known_project(
    connection: &mut Connection,
    actor: &Actor,
    incoming: &Incoming<'_>,
    known: Project,
    how: &Import,
    report: &mut Report,
) -> Result<Project, ChangeError> {
    let Some(part) = incoming.part.filter(|_| !incoming.elsewhere) else {
        return Ok(known);
    };
    let wanted = Project {
        name: part.name.clone(),
        tags: part.tags.clone(),
        new_flag_availability: part.new_flag_availability,
        ..known.clone()
    };
    match how.on_conflict.decide(true, wanted == known) {
        Decision::Leave(outcome) => {
            report.add("project", incoming.key, None, incoming.key, outcome);
            Ok(known)
        }
        Decision::Create | Decision::Replace => {
            projects::update_in(connection, actor, &known, &wanted).await?;
            report.add("project", incoming.key, None, incoming.key, Outcome::Replaced);
            Ok(wanted)
        }
    }
}

async fn known_environment(
    connection: &mut Connection,
    actor: &Actor,
    incoming: &Incoming<'_>,
    wanted: &IncomingEnvironment<'_>,
    known: Environment,
    how: &Import,
    report: &mut Report,
) -> Result<Environment, ChangeError> {
    let made_just_now = report
        .items
        .iter()
        .any(|item| item.kind == "environment" && item.project == incoming.key && item.key == wanted.key);
    let Some(part) = wanted.part.filter(|_| !incoming.elsewhere && !made_just_now) else {
        return Ok(known);
    };
    if part.keys.as_ref().is_some_and(|keys| keys.sdk_key != known.sdk_key) {
        report.notes.push(format!(
            "environment `{}` of project `{}` keeps the SDK key it has here: keys are taken over only where an \
             environment is made",
            known.key, incoming.key
        ));
    }
    let settings = EnvironmentPart { keys: None, ..settings_of(part) };
    match how.on_conflict.decide(true, settings == settings_part(&known, false)) {
        Decision::Leave(outcome) => {
            report.add("environment", incoming.key, None, wanted.key, outcome);
            Ok(known)
        }
        Decision::Create | Decision::Replace => {
            let new = new_environment(wanted);
            let after = Environment {
                name: new.name,
                colour: new.colour,
                tags: new.tags,
                default_ttl: new.default_ttl,
                secure_mode: new.secure_mode,
                default_track_events: new.default_track_events,
                confirm_changes: new.confirm_changes,
                require_comments: new.require_comments,
                critical: new.critical,
                ..known.clone()
            };
            environments::update_in(connection, actor, incoming.key, &known, &after).await?;
            report.add("environment", incoming.key, None, wanted.key, Outcome::Replaced);
            Ok(after)
        }
    }
}

/// An environment without what stands in it.
fn settings_of(part: &EnvironmentPart) -> EnvironmentPart {
    EnvironmentPart {
        key: part.key.clone(),
        name: part.name.clone(),
        color: part.color.clone(),
        tags: part.tags.clone(),
        keys: part.keys.clone(),
        rules: Default::default(),
        segments: Default::default(),
        data: None,
        ..*part
    }
}

fn new_environment(wanted: &IncomingEnvironment<'_>) -> NewEnvironment {
    let part = wanted.part.map(settings_of).unwrap_or_default();
    let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    NewEnvironment {
        key: wanted.key.to_owned(),
        name: or(part.name, wanted.key),
        colour: or(part.color, COLOUR),
        tags: part.tags,
        default_ttl: part.default_ttl,
        secure_mode: part.secure_mode,
        default_track_events: part.default_track_events,
        confirm_changes: part.confirm_changes,
        require_comments: part.require_comments,
        critical: part.critical,
        keys: part.keys.map(|keys| Keys {
            sdk_key: keys.sdk_key,
            mobile_key: keys.mobile_key,
            client_side_id: keys.client_side_id,
        }),
    }
}

/// Metrics only count: what is measured under a key stays what it was, so one that is here is never replaced.
async fn take_metrics(
    connection: &mut Connection,
    actor: &Actor,
    project: &Project,
    part: &ProjectPart,
    how: &Import,
    report: &mut Report,
) -> Result<(), ChangeError> {
    let known = metric::of_project(connection, project.id).await?;
    for (key, part) in &part.metrics {
        let wanted = new_metric(project, key, part);
        let same = known.iter().find(|metric| metric.key == *key).map(|metric| {
            let (public_id, version, created_at) =
                (metric.public_id.clone(), metric.version, metric.created_at);
            *metric == Metric { public_id, version, created_at, ..wanted.clone() }
        });
        match how.on_conflict.decide(same.is_some(), same == Some(true)) {
            Decision::Create => {
                metrics::insert(connection, actor, project, &wanted).await?;
                report.add("metric", &project.key, None, key, Outcome::Created);
            }
            Decision::Replace => {
                let reason = "a metric of this key measures something else here; delete one of the two";
                report.refuse("metric", &project.key, None, key, reason.to_owned());
            }
            Decision::Leave(outcome) => report.add("metric", &project.key, None, key, outcome),
        }
    }
    Ok(())
}

/// Payload filters, which take whose role it is to change projects.
async fn take_filters(
    connection: &mut Connection,
    actor: &Actor,
    project: &Project,
    part: &ProjectPart,
    how: &Import,
    report: &mut Report,
) -> Result<(), ChangeError> {
    let known = payload_filter::of_project(connection, project.id).await?;
    for (key, part) in &part.payload_filters {
        let PayloadFilterPart { name, description, conditions } = part.clone();
        let known = known.iter().find(|known| known.key == *key);
        let wanted = known.map(|known| PayloadFilter {
            name: name.clone(),
            description: description.clone(),
            conditions: conditions.clone(),
            ..known.clone()
        });
        let outcome = match (how.on_conflict.decide(known.is_some(), wanted.as_ref() == known), known, wanted)
        {
            (Decision::Replace, Some(known), Some(wanted)) => {
                filters::update_in(connection, actor, project, known, wanted).await?;
                Outcome::Replaced
            }
            (Decision::Leave(outcome), ..) => outcome,
            _ => {
                let new = NewPayloadFilter { key: key.clone(), name, description, conditions };
                filters::insert(connection, actor, project, &new).await?;
                Outcome::Created
            }
        };
        report.add("payloadFilter", &project.key, None, key, outcome);
    }
    Ok(())
}

fn new_metric(project: &Project, key: &str, part: &MetricPart) -> Metric {
    Metric {
        public_id: new_public_id(),
        project_id: project.id,
        key: key.to_owned(),
        name: part.name.clone(),
        description: part.description.clone(),
        kind: part.kind.clone(),
        event_key: part.event_key.clone(),
        is_numeric: part.is_numeric,
        unit: part.unit.clone(),
        higher_is_better: part.higher_is_better,
        selector: part.selector.clone(),
        pages: part.urls.clone(),
        tags: part.tags.clone(),
        version: 1,
        created_at: now_ms(),
    }
}

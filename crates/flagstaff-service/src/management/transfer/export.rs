//! Everything of an environment, a project or the whole service, as one [`Document`].

use std::collections::BTreeMap;

use super::document::{
    Document, EnvironmentPart, FORMAT, FlagPart, Items, KeysPart, MetricPart, PayloadFilterPart, ProjectPart,
    RulePart, Section, SegmentPart, VariationPart,
};
use crate::auth::{Action, Actor};
use crate::management::ChangeError;
use crate::management::flag::project_by_key;
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment};
use crate::store::flag::{self, FlagRow};
use crate::store::member;
use crate::store::metric::{self, Metric};
use crate::store::payload_filter::{self, PayloadFilter};
use crate::store::project::{self, Project};
use crate::store::segment::{self, SegmentRow};
use crate::store::targeting::{RuleClause, Targeting};
use crate::store::{Store, StoreError};

/// What is exported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// One project; all when absent.
    pub project_key: Option<&'a str>,
    /// One environment of that project, or of the only one there is; all when absent.
    pub environment_key: Option<&'a str>,
    /// Whether the keys that SDKs come with are in it.
    pub with_keys: bool,
}

/// Exports what `scope` says, as it is at one moment. The first environment stands at the top.
pub async fn export(store: &Store, actor: &Actor, scope: Scope<'_>) -> Result<Document, ChangeError> {
    actor.may(if scope.with_keys { Action::SeeKeys } else { Action::Read })?;
    let mut snapshot = store.snapshot().await?;
    let projects = match scope.project_key {
        Some(key) => vec![project_by_key(&mut snapshot, key).await?],
        None => project::list(&mut snapshot).await?,
    };
    if let (Some(environment), None, 2..) = (scope.environment_key, scope.project_key, projects.len()) {
        let problem = format!(
            "there are {} projects, each with environments of its own; name the one whose `{environment}` is meant",
            projects.len()
        );
        return Err(ChangeError::invalid("project", problem));
    }
    let emails = member::list(&mut snapshot).await?;
    let emails = emails.into_iter().map(|member| (member.public_id, member.email)).collect();
    let mut section = Section { format: FORMAT, ..Section::default() };
    for project in projects {
        let part = project_part(&mut snapshot, &project, &scope, &emails).await?;
        section.projects.insert(project.key, part);
    }
    Ok(with_the_first_at_the_top(section))
}

fn with_the_first_at_the_top(mut section: Section) -> Document {
    let mut data = Items::default();
    let first =
        section.projects.iter_mut().find_map(|(key, part)| Some((key, part.environments.first_mut()?)));
    if let Some((project_key, environment)) = first {
        data = environment.data.take().unwrap_or_default();
        section.environment.clone_from(&environment.key);
        section.project = project_key.clone();
    }
    Document { data, section: Some(section) }
}

async fn project_part(
    connection: &mut Connection,
    project: &Project,
    scope: &Scope<'_>,
    emails: &BTreeMap<String, String>,
) -> Result<ProjectPart, ChangeError> {
    let mut environments = environment::of_project(connection, project.id).await?;
    if let Some(key) = scope.environment_key {
        environments.retain(|environment| environment.key == key);
        if environments.is_empty() {
            return Err(ChangeError::unknown_in("environment", key, &project.key));
        }
    }
    let flags = flag::of_project(connection, project.id).await?;
    let metrics = metric::of_project(connection, project.id).await?;
    let filters = payload_filter::of_project(connection, project.id).await?;
    let mut parts = Vec::new();
    for environment in &environments {
        parts.push(environment_part(connection, environment, scope.with_keys).await?);
    }
    Ok(ProjectPart {
        name: project.name.clone(),
        tags: project.tags.clone(),
        new_flag_availability: project.new_flag_availability,
        flags: flags.iter().map(|flag| (flag.key.clone(), flag_part(flag, emails))).collect(),
        metrics: metrics.into_iter().map(metric_part).collect(),
        payload_filters: filters.into_iter().map(payload_filter_part).collect(),
        environments: parts,
    })
}

fn flag_part(flag: &FlagRow, emails: &BTreeMap<String, String>) -> FlagPart {
    let definition = &flag.definition;
    let variations = definition.variations.iter().map(|variation| VariationPart {
        id: variation.id.clone(),
        name: variation.name.clone(),
        description: variation.description.clone(),
    });
    FlagPart {
        name: definition.name.clone(),
        description: definition.description.clone(),
        tags: definition.tags.clone(),
        temporary: definition.temporary,
        maintainer: definition.maintainer_id.as_ref().and_then(|id| emails.get(id)).cloned(),
        defaults: Some(definition.defaults),
        created_at: Some(flag.created_at),
        variations: variations.collect(),
    }
}

fn metric_part(metric: Metric) -> (String, MetricPart) {
    let part = MetricPart {
        name: metric.name,
        description: metric.description,
        kind: metric.kind,
        event_key: metric.event_key,
        is_numeric: metric.is_numeric,
        unit: metric.unit,
        higher_is_better: metric.higher_is_better,
        selector: metric.selector,
        urls: metric.pages,
        tags: metric.tags,
    };
    (metric.key, part)
}

fn payload_filter_part(filter: PayloadFilter) -> (String, PayloadFilterPart) {
    let PayloadFilter { key, name, description, conditions, .. } = filter;
    (key, PayloadFilterPart { name, description, conditions })
}

async fn environment_part(
    connection: &mut Connection,
    environment: &Environment,
    with_keys: bool,
) -> Result<EnvironmentPart, StoreError> {
    let flags = flag::in_environment(connection, environment.id).await?;
    let segments = segment::in_environment(connection, environment.id).await?;
    let with_rules = flags.iter().filter(|(_, row)| !row.targeting.rules.is_empty());
    Ok(EnvironmentPart {
        rules: with_rules.map(|(flag, row)| (flag.key.clone(), rule_parts(&row.targeting))).collect(),
        segments: segments.iter().map(|row| (row.key.clone(), segment_part(row))).collect(),
        data: Some(Items::canonical(
            flags.iter().map(|(flag, row)| flag::as_sdk(flag, row)),
            segments.iter().map(segment::as_sdk),
        )),
        ..settings_part(environment, with_keys)
    })
}

/// An environment without what stands in it.
pub(super) fn settings_part(environment: &Environment, with_keys: bool) -> EnvironmentPart {
    let keys = || KeysPart {
        sdk_key: environment.sdk_key.clone(),
        mobile_key: environment.mobile_key.clone(),
        client_side_id: environment.client_side_id.clone(),
    };
    EnvironmentPart {
        key: environment.key.clone(),
        name: environment.name.clone(),
        color: environment.colour.clone(),
        tags: environment.tags.clone(),
        default_ttl: environment.default_ttl,
        secure_mode: environment.secure_mode,
        default_track_events: environment.default_track_events,
        confirm_changes: environment.confirm_changes,
        require_comments: environment.require_comments,
        critical: environment.critical,
        keys: with_keys.then(keys),
        ..EnvironmentPart::default()
    }
}

fn rule_parts(targeting: &Targeting) -> Vec<RulePart> {
    targeting.rules.iter().map(|rule| rule_part(&rule.description, &rule.clauses)).collect()
}

fn rule_part(description: &Option<String>, clauses: &[RuleClause]) -> RulePart {
    RulePart {
        description: description.clone(),
        clauses: clauses.iter().map(|clause| clause.id.clone()).collect(),
    }
}

fn segment_part(row: &SegmentRow) -> SegmentPart {
    let rules = row.membership.rules.iter();
    SegmentPart {
        name: row.name.clone(),
        description: row.description.clone(),
        tags: row.tags.clone(),
        created_at: Some(row.created_at),
        rules: rules.map(|rule| rule_part(&rule.description, &rule.clauses)).collect(),
    }
}

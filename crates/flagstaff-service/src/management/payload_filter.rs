//! Making, changing and deleting payload filters.

use serde_json::json;

use super::flag::project_by_key;
use super::{ChangeError, finish, name, note, publish};
use crate::auth::{Action, Actor};
use crate::store::audit::AuditEntry;
use crate::store::connection::Connection;
use crate::store::new_public_id;
use crate::store::payload_filter::{self, Condition, PayloadFilter};
use crate::store::project::Project;
use crate::{App, now_ms};

/// The most filters of a project: each is a copy of the maps of every environment that it is asked for in.
pub const MOST_FILTERS: usize = 100;
/// The most conditions of a filter, and values of a condition.
pub const MOST_CONDITIONS: usize = 200;

/// A payload filter that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewPayloadFilter {
    /// What SDKs ask for.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// A flag that meets one of these is in it.
    pub conditions: Vec<Condition>,
}

/// The payload filters of a project, by key.
pub async fn list(app: &App, project_key: &str) -> Result<Vec<PayloadFilter>, ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    let project = project_by_key(&mut snapshot, project_key).await?;
    Ok(payload_filter::of_project(&mut snapshot, project.id).await?)
}

/// Reads a payload filter.
pub async fn get(app: &App, project_key: &str, key: &str) -> Result<PayloadFilter, ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    Ok(load(&mut snapshot, project_key, key).await?.1)
}

/// Makes a payload filter.
pub async fn create(
    app: &App,
    actor: &Actor,
    project_key: &str,
    new: &NewPayloadFilter,
) -> Result<PayloadFilter, ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    let project = project_by_key(&mut write, project_key).await?;
    insert(&mut write, actor, &project, new).await?;
    write.commit().await?;
    publish(app).await;
    get(app, project_key, &new.key).await
}

/// Makes a payload filter inside a transaction.
pub(super) async fn insert(
    connection: &mut Connection,
    actor: &Actor,
    project: &Project,
    new: &NewPayloadFilter,
) -> Result<(), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    name::check_key("key", &new.key)?;
    let filter = PayloadFilter {
        id: 0,
        public_id: new_public_id(),
        project_id: project.id,
        key: new.key.clone(),
        name: new.name.clone(),
        description: new.description.clone(),
        conditions: new.conditions.clone(),
        version: 1,
        created_at: now_ms(),
    };
    check(&filter)?;
    if payload_filter::of_project(connection, project.id).await?.len() >= MOST_FILTERS {
        let problem = format!("a project has at most {MOST_FILTERS} payload filters; delete one first");
        return Err(ChangeError::invalid("key", problem));
    }
    payload_filter::insert(connection, &filter).await.map_err(|error| {
        ChangeError::duplicate(error, "payload filter", &new.key, format!("project `{}`", project.key))
    })?;
    let entry = AuditEntry { action: "create", after: Some(shown(&filter)), ..entry(&project.key, &new.key) };
    note(connection, actor, project.id, entry).await
}

/// Changes name, description and conditions: whatever `edit` does to them.
pub async fn update(
    app: &App,
    actor: &Actor,
    project_key: &str,
    key: &str,
    edit: impl FnOnce(&mut PayloadFilter) -> Result<(), ChangeError> + Send,
) -> Result<PayloadFilter, ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    let (project, before) = load(&mut write, project_key, key).await?;
    let mut after = before.clone();
    edit(&mut after)?;
    if after != before {
        update_in(&mut write, actor, &project, &before, after).await?;
        write.commit().await?;
        publish(app).await;
    }
    get(app, project_key, key).await
}

/// Changes a payload filter inside a transaction.
pub(super) async fn update_in(
    connection: &mut Connection,
    actor: &Actor,
    project: &Project,
    before: &PayloadFilter,
    after: PayloadFilter,
) -> Result<(), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let after = PayloadFilter { version: before.version + 1, ..after };
    check(&after)?;
    payload_filter::update(connection, &after).await?;
    let entry = AuditEntry {
        action: "update",
        before: Some(shown(before)),
        after: Some(shown(&after)),
        ..entry(&project.key, &before.key)
    };
    note(connection, actor, project.id, entry).await
}

/// Deletes a payload filter. SDKs that ask for it are answered 404 from then on.
pub async fn delete(app: &App, actor: &Actor, project_key: &str, key: &str) -> Result<(), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    let (project, filter) = load(&mut write, project_key, key).await?;
    payload_filter::delete(&mut write, filter.id).await?;
    let entry = AuditEntry { action: "delete", before: Some(shown(&filter)), ..entry(project_key, key) };
    finish(app, write, actor, project.id, entry).await
}

async fn load(
    connection: &mut Connection,
    project_key: &str,
    key: &str,
) -> Result<(Project, PayloadFilter), ChangeError> {
    let project = project_by_key(connection, project_key).await?;
    let filter = payload_filter::by_key(connection, project.id, key).await?;
    let filter = filter.ok_or_else(|| ChangeError::unknown_in("payload filter", key, project_key))?;
    Ok((project, filter))
}

fn check(filter: &PayloadFilter) -> Result<(), ChangeError> {
    name::check_name("name", &filter.name)?;
    name::check_text("description", &filter.description)?;
    let count = filter.conditions.len();
    if count == 0 {
        let problem = r#"a condition is needed, like {"attribute": "tags", "values": ["checkout"]}"#;
        return Err(ChangeError::invalid("conditions", problem));
    }
    if count > MOST_CONDITIONS {
        let problem = format!("a filter has at most {MOST_CONDITIONS} conditions, this one has {count}");
        return Err(ChangeError::invalid("conditions", problem));
    }
    for (place, Condition { values, .. }) in filter.conditions.iter().enumerate() {
        let place = format!("conditions[{place}].values");
        if values.is_empty() {
            return Err(ChangeError::invalid(place, "a value is needed"));
        }
        if values.len() > MOST_CONDITIONS {
            let problem = format!("at most {MOST_CONDITIONS} values fit here, these are {}", values.len());
            return Err(ChangeError::invalid(place, problem));
        }
        for value in values {
            name::check_name(&place, value)?;
        }
    }
    Ok(())
}

fn entry<'a>(project_key: &'a str, key: &'a str) -> AuditEntry<'a> {
    AuditEntry { project_key: Some(project_key), kind: "payloadFilter", key, ..AuditEntry::default() }
}

fn shown(filter: &PayloadFilter) -> serde_json::Value {
    json!({"name": filter.name, "description": filter.description, "conditions": filter.conditions})
}

//! Making, changing and deleting projects.

use serde_json::json;

use super::environment::{NewEnvironment, insert as insert_environment};
use super::flag::project_by_key;
use super::{ChangeError, forget_counted, name, publish};
use crate::auth::{Action, Actor};
use crate::store::audit::{self, AuditEntry};
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment};
use crate::store::project::{self, Project};
use crate::store::{EnvironmentId, new_public_id};
use crate::{App, now_ms};

/// A project that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewProject {
    /// Its stable name.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// Which client-side SDKs see a new flag.
    pub new_flag_availability: flagstaff_eval::model::ClientSideAvailability,
    /// Its environments; two with the usual names if there are none.
    pub environments: Vec<NewEnvironment>,
}

/// All projects.
pub async fn list(app: &App) -> Result<Vec<Project>, ChangeError> {
    Ok(project::list(&mut *app.store.read().await?).await?)
}

/// Reads a project with its environments.
pub async fn get(app: &App, key: &str) -> Result<(Project, Vec<Environment>), ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    let project = project_by_key(&mut snapshot, key).await?;
    let environments = environment::of_project(&mut snapshot, project.id).await?;
    Ok((project, environments))
}

/// Makes a project.
pub async fn create(
    app: &App,
    actor: &Actor,
    new: &NewProject,
) -> Result<(Project, Vec<Environment>), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    insert(&mut write, actor, new).await?;
    write.commit().await?;
    publish(app).await;
    get(app, &new.key).await
}

/// Changes name, tags and availability of new flags: whatever `edit` does to them.
pub async fn update(
    app: &App,
    actor: &Actor,
    key: &str,
    edit: impl FnOnce(&mut Project) -> Result<(), ChangeError> + Send,
) -> Result<(Project, Vec<Environment>), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    let before = project_by_key(&mut write, key).await?;
    let mut after = before.clone();
    edit(&mut after)?;
    if after != before {
        update_in(&mut write, actor, &before, &after).await?;
        write.commit().await?;
        publish(app).await;
    }
    get(app, key).await
}

/// Changes a project inside a transaction.
pub(super) async fn update_in(
    connection: &mut Connection,
    actor: &Actor,
    before: &Project,
    after: &Project,
) -> Result<(), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    name::check_name("name", &after.name)?;
    name::check_tags(&after.tags)?;
    project::update(connection, after).await?;
    let entry = AuditEntry {
        action: "update",
        before: Some(shown(before)),
        after: Some(shown(after)),
        ..entry(&before.key)
    };
    Ok(audit::append(connection, actor, now_ms(), entry).await?)
}

/// Deletes a project with everything in it; refused for the last one.
pub async fn delete(app: &App, actor: &Actor, key: &str) -> Result<(), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    let project = project_by_key(&mut write, key).await?;
    if project::list(&mut write).await?.len() == 1 {
        return Err(ChangeError::InUse {
            what: format!("the only project `{key}`"),
            by: "the service, which needs one".to_owned(),
        });
    }
    let environments = environment::of_project(&mut write, project.id).await?;
    let environments: Vec<EnvironmentId> = environments.iter().map(|environment| environment.id).collect();
    project::delete(&mut write, project.id).await?;
    let entry = AuditEntry { action: "delete", before: Some(shown(&project)), ..entry(key) };
    audit::append(&mut write, actor, now_ms(), entry).await?;
    forget_counted(app, &environments, write).await
}

/// Makes a project inside a transaction, and gives its id.
pub(super) async fn insert(
    connection: &mut Connection,
    actor: &Actor,
    new: &NewProject,
) -> Result<i64, ChangeError> {
    name::check_key("key", &new.key)?;
    name::check_name("name", &new.name)?;
    name::check_tags(&new.tags)?;
    let now = now_ms();
    let project = Project {
        id: 0,
        public_id: new_public_id(),
        key: new.key.clone(),
        name: new.name.clone(),
        tags: new.tags.clone(),
        new_flag_availability: new.new_flag_availability,
        created_at: now,
    };
    let id = project::insert(connection, &project)
        .await
        .map_err(|error| ChangeError::duplicate(error, "project", &new.key, String::new()))?;
    let entry = AuditEntry { action: "create", after: Some(shown(&project)), ..entry(&new.key) };
    audit::append(connection, actor, now, entry).await?;
    let project = Project { id, ..project };
    let usual = [NewEnvironment::production(), NewEnvironment::test()];
    let environments = if new.environments.is_empty() { &usual[..] } else { &new.environments };
    for environment in environments {
        insert_environment(connection, actor, &project, environment).await?;
    }
    Ok(id)
}

fn entry(key: &str) -> AuditEntry<'_> {
    AuditEntry { project_key: Some(key), kind: "project", key, ..AuditEntry::default() }
}

fn shown(project: &Project) -> serde_json::Value {
    json!({"name": project.name, "tags": project.tags, "newFlagAvailability": project.new_flag_availability})
}

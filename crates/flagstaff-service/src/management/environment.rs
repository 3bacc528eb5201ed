//! Making, changing and deleting environments, and their keys.

use serde_json::json;

use super::flag::{first_targeting, project_by_key};
use super::{ChangeError, forget_counted, name, publish};
use crate::auth::{Action, Actor, secret};
use crate::store::audit::{self, AuditEntry};
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment, ExpiringKey};
use crate::store::flag::{self, TargetingRow};
use crate::store::project::Project;
use crate::store::{EnvironmentId, new_public_id};
use crate::{App, now_ms};

/// An environment that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewEnvironment {
    /// Its stable name within the project.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// Six hex digits.
    pub colour: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// Minutes that the PHP SDK may cache.
    pub default_ttl: i64,
    /// Whether browser SDKs have to prove the user.
    pub secure_mode: bool,
    /// Whether new flags report each evaluation.
    pub default_track_events: bool,
    /// Whether the dashboard asks once more before a change.
    pub confirm_changes: bool,
    /// Whether a change needs a comment.
    pub require_comments: bool,
    /// Whether it is one to be careful with.
    pub critical: bool,
    /// Keys that are given rather than made at random: a demo's.
    pub keys: Option<Keys>,
}

/// What SDKs come with.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The secret of server-side SDKs.
    pub sdk_key: String,
    /// The key of mobile SDKs.
    pub mobile_key: String,
    /// The public id of browser SDKs.
    pub client_side_id: String,
}

impl NewEnvironment {
    /// The one that asks once more before a change.
    pub fn production() -> Self {
        Self {
            key: "production".to_owned(),
            name: "Production".to_owned(),
            colour: "417505".to_owned(),
            confirm_changes: true,
            critical: true,
            ..Self::default()
        }
    }

    /// The one to try things in.
    pub fn test() -> Self {
        Self {
            key: "test".to_owned(),
            name: "Test".to_owned(),
            colour: "F5A623".to_owned(),
            ..Self::default()
        }
    }
}

impl Keys {
    /// Fresh ones.
    pub fn random() -> Self {
        Self { sdk_key: random_sdk_key(), mobile_key: random_mobile_key(), client_side_id: new_public_id() }
    }
}

/// A fresh SDK key.
fn random_sdk_key() -> String {
    format!("sdk-{}", uuid::Uuid::new_v4())
}

/// A fresh mobile key.
fn random_mobile_key() -> String {
    format!("mob-{}", uuid::Uuid::new_v4())
}

/// Reads an environment.
pub async fn get(app: &App, project_key: &str, key: &str) -> Result<(Project, Environment), ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    load(&mut snapshot, project_key, key).await
}

/// Makes an environment, with every flag of the project, off.
pub async fn create(
    app: &App,
    actor: &Actor,
    project_key: &str,
    new: &NewEnvironment,
) -> Result<(Project, Environment), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    let project = project_by_key(&mut write, project_key).await?;
    insert(&mut write, actor, &project, new).await?;
    write.commit().await?;
    publish(app).await;
    get(app, project_key, &new.key).await
}

/// Changes settings and keys: whatever `edit` does to them.
pub async fn update(
    app: &App,
    actor: &Actor,
    project_key: &str,
    key: &str,
    edit: impl FnOnce(&mut Environment) -> Result<(), ChangeError> + Send,
) -> Result<(Project, Environment), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    let (_, before) = load(&mut write, project_key, key).await?;
    let mut after = before.clone();
    edit(&mut after)?;
    if after != before {
        update_in(&mut write, actor, project_key, &before, &after).await?;
        write.commit().await?;
        publish(app).await;
    }
    get(app, project_key, key).await
}

/// Changes an environment inside a transaction.
pub(super) async fn update_in(
    connection: &mut Connection,
    actor: &Actor,
    project_key: &str,
    before: &Environment,
    after: &Environment,
) -> Result<(), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    check(&after.name, &after.colour, &after.tags, after.default_ttl)?;
    environment::update(connection, after).await?;
    let entry = AuditEntry {
        action: "update",
        before: Some(shown(before)),
        after: Some(shown(after)),
        ..entry(project_key, &before.key)
    };
    Ok(audit::append(connection, actor, now_ms(), entry).await?)
}

/// Deletes an environment; refused for a project's last one.
pub async fn delete(app: &App, actor: &Actor, project_key: &str, key: &str) -> Result<(), ChangeError> {
    actor.may(Action::ChangeProjects)?;
    let mut write = app.store.write().await?;
    let (project, environment) = load(&mut write, project_key, key).await?;
    if environment::of_project(&mut write, project.id).await?.len() == 1 {
        return Err(ChangeError::InUse {
            what: format!("the only environment `{key}`"),
            by: format!("project `{project_key}`, which needs one"),
        });
    }
    environment::delete(&mut write, environment.id).await?;
    let entry = AuditEntry { action: "delete", before: Some(shown(&environment)), ..entry(project_key, key) };
    audit::append(&mut write, actor, now_ms(), entry).await?;
    forget_counted(app, &[environment.id], write).await
}

/// Gives an environment a new SDK key. The one before stops working at once, or counts on until `expiry`, in Unix
/// milliseconds.
pub async fn renew_sdk_key(
    app: &App,
    actor: &Actor,
    project_key: &str,
    key: &str,
    expiry: Option<i64>,
) -> Result<(Project, Environment), ChangeError> {
    let renew = |environment: &mut Environment| {
        let now = now_ms();
        if let Some(until) = expiry {
            check_expiry(until, now)?;
            if let Some(older) = environment.old_sdk_key(now) {
                let problem = format!(
                    "the SDK key before the present one counts until {}, and only one can count on; wait until then, \
                     or leave `expiry` out, and both stop working at once",
                    older.until
                );
                return Err(ChangeError::invalid("expiry", problem));
            }
        }
        let old = std::mem::replace(&mut environment.sdk_key, random_sdk_key());
        environment.expiring_sdk_key = expiry.map(|until| ExpiringKey { key: old, until });
        Ok(())
    };
    update(app, actor, project_key, key, renew).await
}

/// Gives an environment a new mobile key. The one before stops working at once.
pub async fn renew_mobile_key(
    app: &App,
    actor: &Actor,
    project_key: &str,
    key: &str,
) -> Result<(Project, Environment), ChangeError> {
    let renew = |environment: &mut Environment| {
        environment.mobile_key = random_mobile_key();
        Ok(())
    };
    update(app, actor, project_key, key, renew).await
}

/// When an old key is to stop working.
pub(super) fn check_expiry(until: i64, now: i64) -> Result<(), ChangeError> {
    if until > now {
        return Ok(());
    }
    let problem = format!(
        "{until} is in the past, it is {now}; give a time to come in Unix milliseconds, or leave it out, and the \
         old key stops working at once"
    );
    Err(ChangeError::invalid("expiry", problem))
}

/// Makes an environment inside a transaction.
pub(super) async fn insert(
    connection: &mut Connection,
    actor: &Actor,
    project: &Project,
    new: &NewEnvironment,
) -> Result<EnvironmentId, ChangeError> {
    name::check_key("key", &new.key)?;
    check(&new.name, &new.colour, &new.tags, new.default_ttl)?;
    let now = now_ms();
    let keys = new.keys.clone().unwrap_or_else(Keys::random);
    let mut environment = Environment {
        id: EnvironmentId(0),
        project_id: project.id,
        key: new.key.clone(),
        name: new.name.clone(),
        colour: new.colour.clone(),
        tags: new.tags.clone(),
        sdk_key: keys.sdk_key,
        expiring_sdk_key: None,
        mobile_key: keys.mobile_key,
        client_side_id: keys.client_side_id,
        default_ttl: new.default_ttl,
        secure_mode: new.secure_mode,
        default_track_events: new.default_track_events,
        confirm_changes: new.confirm_changes,
        require_comments: new.require_comments,
        critical: new.critical,
        // Nobody has seen anything of it: its flags start at version 1 without a change to log.
        sequence: 1,
        lineage: secret::hex(&secret::random::<8>()),
        version: 1,
        created_at: now,
    };
    let container = format!("project `{}`", project.key);
    if environment::by_key(connection, project.id, &new.key).await?.is_some() {
        return Err(ChangeError::Duplicate { kind: "environment", key: new.key.clone(), container });
    }
    // What is left of which there can be only one: keys that were given.
    environment.id = environment::insert(connection, &environment).await.map_err(|error| {
        if error.is_duplicate() {
            let what = format!("the SDK key, mobile key or client-side ID for environment `{}`", new.key);
            return ChangeError::InUse { what, by: "another environment here".to_owned() };
        }
        error.into()
    })?;
    for flag in flag::of_project(connection, project.id).await? {
        let row = TargetingRow {
            environment_id: environment.id,
            version: 1,
            targeting: first_targeting(&flag.definition, &environment),
            changed_at: now,
            changed_by: actor.name.clone(),
        };
        flag::put_targeting(connection, flag.id, &row).await?;
    }
    let entry =
        AuditEntry { action: "create", after: Some(shown(&environment)), ..entry(&project.key, &new.key) };
    audit::append(connection, actor, now, entry).await?;
    Ok(environment.id)
}

/// Reads an environment inside a transaction.
pub(super) async fn load(
    connection: &mut Connection,
    project_key: &str,
    key: &str,
) -> Result<(Project, Environment), ChangeError> {
    let project = project_by_key(connection, project_key).await?;
    let environment = environment::by_key(connection, project.id, key)
        .await?
        .ok_or_else(|| ChangeError::unknown_in("environment", key, project_key))?;
    Ok((project, environment))
}

fn check(name: &str, colour: &str, tags: &[String], default_ttl: i64) -> Result<(), ChangeError> {
    name::check_name("name", name)?;
    name::check_colour("color", colour)?;
    name::check_tags(tags)?;
    if (0..=60).contains(&default_ttl) {
        return Ok(());
    }
    Err(ChangeError::invalid("defaultTtl", format!("it is from 0 to 60 minutes, not {default_ttl}")))
}

fn entry<'a>(project_key: &'a str, key: &'a str) -> AuditEntry<'a> {
    AuditEntry {
        project_key: Some(project_key),
        environment_key: Some(key),
        kind: "environment",
        key,
        ..AuditEntry::default()
    }
}

/// For the audit log: keys masked.
fn shown(environment: &Environment) -> serde_json::Value {
    json!({
        "name": environment.name, "colour": environment.colour, "tags": environment.tags,
        "sdkKey": secret::mask(&environment.sdk_key),
        "expiringSdkKey": environment.expiring_sdk_key.as_ref().map(|old| {
            json!({"key": secret::mask(&old.key), "until": old.until})
        }),
        "mobileKey": secret::mask(&environment.mobile_key),
        "defaultTtl": environment.default_ttl, "secureMode": environment.secure_mode,
        "defaultTrackEvents": environment.default_track_events, "confirmChanges": environment.confirm_changes,
        "requireComments": environment.require_comments, "critical": environment.critical,
    })
}

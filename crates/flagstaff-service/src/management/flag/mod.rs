//! Making, changing and deleting flags.
//!
//! [`change()`] makes typed changes, [`rewrite`] lets the caller edit a [`Draft`]; both then go through
//! the same checks and the same writing. An environment is touched only if something changes in it,
//! and an item's version is the environment's sequence, so that it never falls.

mod apply;
pub mod change;
mod checks;
mod remove_variation;
pub(super) mod rules;
mod save;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

pub(super) use apply::new_clause;
pub use change::FlagChange;
pub(super) use checks::require_comment;
use checks::{check, check_maintainer, dependents};
pub(super) use remove_variation::{renumber, user_of};
pub(super) use rules::{check_attribute, check_clause};
pub(super) use save::save;
use save::write_targeting;

use super::{ChangeError, name, publish};
use crate::auth::{Action, Actor, secret};
use crate::store::audit::{self, AuditEntry};
use crate::store::change_log::{self, ItemKind};
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment};
use crate::store::flag::{self, FlagRow, TargetingRow};
use crate::store::member::{self, Member};
use crate::store::project::{self, Project};
use crate::store::targeting::{FlagDefinition, Targeting};
use crate::store::{StoreError, Write, new_public_id};
use crate::{App, now_ms};

/// A flag as it is: its definition, and its targeting in every environment.
#[derive(Clone, Debug)]
pub struct FlagState {
    /// Its project.
    pub project: Project,
    /// What all environments share.
    pub flag: FlagRow,
    /// The targeting, in the order in which the environments were made.
    pub environments: Vec<(Environment, TargetingRow)>,
    /// Who looks after it.
    pub maintainer: Option<Member>,
}

/// What a change edits: the definition, and the targeting by environment key.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What all environments share.
    pub definition: FlagDefinition,
    /// Who gets which variation, by environment key.
    pub environments: BTreeMap<String, Targeting>,
}

/// Which flag is changed, why, and against what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edit<'a> {
    /// The project.
    pub project_key: &'a str,
    /// The flag.
    pub flag_key: &'a str,
    /// Why, in the words of who changes it; may be empty.
    pub comment: &'a str,
    /// The version of the flag that the writer saw; a newer one is a conflict.
    pub expected_version: Option<u64>,
    /// The version of the targeting in one environment that the writer saw, by environment key.
    pub expected_targeting: Option<(&'a str, u64)>,
    /// Whether to say only what would come of it.
    pub dry_run: bool,
}

/// A flag that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewFlag {
    /// Its stable name.
    pub key: String,
    /// What all environments share.
    pub definition: FlagDefinition,
    /// Whether it starts on.
    pub on: bool,
}

/// Reads a flag.
pub async fn get(app: &App, project_key: &str, flag_key: &str) -> Result<FlagState, ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    load(&mut snapshot, project_key, flag_key).await
}

/// The flags of a project by key, with their targeting in these environments.
pub async fn list(
    app: &App,
    project_key: &str,
    environment_keys: &[&str],
) -> Result<Vec<FlagState>, ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    let project = project_by_key(&mut snapshot, project_key).await?;
    let mut environments = Vec::new();
    for key in environment_keys {
        let environment = environment::by_key(&mut snapshot, project.id, key)
            .await?
            .ok_or_else(|| ChangeError::unknown_in("environment", key, project_key))?;
        environments.push(environment);
    }
    let ids: Vec<_> = environments.iter().map(|environment| environment.id).collect();
    let mut targeting = flag::targeting_of_project(&mut snapshot, project.id, &ids).await?;
    let members = member::list(&mut snapshot).await?;
    let mut states = Vec::new();
    for flag in flag::of_project(&mut snapshot, project.id).await? {
        let rows = targeting.remove(&flag.id).unwrap_or_default();
        let of = |row: TargetingRow| {
            let environment = environments.iter().find(|environment| environment.id == row.environment_id)?;
            Some((environment.clone(), row))
        };
        let maintainer = flag.definition.maintainer_id.as_ref();
        let maintainer = members.iter().find(|member| Some(&member.public_id) == maintainer).cloned();
        let environments = rows.into_iter().filter_map(of).collect();
        states.push(FlagState { project: project.clone(), flag, environments, maintainer });
    }
    Ok(states)
}

/// Turns a flag on or off in one environment. `seen` is the targeting's version on the page from
/// which it was done, if that has to be the current one.
pub async fn turn(
    app: &App,
    actor: &Actor,
    edit: &Edit<'_>,
    environment_key: &str,
    on: bool,
) -> Result<FlagState, ChangeError> {
    let change = if on { FlagChange::TurnFlagOn } else { FlagChange::TurnFlagOff };
    self::change(app, actor, edit, Some(environment_key), &[change]).await
}

/// Makes typed changes, all or none. Those of targeting are made in `environment_key`.
pub async fn change(
    app: &App,
    actor: &Actor,
    edit: &Edit<'_>,
    environment_key: Option<&str>,
    changes: &[FlagChange],
) -> Result<FlagState, ChangeError> {
    actor.may(Action::ChangeFlags)?;
    let mut write = app.store.write().await?;
    // Read where nobody else writes: the places of their variations change.
    let project = project_by_key(&mut write, edit.project_key).await?;
    let mut others = HashMap::new();
    for key in changes.iter().flat_map(FlagChange::other_flags) {
        if let Some(other) = flag::by_key(&mut write, project.id, key).await? {
            others.insert(key.to_owned(), other.definition);
        }
    }
    let rewritten = rewrite_in(&mut write, actor, edit, |_, draft| {
        if let Some(environment_key) = environment_key {
            draft.targeting(environment_key)?;
        }
        let around = apply::Surroundings { environment_key, others: &others };
        for (place, change) in changes.iter().enumerate() {
            apply::apply(draft, &around, &format!("instructions[{place}]"), change)?;
        }
        Ok(())
    });
    let rewritten = rewritten.await?;
    settle(app, write, edit, rewritten).await
}

/// Lets `edit_draft` change the current state, checks what comes out, and writes it. Nobody else
/// writes meanwhile.
pub async fn rewrite(
    app: &App,
    actor: &Actor,
    edit: &Edit<'_>,
    edit_draft: impl FnOnce(&mut Draft) -> Result<(), ChangeError> + Send,
) -> Result<FlagState, ChangeError> {
    rewrite_state(app, actor, edit, |_, draft| edit_draft(draft)).await
}

/// As [`rewrite`], for who needs to see the state the draft was made of.
pub async fn rewrite_state(
    app: &App,
    actor: &Actor,
    edit: &Edit<'_>,
    edit_draft: impl FnOnce(&FlagState, &mut Draft) -> Result<(), ChangeError> + Send,
) -> Result<FlagState, ChangeError> {
    let mut write = app.store.write().await?;
    let rewritten = rewrite_in(&mut write, actor, edit, edit_draft).await?;
    settle(app, write, edit, rewritten).await
}

/// Keeps what was written, if anything was, and was meant.
async fn settle(
    app: &App,
    write: Write,
    edit: &Edit<'_>,
    (state, changed): (FlagState, bool),
) -> Result<FlagState, ChangeError> {
    if changed && !edit.dry_run {
        write.commit().await?;
        publish(app).await;
    }
    Ok(state)
}

/// As [`rewrite`], inside a transaction; also says whether anything changed.
pub(super) async fn rewrite_in(
    connection: &mut Connection,
    actor: &Actor,
    edit: &Edit<'_>,
    edit_draft: impl FnOnce(&FlagState, &mut Draft) -> Result<(), ChangeError> + Send,
) -> Result<(FlagState, bool), ChangeError> {
    actor.may(Action::ChangeFlags)?;
    name::check_text("comment", edit.comment)?;
    let before = load(connection, edit.project_key, edit.flag_key).await?;
    edit.check_expectations(&before)?;
    let old = Draft::of(&before);
    let mut new = old.clone();
    edit_draft(&before, &mut new)?;
    if new == old {
        return Ok((before, false));
    }
    check(connection, &before, &old, &new, edit.comment).await?;
    save(connection, actor, &before, &old, &new, edit.comment).await?;
    Ok((load(connection, edit.project_key, edit.flag_key).await?, true))
}

/// Makes a flag, in every environment of the project.
pub async fn create(
    app: &App,
    actor: &Actor,
    project_key: &str,
    new: NewFlag,
    comment: &str,
) -> Result<FlagState, ChangeError> {
    actor.may(Action::ChangeFlags)?;
    let mut write = app.store.write().await?;
    insert(&mut write, actor, project_key, &new, comment).await?;
    let after = load(&mut write, project_key, &new.key).await?;
    write.commit().await?;
    publish(app).await;
    Ok(after)
}

/// Deletes a flag in every environment; refused while it is a prerequisite.
pub async fn delete(app: &App, actor: &Actor, edit: &Edit<'_>) -> Result<(), ChangeError> {
    actor.may(Action::ChangeFlags)?;
    name::check_text("comment", edit.comment)?;
    let mut write = app.store.write().await?;
    let before = load(&mut write, edit.project_key, edit.flag_key).await?;
    edit.check_expectations(&before)?;
    if let Some(dependent) = dependents(&mut write, &before, |_| true).await?.into_iter().next() {
        return Err(ChangeError::InUse {
            what: format!("flag `{}`", edit.flag_key),
            by: format!("flag `{}` as a prerequisite in `{}`", dependent.flag_key, dependent.environment_key),
        });
    }
    for (environment, _) in &before.environments {
        require_comment(environment, edit.comment)?;
        let sequence = environment::next_sequence(&mut write, environment.id).await?;
        change_log::append(&mut write, environment.id, sequence, ItemKind::Flag, edit.flag_key).await?;
    }
    flag::delete(&mut write, before.flag.id).await?;
    let entry = AuditEntry {
        action: "delete",
        before: Some(whole(&before)),
        ..entry(edit.project_key, edit.flag_key, edit.comment)
    };
    audit::append(&mut write, actor, now_ms(), entry).await?;
    write.commit().await?;
    publish(app).await;
    Ok(())
}

/// Makes a flag inside a transaction. An environment that requires comments requires none for this: nobody
/// is served by a flag that is new, and the API has no place for one.
pub(super) async fn insert(
    connection: &mut Connection,
    actor: &Actor,
    project_key: &str,
    new: &NewFlag,
    comment: &str,
) -> Result<(), ChangeError> {
    name::check_key("key", &new.key)?;
    name::check_text("comment", comment)?;
    rules::check_definition(&new.definition)?;
    check_maintainer(connection, &new.definition).await?;
    let project = project_by_key(connection, project_key).await?;
    let targeting =
        |environment: &Environment| Targeting { on: new.on, ..first_targeting(&new.definition, environment) };
    insert_checked(connection, actor, &project, new, now_ms(), targeting, comment).await
}

/// As [`insert`], for who checked already, and knows who gets which variation.
pub(super) async fn insert_checked(
    connection: &mut Connection,
    actor: &Actor,
    project: &Project,
    new: &NewFlag,
    created_at: i64,
    targeting: impl Fn(&Environment) -> Targeting + Send,
    comment: &str,
) -> Result<(), ChangeError> {
    let now = now_ms();
    let mut row = FlagRow {
        id: 0,
        public_id: new_public_id(),
        project_id: project.id,
        key: new.key.clone(),
        version: 1,
        definition: new.definition.clone(),
        created_at,
    };
    row.id = flag::insert(connection, &row).await.map_err(|error| {
        ChangeError::duplicate(error, "flag", &new.key, format!("project `{}`", project.key))
    })?;
    for environment in environment::of_project(connection, project.id).await? {
        let targeting = targeting(&environment);
        write_targeting(connection, actor, &row, &environment, targeting, now).await?;
    }
    let after = load(connection, &project.key, &new.key).await?;
    let entry =
        AuditEntry { action: "create", after: Some(whole(&after)), ..entry(&project.key, &new.key, comment) };
    audit::append(connection, actor, now, entry).await?;
    Ok(())
}

/// What a flag starts with in an environment: off.
pub(super) fn first_targeting(definition: &FlagDefinition, environment: &Environment) -> Targeting {
    Targeting {
        salt: secret::hex(&secret::random::<16>()),
        fallthrough: flagstaff_eval::model::VariationOrRollout::variation(definition.defaults.on_variation),
        off_variation: Some(definition.defaults.off_variation),
        track_events: environment.default_track_events,
        ..Targeting::default()
    }
}

/// The project with this key.
pub(super) async fn project_by_key(connection: &mut Connection, key: &str) -> Result<Project, ChangeError> {
    project::by_key(connection, key).await?.ok_or_else(|| ChangeError::unknown("project", key))
}

/// Reads a flag inside a transaction.
pub(super) async fn load(
    connection: &mut Connection,
    project_key: &str,
    flag_key: &str,
) -> Result<FlagState, ChangeError> {
    let project = project_by_key(connection, project_key).await?;
    let flag = flag::by_key(connection, project.id, flag_key)
        .await?
        .ok_or_else(|| ChangeError::unknown_in("flag", flag_key, project_key))?;
    let mut targeting: HashMap<_, _> = flag::targeting_of_flag(connection, &flag)
        .await?
        .into_iter()
        .map(|row| (row.environment_id, row))
        .collect();
    let environments = environment::of_project(connection, project.id)
        .await?
        .into_iter()
        .filter_map(|environment| targeting.remove(&environment.id).map(|row| (environment, row)))
        .collect();
    let maintainer = maintainer(connection, &flag.definition).await?;
    Ok(FlagState { project, flag, environments, maintainer })
}

async fn maintainer(
    connection: &mut Connection,
    definition: &FlagDefinition,
) -> Result<Option<Member>, StoreError> {
    match &definition.maintainer_id {
        Some(id) => member::by_public_id(connection, id).await,
        None => Ok(None),
    }
}

impl Draft {
    /// The state as it is.
    pub fn of(state: &FlagState) -> Self {
        let environments = state
            .environments
            .iter()
            .map(|(environment, row)| (environment.key.clone(), row.targeting.clone()))
            .collect();
        Self { definition: state.flag.definition.clone(), environments }
    }

    /// The targeting in one environment.
    pub fn targeting(&mut self, environment_key: &str) -> Result<&mut Targeting, ChangeError> {
        self.environments
            .get_mut(environment_key)
            .ok_or_else(|| ChangeError::unknown("environment", environment_key))
    }
}

impl Edit<'_> {
    fn check_expectations(&self, state: &FlagState) -> Result<(), ChangeError> {
        let conflict = |expected, current| {
            Err(ChangeError::VersionConflict {
                kind: "flag",
                key: self.flag_key.to_owned(),
                expected,
                current,
            })
        };
        if let Some(expected) = self.expected_version.filter(|expected| *expected != state.flag.version) {
            return conflict(expected, state.flag.version);
        }
        let Some((environment_key, expected)) = self.expected_targeting else {
            return Ok(());
        };
        match state.environments.iter().find(|(environment, _)| environment.key == environment_key) {
            Some((_, row)) if row.version != expected => conflict(expected, row.version),
            Some(_) => Ok(()),
            None => Err(ChangeError::unknown_in("environment", environment_key, self.project_key)),
        }
    }
}

fn entry<'a>(project_key: &'a str, flag_key: &'a str, comment: &'a str) -> AuditEntry<'a> {
    AuditEntry {
        project_key: Some(project_key),
        kind: "flag",
        key: flag_key,
        comment,
        ..AuditEntry::default()
    }
}

/// Everything about a flag, for the audit log.
fn whole(state: &FlagState) -> Value {
    let environments: BTreeMap<_, _> = state
        .environments
        .iter()
        .map(|(environment, row)| (&environment.key, json!(row.targeting)))
        .collect();
    json!({"definition": state.flag.definition, "environments": environments})
}

//! Making, changing and deleting segments.
//!
//! As with flags: [`change()`] makes typed changes, [`rewrite`] lets the caller edit a
//! [`SegmentDefinition`]; both go through the same checks. A segment belongs to one environment, and its
//! version is that environment's sequence, so that it never falls.

mod apply;
pub mod change;
pub(super) mod checks;

use serde::{Deserialize, Serialize};
use serde_json::json;

pub use change::SegmentChange;

use super::environment::load as load_environment;
use super::{ChangeError, name, publish};
use crate::auth::{Action, Actor, secret};
use crate::management::flag::require_comment;
use crate::store::audit::{self, AuditEntry};
use crate::store::big_segment::{self, Filling};
use crate::store::change_log::{self, ItemKind};
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment};
use crate::store::membership::Membership;
use crate::store::new_public_id;
use crate::store::project::Project;
use crate::store::segment::{self, SegmentRow};
use crate::{App, now_ms};

/// A segment as it is.
#[derive(Clone, Debug)]
pub struct SegmentState {
    /// Its project.
    pub project: Project,
    /// Its environment.
    pub environment: Environment,
    /// Itself.
    pub row: SegmentRow,
    /// Key and name of the flags whose rules speak of it.
    pub flags: Vec<(String, String)>,
    /// How many are in it and kept out, if it is a big one and ever had anybody.
    pub filling: Option<Filling>,
}

/// What of a segment can be changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SegmentDefinition {
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// Who is in it.
    pub membership: Membership,
}

/// A segment that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewSegment {
    /// Its stable name.
    pub key: String,
    /// The rest. Without a salt it gets one, and a big one gets a generation of its own.
    pub definition: SegmentDefinition,
    /// When it was made, if that was elsewhere.
    pub created_at: Option<i64>,
}

/// Which segment is changed, why, and against what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edit<'a> {
    /// The project.
    pub project_key: &'a str,
    /// The environment.
    pub environment_key: &'a str,
    /// The segment.
    pub segment_key: &'a str,
    /// Why, in the words of who changes it; may be empty.
    pub comment: &'a str,
    /// The version that the writer saw; a newer one is a conflict.
    pub expected_version: Option<u64>,
    /// Whether to say only what would come of it.
    pub dry_run: bool,
}

/// The segments of an environment by key, with how many are in each big one.
pub async fn list(
    app: &App,
    project_key: &str,
    environment_key: &str,
) -> Result<(Project, Environment, Vec<(SegmentRow, Option<Filling>)>), ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    let (project, environment) = load_environment(&mut snapshot, project_key, environment_key).await?;
    let rows = segment::in_environment(&mut snapshot, environment.id).await?;
    let mut fillings = big_segment::of_environment(&mut snapshot, environment.id).await?;
    let with_filling = |row: SegmentRow| {
        let generation = row.membership.generation.unwrap_or_default();
        let filling = fillings.remove(&(row.key.clone(), generation));
        (row, filling)
    };
    let rows = rows.into_iter().map(with_filling).collect();
    Ok((project, environment, rows))
}

/// Reads a segment.
pub async fn get(
    app: &App,
    project_key: &str,
    environment_key: &str,
    key: &str,
) -> Result<SegmentState, ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    let edit = Edit { project_key, environment_key, segment_key: key, ..Edit::default() };
    load(&mut snapshot, &edit).await
}

/// Makes a segment.
pub async fn create(
    app: &App,
    actor: &Actor,
    project_key: &str,
    environment_key: &str,
    new: &NewSegment,
) -> Result<SegmentState, ChangeError> {
    actor.may(Action::ChangeFlags)?;
    let mut write = app.store.write().await?;
    let (_, environment) = load_environment(&mut write, project_key, environment_key).await?;
    insert(&mut write, actor, project_key, &environment, new, "").await?;
    let edit = Edit { project_key, environment_key, segment_key: &new.key, ..Edit::default() };
    let state = load(&mut write, &edit).await?;
    write.commit().await?;
    publish(app).await;
    Ok(state)
}

/// Makes typed changes, all or none.
pub async fn change(
    app: &App,
    actor: &Actor,
    edit: &Edit<'_>,
    changes: &[SegmentChange],
) -> Result<SegmentState, ChangeError> {
    rewrite(app, actor, edit, |_, draft| {
        for (place, change) in changes.iter().enumerate() {
            apply::apply(draft, &format!("instructions[{place}]"), change)?;
        }
        Ok(())
    })
    .await
}

/// Lets `edit_draft` change the current state, checks what comes out, and writes it. Nobody else
/// writes meanwhile.
pub async fn rewrite(
    app: &App,
    actor: &Actor,
    edit: &Edit<'_>,
    edit_draft: impl FnOnce(&SegmentState, &mut SegmentDefinition) -> Result<(), ChangeError> + Send,
) -> Result<SegmentState, ChangeError> {
    let mut write = app.store.write().await?;
    let (state, changed) = rewrite_in(&mut write, actor, edit, edit_draft).await?;
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
    edit_draft: impl FnOnce(&SegmentState, &mut SegmentDefinition) -> Result<(), ChangeError> + Send,
) -> Result<(SegmentState, bool), ChangeError> {
    actor.may(Action::ChangeFlags)?;
    name::check_text("comment", edit.comment)?;
    let before = load(connection, edit).await?;
    edit.check_expectation(&before)?;
    let old = SegmentDefinition::of(&before.row);
    let mut new = old.clone();
    edit_draft(&before, &mut new)?;
    if new == old {
        return Ok((before, false));
    }
    require_comment(&before.environment, edit.comment)?;
    checks::check_definition(&new)?;
    if new.membership.rules != old.membership.rules {
        checks::check_patterns(edit.segment_key, &new.membership)?;
        let others = checks::segments_in_segments(connection, before.environment.id).await?;
        checks::check_no_circle(edit.segment_key, &new.membership, &others)?;
    }
    save(connection, actor, edit, &before.environment, &before.row, &new).await?;
    Ok((load(connection, edit).await?, true))
}

/// Deletes a segment; refused while a flag or another segment speaks of it.
pub async fn delete(app: &App, actor: &Actor, edit: &Edit<'_>) -> Result<(), ChangeError> {
    actor.may(Action::ChangeFlags)?;
    name::check_text("comment", edit.comment)?;
    let mut write = app.store.write().await?;
    let before = load(&mut write, edit).await?;
    edit.check_expectation(&before)?;
    require_comment(&before.environment, edit.comment)?;
    let environment = before.environment.id;
    if let Some(by) = checks::used_by(&mut write, environment, edit.segment_key).await? {
        return Err(ChangeError::InUse { what: format!("segment `{}`", edit.segment_key), by });
    }
    let sequence = environment::next_sequence(&mut write, environment).await?;
    segment::delete(&mut write, environment, edit.segment_key).await?;
    change_log::append(&mut write, environment, sequence, ItemKind::Segment, edit.segment_key).await?;
    let entry = AuditEntry {
        action: "delete",
        before: Some(json!(SegmentDefinition::of(&before.row))),
        ..entry(edit.project_key, edit.environment_key, edit.segment_key, edit.comment)
    };
    audit::append(&mut write, actor, now_ms(), entry).await?;
    write.commit().await?;
    publish(app).await;
    Ok(())
}

/// Makes a segment inside a transaction. As with flags, a new one needs no comment.
pub(super) async fn insert(
    connection: &mut Connection,
    actor: &Actor,
    project_key: &str,
    environment: &Environment,
    new: &NewSegment,
    comment: &str,
) -> Result<(), ChangeError> {
    name::check_key("key", &new.key)?;
    name::check_text("comment", comment)?;
    checks::check_definition(&new.definition)?;
    checks::check_patterns(&new.key, &new.definition.membership)?;
    let others = checks::segments_in_segments(connection, environment.id).await?;
    checks::check_no_circle(&new.key, &new.definition.membership, &others)?;
    insert_checked(connection, actor, project_key, environment, new, comment).await
}

/// As [`insert`], for who checked already.
pub(super) async fn insert_checked(
    connection: &mut Connection,
    actor: &Actor,
    project_key: &str,
    environment: &Environment,
    new: &NewSegment,
    comment: &str,
) -> Result<(), ChangeError> {
    let now = now_ms();
    let mut membership = new.definition.membership.clone();
    if membership.salt.is_empty() {
        membership.salt = secret::hex(&secret::random::<16>());
    }
    let version = environment::next_sequence(connection, environment.id).await?;
    // Never the same twice, so that nobody is a member because of a segment that had the key before.
    membership.generation = membership.unbounded.then_some(version as i64);
    let row = SegmentRow {
        public_id: new_public_id(),
        environment_id: environment.id,
        key: new.key.clone(),
        version,
        name: new.definition.name.clone(),
        description: new.definition.description.clone(),
        tags: new.definition.tags.clone(),
        membership,
        created_at: new.created_at.unwrap_or(now),
        changed_at: now,
    };
    segment::insert(connection, &row).await.map_err(|error| {
        ChangeError::duplicate(error, "segment", &new.key, format!("environment `{}`", environment.key))
    })?;
    change_log::append(connection, environment.id, row.version, ItemKind::Segment, &new.key).await?;
    let entry = AuditEntry {
        action: "create",
        after: Some(json!(SegmentDefinition::of(&row))),
        ..entry(project_key, &environment.key, &new.key, comment)
    };
    Ok(audit::append(connection, actor, now, entry).await?)
}

/// Writes a changed segment, at the environment's next version, and tells SDKs.
pub(super) async fn save(
    connection: &mut Connection,
    actor: &Actor,
    edit: &Edit<'_>,
    environment: &Environment,
    before: &SegmentRow,
    new: &SegmentDefinition,
) -> Result<(), ChangeError> {
    let now = now_ms();
    let row = SegmentRow {
        version: environment::next_sequence(connection, environment.id).await?,
        name: new.name.clone(),
        description: new.description.clone(),
        tags: new.tags.clone(),
        membership: new.membership.clone(),
        changed_at: now,
        ..before.clone()
    };
    segment::update(connection, &row).await?;
    change_log::append(connection, environment.id, row.version, ItemKind::Segment, &row.key).await?;
    let entry = AuditEntry {
        action: "update",
        before: Some(json!(SegmentDefinition::of(before))),
        after: Some(json!(new)),
        ..entry(edit.project_key, &environment.key, &row.key, edit.comment)
    };
    Ok(audit::append(connection, actor, now, entry).await?)
}

/// Reads a segment inside a transaction.
async fn load(connection: &mut Connection, edit: &Edit<'_>) -> Result<SegmentState, ChangeError> {
    let (project, environment) = load_environment(connection, edit.project_key, edit.environment_key).await?;
    let row = segment::by_key(connection, environment.id, edit.segment_key).await?.ok_or_else(|| {
        ChangeError::Unknown {
            kind: "segment",
            key: edit.segment_key.to_owned(),
            container: format!("environment `{}` of project `{}`", edit.environment_key, edit.project_key),
        }
    })?;
    let flags = checks::flags_using(connection, environment.id, edit.segment_key).await?;
    let filling = match row.membership.generation {
        Some(generation) => big_segment::find(connection, environment.id, &row.key, generation).await?,
        None => None,
    };
    Ok(SegmentState { project, environment, row, flags, filling })
}

impl SegmentDefinition {
    /// The state as it is.
    pub fn of(row: &SegmentRow) -> Self {
        Self {
            name: row.name.clone(),
            description: row.description.clone(),
            tags: row.tags.clone(),
            membership: row.membership.clone(),
        }
    }
}

impl Edit<'_> {
    fn check_expectation(&self, state: &SegmentState) -> Result<(), ChangeError> {
        let current = state.row.version;
        match self.expected_version {
            Some(expected) if expected != current => {
                let key = self.segment_key.to_owned();
                Err(ChangeError::VersionConflict { kind: "segment", key, expected, current })
            }
            _ => Ok(()),
        }
    }
}

fn entry<'a>(
    project_key: &'a str,
    environment_key: &'a str,
    segment_key: &'a str,
    comment: &'a str,
) -> AuditEntry<'a> {
    AuditEntry {
        project_key: Some(project_key),
        environment_key: Some(environment_key),
        kind: "segment",
        key: segment_key,
        comment,
        ..AuditEntry::default()
    }
}

//! Who is in big segments: changed key by key, or by a file of keys.
//!
//! Changes are written in batches, so that a million keys take neither the memory of a million nor the writer
//! from everybody else. A change that does not end is made again: what is there already stays as it is.

mod import;

use std::collections::HashSet;

use flagstaff_wire::big_segments::{Changes, ContextHash, ListChanges};
use serde_json::json;

pub use import::{Import, Mode, get as get_import};

use super::ChangeError;
use super::environment::load as load_environment;
use crate::auth::{Action, Actor};
use crate::store::audit::{self, AuditEntry};
use crate::store::big_segment::member::{self, List};
use crate::store::big_segment::{self, Filling, revision};
use crate::store::connection::Connection;
use crate::store::membership::kind_or_user;
use crate::store::{EnvironmentId, segment};
use crate::{App, now_ms};

/// So many contexts are written at once.
const BATCH: usize = 5_000;
/// A key is never longer.
const LONGEST_KEY: usize = 4096;

/// Which segment.
#[derive(Clone, Debug)]
pub struct Place {
    /// The project.
    pub project_key: String,
    /// The environment.
    pub environment_key: String,
    /// The segment.
    pub segment_key: String,
}

/// Who is in by name, and who is kept out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Whether the context is in.
    pub included: bool,
    /// Whether it is kept out, unless it is in.
    pub excluded: bool,
}

/// Changes who is in, and who is kept out. `changes` names contexts by their keys.
///
/// With `of_kind`, the segment has to be one of such contexts.
pub async fn change(
    app: &App,
    actor: &Actor,
    place: &Place,
    of_kind: Option<&str>,
    changes: &Changes,
) -> Result<(), ChangeError> {
    actor.may(Action::ChangeFlags)?;
    let steps = steps(changes)?;
    // Also if there is nothing to do: who names a wrong segment is told.
    find(&mut *app.store.read().await?, place, of_kind).await?;
    for batch in batches(steps) {
        let mut write = app.store.write().await?;
        let filling = begin(&mut write, place, of_kind).await?;
        let done = apply(&mut write, &filling, &batch, 0).await?;
        if done == Done::default() {
            continue;
        }
        let entry = AuditEntry { action: "update", after: Some(done.shown()), ..entry(place) };
        audit::append(&mut write, actor, now_ms(), entry).await?;
        write.commit().await?;
    }
    publish(app).await;
    Ok(())
}

/// Whether a context is in by name, or kept out.
pub async fn listed(
    app: &App,
    place: &Place,
    of_kind: Option<&str>,
    context_key: &str,
) -> Result<Listed, ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    let Some(filling) = find(&mut snapshot, place, of_kind).await? else { return Ok(Listed::default()) };
    let state = member::state(&mut snapshot, filling.id, ContextHash::of(context_key)).await?;
    let is_in = |list| state.is_some_and(|state| state.is_in(list));
    Ok(Listed { included: is_in(List::Included), excluded: is_in(List::Excluded) })
}

/// Has everybody hear of what was just committed. If that fails, they do a moment later.
async fn publish(app: &App) {
    if let Err(error) = app.big_segments.catch_up(&app.live).await {
        let error = crate::error::chain(&error);
        tracing::warn!(error, "members of a big segment are saved and reach readers a moment later");
    }
}

/// Some contexts that come to a list, or go from it.
struct Step {
    list: List,
    comes: bool,
    contexts: Vec<ContextHash>,
}

/// How many came and went, of each list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    added: [u64; 2],
    removed: [u64; 2],
}

impl Done {
    fn and(self, other: Self) -> Self {
        let sum = |one: [u64; 2], other: [u64; 2]| [one[0] + other[0], one[1] + other[1]];
        Self { added: sum(self.added, other.added), removed: sum(self.removed, other.removed) }
    }

    /// How many more there are on a list.
    fn more(&self, list: List) -> i64 {
        self.added[list as usize] as i64 - self.removed[list as usize] as i64
    }

    fn shown(&self) -> serde_json::Value {
        let of =
            |list: List| json!({"added": self.added[list as usize], "removed": self.removed[list as usize]});
        json!({"included": of(List::Included), "excluded": of(List::Excluded)})
    }
}

fn steps(changes: &Changes) -> Result<Vec<Step>, ChangeError> {
    let mut steps = Vec::new();
    for (list, name, changes) in
        [(List::Included, "included", &changes.included), (List::Excluded, "excluded", &changes.excluded)]
    {
        check(name, changes)?;
        for (comes, keys) in [(false, &changes.remove), (true, &changes.add)] {
            let mut contexts: Vec<_> = keys.iter().map(|key| ContextHash::of(key)).collect();
            contexts.sort_unstable();
            contexts.dedup();
            steps.push(Step { list, comes, contexts });
        }
    }
    Ok(steps)
}

fn check(list: &str, changes: &ListChanges) -> Result<(), ChangeError> {
    for (way, keys) in [("add", &changes.add), ("remove", &changes.remove)] {
        for (place, key) in keys.iter().enumerate() {
            check_key(&format!("{list}.{way}[{place}]"), key)?;
        }
    }
    let added: HashSet<&String> = changes.add.iter().collect();
    match changes.remove.iter().find(|key| added.contains(key)) {
        None => Ok(()),
        Some(key) => {
            let shown = key.escape_debug();
            Err(ChangeError::invalid(list, format!("`{shown}` is both added and removed; name it once")))
        }
    }
}

fn check_key(place: &str, key: &str) -> Result<(), ChangeError> {
    match key.len() {
        0 => Err(ChangeError::invalid(place, "a context's key is not empty")),
        length if length > LONGEST_KEY => Err(ChangeError::invalid(
            place,
            format!("a context's key has at most {LONGEST_KEY} bytes, this one has {length}"),
        )),
        _ => Ok(()),
    }
}

/// The same steps, so many contexts at once; several small ones together.
fn batches(steps: Vec<Step>) -> Vec<Vec<Step>> {
    let (mut batches, mut batch, mut room) = (Vec::new(), Vec::new(), BATCH);
    for Step { list, comes, contexts } in steps {
        let mut contexts = &contexts[..];
        while !contexts.is_empty() {
            let (now, later) = contexts.split_at(contexts.len().min(room));
            batch.push(Step { list, comes, contexts: now.to_vec() });
            room -= now.len();
            contexts = later;
            if room == 0 {
                batches.push(std::mem::take(&mut batch));
                room = BATCH;
            }
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// Writes a batch as one change of members.
async fn apply(
    connection: &mut Connection,
    filling: &Filling,
    batch: &[Step],
    import: i64,
) -> Result<Done, ChangeError> {
    let revision = revision::next(connection, filling.environment_id, filling.id).await?;
    let mut done = Done::default();
    for Step { list, comes, contexts } in batch {
        if *comes {
            let added = member::add(connection, filling.id, *list, contexts, revision, import).await?;
            done.added[*list as usize] += added;
        } else {
            let removed = member::remove(connection, filling.id, *list, contexts, revision).await?;
            done.removed[*list as usize] += removed;
        }
    }
    let (included, excluded) = (done.more(List::Included), done.more(List::Excluded));
    big_segment::count(connection, filling.id, included, excluded).await?;
    Ok(done)
}

/// The members of the segment; none before the first.
async fn find(
    connection: &mut Connection,
    place: &Place,
    of_kind: Option<&str>,
) -> Result<Option<Filling>, ChangeError> {
    let (environment, generation) = check_place(connection, place, of_kind).await?;
    Ok(big_segment::find(connection, environment, &place.segment_key, generation).await?)
}

/// The members of the segment, made ready for the first.
async fn begin(
    connection: &mut Connection,
    place: &Place,
    of_kind: Option<&str>,
) -> Result<Filling, ChangeError> {
    let (environment, generation) = check_place(connection, place, of_kind).await?;
    Ok(big_segment::begin(connection, environment, &place.segment_key, generation, now_ms()).await?)
}

/// Where the segment is, and which generation of it.
async fn check_place(
    connection: &mut Connection,
    place: &Place,
    of_kind: Option<&str>,
) -> Result<(EnvironmentId, i64), ChangeError> {
    let (_, environment) = load_environment(connection, &place.project_key, &place.environment_key).await?;
    let found = segment::by_key(connection, environment.id, &place.segment_key).await?;
    let membership = found.map(|row| row.membership).ok_or_else(|| ChangeError::Unknown {
        kind: "segment",
        key: place.segment_key.clone(),
        container: format!("environment `{}` of project `{}`", place.environment_key, place.project_key),
    })?;
    let Some(generation) = membership.generation.filter(|_| membership.unbounded) else {
        let problem = "this segment is not a big one; change its targets with a patch";
        return Err(ChangeError::invalid(&*place.segment_key, problem));
    };
    let kind = kind_or_user(membership.unbounded_context_kind.as_deref());
    if of_kind.is_some_and(|wanted| wanted != kind) {
        let problem =
            format!("this segment is of contexts of kind `{kind}`; use `/contexts` instead of `/users`");
        return Err(ChangeError::invalid(&*place.segment_key, problem));
    }
    Ok((environment.id, generation))
}

fn entry(place: &Place) -> AuditEntry<'_> {
    AuditEntry {
        project_key: Some(&place.project_key),
        environment_key: Some(&place.environment_key),
        kind: "segment",
        key: &place.segment_key,
        ..AuditEntry::default()
    }
}

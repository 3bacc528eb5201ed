//! Making, changing and deleting metrics.

use serde_json::json;

use super::flag::project_by_key;
use super::{ChangeError, finish, name, note, publish};
use crate::auth::{Action, Actor};
use crate::store::audit::AuditEntry;
use crate::store::connection::Connection;
use crate::store::metric::{self, Metric};
use crate::store::new_public_id;
use crate::store::project::Project;
use crate::{App, now_ms};

/// The kinds of metrics, in the wire spelling.
const KINDS: [&str; 3] = [CUSTOM, CLICK, "pageview"];
const CUSTOM: &str = "custom";
const CLICK: &str = "click";
/// The most pages of a metric.
const MOST_PAGES: usize = 100;

/// The metrics of a project, by key.
pub async fn list(app: &App, project_key: &str) -> Result<Vec<Metric>, ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    let project = project_by_key(&mut snapshot, project_key).await?;
    Ok(metric::of_project(&mut snapshot, project.id).await?)
}

/// Reads a metric.
pub async fn get(app: &App, project_key: &str, key: &str) -> Result<Metric, ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    Ok(load(&mut snapshot, project_key, key).await?.1)
}

/// Makes a metric; what names its place in the store is ignored in `new`.
pub async fn create(app: &App, actor: &Actor, project_key: &str, new: Metric) -> Result<Metric, ChangeError> {
    actor.may(Action::ChangeFlags)?;
    let mut write = app.store.write().await?;
    let project = project_by_key(&mut write, project_key).await?;
    insert(&mut write, actor, &project, &new).await?;
    write.commit().await?;
    publish(app).await;
    get(app, project_key, &new.key).await
}

/// Makes a metric inside a transaction.
pub(super) async fn insert(
    connection: &mut Connection,
    actor: &Actor,
    project: &Project,
    new: &Metric,
) -> Result<(), ChangeError> {
    let new = Metric {
        public_id: new_public_id(),
        project_id: project.id,
        version: 1,
        created_at: now_ms(),
        ..new.clone()
    };
    check(&new)?;
    metric::insert(connection, &new).await.map_err(|error| {
        ChangeError::duplicate(error, "metric", &new.key, format!("project `{}`", project.key))
    })?;
    let entry = AuditEntry { action: "create", after: Some(shown(&new)), ..entry(&project.key, &new.key) };
    note(connection, actor, project.id, entry).await
}

/// Changes a metric: whatever `edit` does to it, but for its key and kind.
pub async fn update(
    app: &App,
    actor: &Actor,
    project_key: &str,
    key: &str,
    edit: impl FnOnce(&mut Metric) -> Result<(), ChangeError> + Send,
) -> Result<Metric, ChangeError> {
    actor.may(Action::ChangeFlags)?;
    let mut write = app.store.write().await?;
    let (project, before) = load(&mut write, project_key, key).await?;
    let mut after = before.clone();
    edit(&mut after)?;
    if after != before {
        after.version = before.version + 1;
        check(&after)?;
        metric::update(&mut write, &after).await?;
        let entry = AuditEntry {
            action: "update",
            before: Some(shown(&before)),
            after: Some(shown(&after)),
            ..entry(project_key, key)
        };
        finish(app, write, actor, project.id, entry).await?;
    }
    get(app, project_key, key).await
}

/// Deletes a metric. What was counted for it stays.
pub async fn delete(app: &App, actor: &Actor, project_key: &str, key: &str) -> Result<(), ChangeError> {
    actor.may(Action::ChangeFlags)?;
    let mut write = app.store.write().await?;
    let (project, before) = load(&mut write, project_key, key).await?;
    metric::delete(&mut write, project.id, key).await?;
    let entry = AuditEntry { action: "delete", before: Some(shown(&before)), ..entry(project_key, key) };
    finish(app, write, actor, project.id, entry).await
}

async fn load(
    connection: &mut Connection,
    project_key: &str,
    key: &str,
) -> Result<(Project, Metric), ChangeError> {
    let project = project_by_key(connection, project_key).await?;
    let found = metric::by_key(connection, project.id, key).await?;
    Ok((project, found.ok_or_else(|| ChangeError::unknown_in("metric", key, project_key))?))
}

/// What a metric has to be.
fn check(metric: &Metric) -> Result<(), ChangeError> {
    name::check_key("key", &metric.key)?;
    name::check_name("name", &metric.name)?;
    name::check_text("description", &metric.description)?;
    name::check_text("selector", &metric.selector)?;
    name::check_text("unit", &metric.unit)?;
    name::check_text("eventKey", &metric.event_key)?;
    name::check_tags(&metric.tags)?;
    let kind = &*metric.kind;
    if !KINDS.contains(&kind) {
        let problem =
            format!("`{}` is no kind of metric; there are {}", kind.escape_debug(), KINDS.join(", "));
        return Err(ChangeError::invalid("kind", problem));
    }
    if kind == CUSTOM {
        if metric.event_key.is_empty() {
            return Err(ChangeError::invalid(
                "eventKey",
                "a custom metric needs the key of the event that counts",
            ));
        }
        return Ok(());
    }
    if kind == CLICK && metric.selector.trim().is_empty() {
        return Err(ChangeError::invalid(
            "selector",
            "a click metric needs a CSS selector of what is clicked",
        ));
    }
    let count = metric.pages.len();
    if count == 0 || count > MOST_PAGES {
        let problem = format!("a {kind} metric has 1 to {MOST_PAGES} pages, this one has {count}");
        return Err(ChangeError::invalid("urls", problem));
    }
    for (place, page) in metric.pages.iter().enumerate() {
        let place = format!("urls[{place}]");
        if page.text().is_empty() {
            return Err(ChangeError::invalid(place, "an address, or a part of one, is needed"));
        }
        name::check_text(&place, page.text())?;
    }
    Ok(())
}

fn entry<'a>(project_key: &'a str, key: &'a str) -> AuditEntry<'a> {
    AuditEntry { project_key: Some(project_key), kind: "metric", key, ..AuditEntry::default() }
}

fn shown(metric: &Metric) -> serde_json::Value {
    json!({
        "name": metric.name, "description": metric.description, "kind": metric.kind,
        "eventKey": metric.event_key, "isNumeric": metric.is_numeric, "unit": metric.unit,
        "higherIsBetter": metric.higher_is_better, "selector": metric.selector, "urls": metric.pages,
        "tags": metric.tags,
    })
}

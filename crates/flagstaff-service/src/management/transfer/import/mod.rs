//! Taking a [`Document`] in.
//!
//! First what it needs is made: projects and environments. Then every item is looked at: is it new, the same
//! as what is here, or in conflict with it; and does it keep the rules. Only then is anything written, and
//! only if nothing is refused, unless a part is wanted all the same. Salts and seeds are taken as they are, so
//! that nobody moves to another bucket.

mod flags;
mod incoming;
mod places;
mod segments;

use serde::{Deserialize, Serialize};

use super::document::Document;
use crate::App;
use crate::auth::{Action, Actor};
use crate::management::flag::require_comment;
use crate::management::{ChangeError, name, publish};
use crate::store::Store;

/// How to go about it.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Where everything goes, as project and environment; where it came from when absent.
    pub target: Option<(String, String)>,
    /// What happens to items that are here already and are not the same.
    pub on_conflict: OnConflict,
    /// Whether only to say what would happen.
    pub dry_run: bool,
    /// Whether to take the rest when some items are refused.
    pub partial: bool,
    /// Why, for the audit log.
    pub comment: String,
}

/// What happens to an item that is here already and is not the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// It is refused.
    #[default]
    Fail,
    /// What is here stays.
    Skip,
    /// What comes takes its place, at a greater version.
    Replace,
}

/// What happened to each item.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Each item, in the order in which they were looked at.
    pub items: Vec<ReportItem>,
    /// What else somebody should know.
    pub notes: Vec<String>,
    /// Whether it is saved; false after a refusal, or if it was only tried.
    pub saved: bool,
}

/// What happened to one item.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportItem {
    /// `project`, `environment`, `metric`, `payloadFilter`, `segment` or `flag`.
    pub kind: String,
    /// Its project.
    pub project: String,
    /// Its environment, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Its key.
    pub key: String,
    /// What happened.
    pub outcome: Outcome,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What happened to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is new.
    Created,
    /// It took the place of what was here.
    Replaced,
    /// It was here, the same.
    Unchanged,
    /// What was here stays.
    Skipped,
    /// It cannot be taken.
    Refused,
}

/// As [`import`], in a service that runs: its SDKs have it when this returns.
pub async fn import_live(
    app: &App,
    actor: &Actor,
    document: &Document,
    how: &Import,
) -> Result<Report, ChangeError> {
    let report = import(&app.store, actor, document, how).await?;
    if report.saved {
        publish(app).await;
    }
    Ok(report)
}

/// Takes a document in.
///
/// # Errors
/// If it cannot be begun with: the document is of a newer form, names no place, or the caller may not.
/// What is wrong with single items stands in the report.
pub async fn import(
    store: &Store,
    actor: &Actor,
    document: &Document,
    how: &Import,
) -> Result<Report, ChangeError> {
    actor.may(Action::ChangeFlags)?;
    name::check_text("comment", &how.comment)?;
    let mut write = store.write().await?;
    let mut report = Report::default();
    let (mut all_segments, mut all_flags) = (Vec::new(), Vec::new());
    for incoming in incoming::read(document, how)? {
        let place = places::prepare(&mut write, actor, incoming, how, &mut report).await?;
        let mut changes = false;
        for (environment, incoming) in &place.environments {
            let planned =
                segments::plan(&mut write, &place.project, environment, incoming, how, &mut report).await?;
            changes |= !planned.is_empty();
            all_segments.push((place.project.clone(), environment.clone(), planned));
        }
        let planned = flags::plan(&mut write, &place, how, &mut report).await?;
        if changes || !planned.is_empty() {
            place.environments.iter().try_for_each(|(known, _)| require_comment(known, &how.comment))?;
        }
        all_flags.push((place.project, planned));
    }
    let refused = report.count(Outcome::Refused) > 0;
    if how.dry_run || (refused && !how.partial) {
        return Ok(report);
    }
    for (project, environment, planned) in all_segments {
        segments::write(&mut write, actor, &project, &environment, planned, &how.comment).await?;
    }
    for (project, planned) in all_flags {
        flags::write(&mut write, actor, &project, planned, &how.comment).await?;
    }
    write.commit().await?;
    report.saved = true;
    Ok(report)
}

/// What becomes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Create,
    Replace,
    Leave(Outcome),
}

impl OnConflict {
    /// What becomes of an item that is here already or not, the same or not.
    fn decide(self, known: bool, same: bool) -> Decision {
        match (known, same, self) {
            (false, ..) => Decision::Create,
            (true, true, _) => Decision::Leave(Outcome::Unchanged),
            (true, false, OnConflict::Replace) => Decision::Replace,
            (true, false, OnConflict::Skip) => Decision::Leave(Outcome::Skipped),
            (true, false, OnConflict::Fail) => Decision::Leave(Outcome::Refused),
        }
    }
}

/// Why an item is refused that calls itself something else than it is called: contexts are placed in its rollouts
/// by the name it has itself, and would move.
fn other_name(key: &str, own: &str) -> Option<String> {
    let differs = !own.is_empty() && own != key;
    differs.then(|| {
        let own = own.escape_debug();
        format!("its own `key` is `{own}`, by which contexts are placed in rollouts; give it one name")
    })
}

/// Why an item that is in conflict is refused.
const IN_CONFLICT: &str =
    "it is here already and is not the same; choose with --on-conflict whether to skip or to replace it";

impl Report {
    /// How many items had this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.items.iter().filter(|item| item.outcome == outcome).count()
    }

    fn add(&mut self, kind: &str, project: &str, environment: Option<&str>, key: &str, outcome: Outcome) {
        let reason = (outcome == Outcome::Refused).then(|| IN_CONFLICT.to_owned());
        self.push(kind, project, environment, key, outcome, reason);
    }

    fn refuse(&mut self, kind: &str, project: &str, environment: Option<&str>, key: &str, reason: String) {
        self.push(kind, project, environment, key, Outcome::Refused, Some(reason));
    }

    fn push(
        &mut self,
        kind: &str,
        project: &str,
        environment: Option<&str>,
        key: &str,
        outcome: Outcome,
        reason: Option<String>,
    ) {
        self.items.push(ReportItem {
            kind: kind.to_owned(),
            project: project.to_owned(),
            environment: environment.map(str::to_owned),
            key: key.to_owned(),
            outcome,
            reason,
        });
    }
}

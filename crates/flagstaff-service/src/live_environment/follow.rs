//! How live environments keep up with the change log.

use std::collections::HashSet;
use std::sync::Arc;

use super::{About, FlagTags, Goals, LiveEnvironment, LiveEnvironments, Moment, Pages, Update};
use crate::SharedApp;
use crate::big_segments::BigSegments;
use crate::store::change_log::{self, ItemKind, LoggedChange};
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment, Head};
use crate::store::payload_filter::{self, PayloadFilter};
use crate::store::{EnvironmentId, Store, StoreError, flag, metric, project, segment};

/// Keeps live environments up to date.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    big_segments: Arc<BigSegments>,
    /// One catches up at a time, so that updates are applied in order.
    catching_up: tokio::sync::Mutex<()>,
}

impl Follower {
    /// Reads from this store.
    pub fn new(store: &Store, big_segments: &Arc<BigSegments>) -> Self {
        Self {
            store: store.clone(),
            big_segments: big_segments.clone(),
            catching_up: tokio::sync::Mutex::default(),
        }
    }

    /// Takes over everything that was committed before the call.
    pub async fn catch_up(&self, environments: &LiveEnvironments) -> Result<(), StoreError> {
        let _turn = self.catching_up.lock().await;
        match self.take_over(environments).await {
            Err(error) if error.is_about_a_damaged_row() => {
                tracing::error!("{}", crate::error::chain(&error));
                self.store.mend().await?;
                self.take_over(environments).await
            }
            done => done,
        }
    }

    async fn take_over(&self, environments: &LiveEnvironments) -> Result<(), StoreError> {
        // Mostly nothing has changed, which one statement tells.
        let heads = environment::heads(&mut *self.store.read().await?).await?;
        if environments.count() == heads.len() && heads.iter().all(|head| environments.is_at(head)) {
            return Ok(());
        }
        let mut snapshot = self.store.snapshot().await?;
        let mut all = Vec::new();
        let (mut described, mut filtered, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for head in environment::heads(&mut snapshot).await? {
            let known = environments.by_id(head.id);
            let live = match known {
                Some(live) if can_go_on(&mut snapshot, &live, &head).await? => live,
                _ => self.anew(&mut snapshot, &head).await?,
            };
            if live.about.load().environment.version != head.version {
                let about = about(&mut snapshot, head.id).await?;
                filtered.push((live.clone(), filters(&mut snapshot, &about).await?));
                told.push((live.clone(), goals(&mut snapshot, &about).await?));
                described.push((live.clone(), about));
            }
            let sequence = live.sequence();
            if sequence == head.sequence {
                all.push(live);
                continue;
            }
            let (updates, tags, passed) = updates(&mut snapshot, head.id, sequence).await?;
            // Each number is in the log, unless it was damaged there: then nobody knows what it was about.
            if passed.len() as u64 == head.sequence - sequence {
                live.apply(updates, tags, &passed);
                all.push(live);
            } else {
                all.push(self.anew(&mut snapshot, &head).await?);
            }
        }
        // Nothing waits in there and nothing fails: whoever called may give up at any await, and keys that are
        // said to be old must not be found for ever.
        for (live, goals) in told {
            live.tell_goals(goals);
        }
        for (live, (filters, tags)) in filtered {
            live.filter_by(filters, tags);
        }
        environments.replace(all, described);
        Ok(())
    }

    async fn anew(
        &self,
        connection: &mut Connection,
        head: &Head,
    ) -> Result<Arc<LiveEnvironment>, StoreError> {
        let live = load_one(connection, head.id).await?;
        Ok(Arc::new(live.stamped(head.stamp).with_members(self.big_segments.of(head.id))))
    }
}

/// Follows the change log until the service stops.
pub async fn follow(app: SharedApp) {
    let mut commits = app.store.commits();
    let mut asked = app.live.asked_for_looks();
    let mut failures = 0_u32;
    loop {
        tokio::select! {
            _ = commits.changed() => {}
            _ = asked.changed() => {}
            () = tokio::time::sleep(app.settings.change_log_poll) => {}
            () = app.stopping.cancelled() => return,
        }
        let had = *asked.borrow_and_update();
        match app.catch_up().await {
            Ok(()) => {
                app.live.stand(false);
                app.live.looked(had);
                if std::mem::take(&mut failures) > 0 {
                    tracing::info!("follows the change log again");
                }
            }
            Err(error) => {
                app.live.stand(true);
                failures += 1;
                // Not every second of an outage.
                if failures.is_power_of_two() {
                    let error = crate::error::chain(&error);
                    tracing::error!(error, failures, "could not follow the change log; trying again");
                }
                tokio::time::sleep(app.settings.change_log_poll).await;
            }
        }
    }
}

/// Whether what is live here can be brought up to date by the change log. If not it is loaded anew, and whoever
/// is served it begins anew as well.
async fn can_go_on(
    connection: &mut Connection,
    live: &LiveEnvironment,
    head: &Head,
) -> Result<bool, StoreError> {
    // The id of one that was deleted may have been given to another since.
    if live.about.load().environment.lineage != head.lineage {
        return Ok(false);
    }
    let here = live.moment();
    if head.sequence.saturating_sub(here.sequence) > change_log::KEPT {
        return Ok(false);
    }
    let there = if here.sequence < head.sequence {
        // None as it was made, before any change.
        let stamp = change_log::stamp_of(connection, head.id, here.sequence).await?;
        stamp.map(|stamp| Moment { sequence: here.sequence, stamp })
    } else {
        Some(Moment { sequence: head.sequence, stamp: head.stamp })
    };
    match there.filter(|there| *there != here) {
        Some(there) => {
            let environment = head.id;
            tracing::error!(%environment, %here, %there, "the database has lost changes that were served; serving what it has");
            Ok(false)
        }
        None => Ok(true),
    }
}

async fn load_one(connection: &mut Connection, id: EnvironmentId) -> Result<LiveEnvironment, StoreError> {
    let flags = flag::in_environment(connection, id).await?;
    let segments = segment::in_environment(connection, id).await?;
    let about = about(connection, id).await?;
    let (filters, tags) = filters(connection, &about).await?;
    let goals = goals(connection, &about).await?;
    let live = LiveEnvironment::new(
        about,
        flags.iter().map(|(row, targeting)| flag::as_sdk(row, targeting)).collect(),
        segments.iter().map(segment::as_sdk).collect(),
    );
    live.tell_goals(goals);
    live.filter_by(filters, tags);
    Ok(live)
}

/// What browsers of an environment are to report.
async fn goals(connection: &mut Connection, about: &About) -> Result<Goals, StoreError> {
    Ok(Goals::of(&metric::of_project(connection, about.project.id).await?))
}

/// The payload filters of an environment and, if there are any, the tags that they may ask for.
async fn filters(
    connection: &mut Connection,
    about: &About,
) -> Result<(Vec<PayloadFilter>, FlagTags), StoreError> {
    let filters = payload_filter::of_project(connection, about.project.id).await?;
    if filters.is_empty() {
        return Ok((filters, FlagTags::new()));
    }
    let headings = flag::headings(connection, about.environment.id).await?;
    let tags = headings.into_iter().map(|heading| (heading.key.into(), heading.tags)).collect();
    Ok((filters, tags))
}

async fn about(connection: &mut Connection, id: EnvironmentId) -> Result<About, StoreError> {
    let environment: Environment =
        environment::by_id(connection, id).await?.ok_or(StoreError::Statement(sqlx::Error::RowNotFound))?;
    let project = project::by_id(connection, environment.project_id)
        .await?
        .ok_or(StoreError::Statement(sqlx::Error::RowNotFound))?;
    Ok(About { project, environment, pages: Pages::default() })
}

async fn updates(
    connection: &mut Connection,
    id: EnvironmentId,
    since: u64,
) -> Result<(Vec<Update>, FlagTags, Vec<Moment>), StoreError> {
    let (mut updates, mut tags) = (Vec::new(), FlagTags::new());
    let changes = change_log::since(connection, id, since).await?;
    let passed =
        changes.iter().map(|change| Moment { sequence: change.sequence, stamp: change.stamp }).collect();
    // Items are read as they are now, so that each counts once, at its last change.
    let mut seen = HashSet::new();
    let mut last: Vec<_> =
        changes.into_iter().rev().filter(|change| seen.insert((change.kind, change.key.clone()))).collect();
    last.reverse();
    for change in last {
        updates.push(update(connection, id, change, &mut tags).await?);
    }
    Ok((updates, tags, passed))
}

async fn update(
    connection: &mut Connection,
    id: EnvironmentId,
    change: LoggedChange,
    tags: &mut FlagTags,
) -> Result<Update, StoreError> {
    let LoggedChange { sequence, kind, key, .. } = change;
    let found = match kind {
        ItemKind::Flag => flag::one_in_environment(connection, id, &key).await?.map(|(row, targeting)| {
            tags.insert(row.key.as_str().into(), row.definition.tags.clone());
            Update::Flag(Box::new(flag::as_sdk(&row, &targeting)))
        }),
        ItemKind::Segment => segment::by_key(connection, id, &key)
            .await?
            .map(|row| Update::Segment(Box::new(segment::as_sdk(&row)))),
    };
    Ok(found.unwrap_or(Update::Deleted { kind, key, version: sequence }))
}

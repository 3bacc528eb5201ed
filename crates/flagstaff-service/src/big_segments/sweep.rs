//! Segments that were deleted: their members go little by little, so that nobody waits for them.

use std::time::Duration;

use crate::store::big_segment::{Filling, count, gone, member, revision};
use crate::store::{StoreError, segment};
use crate::{App, SharedApp, now_ms};

/// How often deleted segments are looked for.
const INTERVAL: Duration = Duration::from_secs(3600);
/// So many members go at once, or numbers of changes; others get their turn in between.
const AT_ONCE: usize = 2_000;
/// So long those who copy can still hear that members went. Who comes later keeps what nobody asks for.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Clears away, until the service stops.
pub async fn run(app: SharedApp) {
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            done = sweep(&app, now_ms()) => {
                if let Err(error) = done {
                    let error = crate::error::chain(&error);
                    tracing::error!(error, "could not clear away members of deleted big segments; trying again");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

/// Clears away what can be by now.
pub async fn sweep(app: &App, now: i64) -> Result<(), StoreError> {
    let mut reading = app.store.read().await?;
    let in_use = gone::in_use(&mut reading).await?;
    let mut ended = Vec::new();
    for filling in in_use {
        let segment = segment::by_key(&mut reading, filling.environment_id, &filling.key).await?;
        if segment.is_none_or(|segment| segment.membership.generation != Some(filling.generation)) {
            ended.push(filling);
        }
    }
    drop(reading);
    for filling in ended {
        let mut write = app.store.write().await?;
        gone::end(&mut write, filling.id, now).await?;
        write.commit().await?;
    }
    let (ended, orphans) = {
        let mut reading = app.store.read().await?;
        (gone::ended(&mut reading).await?, gone::orphans(&mut reading).await?)
    };
    for (filling, ended_at) in ended {
        take_out(app, &filling).await?;
        if now - ended_at >= KEPT.as_millis() as i64 {
            forget_members(app, filling.id).await?;
            let mut write = app.store.write().await?;
            gone::forget(&mut write, &filling).await?;
            write.commit().await?;
        }
    }
    for filling in orphans {
        forget_members(app, filling).await?;
    }
    forget_revisions(app).await
}

/// Takes all members out, so that those who copied them are told. Looking for them keeps nobody from writing: there
/// may be a million who went long ago.
async fn take_out(app: &App, filling: &Filling) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let members = gone::listed(&mut *app.store.read().await?, filling.id, after, AT_ONCE).await?;
        let Some(last) = members.last() else { return Ok(()) };
        after = Some(*last);
        let mut write = app.store.write().await?;
        let revision = revision::next(&mut write, filling.environment_id, filling.id).await?;
        let mut removed = [0; 2];
        for (list, removed) in member::List::BOTH.into_iter().zip(&mut removed) {
            *removed = member::remove(&mut write, filling.id, list, &members, revision).await? as i64;
        }
        if removed == [0; 2] {
            // Another node was quicker.
            continue;
        }
        count(&mut write, filling.id, -removed[0], -removed[1]).await?;
        write.commit().await?;
        tokio::task::yield_now().await;
    }
}

/// Forgets numbers of changes of which later ones left nothing.
async fn forget_revisions(app: &App) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let piece = gone::revisions(&mut *app.store.read().await?, after, AT_ONCE).await?;
        let Some((last, _)) = piece.last() else { return Ok(()) };
        after = Some(*last);
        let spent: Vec<_> = piece.iter().filter(|(_, is_spent)| *is_spent).map(|(place, _)| *place).collect();
        if !spent.is_empty() {
            let mut write = app.store.write().await?;
            gone::forget_revisions(&mut write, &spent).await?;
            write.commit().await?;
        }
        tokio::task::yield_now().await;
    }
}

async fn forget_members(app: &App, filling: i64) -> Result<(), StoreError> {
    loop {
        let mut write = app.store.write().await?;
        if gone::forget_members(&mut write, filling, AT_ONCE).await? == 0 {
            return Ok(());
        }
        write.commit().await?;
        tokio::task::yield_now().await;
    }
}

//! The task that counts stored batches.
//!
//! It reads the oldest batches, adds them up in memory and has the sum written in the transaction that
//! removes them. So a batch is counted once, whatever is killed when: before the commit nothing has
//! happened, after it the batch is gone.
//!
//! On PostgreSQL several nodes count at once. Each claims batches that no other has claimed, in the
//! transaction in which it counts them; those of a node that dies are free again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::AnalyticsError;
use super::apply::apply;
use super::effects::Effects;
use super::writer::Writer;
use crate::error::chain;
use crate::store::StoreError;
use crate::store::analytics::batch::{self, StoredBatch};
use crate::store::analytics::failure::{is_about_the_data, is_conflict};
use crate::store::analytics::{Claim, EventStore};
use crate::store::connection::Transaction;

/// How many batches are counted in one transaction, and about how many bytes of them. Batches that come in
/// wait meanwhile.
const BATCHES: usize = 256;
const BYTES: usize = 8 * 1024 * 1024;

/// How long batches are let gather before they are counted: a user is found within a second, and the
/// fewer transactions the better.
const GATHER: Duration = Duration::from_millis(100);

/// How often a node looks for batches of which nobody told it: those of a node that was killed.
const LOOK: Duration = Duration::from_millis(500);

/// How often in a row nodes may be in each other's way before that counts as a failure.
const CONFLICTS: u32 = 10;

/// How long a failure makes it wait, at first and at most.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Counts batches until it is stopped. What is not counted by then is counted after the next start.
pub(super) async fn run(
    store: EventStore,
    writer: Writer,
    counted: watch::Sender<i64>,
    stopping: CancellationToken,
) {
    let mut failures = 0_u32;
    loop {
        match drain(&store, &writer, &counted, &stopping, failures > 0).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                if failures.is_power_of_two() {
                    tracing::error!(error = %chain(&error), failures, "could not count event batches; they are kept");
                }
            }
        }
        let pause = async {
            if failures > 0 {
                tokio::time::sleep(RETRY.saturating_mul(1 << failures.min(10)).min(RETRY_MAX)).await;
            } else {
                told(&store, &writer, &counted).await;
                tokio::time::sleep(GATHER).await;
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = pause => {}
        }
    }
}

/// Waits until there may be something to count.
async fn told(store: &EventStore, writer: &Writer, counted: &watch::Sender<i64>) {
    let stored = writer.shared().stored.notified();
    if !store.has_other_nodes() {
        return stored.await;
    }
    // While others count what was stored here, their progress is looked at more often.
    let is_behind = *counted.borrow() < writer.shared().newest.load(Ordering::Acquire);
    let _ = tokio::time::timeout(if is_behind { GATHER } else { LOOK }, stored).await;
}

/// Counts all there is. After a failure batches are taken one by one, so that one that cannot be counted
/// is found and does not stand in the way of the others.
async fn drain(
    store: &EventStore,
    writer: &Writer,
    counted: &watch::Sender<i64>,
    stopping: &CancellationToken,
    one_by_one: bool,
) -> Result<(), AnalyticsError> {
    let count = if one_by_one { 1 } else { BATCHES };
    let mut conflicts = 0;
    while !stopping.is_cancelled() {
        // Batches stored while this reads are found by the next round.
        let newest = writer.shared().newest.load(Ordering::Acquire);
        let Claim { batches, held } = store.claim(count, BYTES).await?;
        let since = batches.first().map_or(0, |batch| batch.received_ms);
        writer.shared().waiting_since.store(since, Ordering::Relaxed);
        let Some(last) = batches.last().map(|batch| batch.id) else {
            drop(held);
            note_progress(store, writer, counted, newest).await?;
            return Ok(());
        };
        let single = (batches.len() == 1).then_some(last);
        let effects = add_up(batches, writer).await?;
        if effects.unreadable > 0 {
            writer.shared().events_unreadable.fetch_add(effects.unreadable, Ordering::Relaxed);
            tracing::warn!(events = effects.unreadable, "passed over events that could not be read");
        }
        let applied = match held {
            None => writer.apply(effects).await,
            Some(transaction) => apply_held(transaction, &effects).await.map_err(AnalyticsError::from),
        };
        match (applied, single) {
            (Ok(()), _) => {
                conflicts = 0;
                note_progress(store, writer, counted, last).await?;
            }
            (Err(AnalyticsError::Store(error)), _) if is_conflict(&error) && conflicts < CONFLICTS => {
                conflicts += 1;
            }
            (Err(AnalyticsError::Store(error)), Some(id)) if is_about_the_data(&error) => {
                if writer.set_aside(id, chain(&error)).await? {
                    tracing::error!(error = %chain(&error), batch = id, "set aside an event batch that cannot be counted");
                    writer.shared().batches_set_aside.fetch_add(1, Ordering::Relaxed);
                }
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(())
}

/// Tells whoever waits how far counting has come: where this node counts alone, up to `place`.
async fn note_progress(
    store: &EventStore,
    writer: &Writer,
    counted: &watch::Sender<i64>,
    place: i64,
) -> Result<(), AnalyticsError> {
    if !store.has_other_nodes() {
        counted.send_replace(place);
        return Ok(());
    }
    let (newest, counted_so_far) = batch::progress(&mut *store.read().await?).await?;
    writer.shared().newest.fetch_max(newest, Ordering::AcqRel);
    counted.send_replace(counted_so_far);
    Ok(())
}

/// Counts claimed batches, in the transaction that holds them.
async fn apply_held(mut transaction: Transaction, effects: &Effects) -> Result<(), StoreError> {
    apply(&mut transaction, effects).await?;
    Ok(transaction.commit().await?)
}

/// Adding up is computing, which must not hold up the requests of this thread.
async fn add_up(batches: Vec<StoredBatch>, writer: &Writer) -> Result<Arc<Effects>, AnalyticsError> {
    let shared = writer.shared().clone();
    let effects = tokio::task::spawn_blocking(move || {
        Arc::new(Effects::of(&batches, &shared.recent, shared.countries.as_ref()))
    });
    effects.await.map_err(|_| AnalyticsError::from(StoreError::Statement(sqlx::Error::WorkerCrashed)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::analytics::Analytics;
    use crate::store::EnvironmentId;
    use crate::store::analytics::batch::NewBatch;
    use crate::store::connection::sql;

    fn batch(flag: &str) -> NewBatch {
        let body =
            format!(r#"[{{"kind":"summary","features":{{"{flag}":{{"counters":[{{"count":1}}]}}}}}}]"#);
        NewBatch {
            environment_id: 1,
            received_ms: crate::now_ms(),
            unsummarised: false,
            payload: None,
            body: body.into(),
        }
    }

    #[tokio::test]
    async fn batch_that_cannot_be_counted_is_set_aside_and_the_others_are_counted() {
        let folder = std::env::temp_dir().join(format!("flagstaff-aside-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let analytics = Analytics::open(&folder).await.unwrap();
        let mut write = analytics.store.write().await.unwrap();
        sql("CREATE TRIGGER poison BEFORE INSERT ON evaluation_count WHEN NEW.flag_key = 'poison'
             BEGIN SELECT RAISE(ABORT, 'poisoned'); END")
        .execute(&mut write)
        .await
        .unwrap();
        write.commit().await.unwrap();

        let flags = ["a", "poison", "a", "a"];
        let stored = flags.map(|flag| analytics.store_batch(batch(flag)));
        for stored in futures_util::future::join_all(stored).await {
            stored.unwrap();
        }
        assert!(analytics.wait_until_counted(Duration::from_secs(30)).await);
        let counts = analytics.evaluations_last_hour(EnvironmentId(1)).await.unwrap();
        assert_eq!(counts["a"].total, 3);
        assert_eq!(analytics.figures().batches_set_aside, 1);
        let kept = sql("SELECT body, reason FROM set_aside_batch")
            .fetch_all(&mut analytics.read().await.unwrap())
            .await
            .unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].get::<Vec<u8>, _>(0), batch("poison").body);
        let reason: &str = kept[0].get(1);
        assert!(reason.contains("poisoned"), "{reason}");
        analytics.close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }
}

//! The task that counts stored batches.
//!
//! It reads the oldest batches, adds them up in memory and has the sum written in the transaction that
//! removes them. So a batch is counted once, whatever is killed when: before the commit nothing has
//! happened, after it the batch is gone.
//!
//! On PostgreSQL several nodes count at once. Each claims batches that no other has claimed, in the
//! transaction in which it counts them; those of a node that dies are free again.
//!
//! A batch that cannot be counted stands in nobody's way:
//!
//! | What happens to batches that are counted together | What is done |
//! |---|---|
//! | the database takes offence at the data, or adding them up fails | they are taken one by one; the one at fault is set aside |
//! | another transaction was in the way | once more |
//! | anything else, like a full disk | once more, one by one, after a pause that becomes longer |
//! | one fails alone in that way again and again, and not for the disk's sake | it is set aside, if the database takes that |

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::AnalyticsError;
use super::apply::apply;
use super::country::Countries;
use super::effects::Effects;
use super::recent::Recent;
use super::writer::{Writer, caught};
use crate::error::chain;
use crate::now_ms;
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

/// How often in a row one batch alone may fail, for whatever reason, before it is set aside: some minutes of tries.
const TRIES: u32 = 20;

/// How long a failure makes it wait, at first and at most.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How batches are added up.
pub(super) type AddUp = fn(&[StoredBatch], &Mutex<Recent>, Option<&Countries>) -> Effects;

/// Counts batches until it is stopped. What is not counted by then is counted after the next start.
pub(super) async fn run(
    store: EventStore,
    writer: Writer,
    counted: watch::Sender<i64>,
    stopping: CancellationToken,
    add_up: AddUp,
) {
    let mut failures = 0_u32;
    let mut care = Care::default();
    let counter = Counter { store, writer, counted, stopping, add_up };
    loop {
        match counter.drain(&mut care).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                counter.writer.shared().note_waiting(now_ms());
                if failures.is_power_of_two() {
                    tracing::error!(error = %chain(&error), failures, "could not count event batches; they are kept");
                }
            }
        }
        let pause = async {
            if failures > 0 {
                tokio::time::sleep(RETRY.saturating_mul(1 << failures.min(10)).min(RETRY_MAX)).await;
            } else {
                counter.told().await;
                tokio::time::sleep(GATHER).await;
            }
        };
        tokio::select! {
            () = counter.stopping.cancelled() => return,
            () = pause => {}
        }
    }
}

/// How carefully batches are taken, after what happened.
#[derive(Debug, Default)]
struct Care {
    /// How many more are taken one by one.
    alone: usize,
    /// The batch that failed alone the last time, and how often in a row.
    failing: Option<(i64, u32)>,
}

impl Care {
    /// How often this batch has failed alone by now.
    fn failed(&mut self, batch: i64) -> u32 {
        let before = self.failing.filter(|(failing, _)| *failing == batch).map_or(0, |(_, times)| times);
        self.failing = Some((batch, before + 1));
        before + 1
    }
}

/// What it takes to count.
struct Counter {
    store: EventStore,
    writer: Writer,
    counted: watch::Sender<i64>,
    stopping: CancellationToken,
    add_up: AddUp,
}

impl Counter {
    /// Waits until there may be something to count.
    async fn told(&self) {
        let stored = self.writer.shared().stored.notified();
        if !self.store.has_other_nodes() {
            return stored.await;
        }
        // While others count what was stored here, their progress is looked at more often.
        let is_behind = *self.counted.borrow() < self.writer.shared().newest.load(Ordering::Acquire);
        let _ = tokio::time::timeout(if is_behind { GATHER } else { LOOK }, stored).await;
    }

    /// Counts all there is.
    async fn drain(&self, care: &mut Care) -> Result<(), AnalyticsError> {
        let mut conflicts = 0;
        while !self.stopping.is_cancelled() {
            // Batches stored while this reads are found by the next round.
            let newest = self.writer.shared().newest.load(Ordering::Acquire);
            let count = if care.alone > 0 { 1 } else { BATCHES };
            let Claim { batches, held } = self.store.claim(count, BYTES).await?;
            let since = batches.first().map_or(0, |batch| batch.received_ms);
            self.writer.shared().waiting_since.store(since, Ordering::Relaxed);
            let Some(last) = batches.last().map(|batch| batch.id) else {
                drop(held);
                return self.note_progress(newest).await;
            };
            let together = batches.len();
            let error = match self.count(batches, held).await {
                Ok(()) => {
                    (conflicts, care.failing) = (0, None);
                    care.alone = care.alone.saturating_sub(1);
                    self.note_progress(last).await?;
                    continue;
                }
                Err(error) => error,
            };
            if is_in_the_way(&error) && conflicts < CONFLICTS {
                conflicts += 1;
            } else if together > 1 {
                care.alone = together;
                if !is_its_own_fault(&error) {
                    return Err(error);
                }
            } else if is_its_own_fault(&error) || (error.fault().is_none() && care.failed(last) >= TRIES) {
                self.set_aside(last, &error).await?;
            } else {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Counts these batches, in the transaction that holds them if there is one.
    async fn count(
        &self,
        batches: Vec<StoredBatch>,
        held: Option<Transaction>,
    ) -> Result<(), AnalyticsError> {
        let effects = self.effects_of(batches).await?;
        let unreadable = effects.unreadable;
        match held {
            None => self.writer.apply(effects).await?,
            Some(transaction) => caught(apply_held(transaction, &effects)).await??,
        }
        if unreadable > 0 {
            self.note_unreadable(unreadable);
        }
        Ok(())
    }

    /// Adding up is computing, which must not hold up the requests of this thread.
    async fn effects_of(&self, batches: Vec<StoredBatch>) -> Result<Arc<Effects>, AnalyticsError> {
        let (shared, add_up) = (self.writer.shared().clone(), self.add_up);
        let effects = tokio::task::spawn_blocking(move || {
            Arc::new(add_up(&batches, &shared.recent, shared.countries.as_ref()))
        });
        // What was not begun when the process ends is begun by the next one.
        effects.await.map_err(|error| match error.is_panic() {
            true => AnalyticsError::Panicked,
            false => AnalyticsError::Stopped,
        })
    }

    /// Keeps a batch that cannot be counted out of the way of the others.
    async fn set_aside(&self, batch: i64, error: &AnalyticsError) -> Result<(), AnalyticsError> {
        let error = chain(error);
        if self.writer.set_aside(batch, error.clone()).await? {
            tracing::error!(error, batch, "set aside an event batch that cannot be counted");
            self.writer.shared().batches_set_aside.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Anybody may send what cannot be read, so that is said ever less often.
    fn note_unreadable(&self, events: u64) {
        let before = self.writer.shared().events_unreadable.fetch_add(events, Ordering::Relaxed);
        let all = before + events;
        if before == 0 || before.ilog2() < all.ilog2() {
            tracing::warn!(
                events = all,
                "passed over events that could not be read, so many since the start"
            );
        }
    }

    /// Tells whoever waits how far counting has come: where this node counts alone, up to `place`.
    async fn note_progress(&self, place: i64) -> Result<(), AnalyticsError> {
        if !self.store.has_other_nodes() {
            self.counted.send_replace(place);
            return Ok(());
        }
        let (newest, counted_so_far) = batch::progress(&mut *self.store.read().await?).await?;
        self.writer.shared().newest.fetch_max(newest, Ordering::AcqRel);
        self.counted.send_replace(counted_so_far);
        Ok(())
    }
}

/// Counts claimed batches, in the transaction that holds them.
async fn apply_held(mut transaction: Transaction, effects: &Effects) -> Result<(), StoreError> {
    apply(&mut transaction, effects).await?;
    transaction.commit().await
}

/// Whether another transaction was in the way of this one, or has taken its batches away.
fn is_in_the_way(error: &AnalyticsError) -> bool {
    match error {
        AnalyticsError::Store(StoreError::Statement(sqlx::Error::RowNotFound)) => true,
        AnalyticsError::Store(error) => is_conflict(error),
        _ => false,
    }
}

/// Whether what was to be counted is at fault.
fn is_its_own_fault(error: &AnalyticsError) -> bool {
    match error {
        AnalyticsError::Store(error) => is_about_the_data(error),
        AnalyticsError::Panicked => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::Analytics;
    use crate::store::EnvironmentId;
    use crate::store::analytics::batch::NewBatch;
    use crate::store::connection::sql;

    /// Ten times what is expected.
    const PATIENCE: Duration = Duration::from_secs(60);

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

    /// A folder with a database of events in it, for as long as a test.
    struct Place(std::path::PathBuf);

    impl Place {
        fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("flagstaff-counting-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// What counts, without the service around it, and what it has counted.
    async fn counting(
        place: &Place,
        add_up: AddUp,
    ) -> (EventStore, Writer, watch::Receiver<i64>, CancellationToken) {
        let store = EventStore::open(&place.0).await.unwrap();
        let writer = Writer::start(store.clone(), 0, None);
        let (counted_sender, counted) = watch::channel(0);
        let stopping = CancellationToken::new();
        tokio::spawn(run(store.clone(), writer.clone(), counted_sender, stopping.clone(), add_up));
        (store, writer, counted, stopping)
    }

    async fn number(store: &EventStore, statement: &'static str) -> i64 {
        sql(statement).fetch_scalar(&mut store.read().await.unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn batch_over_which_adding_up_panics_is_set_aside_and_the_others_are_counted() {
        let place = Place::new();
        let add_up: AddUp = |batches, recent, countries| {
            let poisoned = batches.iter().any(|batch| batch.body.windows(6).any(|word| word == b"poison"));
            assert!(!poisoned, "this is beyond me");
            Effects::of(batches, recent, countries)
        };
        let (store, writer, mut counted, stopping) = counting(&place, add_up).await;
        let flags = ["a", "a", "poison", "a", "poison", "a"];
        let stored = flags.map(|flag| writer.batch(batch(flag)));
        for stored in futures_util::future::join_all(stored).await {
            stored.unwrap();
        }
        let all = tokio::time::timeout(PATIENCE, async {
            while number(&store, "SELECT count(*) FROM batch").await > 0 {
                counted.changed().await.unwrap();
            }
        });
        all.await.expect("counted in time");
        assert_eq!(number(&store, "SELECT sum(count) FROM evaluation_count").await, 4);
        assert_eq!(number(&store, "SELECT count(*) FROM set_aside_batch").await, 2);
        stopping.cancel();
        writer.close().await;
        store.close().await;
    }

    /// After one was set aside, or the database was away for a moment, the others are counted together again: one
    /// by one counting might never catch up with what comes in.
    #[tokio::test]
    async fn batches_are_taken_together_again_soon_after_one_could_not_be_counted() {
        static LARGEST: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let place = Place::new();
        let store = EventStore::open(&place.0).await.unwrap();
        let writer = Writer::start(store.clone(), 0, None);
        let all =
            (0..3 * BATCHES).map(|number| writer.batch(batch(if number == 7 { "poison" } else { "a" })));
        for stored in futures_util::future::join_all(all).await {
            stored.unwrap();
        }
        let add_up: AddUp = |batches, recent, countries| {
            let poisoned = batches.iter().any(|batch| batch.body.windows(6).any(|word| word == b"poison"));
            assert!(!poisoned, "this is beyond me");
            LARGEST.fetch_max(batches.len(), Ordering::Relaxed);
            Effects::of(batches, recent, countries)
        };
        let (sender, _counted) = watch::channel(0);
        let counter = Counter {
            store: store.clone(),
            writer: writer.clone(),
            counted: sender,
            stopping: CancellationToken::new(),
            add_up,
        };
        // In one go, without a pause.
        counter.drain(&mut Care::default()).await.unwrap();
        assert_eq!(number(&store, "SELECT sum(count) FROM evaluation_count").await, 3 * BATCHES as i64 - 1);
        assert_eq!(LARGEST.load(Ordering::Relaxed), BATCHES);
        writer.close().await;
        store.close().await;
    }

    #[tokio::test]
    async fn batch_that_fails_alone_again_and_again_is_set_aside() {
        let place = Place::new();
        let store = EventStore::open(&place.0).await.unwrap();
        let writer = Writer::start(store.clone(), 0, None);
        let mut write = store.write().await.unwrap();
        // Neither about the data, as far as anybody can tell, nor about the disk.
        sql("CREATE TRIGGER odd BEFORE INSERT ON evaluation_count WHEN NEW.flag_key = 'odd'
             BEGIN SELECT json_extract('{', '$.no'); END")
        .execute(&mut write)
        .await
        .unwrap();
        write.commit().await.unwrap();
        for flag in ["a", "odd", "a"] {
            writer.batch(batch(flag)).await.unwrap();
        }
        let (sender, _counted) = watch::channel(0);
        let counter = Counter {
            store: store.clone(),
            writer: writer.clone(),
            counted: sender,
            stopping: CancellationToken::new(),
            add_up: Effects::of,
        };
        let (mut care, mut failures) = (Care::default(), 0);
        while let Err(error) = counter.drain(&mut care).await {
            assert!(!is_its_own_fault(&error), "{error:?}");
            failures += 1;
            assert!(failures <= TRIES, "it is tried for ever");
        }
        // Once together, and then alone until the last try.
        assert_eq!(failures, TRIES);
        assert_eq!(number(&store, "SELECT sum(count) FROM evaluation_count").await, 2);
        assert_eq!(number(&store, "SELECT count(*) FROM set_aside_batch").await, 1);
        writer.close().await;
        store.close().await;
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

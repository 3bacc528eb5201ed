//! The one task of this process that writes to the database of events, but for what `aggregator` writes itself
//! where there are other nodes.
//!
//! Batches are committed in groups: while one commit waits for the disk, the batches that come in
//! meanwhile queue up and share the next. So the cost of making a batch durable is divided by the number
//! of senders, and nobody waits for more than two commits. A batch is acknowledged after the commit that
//! holds it; a payload id that is known, from an earlier commit of any node or from the same group, is
//! acknowledged and not stored again.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::{Notify, mpsc, oneshot};

use super::AnalyticsError;
use super::apply::apply;
use super::country::Countries;
use super::effects::Effects;
use super::recent::Recent;
use super::retention::{self, Sweep};
use crate::error::chain;
use crate::store::StoreError;
use crate::store::analytics::batch::{self, NewBatch, PayloadHash};
use crate::store::analytics::instance::{self, SdkInstance};
use crate::store::analytics::{EventStore, Work, context};
use crate::store::connection::Connection;

/// How many writes may wait; more make their senders wait before they are taken in.
const WAITING: usize = 1024;

/// How many waiting writes one commit takes at most.
const GROUP: usize = 256;

/// What became of a batch that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored, and will be counted.
    Stored,
    /// Its payload id was seen within the last day, so it is stored already.
    Known,
}

/// Hands writes to the task. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

/// What the task shares with others.
#[derive(Debug)]
pub(super) struct Shared {
    /// Told after each commit that stored batches.
    pub(super) stored: Notify,
    /// The place of the newest stored batch.
    pub(super) newest: AtomicI64,
    /// How many batches were stored, and how many were known already, since the start.
    pub(super) batches_stored: AtomicU64,
    pub(super) batches_known: AtomicU64,
    /// How many events could not be read, and how many batches could not be counted.
    pub(super) events_unreadable: AtomicU64,
    /// When the oldest batch came that waits to be counted, in Unix milliseconds; 0 if none does.
    pub(super) waiting_since: AtomicI64,
    pub(super) batches_set_aside: AtomicU64,
    /// What need not be written again.
    pub(super) recent: Mutex<Recent>,
    /// Where users are.
    pub(super) countries: Option<Countries>,
}

impl Shared {
    /// Something waits to be counted since then, if nothing did before.
    pub(super) fn note_waiting(&self, since_ms: i64) {
        let _ = self.waiting_since.compare_exchange(0, since_ms, Ordering::Relaxed, Ordering::Relaxed);
    }
}

type Reply<T> = oneshot::Sender<Result<T, AnalyticsError>>;

enum Job {
    Batch(NewBatch, Reply<Accepted>),
    Instance(i64, SdkInstance, Reply<()>),
    Alone(Alone, Reply<u64>),
    Close(Reply<()>),
}

/// What is done in a transaction of its own.
enum Alone {
    Apply(Arc<Effects>),
    SetAside(i64, String),
    ForgetContext { environment_id: i64, kind: String, key: String },
    ForgetEnvironment(i64),
    Sweep(Sweep),
}

impl Writer {
    /// Starts the task. `newest` is the place of the newest batch so far.
    pub(super) fn start(store: EventStore, newest: i64, countries: Option<Countries>) -> Self {
        let shared = Arc::new(Shared {
            stored: Notify::new(),
            newest: AtomicI64::new(newest),
            batches_stored: AtomicU64::default(),
            batches_known: AtomicU64::default(),
            events_unreadable: AtomicU64::default(),
            waiting_since: AtomicI64::default(),
            batches_set_aside: AtomicU64::default(),
            recent: Mutex::default(),
            countries,
        });
        let (queue, jobs) = mpsc::channel(WAITING);
        tokio::spawn(run(store, jobs, shared.clone()));
        Self { queue, shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stores a batch. When this returns without an error it outlives a power cut.
    pub(super) async fn batch(&self, batch: NewBatch) -> Result<Accepted, AnalyticsError> {
        self.ask(|reply| Job::Batch(batch, reply)).await
    }

    /// Notes the report of a program.
    pub(super) async fn instance(
        &self,
        environment_id: i64,
        instance: SdkInstance,
    ) -> Result<(), AnalyticsError> {
        self.ask(|reply| Job::Instance(environment_id, instance, reply)).await
    }

    /// Removes counted batches and adds what they add up to, both or neither.
    pub(super) async fn apply(&self, effects: Arc<Effects>) -> Result<(), AnalyticsError> {
        self.alone(Alone::Apply(effects)).await.map(drop)
    }

    /// Keeps a batch that cannot be counted out of the way; false if it is not there any more.
    pub(super) async fn set_aside(&self, id: i64, reason: String) -> Result<bool, AnalyticsError> {
        Ok(self.alone(Alone::SetAside(id, reason)).await? > 0)
    }

    /// Forgets a context, and says whether it was known.
    pub(super) async fn forget_context(
        &self,
        environment_id: i64,
        kind: &str,
        key: &str,
    ) -> Result<bool, AnalyticsError> {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        Ok(self.alone(Alone::ForgetContext { environment_id, kind, key }).await? > 0)
    }

    /// Forgets all of an environment, piece by piece: others who write have their turn in between.
    pub(super) async fn forget_environment(&self, environment_id: i64) -> Result<(), AnalyticsError> {
        while self.alone(Alone::ForgetEnvironment(environment_id)).await? > 0 {}
        Ok(())
    }

    /// Removes a piece of what is too old, and says how many rows.
    pub(super) async fn sweep(&self, sweep: Sweep) -> Result<u64, AnalyticsError> {
        self.alone(Alone::Sweep(sweep)).await
    }

    /// Ends the task after what is queued.
    pub(super) async fn close(&self) {
        // An error means that it has ended already.
        let _ = self.ask(Job::Close).await;
    }

    async fn alone(&self, work: Alone) -> Result<u64, AnalyticsError> {
        self.ask(|reply| Job::Alone(work, reply)).await
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, AnalyticsError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(job(reply)).await.map_err(|_| AnalyticsError::Stopped)?;
        answer.await.map_err(|_| AnalyticsError::Stopped)?
    }
}

async fn run(store: EventStore, mut jobs: mpsc::Receiver<Job>, shared: Arc<Shared>) {
    let mut group = Vec::with_capacity(GROUP);
    let mut storing = Storing { store: store.clone(), shared: shared.clone(), failures: 0 };
    while jobs.recv_many(&mut group, GROUP).await > 0 {
        let (mut batches, mut instances, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for job in group.drain(..) {
            match job {
                Job::Batch(batch, reply) => batches.push((batch, reply)),
                Job::Instance(environment_id, instance, reply) => {
                    instances.push(((environment_id, instance), reply));
                }
                other => others.push(other),
            }
        }
        storing.batches(batches).await;
        storing.instances(instances).await;
        for job in others {
            // Whoever has gone does not want the answer.
            match job {
                Job::Alone(work, reply) => {
                    let done = outcome(&store, &work).await;
                    work.done(done.is_ok(), &shared);
                    let _ = reply.send(done);
                }
                Job::Close(reply) => {
                    jobs.close();
                    let _ = reply.send(Ok(()));
                }
                Job::Batch(..) | Job::Instance(..) => unreachable!("stored above"),
            }
        }
    }
}

/// Does something in a transaction, and outlives what the program cannot cope with.
async fn outcome<W: Work + Sync>(store: &EventStore, work: &W) -> Result<W::Done, AnalyticsError> {
    Ok(caught(store.transact(work)).await??)
}

/// What comes of `work`, unless it panics. What it held is let go of either way.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, AnalyticsError> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| AnalyticsError::Panicked)
}

/// Stores what comes in, much of it in one transaction.
struct Storing {
    store: EventStore,
    shared: Arc<Shared>,
    /// How many transactions failed in a row.
    failures: u64,
}

impl Storing {
    /// Stores batches and answers each of their senders. One that has hung up does not want its answer; its batch
    /// is stored all the same.
    async fn batches(&mut self, batches: Vec<(NewBatch, Reply<Accepted>)>) {
        if batches.is_empty() {
            return;
        }
        let group = Group(batches.iter().map(|(batch, _)| batch).collect());
        let (accepted, newest) = match self.store("event batches", batches.len(), &group).await {
            Ok(stored) => stored,
            Err(refusal) => return refuse(batches, &refusal),
        };
        self.shared.newest.fetch_max(newest, Ordering::AcqRel);
        if let Some((oldest, _)) = batches.first() {
            self.shared.note_waiting(oldest.received_ms);
        }
        self.shared.stored.notify_one();
        for ((_, reply), accepted) in batches.into_iter().zip(accepted) {
            let count = match accepted {
                Accepted::Stored => &self.shared.batches_stored,
                Accepted::Known => &self.shared.batches_known,
            };
            count.fetch_add(1, Ordering::Relaxed);
            let _ = reply.send(Ok(accepted));
        }
    }

    /// Notes reports of programs and answers each of them.
    async fn instances(&mut self, instances: Vec<((i64, SdkInstance), Reply<()>)>) {
        if instances.is_empty() {
            return;
        }
        let mut group: Vec<_> =
            instances.iter().map(|((environment_id, one), _)| (*environment_id, one)).collect();
        // Nodes take rows in one order, so that no two wait for each other.
        group.sort_by(|(here, one), (there, other)| {
            (here, &one.instance_id).cmp(&(there, &other.instance_id))
        });
        match self.store("reports of SDKs", instances.len(), &Instances(group)).await {
            Ok(()) => instances.into_iter().for_each(|(_, reply)| drop(reply.send(Ok(())))),
            Err(refusal) => refuse(instances, &refusal),
        }
    }

    /// Does `work`. A database that is away fails for everybody, so that is said ever less often.
    async fn store<W: Work + Sync>(
        &mut self,
        what: &str,
        count: usize,
        work: &W,
    ) -> Result<W::Done, AnalyticsError> {
        let stored = outcome(&self.store, work).await;
        match &stored {
            Ok(_) if self.failures > 0 => {
                tracing::info!(failures = self.failures, "events and reports are stored again");
                self.failures = 0;
            }
            Ok(_) => {}
            Err(error) => {
                self.failures += 1;
                if self.failures.is_power_of_two() {
                    let (error, failures) = (chain(error), self.failures);
                    tracing::error!(
                        error,
                        count,
                        failures,
                        "could not store {what}; senders are told to try again"
                    );
                }
            }
        }
        stored
    }
}

/// Tells senders that nothing of theirs was stored.
fn refuse<B, T>(senders: Vec<(B, Reply<T>)>, refusal: &AnalyticsError) {
    for (_, reply) in senders {
        let _ = reply.send(Err(AnalyticsError::NotStored { fault: refusal.fault() }));
    }
}

/// Batches that share a commit.
struct Group<'b>(Vec<&'b NewBatch>);

impl Work for Group<'_> {
    /// What became of each, and the place of the newest of all.
    type Done = (Vec<Accepted>, i64);

    async fn run(&self, connection: &mut Connection) -> Result<Self::Done, StoreError> {
        let Self(group) = self;
        let mut in_group = HashSet::new();
        let mut payloads: Vec<(PayloadHash, i64)> = group
            .iter()
            .filter_map(|batch| Some((batch.payload?, batch.received_ms)))
            .filter(|(hash, _)| in_group.insert(*hash))
            .collect();
        // A node that notes an id waits for another that is just noting it; in one order, so that no two
        // wait for each other.
        payloads.sort_unstable();
        let mut new: HashSet<PayloadHash> =
            batch::insert_payloads(connection, &payloads).await?.into_iter().collect();
        let accepted: Vec<Accepted> = group
            .iter()
            .map(|batch| match batch.payload {
                // Taken out, so that a second batch of this id in the group is a known one.
                Some(hash) if !new.remove(&hash) => Accepted::Known,
                _ => Accepted::Stored,
            })
            .collect();
        let stored: Vec<&NewBatch> = group
            .iter()
            .zip(&accepted)
            .filter(|(_, accepted)| **accepted == Accepted::Stored)
            .map(|(batch, _)| *batch)
            .collect();
        batch::insert(connection, &stored).await?;
        Ok((accepted, batch::newest(connection).await?))
    }
}

/// Reports that share a commit.
struct Instances<'i>(Vec<(i64, &'i SdkInstance)>);

impl Work for Instances<'_> {
    type Done = ();

    async fn run(&self, connection: &mut Connection) -> Result<(), StoreError> {
        for (environment_id, instance) in &self.0 {
            instance::upsert(connection, *environment_id, instance).await?;
        }
        Ok(())
    }
}

impl Work for Alone {
    /// How many there were of what it is about.
    type Done = u64;

    async fn run(&self, connection: &mut Connection) -> Result<u64, StoreError> {
        match self {
            Alone::Apply(effects) => apply(connection, effects).await.map(|()| effects.batches.len() as u64),
            Alone::SetAside(id, reason) => batch::set_aside(connection, *id, reason).await.map(u64::from),
            Alone::ForgetContext { environment_id, kind, key } => {
                context::forget(connection, &[(*environment_id, kind, key, i64::MAX)]).await
            }
            Alone::ForgetEnvironment(environment_id) => {
                retention::forget_environment(connection, *environment_id).await
            }
            Alone::Sweep(sweep) => sweep.run(connection).await,
        }
    }
}

impl Alone {
    /// What follows from it in this process.
    fn done(&self, is_kept: bool, shared: &Shared) {
        match self {
            Alone::Apply(effects) if is_kept => effects.note_written(&shared.recent),
            // Also after a failure: what is seen next is then written once too often, not once too seldom.
            Alone::ForgetContext { .. } => forget_recent(shared),
            Alone::ForgetEnvironment(_) => {
                forget_recent(shared);
                // Its batches are gone, too: whoever waits for them to be counted can go on.
                shared.stored.notify_one();
            }
            _ => {}
        }
    }
}

fn forget_recent(shared: &Shared) {
    shared.recent.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::connection::sql;
    use crate::store::health::Fault;

    #[tokio::test]
    async fn full_disk_refuses_batches_until_there_is_room_again() {
        let folder = std::env::temp_dir().join(format!("flagstaff-full-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = EventStore::open(&folder).await.unwrap();
        // There is one writing connection, so the limit stays.
        let mut write = store.write().await.unwrap();
        sql("PRAGMA max_page_count = 1").execute(&mut write).await.unwrap();
        write.commit().await.unwrap();
        let writer = Writer::start(store.clone(), 0, None);
        let batch = |payload: u8| NewBatch {
            environment_id: 1,
            received_ms: 0,
            unsummarised: false,
            payload: Some([payload; 16]),
            body: vec![b' '; 100_000].into(),
        };
        let error = writer.batch(batch(1)).await.unwrap_err();
        assert!(matches!(error, AnalyticsError::NotStored { fault: Some(Fault::Full) }), "{error:?}");

        // The limit went with the connection, whose transaction the database had ended by itself.
        // Nothing of the refused one was kept, not even its id.
        assert_eq!(writer.batch(batch(1)).await.unwrap(), Accepted::Stored);
        assert_eq!(writer.batch(batch(1)).await.unwrap(), Accepted::Known);
        assert_eq!(batch::oldest(&mut store.read().await.unwrap(), 10, usize::MAX).await.unwrap().len(), 1);
        writer.close().await;
        assert!(matches!(writer.batch(batch(2)).await, Err(AnalyticsError::Stopped)));
        store.close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }
}

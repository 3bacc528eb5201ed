//! What the events add up to: evaluation counts and users seen, in tables of their own.
//!
//! | File | What stands there |
//! |---|---|
//! | `writer` | the one task that writes: group commit of batches, and everything else in its turn |
//! | `aggregator` | the task that counts stored batches |
//! | [`effects`] | what some batches add up to, in memory; pure |
//! | `apply` | how that is written, in the transaction that removes the batches |
//! | [`country`] | where a user is, by their address |
//! | `recent` | what was written a moment ago and need not be written again |
//! | [`terms`] | what a user is found by; pure |
//! | [`counts`], [`user`] | what the faces ask |
//! | `figures` | what monitoring asks |
//! | [`tail`] | the newest events, for whoever watches |
//! | [`retention`] | what is forgotten, and when |
//! | `steady` | whether the clock can be believed then |
//! | `settings` | what the owner decides about that |
//!
//! What is counted: evaluations per flag, variation, version and minute, from summary events at the
//! minute of their start, or from feature events where the sender does not summarise; custom events and
//! goals per key and minute. Who is remembered: every context that is not anonymous, with what its last
//! event says of it. Anonymous contexts are told apart by a hash, and only counted.

mod aggregator;
mod apply;
pub mod country;
pub mod counts;
pub mod effects;
mod figures;
pub(crate) mod recent;
pub mod retention;
mod settings;
mod steady;
pub mod tail;
pub mod terms;
pub mod user;
mod writer;

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use counts::{Bucket, BucketSize, EvaluationCounts, ReasonCount};
pub use settings::Settings;
pub use user::{Page, SeenUser, Sort, UserPage};
pub use writer::Accepted;

use crate::config::Config;
use crate::store::analytics::EventStore;
use crate::store::analytics::batch::{self, NewBatch};
use crate::store::analytics::instance::{self, SdkInstance};
use crate::store::connection::Reading;
use crate::store::health::{Fault, Trouble};
use crate::store::{EnvironmentId, StoreError};
use country::{Countries, CountriesError};
use effects::Effects;
use tail::Tail;
use writer::Writer;

/// How often it is looked whether another node has counted something.
const LOOK: Duration = Duration::from_millis(20);

/// The handle to everything counted. Held by [`crate::App`], opened before the first request and
/// closed after the last.
#[derive(Debug)]
pub struct Analytics {
    store: EventStore,
    writer: Writer,
    settings: Settings,
    tail: Tail,
    /// The place of the newest batch that is counted.
    counted: watch::Receiver<i64>,
    stopping: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Why something could not be counted or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyticsError {
    /// The database of events did not do what it was asked.
    #[error("the database of events failed")]
    Store(#[from] StoreError),
    /// Events were not stored; the cause is in the log once, not once per sender.
    #[error("the events were not stored")]
    NotStored {
        /// What is wrong below the database, if that is why.
        fault: Option<Fault>,
    },
    /// Something that was sent is beyond what the program can cope with.
    #[error("the program failed over it; the log has said why")]
    Panicked,
    /// The database of countries cannot be used.
    #[error("could not tell users' countries")]
    Countries(#[from] CountriesError),
    /// Nothing more is taken in.
    #[error("the service is stopping")]
    Stopped,
}

/// What was taken in since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestFigures {
    /// Batches that were stored.
    pub batches_stored: u64,
    /// Batches that were known already by their payload id.
    pub batches_known: u64,
    /// Batches that could not be counted and were kept out of the way.
    pub batches_set_aside: u64,
    /// Events that could not be read.
    pub events_unreadable: u64,
    /// Batches that are stored and not counted yet, about.
    pub backlog: u64,
}

impl AnalyticsError {
    /// What is wrong below the database, if that is why.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            AnalyticsError::Store(error) => error.fault(),
            AnalyticsError::NotStored { fault } => *fault,
            AnalyticsError::Countries(_) | AnalyticsError::Panicked | AnalyticsError::Stopped => None,
        }
    }
}

impl Analytics {
    /// Opens the database of events that the service is configured for, and goes on counting where the last
    /// process stopped.
    ///
    /// # Errors
    /// If it cannot be opened or reached, or comes from a newer version.
    pub async fn of(config: &Config) -> Result<Self, AnalyticsError> {
        Self::on(EventStore::of(config).await?, &config.analytics).await
    }

    /// Opens, or makes, the SQLite database of events in the data folder, and goes on counting where the last
    /// process stopped.
    ///
    /// # Errors
    /// If the file cannot be opened, is no database, or comes from a newer version.
    pub async fn open(data: &Path) -> Result<Self, AnalyticsError> {
        Self::on(EventStore::open(data).await?, &Settings::default()).await
    }

    async fn on(store: EventStore, settings: &Settings) -> Result<Self, AnalyticsError> {
        let countries = settings.countries.as_deref().map(Countries::open).transpose()?;
        let (newest, counted_so_far) = batch::progress(&mut *store.read().await?).await?;
        let writer = Writer::start(store.clone(), newest, countries);
        let stopping = CancellationToken::new();
        let (counted_sender, counted) = watch::channel(counted_so_far);
        let tasks = vec![
            tokio::spawn(aggregator::run(
                store.clone(),
                writer.clone(),
                counted_sender,
                stopping.clone(),
                Effects::of,
            )),
            tokio::spawn(retention::run(store.clone(), writer.clone(), settings.clone(), stopping.clone())),
        ];
        let settings = settings.clone();
        Ok(Self {
            store,
            writer,
            settings,
            tail: Tail::default(),
            counted,
            stopping,
            tasks: Mutex::new(tasks),
        })
    }

    /// Why nothing is stored any more, if that is so.
    pub fn trouble(&self) -> Option<Trouble> {
        self.store.trouble()
    }

    /// Stops counting, stores what is queued and closes the database. What is stored and not counted is
    /// counted after the next start.
    pub async fn close(&self) {
        self.stopping.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the analytics ended badly");
            }
        }
        self.writer.close().await;
        self.store.close().await;
    }

    /// Stores a batch, to be counted soon. When this returns without an error, the batch outlives a power
    /// cut.
    pub async fn store_batch(&self, batch: NewBatch) -> Result<Accepted, AnalyticsError> {
        let (environment_id, received_ms, body) =
            (batch.environment_id, batch.received_ms, batch.body.clone());
        let accepted = self.writer.batch(batch).await?;
        if accepted == Accepted::Stored {
            self.tail.note(environment_id, received_ms, &body);
        }
        Ok(accepted)
    }

    /// Notes the report of a program.
    pub async fn note_instance(
        &self,
        environment: EnvironmentId,
        instance: SdkInstance,
    ) -> Result<(), AnalyticsError> {
        self.writer.instance(environment.0, instance).await
    }

    /// The programs that reported themselves in the last 30 days, the latest first, at most 1,000.
    pub async fn sdk_instances(
        &self,
        environment: EnvironmentId,
    ) -> Result<Vec<SdkInstance>, AnalyticsError> {
        Ok(instance::list(&mut *self.read().await?, environment.0, 1000).await?)
    }

    /// Forgets everything of an environment that is deleted.
    pub async fn forget_environment(&self, environment: EnvironmentId) -> Result<(), AnalyticsError> {
        self.tail.forget(environment.0);
        self.writer.forget_environment(environment.0).await
    }

    /// Removes what is too old at `now_ms`. This happens by itself, too, every ten minutes.
    pub async fn sweep(&self, now_ms: i64) -> Result<(), AnalyticsError> {
        retention::sweep(&self.store, &self.writer, &self.settings, now_ms).await
    }

    /// What was taken in since the start.
    pub fn figures(&self) -> IngestFigures {
        let shared = self.writer.shared();
        IngestFigures {
            batches_stored: shared.batches_stored.load(Ordering::Relaxed),
            batches_known: shared.batches_known.load(Ordering::Relaxed),
            batches_set_aside: shared.batches_set_aside.load(Ordering::Relaxed),
            events_unreadable: shared.events_unreadable.load(Ordering::Relaxed),
            backlog: self.backlog(),
        }
    }

    /// How many stored batches are not counted yet, about.
    pub fn backlog(&self) -> u64 {
        let newest = self.writer.shared().newest.load(Ordering::Acquire);
        newest.saturating_sub(*self.counted.borrow()).max(0).unsigned_abs()
    }

    /// Waits until every batch that is stored now, by whichever node, is counted; false if that takes longer
    /// than `limit`.
    pub async fn wait_until_counted(&self, limit: Duration) -> bool {
        let counted = async {
            let mut told = self.counted.clone();
            let own = self.writer.shared().newest.load(Ordering::Acquire);
            let newest = batch::newest(&mut *self.read().await?).await?;
            while batch::oldest_place(&mut *self.read().await?).await?.is_some_and(|oldest| oldest <= newest)
            {
                // What another node counts is looked for.
                let _ = tokio::time::timeout(LOOK, told.changed()).await;
            }
            // Whoever counts says so a moment after it is done.
            while *told.borrow_and_update() < own {
                let _ = tokio::time::timeout(LOOK, told.changed()).await;
            }
            Ok::<_, AnalyticsError>(())
        };
        matches!(tokio::time::timeout(limit, counted).await, Ok(Ok(())))
    }

    async fn read(&self) -> Result<Reading, AnalyticsError> {
        Ok(self.store.read().await?)
    }
}

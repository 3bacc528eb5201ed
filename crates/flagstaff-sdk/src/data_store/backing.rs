//! The database behind the data set in memory, as evaluations see it.
//!
//! Everything is evaluated from memory. Before that, what an evaluation needs is read from the database
//! if it was not read lately. Memory goes first whenever the two can differ for the worse:
//!
//! - while the database does not answer, or is behind with what was received;
//! - if it holds an older version than was received;
//! - if an item is gone from it and so is its mark: it was emptied.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flagstaff_wire::stream::ItemKind;

use super::freshness::Freshness;
use super::keeper::Keeper;
use super::options::{Caching, PersistentDataStore};
use super::persistent::{PersistentStore, StoreError, StoredItem};
use super::status::DataStoreStatus;
use crate::callbacks::contained;
use crate::config::Config;
use crate::fork;
use crate::log::{Log, LogLevel};
use crate::shared::Shared;
use crate::wait::Waiting;
use crate::workers::Workers;

/// Reads from the database that may wait at the same time.
const MOST_READERS: usize = 8;

pub(crate) struct Backing {
    store: Arc<dyn PersistentStore>,
    caching: Caching,
    timeout: Duration,
    /// Whether what is received is written to the database.
    writes: bool,
    /// Whether listeners of flag changes wait until that was done.
    written_first: bool,
    /// Whether memory counts alone once a full data set was received: second-generation delivery.
    read_until_received: bool,
    log: Log,
    pub(super) readers: Workers,
    pub(super) fresh: Freshness,
    pub(crate) keeper: Keeper,
    status: Mutex<DataStoreStatus>,
    /// The status in short.
    available: AtomicBool,
    /// Whether a full data set was received: memory then has all there is.
    has_everything: AtomicBool,
    /// Whether that was in this process: what a child has from its parent may be old by the time that it
    /// could write it.
    has_received: AtomicBool,
    /// Rises when a full data set is received, and once more when that is about to be written. What was
    /// read from the database before is of another age, whatever its versions.
    age: AtomicU64,
    /// Whether the mark was seen.
    initialized: AtomicBool,
}

impl Backing {
    pub(crate) fn new(config: &Config, options: &PersistentDataStore, log: Log) -> Self {
        Self {
            store: options.store.clone(),
            caching: options.caching,
            timeout: options.timeout,
            writes: !options.read_only && !config.daemon_mode,
            written_first: options.written_first,
            read_until_received: config.data_system.is_some(),
            readers: Workers::new("flagstaff-reads", MOST_READERS, log.clone()),
            log,
            fresh: Freshness::new(options.caching),
            keeper: Keeper::default(),
            status: Mutex::new(DataStoreStatus::GOOD),
            available: AtomicBool::new(true),
            has_everything: AtomicBool::new(false),
            has_received: AtomicBool::new(false),
            age: AtomicU64::new(0),
            initialized: AtomicBool::new(false),
        }
    }

    pub(crate) fn store_name(&self) -> &str {
        self.store.name()
    }

    pub(super) fn store(&self) -> Arc<dyn PersistentStore> {
        self.store.clone()
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether the database is to have what is in memory.
    pub(super) fn is_written(&self) -> bool {
        self.writes && self.has_received.load(Ordering::Acquire)
    }

    pub(crate) fn status(&self) -> DataStoreStatus {
        let _unforked = fork::guard();
        *self.lock()
    }

    #[inline]
    pub(crate) fn is_available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    pub(crate) fn has_everything(&self) -> bool {
        self.has_everything.load(Ordering::Acquire)
    }

    /// Whether the database was seen to hold a full data set.
    pub(crate) fn is_initialized(&self) -> bool {
        self.initialized.load(Ordering::Acquire)
    }

    /// Whether evaluations need not ask the database any more.
    pub(crate) fn memory_is_enough(&self) -> bool {
        (self.read_until_received || self.caching == Caching::Forever) && self.has_everything()
    }

    /// The age of what is read from now on. Asked for before it is decided to read.
    pub(super) fn age(&self) -> u64 {
        self.age.load(Ordering::Acquire)
    }

    /// A full data set takes the place of everything in memory. Called while the data set is changed, so
    /// that what is being read from the database comes before it, or learns of it.
    pub(crate) fn receiving_everything(&self) {
        self.has_everything.store(true, Ordering::Release);
        self.has_received.store(true, Ordering::Release);
        self.age.fetch_add(1, Ordering::AcqRel);
    }

    /// A full data set was received, and is in memory. What is given waits until it was written, if it
    /// is to be.
    pub(crate) fn received_everything(&self, shared: &Arc<Shared>) -> Option<Waiting<()>> {
        self.fresh.forget_all();
        if let Some(texts) = &shared.texts {
            let keys = texts.keys();
            for (kind, keys) in [(ItemKind::Flag, &keys.0), (ItemKind::Segment, &keys.1)] {
                self.fresh.read_all(kind, keys.iter());
            }
        }
        let written = self.writes.then(|| self.keeper.write_all(shared));
        // Nothing is read any more until that was tried.
        self.age.fetch_add(1, Ordering::AcqRel);
        written
    }

    /// What listeners of flag changes wait for, and how long: until what was received so far was written, or
    /// could not be. None if they need not.
    pub(crate) fn written_first(&self, shared: &Arc<Shared>) -> Option<(Waiting<()>, Duration)> {
        if !self.written_first || !self.is_written() {
            return None;
        }
        self.keeper.tried(shared).map(|tried| (tried, self.timeout))
    }

    /// Items were received, and are in memory. `in_order` has them written whatever their versions.
    pub(crate) fn received(&self, shared: &Arc<Shared>, items: Vec<StoredItem>, in_order: bool) {
        if !self.is_written() {
            return;
        }
        if in_order {
            // A database compares versions: only a full data set goes past that.
            drop(self.keeper.write_all(shared));
        } else {
            items.iter().for_each(|item| self.fresh.read(item.kind, &item.key));
            self.keeper.write(shared, items);
        }
    }

    /// The client begins in this process. Whoever asks whether it is initialized does not wait for the
    /// database to say so, and a child process watches a database that its parent lost.
    pub(crate) fn begin(&self, shared: &Arc<Shared>) {
        self.keeper.watch(shared);
    }

    /// Asks the database something, on a thread of its own; a panic in it is an error.
    pub(super) fn asks<R>(
        &self,
        ask: impl FnOnce(&dyn PersistentStore) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        contained(&self.log, "the database of flags", || ask(&*self.store))
            .unwrap_or_else(|| Err(StoreError::new("it panicked")))
    }

    /// The mark is there.
    pub(super) fn seen_initialized(&self) {
        self.initialized.store(true, Ordering::Release);
    }

    /// The database answered, and has what it should.
    pub(super) fn answered(&self, shared: &Arc<Shared>) {
        if self.is_written() {
            self.seen_initialized();
        }
        let was_available = self.is_available();
        if self.enter(shared, DataStoreStatus::GOOD) {
            // What was found missing in bad times may be there again.
            self.fresh.forget_all();
            let name = self.store_name();
            let news = if was_available { "has all flags again" } else { "answers again" };
            self.log.write(LogLevel::Info, format_args!("{name} {news}"));
        }
    }

    /// The mark was seen: whatever emptied the database, it is filled again.
    pub(super) fn found_filled(&self, shared: &Arc<Shared>) {
        if !self.writes && self.is_available() && self.status().stale {
            self.answered(shared);
        }
    }

    /// The database did not answer, or not as it should.
    pub(crate) fn failed(&self, shared: &Arc<Shared>, error: &StoreError) {
        let stale = self.is_written();
        if self.enter(shared, DataStoreStatus { available: false, stale }) {
            let name = self.store_name();
            // Of those who read the database themselves it is not known.
            let served = if self.written_first { "" } else { ", flags are served from memory" };
            self.log.write(LogLevel::Error, format_args!("{name} does not answer{served}: {error}"));
        }
        self.keeper.watch(shared);
    }

    /// The database was emptied, while memory has flags.
    pub(super) fn emptied(&self, shared: &Arc<Shared>) {
        if !self.enter(shared, DataStoreStatus { available: true, stale: true }) {
            return;
        }
        let name = self.store_name();
        if self.is_written() {
            self.log.write(
                LogLevel::Warn,
                format_args!("{name} was emptied: all flags are written to it again, from memory"),
            );
        } else {
            self.log.write(
                LogLevel::Error,
                format_args!("{name} was emptied: the flags last read from it are served"),
            );
        }
    }

    /// Reads an item again that somebody else wrote.
    pub(super) fn reread(&self, shared: &Arc<Shared>, item: &StoredItem, age: u64) -> Result<(), StoreError> {
        let text = self.asks(|store| store.get(item.kind, &item.key))?;
        let read = vec![(item.kind, item.key.clone(), text)];
        super::read::take_over(shared, self, read, age).bad.map_or(Ok(()), |bad| Err(bad.error))
    }

    /// Writes what is still to be written, until the deadline; then all threads end.
    pub(crate) fn close(&self, shared: &Arc<Shared>, deadline: Instant) {
        self.keeper.end(shared, deadline);
        self.readers.stop();
    }

    /// In a child process. The caller holds a fork guard.
    pub(crate) fn leave_parent(&self) {
        self.readers.leave_parent();
        self.keeper.leave_parent();
        self.fresh.leave_parent();
        self.has_received.store(false, Ordering::Release);
    }

    /// True if the status is a new one, which listeners are told.
    fn enter(&self, shared: &Arc<Shared>, status: DataStoreStatus) -> bool {
        let (changed, noted) = {
            let _unforked = fork::guard();
            let mut known = self.lock();
            let changed = std::mem::replace(&mut *known, status) != status;
            // Under the lock: the two say the same.
            self.available.store(status.available, Ordering::Release);
            (changed, changed && shared.store_listeners.note(status))
        };
        if noted {
            shared.store_listeners.call();
        }
        changed
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, DataStoreStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

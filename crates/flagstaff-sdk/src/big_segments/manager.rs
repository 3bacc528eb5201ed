//! Asking a database who is in big segments.
//!
//! It is asked on threads of its own, once at a time for each context, whoever and however many want
//! to know. An answer that comes late is kept for those who ask next; nobody waits for a question that
//! is overdue already, so that a database that hangs costs one time-out for each context, not one for
//! each evaluation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flagstaff_eval::BigSegmentsStatus;
use flagstaff_eval::big_segments::Membership;
use flagstaff_wire::big_segments::ContextHash;
use foldhash::HashMap;

use super::cache::Cache;
use super::options::BigSegments;
use super::status::BigSegmentStoreStatus;
use crate::data_store::StoreError;
use crate::fork;
use crate::listeners::Listeners;
use crate::log::{Log, LogLevel};
use crate::wait::{Slot, Waiting};
use crate::workers::Workers;

/// Whose code it is, for the log.
pub(super) const STORE: &str = "the database of big segments";
/// How many questions may be under way at a time.
const MOST_THREADS: usize = 8;

/// What is known of one context; none if there is nothing of it.
pub(crate) type Members = Option<Arc<Membership>>;

pub(crate) struct Manager {
    pub(super) options: BigSegments,
    pub(super) log: Log,
    pub(super) workers: Workers,
    pub(super) listeners: Arc<Listeners<BigSegmentStoreStatus>>,
    /// It did not answer when it was last asked.
    failing: AtomicBool,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    cache: Cache<Members>,
    questions: HashMap<Arc<str>, UnderWay<Members>>,
    /// None before the first poll.
    pub(super) status: Option<BigSegmentStoreStatus>,
    pub(super) poll: Option<UnderWay<BigSegmentStoreStatus>>,
}

/// A question that the database is being asked.
pub(super) struct UnderWay<T> {
    pub(super) answer: Arc<Slot<T>>,
    pub(super) since: Instant,
}

/// What is to be had of an answer.
pub(super) enum Answer<T> {
    Known(T),
    /// It is to be waited for, and for how long.
    Coming(Waiting<T>, Duration),
}

impl Manager {
    pub(crate) fn new(
        options: BigSegments,
        log: Log,
        listeners: Arc<Listeners<BigSegmentStoreStatus>>,
    ) -> Arc<Self> {
        let inner = Inner {
            cache: Cache::new(options.context_cache_size, options.context_cache_time),
            questions: HashMap::default(),
            status: None,
            poll: None,
        };
        Arc::new(Self {
            options,
            workers: Workers::new("flagstaff-big", MOST_THREADS, log.clone()),
            listeners,
            log,
            failing: AtomicBool::new(false),
            inner: Mutex::new(inner),
        })
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// The segments of the context with this key, waited for that long at most.
    pub(super) fn membership_within(
        self: &Arc<Self>,
        context_key: &str,
        patience: Duration,
    ) -> (Members, BigSegmentsStatus) {
        let since = Instant::now();
        let members = match self.ask(context_key) {
            Answer::Known(members) => Some(members),
            Answer::Coming(answer, left) => answer.wait(left.min(patience)),
        };
        // Both together take no longer than one may.
        self.judged(members, || self.status_within(patience.saturating_sub(since.elapsed())))
    }

    /// As [`Manager::membership_within`], if nothing has to be waited for.
    pub(super) fn membership_if_cached(&self, context_key: &str) -> Option<(Members, BigSegmentsStatus)> {
        let (members, status) = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            (inner.cache.get(context_key, Instant::now())?, inner.status?)
        };
        Some(self.judged(Some(members), || status))
    }

    /// As [`Manager::membership_within`], on any executor, until `late`.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        context_key: &str,
        late: &mut Waiting<()>,
    ) -> (Members, BigSegmentsStatus) {
        let members = match self.ask(context_key) {
            Answer::Known(members) => Some(members),
            Answer::Coming(answer, _) => answer.unless(late).await,
        };
        let status = match self.poll_first() {
            Answer::Known(status) => status,
            Answer::Coming(status, _) => {
                status.unless(late).await.unwrap_or(BigSegmentStoreStatus::UNAVAILABLE)
            }
        };
        self.judged(members, || status)
    }

    /// What an evaluation says of an answer; none is one that did not come.
    fn judged(
        &self,
        members: Option<Members>,
        status: impl FnOnce() -> BigSegmentStoreStatus,
    ) -> (Members, BigSegmentsStatus) {
        match members {
            Some(members) if status().stale => (members, BigSegmentsStatus::Stale),
            Some(members) => (members, BigSegmentsStatus::Healthy),
            None => {
                let timeout = self.options.timeout;
                self.failed(&StoreError::new(format_args!("there was no answer for {timeout:?}")));
                (None, BigSegmentsStatus::StoreError)
            }
        }
    }

    /// Looks into the cache, joins those who ask the same already, or asks.
    fn ask(self: &Arc<Self>, context_key: &str) -> Answer<Members> {
        let timeout = self.options.timeout;
        let (key, slot) = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            if let Some(members) = inner.cache.get(context_key, Instant::now()) {
                return Answer::Known(members);
            }
            if let Some(question) = inner.questions.get(context_key) {
                return question.join(timeout);
            }
            let key: Arc<str> = context_key.into();
            let question = UnderWay::new();
            let slot = question.answer.clone();
            inner.questions.insert(key.clone(), question);
            (key, slot)
        };
        let answer = slot.copying();
        let question = Question { manager: self.clone(), key, slot };
        let _unwaited = self.workers.run(STORE, move || question.ask());
        Answer::Coming(answer, timeout)
    }

    /// What was answered before does not count any more.
    pub(crate) fn forget(&self) {
        let _unforked = fork::guard();
        let mut inner = self.lock();
        inner.cache.clear();
        // Whoever waits for these is answered; nobody joins, and nothing of it is remembered.
        inner.questions.clear();
    }

    /// The database did not do what it was asked to: said once, until it does again.
    pub(super) fn failed(&self, error: &StoreError) {
        if !self.failing.swap(true, Ordering::AcqRel) {
            self.log.write(LogLevel::Error, format_args!("{STORE} does not answer: {error}"));
        }
    }

    pub(super) fn answered(&self) {
        if self.failing.swap(false, Ordering::AcqRel) {
            self.log.write(LogLevel::Info, format_args!("{STORE} answers again"));
        }
    }

    /// Ends the threads.
    pub(crate) fn stop(&self) {
        self.workers.stop();
    }

    /// In a child process: what is under way is the parent's; what is known is known here too. The
    /// caller holds a fork guard.
    pub(crate) fn leave_parent(&self) {
        self.workers.leave_parent();
        let mut inner = self.lock();
        std::mem::forget((std::mem::take(&mut inner.questions), inner.poll.take()));
    }

    /// The caller holds a fork guard.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> UnderWay<T> {
    pub(super) fn new() -> Self {
        Self { answer: Slot::new(), since: Instant::now() }
    }

    /// For another one who wants the answer: it waits no longer than the one who asked first.
    fn is(&self, slot: &Arc<Slot<T>>) -> bool {
        Arc::ptr_eq(&self.answer, slot)
    }

    pub(super) fn join(&self, timeout: Duration) -> Answer<T> {
        Answer::Coming(self.answer.copying(), timeout.saturating_sub(self.since.elapsed()))
    }
}

/// One question, on its way to the database. It ends however it ends: answered, failed, panicked,
/// refused or dropped.
struct Question {
    manager: Arc<Manager>,
    key: Arc<str>,
    slot: Arc<Slot<Members>>,
}

impl Question {
    fn ask(self) {
        let manager = &self.manager;
        match manager.options.store.membership(&ContextHash::of(&self.key).to_string()) {
            Ok(members) => {
                let members = members.map(Arc::new);
                {
                    let _unforked = fork::guard();
                    let mut inner = manager.lock();
                    // It may be of before something was forgotten.
                    if inner.questions.get(&self.key).is_some_and(|known| known.is(&self.slot)) {
                        inner.cache.put(self.key.clone(), members.clone(), Instant::now());
                        // From here on the cache answers, and nobody joins any more.
                        inner.questions.remove(&self.key);
                    }
                }
                manager.answered();
                self.slot.set(Some(members));
            }
            Err(error) => manager.failed(&error),
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        {
            let _unforked = fork::guard();
            let mut inner = self.manager.lock();
            // It may have ended above, and been asked anew.
            if inner.questions.get(&self.key).is_some_and(|known| known.is(&self.slot)) {
                inner.questions.remove(&self.key);
            }
        }
        self.slot.set(None);
    }
}

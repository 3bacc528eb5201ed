//! How receiving flags is going, and waiting for the first of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, SystemTime};

use crate::callbacks::Callbacks;
use crate::client::Client;
use crate::fork;
use crate::listeners::Listeners;
use crate::log::Log;
use crate::shared::Shared;
use crate::status_provider::StatusProvider;
use crate::wait::{Wakers, wait_for};

/// How receiving flags is going.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DataSourceStatus {
    /// The state.
    pub state: DataSourceState,
    /// Since when.
    pub state_since: SystemTime,
    /// What went wrong last, if anything ever did.
    pub last_error: Option<DataSourceError>,
    /// What evaluations are made from.
    pub data_availability: DataAvailability,
}

/// What evaluations are made from, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataAvailability {
    /// There are no flags: defaults are served.
    Defaults,
    /// Flags that were known before, and may have changed since: from a snapshot, a database, or a
    /// source that does not know how old they are.
    Cached,
    /// Flags that this client received from its data source.
    Refreshed,
}

/// The state of the data source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataSourceState {
    /// No full data set has come yet.
    Initializing,
    /// Flags are up to date.
    Valid,
    /// Flags are those last known; the data source is trying to get newer ones.
    Interrupted,
    /// The client was closed, or is offline. With second-generation delivery also: the service refused
    /// each source, and none is left to try again.
    Off,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DataSourceError {
    /// Of what kind it is.
    pub kind: DataSourceErrorKind,
    /// The HTTP status, if the service answered with one that is an error.
    pub status_code: Option<u16>,
    /// What happened, in words; no secrets in it.
    pub message: String,
    /// When.
    pub time: SystemTime,
}

/// Kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataSourceErrorKind {
    /// Something unexpected.
    Unknown,
    /// The service could not be reached, or the connection broke.
    NetworkError,
    /// The service answered with an error.
    ErrorResponse,
    /// What the service sent cannot be read.
    InvalidData,
    /// The flags could not be stored.
    StoreError,
}

impl DataSourceState {
    /// The wire spelling, `INITIALIZING`.
    pub fn as_str(self) -> &'static str {
        match self {
            DataSourceState::Initializing => "INITIALIZING",
            DataSourceState::Valid => "VALID",
            DataSourceState::Interrupted => "INTERRUPTED",
            DataSourceState::Off => "OFF",
        }
    }
}

impl DataSourceErrorKind {
    /// The wire spelling, `NETWORK_ERROR`.
    pub fn as_str(self) -> &'static str {
        match self {
            DataSourceErrorKind::Unknown => "UNKNOWN",
            DataSourceErrorKind::NetworkError => "NETWORK_ERROR",
            DataSourceErrorKind::ErrorResponse => "ERROR_RESPONSE",
            DataSourceErrorKind::InvalidData => "INVALID_DATA",
            DataSourceErrorKind::StoreError => "STORE_ERROR",
        }
    }
}

impl DataSourceError {
    pub(crate) fn new(kind: DataSourceErrorKind, message: String) -> Self {
        Self { kind, status_code: None, message, time: SystemTime::now() }
    }

    pub(crate) fn response(status: u16) -> Self {
        let said = match status {
            401 | 403 => " (wrong SDK key)",
            _ => "",
        };
        let message = format!("the service answered {status}{said}");
        let kind = DataSourceErrorKind::ErrorResponse;
        Self { status_code: Some(status), ..Self::new(kind, message) }
    }
}

/// The status, and whoever waits for the first data set.
pub(crate) struct StatusCell {
    inner: Mutex<Inner>,
    /// Who is told of each change of the state, and of each error.
    listeners: Arc<Listeners<DataSourceStatus>>,
}

struct Inner {
    status: DataSourceStatus,
    /// The last attempt failed in a way that time alone does not mend: waiting is of no use.
    hopeless: bool,
    waiting: Wakers,
}

impl StatusCell {
    pub(crate) fn new(offline: bool, log: Log, callbacks: Arc<Callbacks>) -> Self {
        let listeners = Listeners::new("a data source status listener", log, callbacks);
        let state = if offline { DataSourceState::Off } else { DataSourceState::Initializing };
        let status = DataSourceStatus {
            state,
            state_since: SystemTime::now(),
            last_error: None,
            data_availability: DataAvailability::Defaults,
        };
        let inner = Mutex::new(Inner { status, hopeless: false, waiting: Wakers::default() });
        Self { inner, listeners }
    }

    pub(crate) fn status(&self) -> DataSourceStatus {
        let _unforked = fork::guard();
        self.lock().status.clone()
    }

    pub(crate) fn listeners(&self) -> &Arc<Listeners<DataSourceStatus>> {
        &self.listeners
    }

    /// Nothing is wrong; this says nothing of the flags that there are.
    pub(crate) fn valid(&self) {
        self.change(|inner| {
            inner.hopeless = false;
            inner.enter(DataSourceState::Valid)
        });
    }

    /// The flags that there are were received, or are known to be those of now.
    pub(crate) fn refreshed(&self) {
        self.change(|inner| {
            inner.hopeless = false;
            let has_more = inner.has(DataAvailability::Refreshed);
            inner.enter(DataSourceState::Valid) || has_more
        });
    }

    /// There are flags, which were known before.
    pub(crate) fn cached(&self) {
        self.change(|inner| inner.has(DataAvailability::Cached));
    }

    /// An attempt failed. `hopeless` releases whoever waits for the first data set.
    pub(crate) fn failed(&self, error: DataSourceError, hopeless: bool) {
        self.change(|inner| {
            inner.status.last_error = Some(error);
            inner.hopeless = hopeless;
            if inner.status.state == DataSourceState::Valid {
                inner.enter(DataSourceState::Interrupted);
            }
            true
        });
    }

    /// What the source says for itself.
    pub(crate) fn told(&self, state: DataSourceState, error: Option<DataSourceError>) {
        self.change(|inner| {
            let is_news = error.is_some();
            inner.status.last_error = error.or_else(|| inner.status.last_error.take());
            inner.hopeless = false;
            let is_first = inner.status.state == DataSourceState::Initializing;
            let changed = match state {
                DataSourceState::Interrupted if is_first => false,
                state => inner.enter(state),
            };
            changed || is_news
        });
    }

    /// Has whoever waits look again.
    pub(crate) fn look_again(&self) {
        let woken = {
            let _unforked = fork::guard();
            self.lock().waiting.take()
        };
        woken.wake();
    }

    /// The client was closed.
    pub(crate) fn off(&self) {
        self.change(|inner| inner.enter(DataSourceState::Off));
    }

    /// In a child process: nobody of the parent's waits here. If it `begins` anew, it does so also where
    /// the parent had no source left. The caller holds a fork guard.
    pub(crate) fn leave_parent(&self, begins: bool) {
        let mut inner = self.lock();
        inner.waiting.leave_parent();
        inner.hopeless = false;
        match inner.status.state {
            DataSourceState::Valid => {
                inner.enter(DataSourceState::Interrupted);
            }
            DataSourceState::Off if begins => {
                let has_flags = inner.status.data_availability == DataAvailability::Refreshed;
                let state =
                    if has_flags { DataSourceState::Interrupted } else { DataSourceState::Initializing };
                inner.enter(state);
            }
            _ => {}
        }
        self.listeners.leave_parent();
    }

    /// Makes a change. If it says so, whoever waits is woken and listeners are told, outside the lock.
    fn change(&self, change: impl FnOnce(&mut Inner) -> bool) {
        let (woken, noted) = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            // Off is for good: what a request still brings in does not matter.
            if inner.status.state == DataSourceState::Off || !change(&mut inner) {
                return;
            }
            let noted = self.listeners.any() && self.listeners.note(inner.status.clone());
            (inner.waiting.take(), noted)
        };
        woken.wake();
        if noted {
            self.listeners.call();
        }
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// True if the state is a new one.
    fn enter(&mut self, state: DataSourceState) -> bool {
        let changed = self.status.state != state;
        if changed {
            self.status.state = state;
            self.status.state_since = SystemTime::now();
        }
        changed
    }

    /// True if there was less before.
    fn has(&mut self, availability: DataAvailability) -> bool {
        let more = self.status.data_availability < availability;
        self.status.data_availability = availability.max(self.status.data_availability);
        more
    }
}

/// Waits for the first full data set; gives whether there is one. False at once if the client is
/// closed or offline, or if the service refused it: it goes on trying, but waiting would be long.
///
/// Works on any executor.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Ready(Watching);

impl Ready {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(Watching { shared, number: None })
    }

    /// Waits on this thread, for `timeout` at most.
    pub(crate) fn wait(self, timeout: Duration) -> bool {
        let shared = self.0.shared.clone();
        // What a database holds will do if nothing else comes in time.
        wait_for(self, timeout).unwrap_or_else(|| shared.is_ready() && !shared.is_closed())
    }
}

impl Future for Ready {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<bool> {
        let shared = &self.0.shared;
        if shared.has_flags() {
            return Poll::Ready(!shared.is_closed());
        }
        let is_ready = shared.is_ready();
        self.0.poll(task, |inner| match inner.status.state {
            DataSourceState::Valid | DataSourceState::Interrupted => Some(true),
            DataSourceState::Off => Some(false),
            DataSourceState::Initializing if inner.hopeless => Some(is_ready),
            DataSourceState::Initializing => None,
        })
    }
}

/// Waits for a state; false if the client is closed, or was, and it is another.
struct Reaching {
    state: DataSourceState,
    watching: Watching,
}

impl Future for Reaching {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<bool> {
        let wanted = self.state;
        self.watching.poll(task, |inner| match inner.status.state {
            state if state == wanted => Some(true),
            DataSourceState::Off => Some(false),
            _ => None,
        })
    }
}

impl Client {
    /// How receiving flags is going, to ask, to listen to and to wait for. Listeners are told of each
    /// new state and of each error.
    pub fn data_source_status_provider(&self) -> StatusProvider<'_, DataSourceStatus> {
        StatusProvider::new(self, self.shared().status.listeners(), Client::data_source_status)
    }
}

impl StatusProvider<'_, DataSourceStatus> {
    /// Waits until the data source is in this state, for `timeout` at most. Gives whether it is; false
    /// at once if it never will be, as the client is closed.
    pub fn wait_for_state(&self, state: DataSourceState, timeout: Duration) -> bool {
        let watching = Watching { shared: self.client().shared().clone(), number: None };
        wait_for(Reaching { state, watching }, timeout).unwrap_or(false)
    }
}

/// One who waits for something of the status.
struct Watching {
    shared: Arc<Shared>,
    /// The number under which this waits, once it does.
    number: Option<u64>,
}

impl Watching {
    /// Ready with what `until` says, and woken to be asked again if it says nothing.
    fn poll(&mut self, task: &TaskContext<'_>, until: impl FnOnce(&Inner) -> Option<bool>) -> Poll<bool> {
        let waker = task.waker().clone();
        // Let go after the lock: a waker's end may be that of a task with another of these in it.
        let _replaced;
        let _unforked = fork::guard();
        let mut inner = self.shared.status.lock();
        match until(&inner) {
            Some(answer) => Poll::Ready(answer),
            None => {
                _replaced = inner.waiting.wait(&mut self.number, waker);
                Poll::Pending
            }
        }
    }
}

/// Whoever gives up waiting leaves nothing behind.
impl Drop for Watching {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        // As above.
        let _waker;
        let _unforked = fork::guard();
        _waker = self.shared.status.lock().waiting.leave(number);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::Config;

    #[test]
    fn whoever_gives_up_waiting_leaves_nothing_behind() {
        let shared = Arc::new(Shared::new(Config::new("sdk-key"), None));
        let kept = Ready::new(shared.clone());
        for _ in 0..100 {
            assert!(!Ready::new(shared.clone()).wait(Duration::from_micros(1)));
        }
        let mut kept = std::pin::pin!(kept);
        for _ in 0..2 {
            let pending = kept.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
            assert!(pending.is_pending());
        }
        assert_eq!(shared.status.lock().waiting.count(), 1);
    }
}

//! Whether a database of big segments answers, and how old what it says is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::manager::{Answer, Manager, STORE, UnderWay};
use crate::client::Client;
use crate::fork;
use crate::log::LogLevel;
use crate::status_provider::StatusProvider;
use crate::wait::Slot;

/// How the database of big segments is doing: see [`Client::big_segment_store_status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BigSegmentStoreStatus {
    /// Whether it answered when it was last asked. Without a database, false.
    pub available: bool,
    /// Whether it answered that it has not been brought up to date for longer than is configured.
    pub stale: bool,
}

impl BigSegmentStoreStatus {
    pub(crate) const UNAVAILABLE: Self = Self { available: false, stale: false };
}

impl Client {
    /// How the database of big segments is doing. Asks it, and may wait for it, if it was never asked
    /// before, which the client does when it starts.
    pub fn big_segment_store_status(&self) -> BigSegmentStoreStatus {
        match &self.shared().big_segments {
            Some(manager) => manager.status_within(manager.timeout()),
            None => BigSegmentStoreStatus::UNAVAILABLE,
        }
    }

    /// How the database of big segments is doing, to ask and to listen to.
    pub fn big_segment_store_status_provider(&self) -> StatusProvider<'_, BigSegmentStoreStatus> {
        StatusProvider::new(self, &self.shared().big_segment_listeners, Client::big_segment_store_status)
    }
}

/// Asks the database on and on whether it is up to date, on the client's own thread, which does not
/// wait for it.
pub(crate) async fn poll_until_closed(manager: Arc<Manager>) {
    loop {
        if let Answer::Coming(status, left) = manager.poll()
            && !matches!(tokio::time::timeout(left, status).await, Ok(Some(_)))
        {
            manager.enter(BigSegmentStoreStatus::UNAVAILABLE);
        }
        tokio::time::sleep(manager.options.status_poll_interval).await;
    }
}

impl Manager {
    /// The status as it was last polled; polled now, and waited for, if it never was.
    pub(super) fn status_within(self: &Arc<Self>, patience: Duration) -> BigSegmentStoreStatus {
        match self.poll_first() {
            Answer::Known(status) => status,
            Answer::Coming(status, left) => {
                status.wait(left.min(patience)).unwrap_or(BigSegmentStoreStatus::UNAVAILABLE)
            }
        }
    }

    /// Polls the status if it never was.
    pub(super) fn poll_first(self: &Arc<Self>) -> Answer<BigSegmentStoreStatus> {
        let known = {
            let _unforked = fork::guard();
            self.lock().status
        };
        known.map_or_else(|| self.poll(), Answer::Known)
    }

    /// Polls the status, unless that is under way already.
    fn poll(self: &Arc<Self>) -> Answer<BigSegmentStoreStatus> {
        let timeout = self.options.timeout;
        let slot = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            if let Some(poll) = &inner.poll {
                return poll.join(timeout);
            }
            inner.poll.insert(UnderWay::new()).answer.clone()
        };
        let answer = slot.copying();
        let poll = Poll { manager: self.clone(), slot };
        let _unwaited = self.workers.run(STORE, move || poll.ask());
        Answer::Coming(answer, timeout)
    }

    /// Notes a status; listeners are told if it is a new one.
    fn enter(&self, status: BigSegmentStoreStatus) {
        let (is_new, noted) = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            let is_new = inner.status.replace(status) != Some(status);
            (is_new, is_new && self.listeners.note(status))
        };
        if noted {
            self.listeners.call();
        }
        if is_new && status.stale && self.options.warns_when_stale {
            let age = self.options.stale_after;
            self.log.write(
                LogLevel::Warn,
                format_args!("{STORE} has not been brought up to date for {age:?} or longer"),
            );
        }
    }

    fn is_stale(&self, last_up_to_date: Option<SystemTime>) -> bool {
        // A time to come, by the clock of another machine, is not stale.
        last_up_to_date.is_none_or(|time| time.elapsed().is_ok_and(|age| age >= self.options.stale_after))
    }
}

/// One poll, on its way to the database. It ends however it ends.
struct Poll {
    manager: Arc<Manager>,
    slot: Arc<Slot<BigSegmentStoreStatus>>,
}

impl Poll {
    fn ask(self) {
        let manager = &self.manager;
        let status = match manager.options.store.last_up_to_date() {
            Ok(time) => {
                manager.answered();
                BigSegmentStoreStatus { available: true, stale: manager.is_stale(time) }
            }
            Err(error) => {
                manager.failed(&error);
                BigSegmentStoreStatus::UNAVAILABLE
            }
        };
        manager.enter(status);
        self.end();
        self.slot.set(Some(status));
    }

    /// Nobody joins any more.
    fn end(&self) {
        let _unforked = fork::guard();
        let mut inner = self.manager.lock();
        // It may have ended before, and another begun.
        if inner.poll.as_ref().is_some_and(|known| Arc::ptr_eq(&known.answer, &self.slot)) {
            inner.poll = None;
        }
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.end();
        self.slot.set(None);
    }
}

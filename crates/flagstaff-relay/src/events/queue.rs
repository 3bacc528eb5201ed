//! Payloads that wait to be forwarded, bounded for each environment and altogether.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flagstaff_service::store::EnvironmentId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Payload;

/// How much may wait altogether, in bytes.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How often it is said that there is no room.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Payloads that wait to be forwarded.
#[derive(Debug)]
pub(super) struct Queue {
    /// How many events of one environment may wait before another payload of it is refused.
    capacity: usize,
    state: Mutex<State>,
    /// Somebody may go on: there is a payload, or there will be none.
    changed: Notify,
    /// Cancelled when no more payloads come.
    over: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Payload>,
    /// Those that wait, and those that are being sent.
    events: HashMap<EnvironmentId, usize>,
    bytes: usize,
    said: Option<Instant>,
}

/// There is no room for a payload.
#[derive(Debug)]
pub(super) struct Full {
    /// How many events of its environment wait.
    pub(super) waiting: usize,
    /// Whether that was not said a moment ago.
    pub(super) is_news: bool,
}

/// A payload that is being sent. It takes up room until this is let go of.
#[derive(Debug)]
pub(super) struct Taken<'q> {
    queue: &'q Queue,
    pub(super) payload: Payload,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default(), changed: Notify::new(), over: CancellationToken::new() }
    }

    /// Takes a payload in, as long as fewer events of its environment wait than may. So there can be more than
    /// that, by one payload: one that is larger than all that may wait has to be forwarded too.
    pub(super) fn push(&self, payload: Payload) -> Result<(), Full> {
        let mut state = self.state();
        let (id, now) = (payload.environment.id(), Instant::now());
        let waiting = state.events.get(&id).copied().unwrap_or_default();
        if waiting >= self.capacity || state.bytes >= MOST_BYTES {
            let is_news = state.said.is_none_or(|said| now.duration_since(said) >= SAID_EVERY);
            if is_news {
                state.said = Some(now);
            }
            return Err(Full { waiting, is_news });
        }
        *state.events.entry(id).or_default() += payload.count;
        state.bytes += payload.body.len();
        state.waiting.push_back(payload);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The payload that waits longest; none if there will be none any more.
    pub(super) async fn next(&self) -> Option<Taken<'_>> {
        loop {
            {
                let mut state = self.state();
                if let Some(payload) = state.waiting.pop_front() {
                    if !state.waiting.is_empty() {
                        self.changed.notify_one();
                    }
                    return Some(Taken { queue: self, payload });
                }
                if self.over.is_cancelled() {
                    // Whoever waits beside this one learns of it too.
                    self.changed.notify_one();
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// No more payloads come.
    pub(super) fn finish(&self) {
        self.over.cancel();
        self.changed.notify_one();
    }

    /// Cancelled when no more payloads come: those that wait are to be sent soon.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// How many events wait, those among them that are being sent.
    pub(super) fn waiting(&self) -> usize {
        self.state().events.values().sum()
    }

    /// How many events will never be sent, if nobody sends any more.
    pub(super) fn unsent(&self) -> usize {
        self.waiting()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.bytes -= self.payload.body.len();
        let id = self.payload.environment.id();
        if let Some(events) = state.events.get_mut(&id) {
            *events -= self.payload.count;
            if *events == 0 {
                state.events.remove(&id);
            }
        }
    }
}

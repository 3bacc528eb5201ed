//! Events that wait to be sent, up to a limit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flagstaff_wire::event::Event;

/// Events that wait to be sent. Callers hold a fork guard.
pub(super) struct Queue {
    capacity: usize,
    events: Mutex<Vec<Event>>,
    /// Whether the program was told that events are lost.
    told: AtomicBool,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, events: Mutex::default(), told: AtomicBool::new(false) }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds an event. If there is no room it is lost, and the error says whether it is the first
    /// that is.
    pub(super) fn push(&self, event: Event) -> Result<(), bool> {
        let mut events = self.lock();
        if events.len() >= self.capacity {
            return Err(!self.told.swap(true, Ordering::Relaxed));
        }
        events.push(event);
        Ok(())
    }

    /// Everything that waits.
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

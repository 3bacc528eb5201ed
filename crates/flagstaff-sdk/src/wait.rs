//! Waiting for something: on any executor, or on a thread for so long.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::{fork, glue};

/// Whoever waits, each with a number by which it takes its leave.
#[derive(Default)]
pub(crate) struct Wakers {
    waiting: Vec<(u64, Waker)>,
    /// How many have waited so far.
    numbered: u64,
}

impl Wakers {
    /// Has `waker` woken at the next change, under the number that it already has, or a new one.
    /// Gives back the waker that it takes the place of, which is to be let go outside the lock: a
    /// waker's end may be that of a task that waits here too.
    pub(crate) fn wait(&mut self, number: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let number = *number.get_or_insert_with(|| {
            self.numbered += 1;
            self.numbered
        });
        match self.waiting.iter_mut().find(|(other, _)| *other == number) {
            Some((_, known)) => Some(std::mem::replace(known, waker)),
            None => {
                self.waiting.push((number, waker));
                None
            }
        }
    }

    /// Whoever gives up waiting leaves nothing behind. The waker is to be let go outside the lock.
    pub(crate) fn leave(&mut self, number: u64) -> Option<Waker> {
        let place = self.waiting.iter().position(|(other, _)| *other == number)?;
        Some(self.waiting.swap_remove(place).1)
    }

    /// Everyone who waits, to be woken outside the lock.
    pub(crate) fn take(&mut self) -> Woken {
        Woken(std::mem::take(&mut self.waiting))
    }

    /// In a child process: they belong to threads and runtimes that this process does not have.
    pub(crate) fn leave_parent(&mut self) {
        std::mem::forget(std::mem::take(&mut self.waiting));
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.waiting.len()
    }
}

/// Those who are to be woken.
#[must_use]
pub(crate) struct Woken(Vec<(u64, Waker)>);

impl Woken {
    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

/// Waits on this thread, for `timeout` at most.
pub(crate) fn wait_for<F>(mut future: F, timeout: Duration) -> Option<F::Output>
where
    F: Future<Output: Send> + Unpin + Send,
{
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut task = TaskContext::from_waker(&waker);
    // What is there already is not waited for.
    if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut task) {
        return Some(output);
    }
    let mut output = None;
    glue::while_waiting(&mut || {
        let mut task = TaskContext::from_waker(&waker);
        let started = Instant::now();
        // Wakes may be spurious; a time-out that reaches beyond the end of time does not end.
        while let Some(left) = timeout.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
            if let Poll::Ready(ready) = Pin::new(&mut future).poll(&mut task) {
                output = Some(ready);
                return;
            }
        }
    });
    output
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A place for something that comes once, or never.
pub(crate) struct Slot<T> {
    inner: Mutex<SlotInner<T>>,
}

struct SlotInner<T> {
    state: SlotState<T>,
    wakers: Wakers,
}

enum SlotState<T> {
    Empty,
    Full(T),
    /// It will never come, or was taken.
    Ended,
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Arc<Self> {
        let inner = SlotInner { state: SlotState::Empty, wakers: Wakers::default() };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    /// Puts it in, or says with none that it will never come. Only the first time counts.
    pub(crate) fn set(&self, value: Option<T>) {
        let mut next = value.map_or(SlotState::Ended, SlotState::Full);
        let woken = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            if matches!(inner.state, SlotState::Empty) {
                std::mem::swap(&mut inner.state, &mut next);
            }
            inner.wakers.take()
        };
        woken.wake();
    }

    /// For the one who takes it.
    pub(crate) fn taking(self: &Arc<Self>) -> Waiting<T> {
        Waiting { slot: self.clone(), number: None, read: SlotState::take }
    }

    /// For one of many, who get a copy each.
    pub(crate) fn copying(self: &Arc<Self>) -> Waiting<T>
    where
        T: Clone,
    {
        Waiting { slot: self.clone(), number: None, read: SlotState::copy }
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, SlotInner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> SlotState<T> {
    fn take(&mut self) -> Option<T> {
        match std::mem::replace(self, SlotState::Ended) {
            SlotState::Full(value) => Some(value),
            SlotState::Empty | SlotState::Ended => None,
        }
    }

    fn copy(&mut self) -> Option<T>
    where
        T: Clone,
    {
        match self {
            SlotState::Full(value) => Some(value.clone()),
            SlotState::Empty | SlotState::Ended => None,
        }
    }
}

/// Waits for what comes into a [`Slot`]; none if it never will. Works on any executor.
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct Waiting<T> {
    slot: Arc<Slot<T>>,
    /// The number under which this waits, once it does.
    number: Option<u64>,
    read: fn(&mut SlotState<T>) -> Option<T>,
}

impl<T> Waiting<T> {
    /// Waits on this thread, for `timeout` at most.
    pub(crate) fn wait(self, timeout: Duration) -> Option<T>
    where
        T: Send,
    {
        wait_for(self, timeout).flatten()
    }

    /// Waits until it has come, or until `late` has.
    pub(crate) async fn unless(mut self, late: &mut Waiting<()>) -> Option<T> {
        std::future::poll_fn(|task| match Pin::new(&mut self).poll(task) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Pin::new(&mut *late).poll(task).map(|_| None),
        })
        .await
    }
}

impl<T> Future for Waiting<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<T>> {
        let Self { slot, number, read } = &mut *self;
        let waker = task.waker().clone();
        // Let go after the lock.
        let _replaced;
        let _unforked = fork::guard();
        let mut inner = slot.lock();
        match inner.state {
            SlotState::Empty => {
                _replaced = inner.wakers.wait(number, waker);
                Poll::Pending
            }
            SlotState::Full(_) | SlotState::Ended => Poll::Ready(read(&mut inner.state)),
        }
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        // As above.
        let _waker;
        let _unforked = fork::guard();
        _waker = self.slot.lock().wakers.leave(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn whoever_gives_up_waiting_leaves_nothing_behind() {
        let slot = Slot::<u8>::new();
        for _ in 0..100 {
            assert_eq!(slot.copying().wait(SOON / 10), None);
        }
        assert_eq!(slot.lock().wakers.count(), 0);
    }

    #[test]
    fn what_has_come_is_taken_once_and_copied_often() {
        let slot = Slot::new();
        std::thread::scope(|scope| {
            let waiting = [slot.copying(), slot.copying()];
            let threads = waiting.map(|one| scope.spawn(|| one.wait(Duration::from_secs(60))));
            slot.set(Some(1));
            slot.set(Some(2));
            assert_eq!(threads.map(|thread| thread.join().unwrap()), [Some(1), Some(1)]);
        });
        assert_eq!(slot.taking().wait(SOON), Some(1));
        assert_eq!(slot.taking().wait(SOON), None);
    }

    #[test]
    fn what_will_never_come_is_not_waited_for() {
        let slot = Slot::<u8>::new();
        slot.set(None);
        assert_eq!(slot.copying().wait(Duration::MAX), None);
    }
}

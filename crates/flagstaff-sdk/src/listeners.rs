//! Listeners of one kind, and what they are still to be told.
//!
//! They are called one after the other on the client's callback thread, under no lock, in the order
//! in which things happened. What they are told of is bounded: to one that hangs, the oldest things
//! are told, and those at the end as one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::callbacks::{Callbacks, contained};
use crate::fork;
use crate::log::Log;

/// So many things wait to be told; more are told as one.
const MOST_PENDING: usize = 100;
/// As much as they may weigh together: to a listener that takes its time, whole data sets may come again
/// and again.
const MOST_WEIGHT: usize = 20_000;

/// The name under which a listener was added, by which it can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

impl ListenerId {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        Self(COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What listeners are told.
pub(crate) trait News: Send + 'static {
    /// Makes one of this and of what came after it.
    fn merge(&mut self, later: Self);

    /// What keeping it costs: about as many small things.
    fn weight(&self) -> usize {
        1
    }
}

/// Of two states, the later one counts.
macro_rules! latest_counts {
    ($($status:ty),*) => {$(
        impl News for $status {
            fn merge(&mut self, later: Self) {
                *self = later;
            }
        }
    )*};
}

latest_counts!(
    crate::data_source::DataSourceStatus,
    crate::data_store::DataStoreStatus,
    crate::big_segments::BigSegmentStoreStatus
);

type Listener<T> = Arc<dyn Fn(&T) + Send + Sync>;

pub(crate) struct Listeners<T> {
    /// Whose code they are, for the log: "a flag change listener".
    what: &'static str,
    log: Log,
    callbacks: Arc<Callbacks>,
    /// Whether there are any.
    any: AtomicBool,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    listeners: Vec<(ListenerId, Listener<T>)>,
    /// One call waits, or is being sent, for each of these.
    pending: VecDeque<T>,
    /// The client was closed: nothing is told any more, and nobody is kept.
    ended: bool,
}

impl<T: News> Listeners<T> {
    pub(crate) fn new(what: &'static str, log: Log, callbacks: Arc<Callbacks>) -> Arc<Self> {
        let inner = Inner { listeners: Vec::new(), pending: VecDeque::new(), ended: false };
        Arc::new(Self { what, log, callbacks, any: AtomicBool::new(false), inner: Mutex::new(inner) })
    }

    /// Whether anybody listens.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Once the client was closed there is nothing to be told of, and the listener is let go at once.
    pub(crate) fn add(&self, listener: impl Fn(&T) + Send + Sync + 'static) -> ListenerId {
        let listener: Listener<T> = Arc::new(listener);
        let id = ListenerId::new();
        // A listener's end may be that of a client: not under the lock.
        let _too_late;
        let _unforked = fork::guard();
        let mut inner = self.lock();
        if inner.ended {
            _too_late = listener;
        } else {
            inner.listeners.push((id, listener));
            self.any.store(true, Ordering::Relaxed);
        }
        id
    }

    /// False if there is no such listener, or not any more.
    pub(crate) fn remove(&self, id: ListenerId) -> bool {
        // A listener's end may be that of a client: it is let go outside the lock.
        let removed = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            let place = inner.listeners.iter().position(|(other, _)| *other == id);
            let removed = place.map(|place| inner.listeners.remove(place));
            self.any.store(!inner.ended && !inner.listeners.is_empty(), Ordering::Relaxed);
            removed
        };
        removed.is_some()
    }

    /// Lets all listeners go once they were told what they still are to be told: they may hold the
    /// client, which holds them.
    pub(crate) fn end(self: &Arc<Self>) {
        {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            if std::mem::replace(&mut inner.ended, true) || inner.listeners.is_empty() {
                return;
            }
            // Nothing more is noted: it would be told on another thread than what was noted before.
            self.any.store(false, Ordering::Relaxed);
        }
        let this = self.clone();
        self.callbacks.call(self.what, move || {
            let gone = {
                let _unforked = fork::guard();
                std::mem::take(&mut this.lock().listeners)
            };
            drop(gone);
        });
    }

    /// Notes something that listeners are to be told. True if [`Listeners::call`] is to follow, once
    /// all locks are given back. The caller holds a fork guard, and whatever lock keeps the order of
    /// what happens.
    #[must_use]
    pub(crate) fn note(&self, news: T) -> bool {
        if !self.any() {
            return false;
        }
        let mut inner = self.lock();
        if inner.ended {
            return false;
        }
        let weight = inner.pending.iter().map(News::weight).sum::<usize>() + news.weight();
        if inner.pending.is_empty() || (inner.pending.len() < MOST_PENDING && weight <= MOST_WEIGHT) {
            inner.pending.push_back(news);
            return true;
        }
        if let Some(last) = inner.pending.back_mut() {
            last.merge(news);
        }
        false
    }

    /// Has the listeners told what was noted.
    pub(crate) fn call(self: &Arc<Self>) {
        let this = self.clone();
        self.callbacks.call(self.what, move || this.tell());
    }

    /// In a child process, which keeps the listeners: what they were still to be told is told by the
    /// parent. The caller holds a fork guard.
    pub(crate) fn leave_parent(&self) {
        std::mem::forget(std::mem::take(&mut self.lock().pending));
    }

    /// Tells what was noted first.
    fn tell(&self) {
        let (news, listeners) = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            let Some(news) = inner.pending.pop_front() else { return };
            (news, inner.listeners.clone())
        };
        for (id, listener) in &listeners {
            // Another one may have removed it.
            if self.has(*id) {
                contained(&self.log, self.what, || listener(&news));
            }
        }
    }

    fn has(&self, id: ListenerId) -> bool {
        let _unforked = fork::guard();
        self.lock().listeners.iter().any(|(other, _)| *other == id)
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Said(Vec<usize>);

    impl News for Said {
        fn merge(&mut self, later: Self) {
            self.0.extend(later.0);
        }

        fn weight(&self) -> usize {
            self.0[0].max(1)
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    fn listeners() -> Arc<Listeners<Said>> {
        let log = Log::new(None);
        Listeners::new("a test", log.clone(), Arc::new(Callbacks::new(log)))
    }

    fn say(listeners: &Arc<Listeners<Said>>, number: usize) {
        let told = {
            let _unforked = fork::guard();
            listeners.note(Said(vec![number]))
        };
        if told {
            listeners.call();
        }
    }

    #[test]
    fn a_listener_that_hangs_keeps_a_bounded_number_of_things_and_misses_none() {
        let listeners = listeners();
        let (sender, heard) = channel();
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        listeners.add(move |said: &Said| {
            let _ = released.lock().unwrap().recv();
            sender.send(said.0.clone()).unwrap();
        });
        for number in 0..1_000 {
            say(&listeners, number);
        }
        assert!(listeners.lock().pending.len() <= MOST_PENDING);
        drop(release);
        let mut all = Vec::new();
        while all.len() < 1_000 {
            all.extend(heard.recv_timeout(PATIENCE).unwrap());
        }
        assert_eq!(all, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn things_that_weigh_much_are_told_as_one_sooner() {
        let listeners = listeners();
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        listeners.add(move |_| {
            let _ = released.lock().unwrap().recv();
        });
        say(&listeners, 1);
        while !listeners.lock().pending.is_empty() {
            std::thread::yield_now();
        }
        for _ in 0..50 {
            say(&listeners, MOST_WEIGHT / 2);
        }
        assert_eq!(listeners.lock().pending.len(), 2);
        say(&listeners, MOST_WEIGHT * 2);
        assert_eq!(listeners.lock().pending.len(), 2, "not one more, however much it weighs");
        drop(release);
    }

    #[test]
    fn after_the_end_nothing_is_told_and_nobody_is_kept() {
        let listeners = listeners();
        let (sender, heard) = channel();
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let first = sender.clone();
        listeners.add(move |said: &Said| {
            let _ = released.lock().unwrap().recv();
            first.send((said.0[0], std::thread::current().id())).unwrap();
        });
        say(&listeners, 1);
        say(&listeners, 2);
        listeners.end();
        listeners.callbacks.stop();
        // As a thread does that has not noticed yet. It must not be told elsewhere, before the others.
        say(&listeners, 3);
        let kept = Arc::new(());
        let witness = Arc::downgrade(&kept);
        listeners.add(move |_| drop(kept.clone()));
        assert!(witness.upgrade().is_none(), "who comes too late is let go at once");
        assert!(!listeners.any());
        drop((release, sender));
        let told: Vec<_> = heard.iter().collect();
        assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(told[0].1, told[1].1, "on one thread");
    }

    #[test]
    fn one_that_panics_or_removes_another_is_contained() {
        let listeners = listeners();
        let (sender, heard) = channel();
        let to_remove = Arc::new(Mutex::new(None));
        let (all, removed) = (listeners.clone(), to_remove.clone());
        listeners.add(move |_| {
            if let Some(id) = removed.lock().unwrap().take() {
                assert!(all.remove(id));
                assert!(!all.remove(id));
            }
            panic!("on purpose");
        });
        let unwanted = sender.clone();
        let id = listeners.add(move |_| unwanted.send("removed").unwrap());
        *to_remove.lock().unwrap() = Some(id);
        listeners.add(move |_| sender.send("kept").unwrap());
        say(&listeners, 1);
        assert_eq!(heard.recv_timeout(PATIENCE), Ok("kept"));
        listeners.end();
        assert!(heard.recv_timeout(PATIENCE).is_err(), "all listeners were let go");
    }
}

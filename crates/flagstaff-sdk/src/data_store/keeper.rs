//! Keeps a database up to date, and watches it: on a thread of its own, which waits for it.
//!
//! | What happens | What is done |
//! |---|---|
//! | a full data set was received | everything is replaced |
//! | an item was received | written, unless the database has a newer one, which is then taken over |
//! | the database lost its mark (it was emptied) | everything is written again from memory |
//! | nothing was received yet | its mark is looked for: the flags in it will do meanwhile |
//! | it does not answer | it is asked twice a second until it does; then what others wrote meanwhile, and is newer, is taken over, and everything is written |
//! | it answers but cannot be written | tried again after a second, then less and less often, up to 30 s |
//!
//! The thread is started when there is something to do, and holds the client only while it works.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use flagstaff_wire::stream::ItemKind;
use foldhash::HashSet;

use super::backing::Backing;
use super::persistent::{StoreError, StoredItem};
use super::read::take_over;
use crate::fork;
use crate::log::LogLevel;
use crate::shared::Shared;
use crate::wait::{Slot, Waiting};

/// How often a database that does not answer is asked again.
const RETRY: Duration = Duration::from_millis(500);
/// The longest pause between attempts to write everything to a database that answers.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How often the mark is looked for while all is well.
const WATCH: Duration = Duration::from_secs(4);
/// With more items than this waiting, everything is written instead.
const MOST_ITEMS: usize = 10_000;

/// What the thread is to do, and the way to wake it.
#[derive(Default)]
pub(crate) struct Keeper {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// None before there is anything to do, and after the end.
    wake: Option<SyncSender<()>>,
    ended: bool,
    work: Work,
    /// What was taken out of `work` is still being written.
    writing: bool,
}

/// What is to be written.
#[derive(Default)]
struct Work {
    everything: bool,
    items: Vec<StoredItem>,
    /// Told once it was tried.
    waiting: Vec<Arc<Slot<()>>>,
}

impl Work {
    fn is_empty(&self) -> bool {
        !self.everything && self.items.is_empty()
    }
}

impl Keeper {
    /// Has everything written from memory. What is given waits until that was tried.
    pub(crate) fn write_all(&self, shared: &Arc<Shared>) -> Waiting<()> {
        let tried = Slot::new();
        let waiting = tried.taking();
        self.add(shared, |work| {
            work.everything = true;
            work.items.clear();
            // While a database hangs, data sets may come again and again that nobody waits for.
            work.waiting.retain(|slot| Arc::strong_count(slot) > 1);
            work.waiting.push(tried);
        });
        waiting
    }

    /// Has some items written.
    pub(crate) fn write(&self, shared: &Arc<Shared>, items: Vec<StoredItem>) {
        self.add(shared, |work| {
            if !work.everything {
                work.items.extend(items);
            }
            if work.items.len() > MOST_ITEMS {
                work.everything = true;
                work.items.clear();
            }
        });
    }

    /// Has the database watched: it did not answer, or it is not known yet whether it has flags.
    pub(crate) fn watch(&self, shared: &Arc<Shared>) {
        self.add(shared, |_| {});
    }

    /// Whether something is still to be written: until then memory knows better.
    pub(crate) fn is_behind(&self) -> bool {
        let _unforked = fork::guard();
        let inner = self.lock();
        inner.writing || !inner.work.is_empty()
    }

    /// What comes once what is to be written now was tried; none if there is nothing.
    pub(crate) fn tried(&self, shared: &Arc<Shared>) -> Option<Waiting<()>> {
        if !self.is_behind() {
            return None;
        }
        let tried = Slot::new();
        let waiting = tried.taking();
        self.add(shared, |work| work.waiting.push(tried));
        Some(waiting)
    }

    /// Waits until what is to be written was tried, for so long at most; then lets the thread end.
    pub(crate) fn end(&self, shared: &Arc<Shared>, deadline: Instant) {
        if let Some(tried) = self.tried(shared) {
            tried.wait(deadline.saturating_duration_since(Instant::now()));
        }
        let _unforked = fork::guard();
        let mut inner = self.lock();
        inner.ended = true;
        inner.wake = None;
    }

    /// In a child process: the thread and what waits for it are the parent's. The caller holds a fork
    /// guard.
    pub(crate) fn leave_parent(&self) {
        let mut inner = self.lock();
        let ended = inner.ended;
        std::mem::forget(std::mem::replace(&mut *inner, Inner { ended, ..Inner::default() }));
    }

    fn add(&self, shared: &Arc<Shared>, add: impl FnOnce(&mut Work)) {
        let started = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            if inner.ended {
                return;
            }
            add(&mut inner.work);
            match &inner.wake {
                Some(wake) => {
                    // It ends with the sender, and no sooner. If it is full, it is about to wake.
                    let _ = wake.try_send(());
                    Ok(())
                }
                None => start(shared).map(|wake| inner.wake = Some(wake)),
            }
        };
        if let Err(error) = started {
            shared.log.once(
                LogLevel::Error,
                format_args!("no thread could be started for the database of flags: {error}"),
            );
        }
    }

    /// What there is to do now.
    fn take(&self) -> Work {
        let mut work = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            inner.writing = !inner.work.is_empty();
            std::mem::take(&mut inner.work)
        };
        work.items = latest(std::mem::take(&mut work.items));
        work
    }

    fn done(&self) {
        let _unforked = fork::guard();
        self.lock().writing = false;
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(shared: &Arc<Shared>) -> std::io::Result<SyncSender<()>> {
    // Woken more than once is woken.
    let (wake, woken) = sync_channel(1);
    let _ = wake.try_send(());
    let shared = Arc::downgrade(shared);
    std::thread::Builder::new().name("flagstaff-store".to_owned()).spawn(move || run(&shared, &woken))?;
    Ok(wake)
}

fn run(shared: &Weak<Shared>, woken: &Receiver<()>) {
    let mut pause = WATCH;
    // When everything may be written next to a database that did not take it.
    let mut patience = Patience::default();
    loop {
        match woken.recv_timeout(pause) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(shared) = shared.upgrade() else { return };
        let Some(backing) = &shared.backing else { return };
        let work = backing.keeper.take();
        keep(&shared, backing, &work, &mut patience);
        backing.keeper.done();
        work.waiting.iter().for_each(|tried| tried.set(Some(())));
        pause = if backing.is_available() { WATCH } else { RETRY };
    }
}

/// Each item once, as it came last: with a database that is slower than changes come, what is written must
/// not fall further and further behind.
fn latest(items: Vec<StoredItem>) -> Vec<StoredItem> {
    let mut seen = HashSet::default();
    let mut latest: Vec<_> =
        items.into_iter().rev().filter(|item| seen.insert((item.kind, item.key.clone()))).collect();
    latest.reverse();
    latest
}

/// How long a database that answers but cannot be written is left alone.
#[derive(Default)]
struct Patience {
    failures: u32,
    until: Option<Instant>,
    /// A full data set has come that the database does not have: what it has does not matter.
    owes_everything: bool,
}

impl Patience {
    fn failed(&mut self) {
        self.failures += 1;
        let pause = RETRY.saturating_mul(1 << self.failures.min(10)).min(LONGEST_RETRY);
        self.until = Some(Instant::now() + pause);
    }

    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }
}

/// Does what there is to do, and looks after the database if there is nothing.
fn keep(shared: &Arc<Shared>, backing: &Backing, work: &Work, patience: &mut Patience) {
    let was_available = backing.is_available();
    patience.owes_everything |= work.everything;
    if !was_available && !backing.asks(|store| Ok(store.is_available())).unwrap_or(false) {
        return;
    }
    if !backing.is_written() {
        if !was_available {
            backing.answered(shared);
        }
        if !backing.is_initialized() {
            match backing.asks(|store| store.is_initialized()) {
                Ok(true) => backing.seen_initialized(),
                Ok(false) => {}
                Err(error) => backing.failed(shared, &error),
            }
        }
        return;
    }
    if !was_available && !patience.is_over() {
        return;
    }
    let kept = if patience.owes_everything {
        refill(shared, backing)
    } else {
        match backing.asks(|store| store.is_initialized()) {
            Ok(true) if was_available => write(shared, backing, &work.items),
            Ok(true) => {
                take_over_newer(shared, backing);
                refill(shared, backing)
            }
            Ok(false) => {
                if was_available {
                    backing.emptied(shared);
                }
                refill(shared, backing)
            }
            Err(error) => Err(error),
        }
    };
    match kept {
        Ok(()) => {
            *patience = Patience::default();
            backing.answered(shared);
        }
        Err(error) => {
            patience.failed();
            backing.failed(shared, &error);
        }
    }
}

/// Takes over what others wrote while the database did not answer here: it may be this process alone that
/// could not reach it, nor the service, and then its flags are the older ones.
fn take_over_newer(shared: &Shared, backing: &Backing) {
    let age = backing.age();
    for kind in [ItemKind::Segment, ItemKind::Flag] {
        // What cannot be read is older than anything: a good item takes its place.
        let Ok(items) = backing.asks(|store| store.all(kind)) else { continue };
        let items = items.into_iter().map(|(key, text)| (kind, key.into(), Some(text))).collect();
        take_over(shared, backing, items, age);
    }
}

fn refill(shared: &Shared, backing: &Backing) -> Result<(), StoreError> {
    let items = match &shared.texts {
        Some(texts) => texts.in_order(&shared.data.snapshot()),
        None => return Ok(()),
    };
    backing.asks(move |store| store.init(&items))
}

fn write(shared: &Arc<Shared>, backing: &Backing, items: &[StoredItem]) -> Result<(), StoreError> {
    for item in items {
        let age = backing.age();
        if !backing.asks(|store| store.upsert(item))? {
            // Somebody else had it sooner, and newer.
            backing.reread(shared, item, age)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_changed_again_meanwhile_is_written_once() {
        let item = |key: &str, version| StoredItem::tombstone(ItemKind::Flag, key, version);
        let segment = StoredItem::tombstone(ItemKind::Segment, "a", 9);
        let items =
            vec![item("a", 1), item("b", 1), segment.clone(), item("a", 2), item("c", 1), item("a", 3)];
        assert_eq!(latest(items), [item("b", 1), segment, item("c", 1), item("a", 3)]);
    }
}

//! Which items were read from a database lately.

use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use flagstaff_wire::stream::ItemKind;
use foldhash::HashMap;

use super::options::Caching;
use crate::fork;
use crate::wait::{Slot, Waiting};

/// More keys than this are not remembered: a program that asks for ever new flags that do not exist
/// must not fill memory.
const MOST_KEYS: usize = 100_000;

/// When each item was read, and all of a kind.
pub(super) struct Freshness {
    caching: Caching,
    items: [RwLock<HashMap<Arc<str>, Instant>>; 2],
    all: Mutex<[Option<Instant>; 2]>,
    /// What is being read at this moment, and who is told whether it was.
    under_way: Mutex<UnderWay>,
}

type UnderWay = HashMap<(ItemKind, Arc<str>), Arc<Slot<bool>>>;

/// Who is to read an item.
pub(super) enum Begun {
    /// This caller, who says when the read is over.
    Here,
    /// Another one is at it. What is given says whether that came to something; nothing if the other
    /// gave up.
    Elsewhere(Waiting<bool>),
}

impl Freshness {
    pub(super) fn new(caching: Caching) -> Self {
        Self { caching, items: Default::default(), all: Mutex::default(), under_way: Mutex::default() }
    }

    /// Whether the item, or its absence, is known well enough.
    pub(super) fn is_fresh(&self, kind: ItemKind, key: &str) -> bool {
        self.is_fresh_for(kind, key, Duration::ZERO)
    }

    /// Whether that will be so for a while.
    pub(super) fn is_fresh_for(&self, kind: ItemKind, key: &str, a_while: Duration) -> bool {
        if self.caching == Caching::Off {
            return false;
        }
        let _unforked = fork::guard();
        let items = self.items[place(kind)].read().unwrap_or_else(PoisonError::into_inner);
        items.get(key).is_some_and(|read| self.is_recent(*read, a_while))
    }

    /// The item was read just now.
    pub(super) fn read(&self, kind: ItemKind, key: &Arc<str>) {
        if self.caching == Caching::Off {
            return;
        }
        let _unforked = fork::guard();
        let mut items = self.items[place(kind)].write().unwrap_or_else(PoisonError::into_inner);
        if items.len() >= MOST_KEYS {
            items.clear();
        }
        items.insert(key.clone(), Instant::now());
    }

    /// Whether all of a kind were read lately.
    pub(super) fn all_fresh(&self, kind: ItemKind) -> bool {
        let _unforked = fork::guard();
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        self.caching != Caching::Off
            && all[place(kind)].is_some_and(|read| self.is_recent(read, Duration::ZERO))
    }

    /// All of a kind were read just now: these.
    pub(super) fn read_all<'k>(&self, kind: ItemKind, keys: impl Iterator<Item = &'k Arc<str>>) {
        if self.caching == Caching::Off {
            return;
        }
        let now = Instant::now();
        let _unforked = fork::guard();
        let mut items = self.items[place(kind)].write().unwrap_or_else(PoisonError::into_inner);
        items.extend(keys.map(|key| (key.clone(), now)));
        self.all.lock().unwrap_or_else(PoisonError::into_inner)[place(kind)] = Some(now);
    }

    /// Says who is to read an item: of those who want it at the same moment only one asks.
    pub(super) fn begin(&self, kind: ItemKind, key: &Arc<str>) -> Begun {
        let _unforked = fork::guard();
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.entry((kind, key.clone())) {
            Entry::Occupied(known) => Begun::Elsewhere(known.get().copying()),
            Entry::Vacant(place) => {
                place.insert(Slot::new());
                Begun::Here
            }
        }
    }

    /// The read is over, one way or another; `read` if it is in memory, or known not to be there.
    pub(super) fn end(&self, kind: ItemKind, key: &Arc<str>, read: bool) {
        let ended = {
            let _unforked = fork::guard();
            self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&(kind, key.clone()))
        };
        if let Some(ended) = ended {
            ended.set(Some(read));
        }
    }

    /// Everything is to be read anew.
    pub(super) fn forget_all(&self) {
        let _unforked = fork::guard();
        for items in &self.items {
            items.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
        *self.all.lock().unwrap_or_else(PoisonError::into_inner) = [None; 2];
    }

    /// In a child process: nobody here reads what the parent began to. The caller holds a fork guard.
    pub(super) fn leave_parent(&self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(std::mem::take(&mut *under_way));
    }

    /// Now, and for a while.
    fn is_recent(&self, read: Instant, a_while: Duration) -> bool {
        match self.caching {
            Caching::Off => false,
            Caching::For(time) => read.elapsed().saturating_add(a_while) < time,
            Caching::Forever => true,
        }
    }
}

fn place(kind: ItemKind) -> usize {
    match kind {
        ItemKind::Flag => 0,
        ItemKind::Segment => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_item_is_fresh_for_as_long_as_the_cache_keeps_it() {
        let key: Arc<str> = "f".into();
        for (caching, at_once, later) in [
            (Caching::Off, false, false),
            (Caching::For(Duration::from_millis(30)), true, false),
            (Caching::Forever, true, true),
        ] {
            let fresh = Freshness::new(caching);
            assert!(!fresh.is_fresh(ItemKind::Flag, &key));
            fresh.read(ItemKind::Flag, &key);
            assert_eq!(fresh.is_fresh(ItemKind::Flag, &key), at_once, "{caching:?}");
            assert!(!fresh.is_fresh(ItemKind::Segment, &key));
            std::thread::sleep(Duration::from_millis(40));
            assert_eq!(fresh.is_fresh(ItemKind::Flag, &key), later, "{caching:?}");
        }
    }
}

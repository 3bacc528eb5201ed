//! Which items were read from a database lately.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use flagstaff_wire::stream::ItemKind;
use foldhash::{HashMap, HashSet};

use super::options::Caching;
use crate::fork;

/// More keys than this are not remembered: a program that asks for ever new flags that do not exist
/// must not fill memory.
const MOST_KEYS: usize = 100_000;

/// When each item was read, and all of a kind.
pub(super) struct Freshness {
    caching: Caching,
    items: [RwLock<HashMap<Arc<str>, Instant>>; 2],
    all: Mutex<[Option<Instant>; 2]>,
    /// What is being read at this moment.
    under_way: Mutex<HashSet<(ItemKind, Arc<str>)>>,
}

impl Freshness {
    pub(super) fn new(caching: Caching) -> Self {
        Self { caching, items: Default::default(), all: Mutex::default(), under_way: Mutex::default() }
    }

    /// Whether the item, or its absence, is known well enough.
    pub(super) fn is_fresh(&self, kind: ItemKind, key: &str) -> bool {
        if self.caching == Caching::Off {
            return false;
        }
        let _unforked = fork::guard();
        let items = self.items[place(kind)].read().unwrap_or_else(PoisonError::into_inner);
        items.get(key).is_some_and(|read| self.is_recent(*read))
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
        self.caching != Caching::Off && all[place(kind)].is_some_and(|read| self.is_recent(read))
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

    /// Whether it is this caller who is to read the item: nobody else is at it.
    pub(super) fn begin(&self, kind: ItemKind, key: &Arc<str>) -> bool {
        let _unforked = fork::guard();
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, key.clone()))
    }

    /// The read is over, one way or another.
    pub(super) fn end(&self, kind: ItemKind, key: &Arc<str>) {
        let _unforked = fork::guard();
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&(kind, key.clone()));
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
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn is_recent(&self, read: Instant) -> bool {
        match self.caching {
            Caching::Off => false,
            Caching::For(time) => read.elapsed() < time,
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

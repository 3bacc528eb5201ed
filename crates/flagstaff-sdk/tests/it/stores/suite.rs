//! The checks of the SDK, on an implementation of the trait that is known to be right: they pass what
//! is right, and each thing that may be wrong is found.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagstaff_sdk::testing::check_persistent_store;
use flagstaff_sdk::{ItemKind, PersistentStore, StoreError, StoredItem};

type Items = HashMap<(ItemKind, String), StoredItem>;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    KeepsWhatIsGone,
    WritesWhatIsOlder,
    WritesTheSameVersion,
    ForgetsTheMark,
    HidesTombstones,
    FoldsCase,
    LeavesOutTheLast,
    SharesPrefixes,
    ComparesTooEarly,
}

#[derive(Clone)]
struct InMemory {
    fault: Fault,
    kept: Arc<Mutex<(Items, bool)>>,
}

impl InMemory {
    fn key(&self, kind: ItemKind, key: &str) -> (ItemKind, String) {
        (kind, if self.fault == Fault::FoldsCase { key.to_lowercase() } else { key.to_owned() })
    }

    fn hidden(&self, item: &StoredItem) -> bool {
        self.fault == Fault::HidesTombstones && item.json.contains("deleted\":true")
    }
}

impl PersistentStore for InMemory {
    fn name(&self) -> &str {
        "memory"
    }

    fn init(&self, items: &[StoredItem]) -> Result<(), StoreError> {
        let mut kept = self.kept.lock().unwrap();
        if self.fault != Fault::KeepsWhatIsGone {
            kept.0.clear();
        }
        let left_out = usize::from(self.fault == Fault::LeavesOutTheLast && items.len() > 64);
        for item in &items[..items.len() - left_out] {
            kept.0.insert(self.key(item.kind, &item.key), item.clone());
        }
        kept.1 = self.fault != Fault::ForgetsTheMark;
        Ok(())
    }

    fn get(&self, kind: ItemKind, key: &str) -> Result<Option<Arc<str>>, StoreError> {
        let kept = self.kept.lock().unwrap();
        let found = kept.0.get(&self.key(kind, key)).filter(|item| !self.hidden(item));
        Ok(found.map(|item| item.json.clone()))
    }

    fn all(&self, kind: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError> {
        let kept = self.kept.lock().unwrap();
        let found = kept.0.values().filter(|item| item.kind == kind && !self.hidden(item));
        Ok(found.map(|item| (item.key.to_string(), item.json.clone())).collect())
    }

    fn upsert(&self, item: &StoredItem) -> Result<bool, StoreError> {
        let key = self.key(item.kind, &item.key);
        let stored = self.kept.lock().unwrap().0.get(&key).map(|stored| stored.version);
        if self.fault == Fault::ComparesTooEarly {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut kept = self.kept.lock().unwrap();
        let stored = match self.fault {
            Fault::ComparesTooEarly => stored,
            _ => kept.0.get(&key).map(|stored| stored.version),
        };
        let is_newer = stored.is_none_or(|stored| match self.fault {
            Fault::WritesWhatIsOlder => true,
            Fault::WritesTheSameVersion => item.version >= stored,
            _ => item.version > stored,
        });
        if is_newer {
            kept.0.insert(key, item.clone());
        }
        Ok(is_newer)
    }

    fn is_initialized(&self) -> Result<bool, StoreError> {
        Ok(self.kept.lock().unwrap().1)
    }
}

fn check(fault: Fault) {
    let databases = Mutex::new(HashMap::<String, InMemory>::new());
    check_persistent_store(|prefix| {
        let prefix = if fault == Fault::SharesPrefixes { "" } else { prefix };
        let mut databases = databases.lock().unwrap();
        let new = || InMemory { fault, kept: Arc::default() };
        databases.entry(prefix.to_owned()).or_insert_with(new).clone()
    });
}

#[test]
fn a_store_that_is_right_passes() {
    check(Fault::None);
}

#[test]
fn a_store_that_is_wrong_is_found_out() {
    for fault in [
        Fault::KeepsWhatIsGone,
        Fault::WritesWhatIsOlder,
        Fault::WritesTheSameVersion,
        Fault::ForgetsTheMark,
        Fault::HidesTombstones,
        Fault::FoldsCase,
        Fault::LeavesOutTheLast,
        Fault::SharesPrefixes,
        Fault::ComparesTooEarly,
    ] {
        // On a busy machine two writers may fail to meet.
        let found = (0..50).any(|_| catch_unwind(AssertUnwindSafe(|| check(fault))).is_err());
        assert!(found, "{fault:?} was not found");
    }
}

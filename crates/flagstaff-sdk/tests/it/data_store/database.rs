//! A database in memory that can be emptied, stopped and kept from answering.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagstaff_sdk::{ItemKind, PersistentStore, StoreError, StoredItem, version_in};
use flagstaff_testkit::FlagBuilder;
use serde_json::Value;

#[derive(Clone, Default)]
pub(crate) struct Database(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rows: Mutex<Rows>,
    is_down: AtomicBool,
    hangs: AtomicBool,
    refuses_writes: AtomicBool,
    /// What it holds again once it is asked for its mark.
    comes_back: Mutex<Option<Rows>>,
    reads: AtomicUsize,
    inits: AtomicUsize,
}

#[derive(Default)]
struct Rows {
    marked: bool,
    items: BTreeMap<(bool, String), Arc<str>>,
    /// The order of the last `init`.
    written: Vec<String>,
}

fn id(kind: ItemKind, key: &str) -> (bool, String) {
    (kind == ItemKind::Segment, key.to_owned())
}

impl Database {
    /// With these flags, as another process wrote them.
    pub(crate) fn with(flags: impl IntoIterator<Item = FlagBuilder>) -> Self {
        let database = Self::default();
        flags.into_iter().for_each(|flag| database.put(flag));
        database.0.rows.lock().unwrap().marked = true;
        database
    }

    /// Writes a flag, past everything.
    pub(crate) fn put(&self, flag: FlagBuilder) {
        let key = flag.key().to_owned();
        self.put_text(ItemKind::Flag, &key, &flag.build().to_string());
    }

    pub(crate) fn put_text(&self, kind: ItemKind, key: &str, text: &str) {
        self.0.rows.lock().unwrap().items.insert(id(kind, key), text.into());
    }

    pub(crate) fn remove(&self, key: &str) {
        self.0.rows.lock().unwrap().items.remove(&id(ItemKind::Flag, key));
    }

    pub(crate) fn empty(&self) {
        *self.0.rows.lock().unwrap() = Rows::default();
    }

    pub(crate) fn stop(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    pub(crate) fn hang(&self, hangs: bool) {
        self.0.hangs.store(hangs, Ordering::SeqCst);
    }

    /// Empties it, and fills it again when it is asked for its mark: as if another process had done so
    /// between two questions.
    pub(crate) fn empty_until_asked_for_the_mark(&self) {
        let rows = std::mem::take(&mut *self.0.rows.lock().unwrap());
        *self.0.comes_back.lock().unwrap() = Some(rows);
    }

    pub(crate) fn refuse_writes(&self, refuses: bool) {
        self.0.refuses_writes.store(refuses, Ordering::SeqCst);
    }

    pub(crate) fn reads(&self) -> usize {
        self.0.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn inits(&self) -> usize {
        self.0.inits.load(Ordering::SeqCst)
    }

    /// The flag's JSON, if it is there.
    pub(crate) fn flag(&self, key: &str) -> Option<Value> {
        let rows = self.0.rows.lock().unwrap();
        rows.items.get(&id(ItemKind::Flag, key)).map(|text| serde_json::from_str(text).unwrap())
    }

    pub(crate) fn flags(&self) -> usize {
        self.0.rows.lock().unwrap().items.keys().filter(|(is_segment, _)| !is_segment).count()
    }

    /// The keys in the order in which they were written last.
    pub(crate) fn written(&self) -> Vec<String> {
        self.0.rows.lock().unwrap().written.clone()
    }

    fn answer(&self) -> Result<(), StoreError> {
        while self.0.hangs.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.0.is_down.load(Ordering::SeqCst) { Err(StoreError::new("it is down")) } else { Ok(()) }
    }
}

impl PersistentStore for Database {
    fn name(&self) -> &str {
        "TestBase"
    }

    fn init(&self, items: &[StoredItem]) -> Result<(), StoreError> {
        self.answer()?;
        self.0.inits.fetch_add(1, Ordering::SeqCst);
        if self.0.refuses_writes.load(Ordering::SeqCst) {
            return Err(StoreError::new("it takes no writes"));
        }
        let mut rows = self.0.rows.lock().unwrap();
        rows.marked = true;
        rows.items = items.iter().map(|item| (id(item.kind, &item.key), item.json.clone())).collect();
        rows.written = items.iter().map(|item| item.key.to_string()).collect();
        Ok(())
    }

    fn get(&self, kind: ItemKind, key: &str) -> Result<Option<Arc<str>>, StoreError> {
        self.answer()?;
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.rows.lock().unwrap().items.get(&id(kind, key)).cloned())
    }

    fn all(&self, kind: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError> {
        self.answer()?;
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        let rows = self.0.rows.lock().unwrap();
        let wanted =
            rows.items.iter().filter(|((is_segment, _), _)| *is_segment == (kind == ItemKind::Segment));
        Ok(wanted.map(|((_, key), text)| (key.clone(), text.clone())).collect())
    }

    fn upsert(&self, item: &StoredItem) -> Result<bool, StoreError> {
        self.answer()?;
        let mut rows = self.0.rows.lock().unwrap();
        let id = id(item.kind, &item.key);
        let known = rows.items.get(&id).map(|text| version_in(text)).transpose()?;
        let is_newer = known.is_none_or(|known| known < item.version);
        if is_newer {
            rows.items.insert(id, item.json.clone());
        }
        Ok(is_newer)
    }

    fn is_initialized(&self) -> Result<bool, StoreError> {
        self.answer()?;
        if let Some(rows) = self.0.comes_back.lock().unwrap().take() {
            *self.0.rows.lock().unwrap() = rows;
        }
        Ok(self.0.rows.lock().unwrap().marked)
    }
}

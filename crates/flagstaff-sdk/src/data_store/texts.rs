//! Items as they came, for whatever writes them on: a database, a snapshot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flagstaff_eval::DataSet;
use flagstaff_wire::full_data::ItemText;
use flagstaff_wire::stream::ItemKind;
use foldhash::{HashMap, HashSet};

use super::persistent::StoredItem;
use crate::fork;

/// The JSON of everything in the data set, tombstones included. Kept only if something writes it on:
/// it takes as much memory as the flags did on the wire.
///
/// They change together with the data set, inside the closure of
/// [`Shared::change_data`](crate::shared::Shared::change_data): whatever order several sources come in,
/// a text is that of the item which is in force.
#[derive(Default)]
pub(crate) struct Texts {
    items: Mutex<ByKey>,
}

/// Items by what they are and their keys.
pub(crate) type ByKey = HashMap<(ItemKind, Arc<str>), StoredItem>;

/// Items that are to take the place of all others.
pub(crate) fn by_key(items: Vec<StoredItem>) -> ByKey {
    items.into_iter().map(|item| ((item.kind, item.key.clone()), item)).collect()
}

impl Texts {
    /// Replaces everything, and gives back what was there, to be let go outside of locks. The caller
    /// changes the data set, and so holds a fork guard.
    pub(crate) fn swap(&self, items: &mut ByKey) {
        std::mem::swap(&mut *self.lock(), items);
    }

    /// Puts in an item; `newer` only if it is newer than what is there. The caller as above.
    pub(crate) fn put(&self, item: StoredItem, newer: bool) {
        self.put_all([item], newer);
    }

    /// As [`Texts::put`], for items that came together: whoever writes them on finds all of them or none.
    pub(crate) fn put_all(&self, new: impl IntoIterator<Item = StoredItem>, newer: bool) {
        let mut items = self.lock();
        for item in new {
            let id = (item.kind, item.key.clone());
            if newer && items.get(&id).is_some_and(|known| known.version >= item.version) {
                continue;
            }
            items.insert(id, item);
        }
    }

    /// The item is gone. The caller as above.
    pub(crate) fn forget(&self, kind: ItemKind, key: &Arc<str>) {
        self.lock().remove(&(kind, key.clone()));
    }

    /// Whether this is the text of the item.
    pub(crate) fn is(&self, kind: ItemKind, key: &Arc<str>, text: &str) -> bool {
        let _unforked = fork::guard();
        self.lock().get(&(kind, key.clone())).is_some_and(|known| &*known.json == text)
    }

    /// The keys of flags and of segments.
    pub(crate) fn keys(&self) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let _unforked = fork::guard();
        let items = self.lock();
        let of_kind = |wanted| {
            items.keys().filter(move |(kind, _)| *kind == wanted).map(|(_, key)| key.clone()).collect()
        };
        (of_kind(ItemKind::Flag), of_kind(ItemKind::Segment))
    }

    /// An item, which may be a tombstone.
    pub(crate) fn item(&self, kind: ItemKind, key: &str) -> Option<StoredItem> {
        let id = (kind, Arc::from(key));
        let _unforked = fork::guard();
        self.lock().get(&id).cloned()
    }

    /// All items of a kind, tombstones included.
    pub(crate) fn items(&self, kind: ItemKind) -> Vec<StoredItem> {
        let _unforked = fork::guard();
        self.lock().values().filter(|item| item.kind == kind).cloned().collect()
    }

    /// Everything, in the order in which it is to be written: segments first, then each flag after
    /// its prerequisites. `data` says what needs what.
    pub(crate) fn in_order(&self, data: &DataSet) -> Vec<StoredItem> {
        let mut items = {
            let _unforked = fork::guard();
            self.lock().clone()
        };
        let mut ordered: Vec<StoredItem> =
            items.extract_if(|(kind, _), _| *kind == ItemKind::Segment).map(|(_, item)| item).collect();
        let mut placed = HashSet::default();
        for (_, key) in items.keys() {
            place(key, data, &items, &mut placed, &mut ordered);
        }
        ordered
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, ByKey> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places a flag after its prerequisites. Goes down in steps kept on the heap: flags that need one
/// another ten thousand deep are no reason to run out of stack.
fn place(
    key: &Arc<str>,
    data: &DataSet,
    items: &ByKey,
    placed: &mut HashSet<Arc<str>>,
    ordered: &mut Vec<StoredItem>,
) {
    let needed_by = |key: &str| -> Vec<Arc<str>> {
        data.flag(key).into_iter().flat_map(|flag| flag.prerequisites()).map(Arc::from).collect()
    };
    if !placed.insert(key.clone()) {
        return;
    }
    let mut open = vec![(key.clone(), needed_by(key))];
    while let Some((_, needed)) = open.last_mut() {
        match needed.pop() {
            // A circle is broken where it closes.
            Some(next) if placed.insert(next.clone()) => {
                let needed = needed_by(&next);
                open.push((next, needed));
            }
            Some(_) => {}
            None => {
                if let Some((done, _)) = open.pop() {
                    ordered.extend(items.get(&(ItemKind::Flag, done)).cloned());
                }
            }
        }
    }
}

impl StoredItem {
    /// An item as it came. The version is the one under which it stands in the data set.
    pub(crate) fn of_text(text: &ItemText<'_>, version: u64) -> Self {
        Self { kind: text.kind, key: text.key.as_ref().into(), version, json: text.json.get().into() }
    }

    /// The remains of a deleted item.
    pub(crate) fn tombstone(kind: ItemKind, key: &str, version: u64) -> Self {
        let json = serde_json::json!({"key": key, "version": version, "deleted": true}).to_string();
        Self { kind, key: key.into(), version, json: json.into() }
    }

    /// Items as they came with a data set.
    pub(crate) fn all(texts: &[ItemText<'_>], data: &DataSet) -> Vec<Self> {
        let version = |text: &ItemText<'_>| match text.kind {
            ItemKind::Flag => data.flag_version(&text.key),
            ItemKind::Segment => data.segment_version(&text.key),
        };
        texts.iter().map(|text| Self::of_text(text, version(text).unwrap_or_default())).collect()
    }
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::model::FlagData;
    use serde_json::json;

    use super::*;

    #[test]
    fn items_that_came_together_are_seen_together() {
        let texts = Texts::default();
        let item = |key: &str| {
            assert!(texts.items.try_lock().is_err(), "nobody looks before all are in");
            StoredItem::tombstone(ItemKind::Flag, key, 1)
        };
        texts.put_all(["a", "b"].into_iter().map(item), true);
        assert_eq!(texts.keys().0.len(), 2);
    }

    #[test]
    fn segments_come_first_and_each_flag_after_what_it_needs() {
        let needing = |key: &str, needed: &[&str]| {
            let needed: Vec<_> = needed.iter().map(|key| json!({"key": key, "variation": 0})).collect();
            json!({"key": key, "version": 1, "on": true, "prerequisites": needed})
        };
        let flags = json!({
            "a": needing("a", &["b", "c"]), "b": needing("b", &["d"]), "c": needing("c", &["d", "missing"]),
            "d": needing("d", &[]), "x": needing("x", &["y"]), "y": needing("y", &["x"]),
        });
        let segments = json!({"s": {"key": "s", "version": 1}});
        let model: FlagData = serde_json::from_value(json!({"flags": flags, "segments": segments})).unwrap();
        let texts = Texts::default();
        let item = |kind, key: &str, json: &serde_json::Value| StoredItem {
            kind,
            key: key.into(),
            version: 1,
            json: json.to_string().into(),
        };
        let flags = flags.as_object().unwrap().iter().map(|(key, flag)| item(ItemKind::Flag, key, flag));
        texts.swap(&mut by_key(flags.chain([item(ItemKind::Segment, "s", &segments["s"])]).collect()));

        let ordered = texts.in_order(&DataSet::from_model(model));

        let place = |key: &str| ordered.iter().position(|item| &*item.key == key).unwrap();
        assert_eq!(ordered.len(), 7, "each once, circles included");
        assert_eq!(place("s"), 0);
        assert!(place("d") < place("b") && place("d") < place("c"));
        assert!(place("b") < place("a") && place("c") < place("a"));
    }
}

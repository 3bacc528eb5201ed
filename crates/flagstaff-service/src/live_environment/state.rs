//! What an environment holds, as it is sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::moment::Moments;
use super::{Image, Moment};
use crate::store::change_log::ItemKind;

/// What an environment holds, behind its lock.
#[derive(Debug)]
pub(super) struct State {
    /// Whether there ever was anything: an environment of a relay begins without.
    pub(super) is_initialized: bool,
    pub(super) moments: Moments,
    pub(super) flags: BTreeMap<Arc<str>, Item>,
    pub(super) segments: BTreeMap<Arc<str>, Item>,
    /// What was deleted since the first of these moments, and is not there again.
    pub(super) deleted: HashMap<(ItemKind, Arc<str>), Deleted>,
    /// In a part: what came in at a greater version than its own, and that version.
    pub(super) raised: HashMap<(ItemKind, Arc<str>), u64>,
    /// Made when somebody first asks after a change.
    pub(super) image: Option<Arc<Image>>,
}

/// An item as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) version: u64,
    /// The sequence number of its last change. In the service versions are just these; items of a relay have
    /// their upstream's versions.
    pub(super) sequence: u64,
    pub(super) json: Bytes,
}

/// What is left of an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deleted {
    /// The version of its deletion.
    pub(super) version: u64,
    /// The sequence number of its deletion.
    pub(super) sequence: u64,
}

impl Item {
    pub(super) fn new(version: u64, item: &impl serde::Serialize) -> Self {
        let json = serde_json::to_vec(item)
            .unwrap_or_else(|error| unreachable!("flags and segments have JSON: {error}"));
        Self { version, sequence: version, json: json.into() }
    }

    pub(super) fn read<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.json)
            .unwrap_or_else(|error| unreachable!("an item is JSON of our own: {error}"))
    }
}

impl State {
    /// Nothing is there, and nothing is known of before.
    pub(super) fn nothing_at(moment: Moment) -> Self {
        Self {
            is_initialized: false,
            moments: Moments::since(moment),
            flags: BTreeMap::new(),
            segments: BTreeMap::new(),
            deleted: HashMap::new(),
            raised: HashMap::new(),
            image: None,
        }
    }

    /// Goes on to another moment.
    pub(super) fn pass(&mut self, moment: Moment) {
        if self.moments.pass(moment) {
            let first = self.moments.first().sequence;
            self.deleted.retain(|_, deleted| deleted.sequence > first);
        }
    }

    pub(super) fn items(&self, kind: ItemKind) -> &BTreeMap<Arc<str>, Item> {
        match kind {
            ItemKind::Flag => &self.flags,
            ItemKind::Segment => &self.segments,
        }
    }

    pub(super) fn items_mut(&mut self, kind: ItemKind) -> &mut BTreeMap<Arc<str>, Item> {
        match kind {
            ItemKind::Flag => &mut self.flags,
            ItemKind::Segment => &mut self.segments,
        }
    }

    pub(super) fn put(&mut self, kind: ItemKind, key: &Arc<str>, item: Item) {
        self.deleted.remove(&(kind, key.clone()));
        self.items_mut(kind).insert(key.clone(), item);
    }

    pub(super) fn delete(&mut self, kind: ItemKind, key: &Arc<str>, deleted: Deleted) {
        self.items_mut(kind).remove(key);
        self.deleted.insert((kind, key.clone()), deleted);
    }
}

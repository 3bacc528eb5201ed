//! Puts a transfer in force: everything at once, whatever the versions.

use std::sync::Arc;

use flagstaff_eval::DataSet;
use flagstaff_wire::fdv2::{ChangeSet, ChangedItem};
use flagstaff_wire::stream::ItemKind;

use crate::data_source::receive::{Items, receive_all, receive_in_order};
use crate::data_store::{StoredItem, by_key};
use crate::shared::Shared;

/// Whether something writes items on as they came.
pub(super) fn keeps_json(shared: &Shared) -> bool {
    shared.texts.is_some()
}

/// Puts a transfer in force, and says that the data is up to date.
pub(super) async fn put_in_force(shared: &Arc<Shared>, changes: ChangeSet) {
    // Changes to nothing are everything there is. A snapshot is something, if it was asked on from.
    let has_data = shared.has_received() || (shared.is_from_snapshot() && shared.backing.is_none());
    if changes.is_full || !has_data {
        let data = changes.applied_to(&shared.data.snapshot());
        let texts = texts(shared, &changes);
        receive_all(shared, data, texts).await;
        return;
    }
    let texts = texts(shared, &changes);
    let mut items = Items { texts, ..Items::default() };
    for change in changes.changes {
        match change.item {
            ChangedItem::Flag(entry) => items.flags.push(entry),
            ChangedItem::Segment(entry) => items.segments.push(entry),
        }
    }
    receive_in_order(shared, items);
    shared.received_everything();
}

/// Puts data in force that may not be up to date: evaluations use it, and whoever waits for the first
/// flags goes on waiting. A database is not written: it may know better. So does a child process, which
/// has what its parent received.
pub(super) fn put_in_use(shared: &Arc<Shared>, next: impl FnOnce(&DataSet) -> DataSet) {
    if shared.has_received() {
        return;
    }
    let mut texts = by_key(Vec::new());
    shared.change_data(|data| {
        // What was read from a database may be gone with the rest: it is to be taken in again.
        if let Some(kept) = shared.texts.as_ref().filter(|_| shared.backing.is_some()) {
            kept.swap(&mut texts);
        }
        Some(next(data))
    });
    drop(texts);
    shared.status.cached();
}

/// The items as they came, if texts are kept.
fn texts(shared: &Shared, changes: &ChangeSet) -> Vec<StoredItem> {
    if !keeps_json(shared) {
        return Vec::new();
    }
    let text = |(item, json): (&ChangedItem, &Option<Arc<str>>)| {
        let kind = match item {
            ChangedItem::Flag(_) => ItemKind::Flag,
            ChangedItem::Segment(_) => ItemKind::Segment,
        };
        let (key, version) = (item.key(), item.version());
        match json {
            Some(json) => StoredItem { kind, key: key.into(), version, json: json.clone() },
            None => StoredItem::tombstone(kind, key, version),
        }
    };
    changes.changes.iter().map(|change| text((&change.item, &change.json))).collect()
}

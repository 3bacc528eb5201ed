//! What is done with flags that have come, whichever way they did.
//!
//! They are in force in memory at once. A database behind it is written afterwards; only the first
//! full data set waits for that, for a moment, so that whoever waited for the client finds them there.

use std::sync::Arc;

use flagstaff_eval::{DataSet, Entry, PreparedFlag, PreparedSegment};
use flagstaff_wire::stream::ItemKind;

use crate::data_source::DataAvailability;
use crate::data_store::{StoredItem, by_key};
use crate::log::LogLevel;
use crate::shared::Shared;
use crate::wait::Waiting;

/// Flags and segments that are to be put in at once.
#[derive(Default)]
pub(crate) struct Items {
    pub(crate) flags: Vec<Entry<PreparedFlag>>,
    pub(crate) segments: Vec<Entry<PreparedSegment>>,
    /// As they came, if texts are kept.
    pub(crate) texts: Vec<StoredItem>,
}

/// Puts a full data set in force, from the client's own thread. `texts` are its items as they came, if
/// texts are kept.
pub(crate) async fn receive_all(shared: &Arc<Shared>, data: DataSet, texts: Vec<StoredItem>) {
    let is_first = !shared.has_received();
    let written = put_in_force(shared, data, texts);
    announce(shared, is_first);
    if let Some((written, patience)) = written {
        let _late = tokio::time::timeout(patience, written).await;
    }
    shared.received_everything();
}

/// As [`receive_all`], from a thread that may be kept waiting.
pub(crate) fn receive_all_waiting(shared: &Arc<Shared>, data: DataSet, texts: Vec<StoredItem>) {
    let is_first = !shared.has_received();
    put_in_force_waiting(shared, data, texts);
    announce(shared, is_first);
    shared.received_everything();
}

fn announce(shared: &Shared, is_first: bool) {
    if is_first {
        shared.log.write(LogLevel::Info, format_args!("the first flags have come"));
    }
}

/// Puts a full data set in force, from a thread that may be kept waiting. What that means is up to the
/// caller.
pub(crate) fn put_in_force_waiting(shared: &Arc<Shared>, data: DataSet, texts: Vec<StoredItem>) {
    if let Some((written, patience)) = put_in_force(shared, data, texts) {
        written.wait(patience);
    }
}

/// Puts a data set that was known before in force, unless flags have come meanwhile.
pub(crate) fn remind(shared: &Arc<Shared>, data: DataSet, texts: Vec<StoredItem>) {
    let mut texts = by_key(texts);
    let is_news = shared.change_data(|known| {
        if shared.has_received() || known.flag_entries().next().is_some() {
            return None;
        }
        if let Some(kept) = &shared.texts {
            kept.swap(&mut texts);
        }
        Some(data)
    });
    drop(texts);
    if is_news {
        shared.was_reminded();
    }
}

/// Puts in each item whose version is higher than that of the one which is there, tombstones included.
pub(crate) fn receive_newer(shared: &Arc<Shared>, items: Items) {
    receive(shared, items, false);
}

/// Puts in all items at once, whatever their versions.
pub(crate) fn receive_in_order(shared: &Arc<Shared>, items: Items) {
    receive(shared, items, true);
}

/// What is to be waited for, and how long, before the data set counts as received.
fn put_in_force(
    shared: &Arc<Shared>,
    data: DataSet,
    texts: Vec<StoredItem>,
) -> Option<(Waiting<()>, std::time::Duration)> {
    let is_first = !shared.has_received();
    let observed = shared.config.observer.as_ref().map(|observer| (observer, texts.clone()));
    if let (Some((observer, _)), Some(id)) = (&observed, shared.environment_id.get()) {
        observer.environment(&id);
    }
    let mut texts = by_key(texts);
    let mut written = None;
    let next = |_: &DataSet| {
        if let Some((observer, items)) = &observed {
            observer.everything(&data, items, DataAvailability::Refreshed);
        }
        if let Some(kept) = &shared.texts {
            kept.swap(&mut texts);
        }
        if let Some(backing) = &shared.backing {
            backing.receiving_everything();
        }
        Some(data)
    };
    shared.change_data_then(next, || {
        let backing = shared.backing.as_ref()?;
        written = backing.received_everything(shared);
        backing.written_first(shared)
    });
    // What was there before is let go here, under no lock.
    drop(texts);
    let data = shared.data.snapshot();
    data.flags().for_each(|flag| warn_of_flag(shared, flag));
    data.segments().for_each(|segment| warn_of_segment(shared, segment));
    if let Some(snapshot) = &shared.snapshot {
        snapshot.changed(shared);
    }
    let backing = shared.backing.as_ref()?;
    is_first.then_some((written?, backing.timeout()))
}

fn receive(shared: &Arc<Shared>, items: Items, in_order: bool) {
    let Items { mut flags, mut segments, texts } = items;
    flags.iter().filter_map(Entry::live).for_each(|flag| warn_of_flag(shared, flag));
    segments.iter().filter_map(Entry::live).for_each(|segment| warn_of_segment(shared, segment));
    let to_keep = texts.clone();
    let next = |data: &DataSet| {
        let mut observed = shared.config.observer.as_ref().map(|observer| (observer, to_keep.clone()));
        if let Some((_, items)) = observed.as_mut().filter(|_| !in_order) {
            items.retain(|item| is_newer(known_version(data, item), item.version));
        }
        if let Some(kept) = &shared.texts {
            kept.put_all(to_keep, !in_order);
        }
        if !in_order {
            flags.retain(|flag| is_newer(data.flag_version(flag.key()), flag.version()));
            segments.retain(|segment| is_newer(data.segment_version(segment.key()), segment.version()));
        }
        let next = (!flags.is_empty() || !segments.is_empty()).then(|| data.with_all(flags, segments))?;
        if let Some((observer, items)) = observed {
            observer.changes(&next, &items);
        }
        Some(next)
    };
    shared.change_data_then(next, || {
        let backing = shared.backing.as_ref()?;
        backing.received(shared, texts, in_order);
        backing.written_first(shared)
    });
    // What comes before the first full data set is kept with that, and not alone.
    let has_everything = shared.has_received() || shared.is_from_snapshot();
    if let Some(snapshot) = shared.snapshot.as_ref().filter(|_| has_everything) {
        snapshot.changed(shared);
    }
}

fn known_version(data: &DataSet, item: &StoredItem) -> Option<u64> {
    match item.kind {
        ItemKind::Flag => data.flag_version(&item.key),
        ItemKind::Segment => data.segment_version(&item.key),
    }
}

/// Whether an item counts next to the one that is there.
pub(crate) fn is_newer(known: Option<u64>, version: u64) -> bool {
    known.is_none_or(|known| known < version)
}

impl Items {
    /// One item that was deleted.
    pub(crate) fn deleted(shared: &Shared, kind: ItemKind, key: &str, version: u64) -> Self {
        let mut items = Self::default();
        match kind {
            ItemKind::Flag => items.flags.push(Entry::tombstone(key, version)),
            ItemKind::Segment => items.segments.push(Entry::tombstone(key, version)),
        }
        if shared.texts.is_some() {
            items.texts.push(StoredItem::tombstone(kind, key, version));
        }
        items
    }
}

/// Says, once for each version, which regular expressions of a flag can never match.
fn warn_of_flag(shared: &Shared, flag: &PreparedFlag) {
    for pattern in flag.unsupported_patterns() {
        warn_of_pattern(shared, "flag", flag.key(), flag.version(), pattern);
    }
}

/// As [`warn_of_flag`].
fn warn_of_segment(shared: &Shared, segment: &PreparedSegment) {
    for pattern in segment.unsupported_patterns() {
        warn_of_pattern(shared, "segment", segment.key(), segment.version(), pattern);
    }
}

#[cold]
fn warn_of_pattern(shared: &Shared, what: &str, key: &str, version: u64, pattern: &str) {
    shared.log.once(
        LogLevel::Warn,
        format_args!(
            "{what} `{key}`, version {version}: the regular expression `{pattern}` is not supported and can never match"
        ),
    );
}

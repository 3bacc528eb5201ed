//! All flags and segments of one environment at one moment.

mod dependents;
mod shards;
mod shared;

use std::sync::Arc;

pub use dependents::ItemKey;
pub use shards::Entry;
pub use shared::{Retired, SharedDataSet};

use crate::model::{self, FlagData, KeyList};
use crate::prepared::{PreparedFlag, PreparedSegment};
use shards::{Item, Shards};

/// All flags and segments of one environment at one moment, with the tombstones that keep old
/// patches dead. Never changes: a change makes the next data set, which shares all but one shard
/// with this one.
#[derive(Clone, Debug, Default)]
pub struct DataSet {
    flags: Shards<PreparedFlag>,
    segments: Shards<PreparedSegment>,
}

impl DataSet {
    /// A data set of these items. Of two entries with one key the later counts.
    pub fn new(
        flags: impl IntoIterator<Item = Entry<PreparedFlag>>,
        segments: impl IntoIterator<Item = Entry<PreparedSegment>>,
    ) -> Self {
        Self { flags: Shards::new(flags), segments: Shards::new(segments) }
    }

    /// Prepares everything in `data`. The key under which an item stands is authoritative.
    pub fn from_model(data: FlagData) -> Self {
        Self::new(
            data.flags.into_iter().map(|(key, flag)| Entry::flag(&key, flag)),
            data.segments.into_iter().map(|(key, segment)| Entry::segment(&key, segment)),
        )
    }

    /// The flag with this key, unless it was deleted.
    #[inline]
    pub fn flag(&self, key: &str) -> Option<&Arc<PreparedFlag>> {
        self.flags.get(key)?.live()
    }

    /// The segment with this key, unless it was deleted.
    #[inline]
    pub fn segment(&self, key: &str) -> Option<&Arc<PreparedSegment>> {
        self.segments.get(key)?.live()
    }

    /// The version last known of a flag, also of a deleted one.
    pub fn flag_version(&self, key: &str) -> Option<u64> {
        self.flags.get(key).map(Entry::version)
    }

    /// The version last known of a segment, also of a deleted one.
    pub fn segment_version(&self, key: &str) -> Option<u64> {
        self.segments.get(key).map(Entry::version)
    }

    /// Every flag that is not deleted, in no particular order.
    pub fn flags(&self) -> impl Iterator<Item = &Arc<PreparedFlag>> {
        self.flags.entries().filter_map(Entry::live)
    }

    /// Every segment that is not deleted, in no particular order.
    pub fn segments(&self) -> impl Iterator<Item = &Arc<PreparedSegment>> {
        self.segments.entries().filter_map(Entry::live)
    }

    /// Every flag, tombstones included, in no particular order.
    pub fn flag_entries(&self) -> impl Iterator<Item = &Entry<PreparedFlag>> {
        self.flags.entries()
    }

    /// Every segment, tombstones included, in no particular order.
    pub fn segment_entries(&self) -> impl Iterator<Item = &Entry<PreparedSegment>> {
        self.segments.entries()
    }

    /// The next data set with this flag, or none if the version known already is as high.
    #[must_use]
    pub fn with_flag(&self, entry: Entry<PreparedFlag>) -> Option<Self> {
        Some(Self { flags: self.flags.with(entry)?, segments: self.segments.clone() })
    }

    /// The next data set with this segment, or none if the version known already is as high.
    #[must_use]
    pub fn with_segment(&self, entry: Entry<PreparedSegment>) -> Option<Self> {
        Some(Self { flags: self.flags.clone(), segments: self.segments.with(entry)? })
    }

    /// The next data set with all of these items at once, whatever the versions: for a source whose
    /// order can be trusted.
    #[must_use]
    pub fn with_all(
        &self,
        flags: impl IntoIterator<Item = Entry<PreparedFlag>>,
        segments: impl IntoIterator<Item = Entry<PreparedSegment>>,
    ) -> Self {
        Self { flags: self.flags.with_all(flags), segments: self.segments.with_all(segments) }
    }
}

impl Entry<PreparedFlag> {
    /// Prepares a flag as it travels, or takes the tombstone it is. `key` is authoritative.
    pub fn flag(key: &str, flag: model::Flag) -> Self {
        Self::of_flag(key, flag)
    }

    /// As [`Entry::flag`], of a flag that was read for this alone.
    pub fn flag_to_prepare(key: &str, flag: model::FlagToPrepare) -> Self {
        Self::of_flag(key, flag)
    }

    fn of_flag<K: KeyList>(key: &str, flag: model::FlagOf<K>) -> Self {
        if flag.deleted {
            Entry::tombstone(key, flag.version)
        } else {
            Entry::Live(Arc::new(PreparedFlag::of(key, flag)))
        }
    }
}

impl Entry<PreparedSegment> {
    /// Prepares a segment as it travels, or takes the tombstone it is. `key` is authoritative.
    pub fn segment(key: &str, segment: model::Segment) -> Self {
        Self::of_segment(key, segment)
    }

    /// As [`Entry::segment`], of a segment that was read for this alone.
    pub fn segment_to_prepare(key: &str, segment: model::SegmentToPrepare) -> Self {
        Self::of_segment(key, segment)
    }

    fn of_segment<K: KeyList>(key: &str, segment: model::SegmentOf<K>) -> Self {
        if segment.deleted {
            Entry::tombstone(key, segment.version)
        } else {
            Entry::Live(Arc::new(PreparedSegment::of(key, segment)))
        }
    }
}

impl Item for PreparedFlag {
    fn key(&self) -> &str {
        PreparedFlag::key(self)
    }

    fn version(&self) -> u64 {
        PreparedFlag::version(self)
    }
}

impl Item for PreparedSegment {
    fn key(&self) -> &str {
        PreparedSegment::key(self)
    }

    fn version(&self) -> u64 {
        PreparedSegment::version(self)
    }
}

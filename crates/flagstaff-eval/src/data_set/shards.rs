//! A map by key in shards that are copied when written: a change costs one small shard, not the map.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// With 10,000 items a shard holds some 150, which are copied in a few microseconds.
const SHARDS: usize = 64;

/// What can stand in a data set.
pub trait Item {
    /// The key under which it is addressed.
    fn key(&self) -> &str;
    /// Rises on each change.
    fn version(&self) -> u64;
}

/// An item, or what is left of a deleted one.
#[derive(Debug)]
pub enum Entry<T> {
    /// The item.
    Live(Arc<T>),
    /// It was deleted; older versions that arrive late stay dead.
    Tombstone {
        /// The key under which it was addressed.
        key: Arc<str>,
        /// The version of the deletion.
        version: u64,
    },
}

impl<T: Item> Entry<T> {
    /// The remains of a deleted item.
    pub fn tombstone(key: &str, version: u64) -> Self {
        Entry::Tombstone { key: key.into(), version }
    }

    /// The item, unless it was deleted.
    #[inline]
    pub fn live(&self) -> Option<&Arc<T>> {
        match self {
            Entry::Live(item) => Some(item),
            Entry::Tombstone { .. } => None,
        }
    }

    /// The key under which it is addressed.
    #[inline]
    pub fn key(&self) -> &str {
        match self {
            Entry::Live(item) => item.key(),
            Entry::Tombstone { key, .. } => key,
        }
    }

    /// The version of the item or of its deletion.
    pub fn version(&self) -> u64 {
        match self {
            Entry::Live(item) => item.version(),
            Entry::Tombstone { version, .. } => *version,
        }
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        match self {
            Entry::Live(item) => Entry::Live(item.clone()),
            Entry::Tombstone { key, version } => Entry::Tombstone { key: key.clone(), version: *version },
        }
    }
}

type Shard<T> = HashTable<Entry<T>>;

#[derive(Debug)]
pub(super) struct Shards<T> {
    shards: [Arc<Shard<T>>; SHARDS],
    hasher: FixedState,
}

impl<T: Item> Shards<T> {
    pub(super) fn new(entries: impl IntoIterator<Item = Entry<T>>) -> Self {
        let mut shards = [(); SHARDS].map(|()| Shard::new());
        let hasher = Self::seeded();
        for entry in entries {
            let hash = hasher.hash_one(entry.key());
            put(&mut shards[shard_of(hash)], hash, entry, &hasher);
        }
        Self { shards: shards.map(Arc::new), hasher }
    }

    #[inline]
    pub(super) fn get(&self, key: &str) -> Option<&Entry<T>> {
        let hash = self.hasher.hash_one(key);
        self.shards[shard_of(hash)].find(hash, |entry| entry.key() == key)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry<T>> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    pub(super) fn with(&self, entry: Entry<T>) -> Option<Self> {
        if self.get(entry.key()).is_some_and(|known| known.version() >= entry.version()) {
            return None;
        }
        let hash = self.hasher.hash_one(entry.key());
        let mut next = self.clone();
        put(Arc::make_mut(&mut next.shards[shard_of(hash)]), hash, entry, &self.hasher);
        Some(next)
    }

    pub(super) fn with_all(&self, entries: impl IntoIterator<Item = Entry<T>>) -> Self {
        let mut next = self.clone();
        for entry in entries {
            let hash = self.hasher.hash_one(entry.key());
            // A shard is copied for the first of its entries, and is this map's own from then on.
            put(Arc::make_mut(&mut next.shards[shard_of(hash)]), hash, entry, &self.hasher);
        }
        next
    }

    /// A seed of this process's own: keys that collide on purpose have to be found anew for each.
    fn seeded() -> FixedState {
        FixedState::with_seed(foldhash::fast::RandomState::default().hash_one(0))
    }
}

impl<T> Clone for Shards<T> {
    fn clone(&self) -> Self {
        Self { shards: self.shards.clone(), hasher: self.hasher.clone() }
    }
}

impl<T: Item> Default for Shards<T> {
    fn default() -> Self {
        Self::new([])
    }
}

/// The table inside a shard goes by other bits of the same hash.
#[inline]
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

fn put<T: Item>(shard: &mut Shard<T>, hash: u64, entry: Entry<T>, hasher: &FixedState) {
    match shard.find_mut(hash, |known| known.key() == entry.key()) {
        Some(known) => *known = entry,
        None => {
            shard.insert_unique(hash, entry, |known| hasher.hash_one(known.key()));
        }
    }
}

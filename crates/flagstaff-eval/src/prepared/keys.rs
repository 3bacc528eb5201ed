//! Sets of keys: a few are scanned, many are hashed.

use foldhash::HashMap;

/// Up to this many keys a scan is as fast as a hash.
const SCANNED: usize = 4;

/// Keys, each with what it leads to. Of two equal keys the first counts.
#[derive(Debug)]
pub(crate) enum KeyMap<T> {
    Few(Box<[(Box<str>, T)]>),
    Many(HashMap<Box<str>, T>),
}

/// A set of keys.
pub(crate) type KeySet = KeyMap<()>;

impl<T: Copy> KeyMap<T> {
    pub(crate) fn new(entries: Vec<(Box<str>, T)>) -> Self {
        if entries.len() <= SCANNED {
            return KeyMap::Few(entries.into());
        }
        let mut map = HashMap::with_capacity_and_hasher(entries.len(), Default::default());
        for (key, value) in entries {
            map.entry(key).or_insert(value);
        }
        KeyMap::Many(map)
    }

    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        match self {
            KeyMap::Few(entries) => entries.iter().find(|(own, _)| **own == *key).map(|(_, value)| *value),
            KeyMap::Many(map) => map.get(key).copied(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            KeyMap::Few(entries) => entries.is_empty(),
            KeyMap::Many(map) => map.is_empty(),
        }
    }
}

impl KeySet {
    pub(crate) fn of(keys: impl IntoIterator<Item = String>) -> Self {
        KeyMap::new(keys.into_iter().map(|key| (key.into(), ())).collect())
    }

    #[inline]
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
}

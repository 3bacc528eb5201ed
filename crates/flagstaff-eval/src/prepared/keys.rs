//! Sets of keys: a few are scanned, many are hashed.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Up to this many keys a scan is as fast as a hash.
const SCANNED: usize = 4;

/// Keys, each with what it leads to. Of two equal keys the first counts.
///
/// All keys stand in one text: flags by the thousand, each with a list of targets, would otherwise
/// be mostly the overhead of small allocations.
#[derive(Debug)]
pub(crate) struct KeyMap<T> {
    text: Box<[u8]>,
    places: Places<T>,
}

/// A set of keys.
pub(crate) type KeySet = KeyMap<()>;

#[derive(Debug)]
enum Places<T> {
    Few(Box<[Place<T>]>),
    Many(HashTable<Place<T>>, RandomState),
}

/// Where in the text a key stands.
#[derive(Debug)]
struct Place<T> {
    start: u32,
    length: u32,
    value: T,
}

impl<T> Place<T> {
    #[inline]
    fn key<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let start = self.start as usize;
        &text[start..start + self.length as usize]
    }
}

impl<T: Copy> KeyMap<T> {
    /// Goes through the keys twice: first for the room they take. Keys beyond four gigabytes of text
    /// are left out; no message that carries them gets so far.
    pub(crate) fn new<'k>(entries: impl Iterator<Item = (&'k str, T)> + Clone) -> Self {
        let (count, bytes) =
            entries.clone().fold((0, 0), |(count, bytes), (key, _)| (count + 1, bytes + key.len()));
        let mut text = Vec::with_capacity(bytes);
        let mut places = Vec::with_capacity(count);
        for (key, value) in entries {
            let (Ok(start), Ok(length)) = (u32::try_from(text.len()), u32::try_from(key.len())) else {
                break;
            };
            text.extend_from_slice(key.as_bytes());
            places.push(Place { start, length, value });
        }
        let text = text.into_boxed_slice();
        let places = if places.len() <= SCANNED { Places::Few(places.into()) } else { hashed(&text, places) };
        Self { text, places }
    }

    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        let is_it = |place: &Place<T>| place.key(&self.text) == key.as_bytes();
        let place = match &self.places {
            Places::Few(places) => places.iter().find(|place| is_it(place)),
            Places::Many(table, hasher) => table.find(hasher.hash_one(key.as_bytes()), is_it),
        };
        place.map(|place| place.value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.places, Places::Few(places) if places.is_empty())
    }
}

fn hashed<T>(text: &[u8], places: Vec<Place<T>>) -> Places<T> {
    let hasher = RandomState::default();
    let hash = |place: &Place<T>| hasher.hash_one(place.key(text));
    let mut table = HashTable::with_capacity(places.len());
    for place in places {
        let is_it = |known: &Place<T>| known.key(text) == place.key(text);
        if let Entry::Vacant(vacant) = table.entry(hash(&place), is_it, hash) {
            vacant.insert(place);
        }
    }
    Places::Many(table, hasher)
}

impl KeySet {
    pub(crate) fn of<'k>(keys: impl Iterator<Item = &'k str> + Clone) -> Self {
        Self::new(keys.map(|key| (key, ())))
    }

    #[inline]
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::KeyMap;

    #[test]
    fn of_two_equal_keys_the_first_counts_however_many_there_are() {
        for count in [2, 4, 5, 100] {
            let entries: Vec<(String, usize)> = (0..count).map(|i| (format!("k{}", i / 2), i)).collect();
            let map = KeyMap::new(entries.iter().map(|(key, value)| (key.as_str(), *value)));
            for i in 0..count.div_ceil(2) {
                assert_eq!(map.get(&format!("k{i}")), Some(2 * i), "{count}");
            }
            assert_eq!(map.get("k"), None);
            assert_eq!(map.get(""), None);
        }
    }

    #[test]
    fn an_empty_key_is_a_key() {
        assert_eq!(KeyMap::new([("", 1)].into_iter()).get(""), Some(1));
        assert!(KeyMap::<u8>::new([].into_iter()).is_empty());
    }
}

//! Which flags may serve something else when an item changes.

use std::collections::hash_map::Entry;

use foldhash::{HashMap, HashSet};

use super::DataSet;

/// What can change, and what other items can depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemKey<'k> {
    /// The flag with this key.
    Flag(&'k str),
    /// The segment with this key.
    Segment(&'k str),
}

impl DataSet {
    /// The keys of all flags that may serve something else than before these items changed: flags among
    /// them, and those that depend on one of them by prerequisites, segments in rules, and segments in
    /// segments. In no particular order, each once.
    ///
    /// An item that depends on something else than before has changed itself, so what depends on what now
    /// is all that counts: call this on the data set after the change.
    ///
    /// Source: the protocol's *flag change listeners*.
    pub fn flags_affected_by<'k>(
        &'k self,
        changed: impl IntoIterator<Item = ItemKey<'k>>,
    ) -> HashSet<&'k str> {
        let mut open: Vec<ItemKey<'_>> = changed.into_iter().collect();
        if open.is_empty() {
            return HashSet::default();
        }
        let dependents = self.dependents();
        let mut seen: HashSet<ItemKey<'_>> = open.iter().copied().collect();
        while let Some(item) = open.pop() {
            for dependent in dependents.get(&item).into_iter().flatten() {
                if seen.insert(*dependent) {
                    open.push(*dependent);
                }
            }
        }
        let flags = seen.into_iter().filter_map(|item| match item {
            ItemKey::Flag(key) => Some(key),
            ItemKey::Segment(_) => None,
        });
        flags.collect()
    }

    /// For each item those that name it.
    fn dependents(&self) -> HashMap<ItemKey<'_>, Vec<ItemKey<'_>>> {
        let mut dependents: HashMap<ItemKey<'_>, Vec<ItemKey<'_>>> = HashMap::default();
        let mut add = |needed, dependent| match dependents.entry(needed) {
            Entry::Occupied(mut known) => known.get_mut().push(dependent),
            Entry::Vacant(place) => {
                place.insert(vec![dependent]);
            }
        };
        for flag in self.flags() {
            let dependent = ItemKey::Flag(flag.key());
            flag.prerequisites().for_each(|key| add(ItemKey::Flag(key), dependent));
            flag.segments().for_each(|key| add(ItemKey::Segment(key), dependent));
        }
        for segment in self.segments() {
            let dependent = ItemKey::Segment(segment.key());
            segment.segments().for_each(|key| add(ItemKey::Segment(key), dependent));
        }
        dependents
    }
}

//! Versions that rise when an item in a file changes, whether whoever wrote it raised them or not.

use std::collections::HashMap;

use flagstaff_eval::model::{Flag, FlagData, Segment};

use super::read::{Items, Stated};

/// What was read before, and under which version.
#[derive(Debug, Default)]
pub(super) struct Versions {
    flags: HashMap<String, Flag>,
    segments: HashMap<String, Segment>,
}

/// An item that has a version.
pub(super) trait Versioned: Clone + PartialEq {
    fn version(&mut self) -> &mut u64;
}

impl Versioned for Flag {
    fn version(&mut self) -> &mut u64 {
        &mut self.version
    }
}

impl Versioned for Segment {
    fn version(&mut self) -> &mut u64 {
        &mut self.version
    }
}

impl Versions {
    /// The items with the versions under which they are put in force.
    pub(super) fn settle(&mut self, items: Items) -> FlagData {
        FlagData {
            flags: settle_all(&mut self.flags, items.flags),
            segments: settle_all(&mut self.segments, items.segments),
        }
    }
}

fn settle_all<T: Versioned>(
    known: &mut HashMap<String, T>,
    items: Vec<(String, Stated<T>)>,
) -> Vec<(String, T)> {
    let settled = items.into_iter().map(|(key, stated)| {
        let item = settle(known.get(&key), stated);
        known.insert(key.clone(), item.clone());
        (key, item)
    });
    settled.collect()
}

/// The version that is stated, or 1, unless a higher one is needed: what changed is newer than it was.
fn settle<T: Versioned>(known: Option<&T>, stated: Stated<T>) -> T {
    let Stated { mut item, has_version } = stated;
    let stated = if has_version { *item.version() } else { 1 };
    let Some(known) = known else {
        *item.version() = stated;
        return item;
    };
    let before = *known.clone().version();
    *item.version() = before;
    let least = if item == *known { before } else { before.saturating_add(1) };
    *item.version() = stated.max(least);
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_rises_when_an_item_changes_and_never_falls() {
        let mut known = HashMap::new();
        let mut read = |version: Option<u64>, on: bool| {
            let item = Flag { version: version.unwrap_or_default(), on, ..Flag::default() };
            let stated = Stated { item, has_version: version.is_some() };
            settle_all(&mut known, vec![("f".to_owned(), stated)])[0].1.version
        };
        assert_eq!(read(None, true), 1);
        assert_eq!(read(None, true), 1, "nothing changed");
        assert_eq!(read(None, false), 2);
        assert_eq!(read(Some(2), true), 3, "it changed, and did not say so");
        assert_eq!(read(Some(9), true), 9);
        assert_eq!(read(Some(9), true), 9);
        assert_eq!(read(Some(4), false), 10);
        assert_eq!(read(None, false), 10);
    }
}

//! What was written a moment ago and need not be written again.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;

/// How much later, or earlier, a context must be seen for that to be written again.
pub(crate) const LAST_SEEN_STEP_MS: i64 = 30_000;

/// How many entries a generation holds; there are two.
const GENERATION: usize = 50_000;

/// Remembers, for a bounded number of contexts, when they were last written just as they are.
///
/// An SDK that puts the context into every event sends the same text thousands of times a second; this
/// makes all but the first of them one look-up. Only hashes are kept: a *mark* of the text, and for each
/// context in it which mark is the latest, so that a context that changes and changes back is written
/// both times.
///
/// It knows only of this process: where other nodes write, too, it is kept no longer than one sum is made,
/// and the database is asked for the rest.
#[derive(Debug, Default)]
pub struct Recent {
    hasher: RandomState,
    written: Generations<i64>,
    latest: Generations<u64>,
}

impl Recent {
    /// An empty one that gives the same marks.
    pub fn empty_like(&self) -> Self {
        Self { hasher: self.hasher.clone(), ..Self::default() }
    }

    /// The mark of `text`, as received in an environment.
    pub fn mark(&self, environment_id: i64, text: impl Hash) -> u64 {
        self.hasher.hash_one((environment_id, text))
    }

    /// Whether what has this mark was written so recently that seeing it at `seen_ms` says nothing new.
    pub fn holds(&self, mark: u64, seen_ms: i64) -> bool {
        self.written
            .get(mark)
            .is_some_and(|written| seen_ms.abs_diff(written) < LAST_SEEN_STEP_MS.unsigned_abs())
    }

    /// Notes that what has this mark is now written as seen at `seen_ms`. `context` is the mark of the
    /// kind and key of a context that the text speaks of.
    pub fn note(&mut self, mark: u64, context: u64, seen_ms: i64) {
        if let Some(before) = self.latest.get(context).filter(|before| *before != mark) {
            self.written.remove(before);
        }
        self.latest.insert(context, mark);
        self.written.insert(mark, seen_ms);
    }

    /// Forgets everything, as after a deletion: what is seen next is written.
    pub fn clear(&mut self) {
        self.written = Generations::default();
        self.latest = Generations::default();
    }
}

/// A map of bounded size. When the young generation is full it takes the place of the old one.
#[derive(Debug)]
struct Generations<V> {
    young: HashMap<u64, V, RandomState>,
    old: HashMap<u64, V, RandomState>,
}

impl<V> Default for Generations<V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<V: Copy> Generations<V> {
    fn get(&self, key: u64) -> Option<V> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    fn insert(&mut self, key: u64, value: V) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn remove(&mut self, key: u64) {
        self.young.remove(&key);
        self.old.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_is_written_again_after_a_step() {
        let mut recent = Recent::default();
        let mark = recent.mark(1, "{}");
        assert!(!recent.holds(mark, 1000));
        recent.note(mark, 0, 1000);
        let step = LAST_SEEN_STEP_MS;
        assert!(recent.holds(mark, 1000 + step - 1) && recent.holds(mark, 1000 - step + 1));
        assert!(!recent.holds(mark, 1000 + step) && !recent.holds(mark, 1000 - step));
        assert!(!recent.holds(recent.mark(1, "{\"changed\":1}"), 1000));
        assert!(!recent.holds(recent.mark(2, "{}"), 1000));
        recent.clear();
        assert!(!recent.holds(mark, 1000));
        assert_eq!(recent.empty_like().mark(1, "{}"), mark);
    }

    #[test]
    fn context_that_changes_back_is_written_again() {
        let mut recent = Recent::default();
        let (first, second) = (recent.mark(1, "a"), recent.mark(1, "b"));
        let context = recent.mark(1, ("user", "u"));
        recent.note(first, context, 1000);
        recent.note(second, context, 1000);
        assert!(!recent.holds(first, 1000) && recent.holds(second, 1000));
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_latest() {
        let mut recent = Recent::default();
        for mark in 0..5 * GENERATION as u64 {
            recent.note(mark, mark, 0);
        }
        assert!(recent.written.young.len() + recent.written.old.len() <= 2 * GENERATION);
        assert!(recent.holds(5 * GENERATION as u64 - 1, 0));
        assert!(!recent.holds(0, 0));
    }
}

//! Which contexts were reported lately.
//!
//! A table of 64-bit hashes in groups of eight, one cache line each, read and written without a lock.
//! When as many contexts are remembered as may be, a hand goes round and forgets the first that was
//! not seen since it last came by (*second chance*). Two contexts with one hash are taken for one: at
//! a thousand contexts the odds are one in 10^13.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use foldhash::quality::RandomState;

const GROUP: usize = 8;
/// Set in a slot when its context is seen again.
const SEEN_AGAIN: u64 = 1;
const EMPTY: u64 = 0;

#[repr(align(64))]
struct Group([AtomicU64; GROUP]);

/// Remembers contexts by their canonical keys.
pub(super) struct ContextFilter {
    groups: Box<[Group]>,
    hasher: RandomState,
    capacity: usize,
    remembered: AtomicUsize,
    /// Where the hand is.
    hand: AtomicUsize,
}

impl ContextFilter {
    pub(super) fn new(capacity: usize) -> Self {
        // A quarter full: a group of eight then overflows once in five thousand.
        let groups = capacity.saturating_mul(4).div_ceil(GROUP).clamp(1, 1 << 22);
        Self {
            groups: (0..groups).map(|_| Group([const { AtomicU64::new(EMPTY) }; GROUP])).collect(),
            hasher: RandomState::default(),
            capacity,
            remembered: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
        }
    }

    /// Whether the context is remembered.
    #[inline]
    pub(super) fn contains(&self, canonical_key: &str) -> bool {
        let hash = self.hash(canonical_key);
        self.group(hash).0.iter().any(|slot| {
            let found = slot.load(Ordering::Relaxed);
            if found & !SEEN_AGAIN != hash {
                return false;
            }
            if found & SEEN_AGAIN == 0 {
                // If somebody else puts another context here meanwhile, that one stays.
                let _ = slot.compare_exchange(hash, hash | SEEN_AGAIN, Ordering::Relaxed, Ordering::Relaxed);
            }
            true
        })
    }

    /// Remembers the context; false if it was remembered already.
    pub(super) fn insert(&self, canonical_key: &str) -> bool {
        if self.contains(canonical_key) {
            return false;
        }
        let hash = self.hash(canonical_key);
        if self.remembered.load(Ordering::Relaxed) >= self.capacity {
            self.forget_one();
        }
        let group = self.group(hash);
        for slot in &group.0 {
            match slot.compare_exchange(EMPTY, hash, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.remembered.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                // Another thread was quicker with the same context.
                Err(found) if found & !SEEN_AGAIN == hash => return false,
                Err(_) => {}
            }
        }
        // The group is full: one of the group is forgotten in exchange.
        let victim = group.0.iter().find(|slot| slot.load(Ordering::Relaxed) & SEEN_AGAIN == 0);
        let index = hash as usize >> 32;
        let victim = victim.unwrap_or(&group.0[index % GROUP]);
        if victim.swap(hash, Ordering::Relaxed) == EMPTY {
            // Another thread has forgotten it just now.
            self.remembered.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        for slot in self.slots() {
            if slot.swap(EMPTY, Ordering::Relaxed) != EMPTY {
                self.remembered.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.slots().filter(|slot| slot.load(Ordering::Relaxed) != EMPTY).count()
    }

    /// Moves the hand on to the first context that was not seen since it last came by, and forgets it.
    fn forget_one(&self) {
        let slots = self.groups.len() * GROUP;
        // Twice round: the first time may only take back second chances.
        for _ in 0..2 * slots {
            let at = self.hand.fetch_add(1, Ordering::Relaxed) % slots;
            let slot = &self.groups[at / GROUP].0[at % GROUP];
            let found = slot.load(Ordering::Relaxed);
            if found == EMPTY {
                continue;
            }
            let next = if found & SEEN_AGAIN != 0 { found & !SEEN_AGAIN } else { EMPTY };
            let changed = slot.compare_exchange(found, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
            if changed && next == EMPTY {
                self.remembered.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Never empty, and without the bit that says whether it was seen again.
    #[inline]
    fn hash(&self, canonical_key: &str) -> u64 {
        (self.hasher.hash_one(canonical_key) & !SEEN_AGAIN).max(2)
    }

    #[inline]
    fn group(&self, hash: u64) -> &Group {
        // The upper half of a product is as even as a remainder, and cheaper.
        let index = (u128::from(hash) * self.groups.len() as u128) >> 64;
        &self.groups[index as usize]
    }

    fn slots(&self) -> impl Iterator<Item = &AtomicU64> {
        self.groups.iter().flat_map(|group| &group.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert_all(filter: &ContextFilter, keys: std::ops::Range<usize>) -> usize {
        keys.filter(|key| filter.insert(&format!("user-{key}"))).count()
    }

    #[test]
    fn a_context_is_new_once_until_all_are_forgotten() {
        let filter = ContextFilter::new(100);
        assert!(!filter.contains("a"));
        assert!(filter.insert("a"));
        assert!(!filter.insert("a"));
        assert!(filter.contains("a"));
        filter.clear();
        assert!(filter.insert("a"));
    }

    #[test]
    fn no_more_than_the_capacity_are_remembered() {
        let filter = ContextFilter::new(50);
        assert_eq!(insert_all(&filter, 0..5_000), 5_000);
        assert_eq!(filter.held(), 50);
        assert_eq!(filter.remembered.load(Ordering::Relaxed), 50);
    }

    #[test]
    fn as_many_as_the_capacity_are_remembered() {
        let filter = ContextFilter::new(1_000);
        insert_all(&filter, 0..1_000);
        // One in five thousand groups overflows; there are five hundred.
        assert!(insert_all(&filter, 0..1_000) <= 5);
    }

    #[test]
    fn a_context_that_is_seen_again_and_again_outlives_those_that_are_not() {
        let filter = ContextFilter::new(100);
        filter.insert("faithful");
        for key in 0..1_000 {
            filter.insert(&format!("passing-{key}"));
            assert!(filter.contains("faithful"), "forgotten after {key}");
        }
    }

    #[test]
    fn of_many_threads_one_is_the_first() {
        let filter = ContextFilter::new(10_000);
        let news: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| insert_all(&filter, 0..2_000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((2_000..2_020).contains(&news), "{news}");
    }
}

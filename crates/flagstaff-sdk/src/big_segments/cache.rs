//! What was answered lately: so many entries, of which the one used longest ago goes first, each for
//! so long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::HashMap;

pub(super) struct Cache<T> {
    most: usize,
    time: Duration,
    entries: HashMap<Arc<str>, Entry<T>>,
    /// The keys in the order of their last use.
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
}

struct Entry<T> {
    value: T,
    since: Instant,
    last_use: u64,
}

impl<T: Clone> Cache<T> {
    pub(super) fn new(most: usize, time: Duration) -> Self {
        Self { most, time, entries: HashMap::default(), by_use: BTreeMap::new(), uses: 0 }
    }

    /// What stands there, if it is not too old.
    pub(super) fn get(&mut self, key: &str, now: Instant) -> Option<T> {
        let entry = self.entries.get_mut(key)?;
        if now.saturating_duration_since(entry.since) >= self.time {
            return None;
        }
        self.uses += 1;
        if let Some(key) = self.by_use.remove(&entry.last_use) {
            self.by_use.insert(self.uses, key);
        }
        entry.last_use = self.uses;
        Some(entry.value.clone())
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.by_use.clear();
    }

    pub(super) fn put(&mut self, key: Arc<str>, value: T, now: Instant) {
        if self.most == 0 || self.time.is_zero() {
            return;
        }
        self.uses += 1;
        let entry = Entry { value, since: now, last_use: self.uses };
        if let Some(replaced) = self.entries.insert(key.clone(), entry) {
            self.by_use.remove(&replaced.last_use);
        }
        self.by_use.insert(self.uses, key);
        if self.entries.len() > self.most
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut cache = Cache::new(2, Duration::from_secs(60));
        let now = Instant::now();
        cache.put("a".into(), 1, now);
        cache.put("b".into(), 2, now);
        assert_eq!(cache.get("a", now), Some(1));
        cache.put("a".into(), 3, now);
        cache.put("c".into(), 4, now);
        assert_eq!(["a", "b", "c"].map(|key| cache.get(key, now)), [Some(3), None, Some(4)]);
        for number in 0..1_000 {
            cache.put(number.to_string().into(), number, now);
            cache.get("0", now);
        }
        assert_eq!((cache.entries.len(), cache.by_use.len()), (2, 2));
        assert_eq!(cache.get("0", now), Some(0));
    }

    #[test]
    fn what_is_too_old_is_not_there_until_it_is_put_anew() {
        let mut cache = Cache::new(2, Duration::from_secs(60));
        let now = Instant::now();
        cache.put("a".into(), 1, now);
        let later = now + Duration::from_secs(59);
        assert_eq!(cache.get("a", later), Some(1));
        let later = later + Duration::from_secs(1);
        assert_eq!(cache.get("a", later), None, "use does not keep it young");
        cache.put("a".into(), 2, later);
        assert_eq!(cache.get("a", later), Some(2));
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let now = Instant::now();
        for (most, time) in [(0, Duration::from_secs(60)), (10, Duration::ZERO)] {
            let mut cache = Cache::new(most, time);
            cache.put("a".into(), 1, now);
            assert_eq!(cache.get("a", now), None);
        }
    }
}

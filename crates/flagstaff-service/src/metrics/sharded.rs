//! Counters that many threads raise at the same time without waiting for each other.
//!
//! Each thread has a place of its own among a few; a place begins at a cache line of its own. Reading adds
//! the places up, which only `/metrics` does.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// As many threads as this never meet; more share places.
const PLACES: usize = 8;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PLACE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % PLACES);
}

/// Values, one for each place.
#[derive(Debug)]
pub(crate) struct Sharded<T>([Aligned<T>; PLACES]);

/// Two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Aligned<T>(T);

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Aligned::default()))
    }
}

impl<T> Sharded<T> {
    /// This thread's.
    pub(crate) fn here(&self) -> &T {
        &self.0[PLACE.get()].0
    }

    /// Everybody's, added up.
    pub(crate) fn sum(&self, read: impl Fn(&T) -> u64) -> u64 {
        // A gauge may have been raised in one place and lowered in another.
        self.0.iter().fold(0, |sum, place| sum.wrapping_add(read(&place.0)))
    }
}

/// A count.
#[derive(Debug, Default)]
pub(crate) struct Counter(Sharded<AtomicU64>);

impl Counter {
    pub(crate) fn raise(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.here().fetch_add(count, Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.sum(|place| place.load(Relaxed))
    }
}

/// How many of something there are now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(Counter);

impl Gauge {
    pub(crate) fn raise(&self) {
        self.0.raise();
    }

    pub(crate) fn lower(&self) {
        self.0.add(u64::MAX);
    }

    pub(crate) fn value(&self) -> u64 {
        // Read while one leaves and another comes, it may seem to be below nothing.
        u64::try_from(self.0.value().cast_signed()).unwrap_or(0)
    }
}

/// The upper ends of the buckets of durations, in microseconds; one more bucket has none.
pub(crate) const BOUNDS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// How long something took, as buckets.
#[derive(Debug, Default)]
pub(crate) struct Durations(Sharded<Buckets>);

/// Of one place.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    counts: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// What was measured, added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    /// In each bucket alone.
    pub(crate) counts: [u64; BOUNDS.len() + 1],
    pub(crate) microseconds: u64,
}

impl Buckets {
    pub(crate) fn note(&self, took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < microseconds);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.microseconds.fetch_add(microseconds, Relaxed);
    }
}

impl<T> Sharded<T> {
    /// What was measured in all places.
    pub(crate) fn measured(&self, buckets: impl Fn(&T) -> &Buckets) -> Measured {
        Measured {
            counts: std::array::from_fn(|bucket| {
                self.sum(|place| buckets(place).counts[bucket].load(Relaxed))
            }),
            microseconds: self.sum(|place| buckets(place).microseconds.load(Relaxed)),
        }
    }
}

impl Durations {
    pub(crate) fn note(&self, took: Duration) {
        self.0.here().note(took);
    }

    pub(crate) fn measured(&self) -> Measured {
        self.0.measured(|buckets| buckets)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_many_threads_count_adds_up() {
        let (counter, gauge) = (Arc::new(Counter::default()), Arc::new(Gauge::default()));
        let threads: Vec<_> = (0..2 * PLACES)
            .map(|_| {
                let (counter, gauge) = (counter.clone(), gauge.clone());
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        counter.raise();
                        gauge.raise();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        // Lowered by another thread than raised it.
        for _ in 0..500 {
            gauge.lower();
        }
        assert_eq!((counter.value(), gauge.value()), (16_000, 15_500));
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let durations = Durations::default();
        for microseconds in [0, 100, 101, 5_000_000, 5_000_001] {
            durations.note(Duration::from_micros(microseconds));
        }
        let measured = durations.measured();
        assert_eq!((measured.counts[0], measured.counts[1]), (2, 1));
        assert_eq!((measured.counts[13], measured.counts[14]), (1, 1));
        assert_eq!(measured.microseconds, 10_000_202);
    }
}

//! How long to wait before trying again.
//!
//! Source: the protocol's *Reconnecting* and *retry conformance*. After an ordinary failure the
//! delays double from the initial one up to 30 s, each cut by up to a half at random. After a failure
//! that time alone does not mend (a wrong key, a certificate) they double from 5 min to 1 h. A
//! connection that was good for 60 s wipes the slate clean.

use std::time::Duration;

/// The longest ordinary delay.
const LONGEST: Duration = Duration::from_secs(30);
/// The shortest first delay that a service may name: no delay at all would be hammering.
const SHORTEST_NAMED: Duration = Duration::from_millis(100);
/// The first and the longest delay after a failure that time alone does not mend.
const FIRST_EXTENDED: Duration = Duration::from_secs(300);
const LONGEST_EXTENDED: Duration = Duration::from_secs(3600);
/// A stream that was good for so long is healthy.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// So many good polls in a row are healthy.
const HEALTHY_POLLS: u32 = 2;

/// Counts failures of a connection and says how long to wait: for relays, which have connections of their own.
#[derive(Debug)]
pub struct Backoff {
    initial: Duration,
    failures: u32,
    extended_failures: u32,
    good_polls: u32,
    /// See [`Config::compress_time`](crate::Config::compress_time).
    time_factor: u32,
}

impl Backoff {
    /// The first delay is this long.
    pub fn new(initial: Duration) -> Self {
        Self { initial, failures: 0, extended_failures: 0, good_polls: 0, time_factor: 1 }
    }

    /// For tests: all times but the initial delay are so many times shorter.
    pub fn compressed(mut self, time_factor: u32) -> Self {
        self.time_factor = time_factor;
        self
    }

    /// The service named another first delay.
    pub fn set_initial(&mut self, initial: Duration) {
        self.initial = initial.clamp(SHORTEST_NAMED, LONGEST_EXTENDED);
    }

    /// A connection ended that had been good for so long.
    pub fn was_good_for(&mut self, time: Duration) {
        if time >= HEALTHY_AFTER / self.time_factor {
            self.reset();
        }
    }

    /// A poll was answered.
    pub(crate) fn good_poll(&mut self) {
        self.good_polls += 1;
        if self.good_polls >= HEALTHY_POLLS {
            self.reset();
        }
    }

    /// Counts a failure, of a kind that time alone does not mend if `extended`. The delay before the next attempt.
    pub fn next_delay(&mut self, extended: bool) -> Duration {
        self.failed(extended, random())
    }

    /// Counts a failure. The delay before the next attempt; `random` decides how much is cut off.
    pub(crate) fn failed(&mut self, extended: bool, random: u64) -> Duration {
        self.good_polls = 0;
        let factor = self.time_factor;
        let (first, count, longest) = if extended {
            (FIRST_EXTENDED / factor, &mut self.extended_failures, LONGEST_EXTENDED / factor)
        } else {
            (self.initial, &mut self.failures, LONGEST / factor)
        };
        let doublings = (*count).min(16);
        *count = count.saturating_add(1);
        let delay = first.saturating_mul(1 << doublings).min(longest.max(first.min(LONGEST_EXTENDED)));
        let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
        delay.mul_f64(1.0 - share / 2.0)
    }

    fn reset(&mut self) {
        self.failures = 0;
        self.extended_failures = 0;
    }
}

/// From the operating system, so that forked siblings do not come back all at once.
pub(crate) fn random() -> u64 {
    // Without it the delay is not cut: longer, never shorter.
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: &mut Backoff, extended: bool, count: usize) -> Vec<f64> {
        (0..count).map(|_| backoff.failed(extended, 0).as_secs_f64()).collect()
    }

    #[test]
    fn ordinary_delays_double_up_to_thirty_seconds() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        assert_eq!(seconds(&mut backoff, false, 7), [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        for _ in 0..100 {
            assert_eq!(backoff.failed(false, 0), Duration::from_secs(30));
        }
    }

    #[test]
    fn delays_after_a_refusal_double_from_five_minutes_to_an_hour() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        assert_eq!(seconds(&mut backoff, true, 6), [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]);
    }

    #[test]
    fn compressed_time_leaves_the_initial_delay_alone() {
        let mut backoff = Backoff::new(Duration::from_secs(1)).compressed(10);
        assert_eq!(seconds(&mut backoff, false, 4), [1.0, 2.0, 3.0, 3.0]);
        assert_eq!(seconds(&mut backoff, true, 6), [30.0, 60.0, 120.0, 240.0, 360.0, 360.0]);
        backoff.was_good_for(Duration::from_secs(6));
        assert_eq!(seconds(&mut backoff, false, 1), [1.0]);
    }

    #[test]
    fn up_to_half_of_a_delay_is_cut_off() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        let shortest = backoff.failed(false, u64::MAX);
        assert!(
            shortest >= Duration::from_secs(5) && shortest < Duration::from_millis(5_001),
            "{shortest:?}"
        );
    }

    #[test]
    fn a_minute_of_health_or_two_good_polls_wipe_the_slate_clean() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        seconds(&mut backoff, false, 3);
        backoff.was_good_for(Duration::from_secs(59));
        assert_eq!(seconds(&mut backoff, false, 1), [8.0]);
        backoff.was_good_for(Duration::from_secs(60));
        assert_eq!(seconds(&mut backoff, false, 1), [1.0]);
        seconds(&mut backoff, true, 2);
        backoff.good_poll();
        assert_eq!(seconds(&mut backoff, true, 1), [1200.0]);
        backoff.good_poll();
        backoff.good_poll();
        assert_eq!(seconds(&mut backoff, true, 1), [300.0]);
    }

    #[test]
    fn a_service_may_name_the_first_delay_within_reason() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        for (named, kept) in [(2_000, 2.0), (0, 0.1), (u64::MAX, 3600.0)] {
            backoff.set_initial(Duration::from_millis(named));
            backoff.was_good_for(HEALTHY_AFTER);
            assert_eq!(seconds(&mut backoff, false, 1), [kept]);
        }
    }

    #[test]
    fn a_long_initial_delay_is_kept() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        assert_eq!(seconds(&mut backoff, false, 2), [60.0, 60.0]);
    }
}

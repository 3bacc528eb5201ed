//! Whether the clock can be believed when it says that something is old.
//!
//! What is forgotten does not come back, and a clock that was set ten years ahead by mistake would have everything
//! forgotten at once. So a leap of the clock is doubted for a day in which the process runs, or until it is set back:
//! a leap beside the time that has passed meanwhile, or, at the start, beyond the newest that was taken in before. A
//! service that was away for long is doubted as well, which costs nothing but that day.

use std::time::{Duration, Instant};

/// A clock that is this far ahead of what it should say is doubted.
const LEAP_MS: i64 = 24 * 60 * 60 * 1000;

/// For how long.
const DOUBT: Duration = Duration::from_secs(24 * 60 * 60);

/// What the clock said when, and what is to be thought of it.
#[derive(Debug)]
pub(super) struct SteadyClock {
    said_ms: i64,
    at: Instant,
    doubted_since: Option<Instant>,
}

impl SteadyClock {
    /// At the start. `newest_ms` is when the newest was taken in, by the clock as it was then.
    pub(super) fn new(newest_ms: Option<i64>, now_ms: i64, at: Instant) -> Self {
        let is_ahead = newest_ms.is_none_or(|newest| now_ms - newest > LEAP_MS);
        if let Some(newest) = newest_ms.filter(|_| is_ahead) {
            warn(now_ms - newest, "after the newest that was taken in");
        }
        Self { said_ms: now_ms, at, doubted_since: is_ahead.then_some(at) }
    }

    /// Whether what it says now can be believed.
    pub(super) fn is_believed(&mut self, now_ms: i64, at: Instant) -> bool {
        let passed_ms = i64::try_from(at.duration_since(self.at).as_millis()).unwrap_or(i64::MAX);
        let ahead_ms = now_ms - self.said_ms - passed_ms;
        (self.said_ms, self.at) = (now_ms, at);
        if ahead_ms > LEAP_MS {
            warn(ahead_ms, "further at once");
            self.doubted_since = Some(at);
        } else if ahead_ms < -LEAP_MS {
            // Somebody has set it right; and if not, nothing is old by a clock that is behind.
            self.doubted_since = None;
        }
        if self.doubted_since.is_some_and(|since| at.duration_since(since) >= DOUBT) {
            self.doubted_since = None;
        }
        self.doubted_since.is_none()
    }
}

fn warn(ahead_ms: i64, what: &str) {
    let days = ahead_ms / LEAP_MS;
    tracing::warn!(
        "the clock is {days} days {what}: nothing is forgotten by its age for a day; set the clock if it is wrong"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const HOUR: Duration = Duration::from_secs(3600);
    const TEN_YEARS_MS: i64 = 3652 * DAY_MS;

    #[test]
    fn a_clock_that_leaps_ahead_is_doubted_for_a_day_or_until_it_is_set_back() {
        let began = Instant::now();
        let now = 1_800_000_000_000;
        let mut clock = SteadyClock::new(Some(now - 60_000), now, began);
        assert!(clock.is_believed(now, began) && clock.is_believed(now + DAY_MS / 24, began + HOUR));
        // An hour there and back is nothing.
        assert!(clock.is_believed(now + 3 * DAY_MS / 24, began + 2 * HOUR));
        assert!(clock.is_believed(now + 3 * DAY_MS / 24, began + 3 * HOUR));
        let ahead = now + TEN_YEARS_MS;
        let hours = |count: i64| ahead + count * DAY_MS / 24;
        assert!(!clock.is_believed(hours(4), began + 4 * HOUR));
        assert!(!clock.is_believed(hours(27), began + 27 * HOUR), "for a day");
        assert!(clock.is_believed(hours(28), began + 28 * HOUR), "nobody has set it back");
        let mut clock = SteadyClock::new(Some(now), now, began);
        assert!(!clock.is_believed(ahead, began));
        assert!(clock.is_believed(now, began), "it was set back");
    }

    #[test]
    fn a_start_is_believed_shortly_after_the_newest_that_was_taken_in() {
        let (began, now) = (Instant::now(), 1_800_000_000_000);
        let is_believed = |newest| SteadyClock::new(newest, now, began).is_believed(now, began);
        assert!(is_believed(Some(now)) && is_believed(Some(now - DAY_MS)) && is_believed(Some(now + DAY_MS)));
        assert!(!is_believed(Some(now - DAY_MS - 1)) && !is_believed(Some(now - TEN_YEARS_MS)));
        assert!(!is_believed(None), "who knows; there is little to forget");
        let mut clock = SteadyClock::new(None, now, began);
        assert!(clock.is_believed(now + DAY_MS, began + 24 * HOUR));
    }
}

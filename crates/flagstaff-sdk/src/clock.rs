//! The time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
#[inline]
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// Whole milliseconds.
#[inline]
pub(crate) fn millis(duration: Duration) -> u64 {
    // Half a billion years fit.
    duration.as_secs() * 1_000 + u64::from(duration.subsec_millis())
}

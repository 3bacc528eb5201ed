//! What the owner decides about what is kept of events.

use std::path::PathBuf;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What the owner decides about what is kept of events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How many days counts per minute are kept.
    pub keep_counts_days: u32,
    /// How many days a user is kept after they were last seen; none: for ever.
    pub keep_users_days: Option<u32>,
    /// How many days an anonymous context counts after it was last seen.
    pub keep_anonymous_days: u32,
    /// A file in MaxMind's format that says which country an address is in: users with an address and without
    /// a country are given one by it.
    pub countries: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep_counts_days: 90, keep_users_days: None, keep_anonymous_days: 30, countries: None }
    }
}

/// So many days, in milliseconds.
pub(super) fn days_ms(days: u32) -> i64 {
    i64::from(days) * DAY_MS
}

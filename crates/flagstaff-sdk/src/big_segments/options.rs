//! How a database of big segments is used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::store::BigSegmentStore;
use crate::config::{Config, ConfigError, LONGEST, at_least};

/// A database of big segments, and how it is used: see [`Config::big_segments`].
///
/// ```
/// # use std::time::Duration;
/// # use flagstaff_sdk::{BigSegmentStore, BigSegments, Config};
/// # fn configured(database: impl BigSegmentStore) -> Config {
/// let big_segments = BigSegments::new(database).context_cache_time(Duration::from_secs(30));
/// Config::new("sdk-demo-production").big_segments(big_segments)
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct BigSegments {
    pub(super) store: Arc<dyn BigSegmentStore>,
    pub(super) context_cache_size: usize,
    pub(super) context_cache_time: Duration,
    pub(super) status_poll_interval: Duration,
    pub(super) stale_after: Duration,
    pub(super) timeout: Duration,
    pub(super) warns_when_stale: bool,
}

impl BigSegments {
    /// Uses a database: `Redis`, `DynamoDb`, or one of your own.
    pub fn new(store: impl BigSegmentStore) -> Self {
        Self::shared(Arc::new(store))
    }

    /// As [`BigSegments::new`], for a database that something else holds too.
    pub fn shared(store: Arc<dyn BigSegmentStore>) -> Self {
        Self {
            store,
            context_cache_size: 1_000,
            context_cache_time: Duration::from_secs(5),
            status_poll_interval: Duration::from_secs(5),
            stale_after: Duration::from_secs(120),
            timeout: Duration::from_secs(1),
            warns_when_stale: true,
        }
    }

    /// Of how many contexts the segments are remembered; those asked for longest ago are forgotten
    /// first. Default 1,000; 0 remembers nothing.
    pub fn context_cache_size(mut self, contexts: usize) -> Self {
        self.context_cache_size = contexts;
        self
    }

    /// How long the segments of a context are remembered, also that there are none. Default 5 s.
    pub fn context_cache_time(mut self, time: Duration) -> Self {
        self.context_cache_time = time;
        self
    }

    /// How often the database is asked whether it is up to date. Default 5 s.
    pub fn status_poll_interval(mut self, interval: Duration) -> Self {
        self.status_poll_interval = interval;
        self
    }

    /// How old what the database says may be until it counts as stale. Default 120 s.
    pub fn stale_after(mut self, age: Duration) -> Self {
        self.stale_after = age;
        self
    }

    /// How long an evaluation waits for the database at most. Default 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether it is logged that the database is not up to date. Default true; a relay, which is who brings it up
    /// to date, has more to say.
    pub fn warns_when_stale(mut self, warns: bool) -> Self {
        self.warns_when_stale = warns;
        self
    }
}

impl Config {
    /// Asks this database who is in segments that are too large to stream. Without one nobody is in
    /// them, but for whom their rules let in.
    pub fn big_segments(mut self, big_segments: BigSegments) -> Self {
        self.big_segments = Some(big_segments);
        self
    }

    pub(crate) fn check_big_segments(&mut self) -> Result<(), ConfigError> {
        let Some(options) = &mut self.big_segments else { return Ok(()) };
        let shortest = Duration::from_millis(1);
        at_least("the status poll interval of big segments", options.status_poll_interval, shortest)?;
        at_least("the time-out of big segments", options.timeout, shortest)?;
        options.status_poll_interval = options.status_poll_interval.min(LONGEST);
        options.timeout = options.timeout.min(LONGEST);
        Ok(())
    }
}

impl fmt::Debug for BigSegments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BigSegments")
            .field("context_cache_size", &self.context_cache_size)
            .field("context_cache_time", &self.context_cache_time)
            .field("status_poll_interval", &self.status_poll_interval)
            .field("stale_after", &self.stale_after)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

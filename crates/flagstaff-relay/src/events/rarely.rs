//! What happens often is said rarely.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often one thing is said.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Counts what happens between the lines of a log.
#[derive(Debug, Default)]
pub(super) struct Rarely(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    said: Option<Instant>,
    since: u64,
}

impl Rarely {
    /// It happened so often. Gives how often since it was said last, if it is to be said now.
    pub(super) fn count(&self, times: u64) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        counted.since += times;
        if counted.said.is_some_and(|said| now.duration_since(said) < SAID_EVERY) {
            return None;
        }
        counted.said = Some(now);
        Some(std::mem::take(&mut counted.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_again_at_once_is_counted_and_not_said() {
        let rarely = Rarely::default();
        assert_eq!([rarely.count(2), rarely.count(3), rarely.count(4)], [Some(2), None, None]);
        rarely.0.lock().unwrap().said = None;
        assert_eq!(rarely.count(1), Some(8));
    }
}

//! How copying big segments goes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How an environment's big segments are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BigSegmentState {
    /// Whether the database answers.
    pub available: bool,
    /// When they were last up to date.
    pub last_synchronized_on: Option<SystemTime>,
}

impl BigSegmentState {
    /// Whether they may not be up to date: for so long nobody said that they are.
    pub fn is_stale(&self, after: Duration) -> bool {
        // A time to come, by the clock of another machine, is not stale.
        self.last_synchronized_on.is_none_or(|time| time.elapsed().is_ok_and(|age| age >= after))
    }
}

/// What is seen while copying; none before there is anything to copy.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Option<BigSegmentState>>);

impl Watch {
    pub(super) fn state(&self) -> Option<BigSegmentState> {
        self.lock().clone()
    }

    /// The database says when they were last up to date.
    pub(super) fn answered(&self, last_synchronized_on: Option<SystemTime>) {
        *self.lock() = Some(BigSegmentState { available: true, last_synchronized_on });
    }

    /// The database does not answer.
    pub(super) fn unavailable(&self) {
        let mut state = self.lock();
        let last_synchronized_on = state.as_ref().and_then(|state| state.last_synchronized_on);
        *state = Some(BigSegmentState { available: false, last_synchronized_on });
    }

    fn lock(&self) -> MutexGuard<'_, Option<BigSegmentState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_up_to_date_or_long_ago_is_stale() {
        let after = Duration::from_secs(300);
        let state = |last| BigSegmentState { available: true, last_synchronized_on: last };
        let ago = |seconds| SystemTime::now() - Duration::from_secs(seconds);
        assert!(state(None).is_stale(after));
        assert!(state(Some(ago(301))).is_stale(after));
        assert!(!state(Some(ago(200))).is_stale(after));
        assert!(!state(Some(SystemTime::now() + after)).is_stale(after));
    }

    #[test]
    fn an_outage_of_the_database_does_not_forget_when_it_was_up_to_date() {
        let watch = Watch::default();
        assert_eq!(watch.state(), None);
        let time = SystemTime::now();
        watch.answered(Some(time));
        watch.unavailable();
        assert_eq!(
            watch.state(),
            Some(BigSegmentState { available: false, last_synchronized_on: Some(time) })
        );
    }
}

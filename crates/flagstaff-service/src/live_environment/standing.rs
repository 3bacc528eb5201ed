//! How well live environments are kept up to date, which a process says of itself.

use std::sync::{Mutex, PoisonError};

use super::LiveEnvironments;
use crate::now_ms;

/// For how long it may fail before an environment counts as disconnected, in milliseconds.
///
/// Source: the protocol's *`GET /status`*.
const DISCONNECTED_AFTER_MS: i64 = 60_000;

/// How well environments are kept up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Changes cannot be looked for: what is served may be old.
    pub is_interrupted: bool,
    /// Since when this is so, in Unix milliseconds; 0 if it was never otherwise.
    pub since: i64,
    /// When it failed last.
    pub failed_at: Option<i64>,
}

impl Standing {
    /// Whether nobody has to worry yet.
    pub fn is_connected(&self, now: i64) -> bool {
        !self.is_interrupted || now.saturating_sub(self.since) < DISCONNECTED_AFTER_MS
    }
}

/// Written by whoever keeps them up to date.
#[derive(Debug, Default)]
pub(super) struct SharedStanding(Mutex<Standing>);

impl LiveEnvironments {
    /// How well they are kept up to date.
    pub fn standing(&self) -> Standing {
        *self.standing.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That they were brought up to date just now, or could not be.
    pub(super) fn stand(&self, is_interrupted: bool) {
        let now = now_ms();
        let mut standing = self.standing.0.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.is_interrupted != is_interrupted {
            *standing = Standing { is_interrupted, since: now, ..*standing };
        }
        if is_interrupted {
            standing.failed_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_counts_as_disconnected_after_a_minute() {
        let interrupted = Standing { is_interrupted: true, since: 1_000, failed_at: Some(1_000) };
        for (now, is_connected) in [(1_000, true), (60_999, true), (61_000, false), (0, true)] {
            assert_eq!(interrupted.is_connected(now), is_connected, "{now}");
        }
        let healed = Standing { is_interrupted: false, ..interrupted };
        assert!(healed.is_connected(i64::MAX));
    }

    #[test]
    fn it_says_since_when_it_is_so_and_when_it_failed_last() {
        let environments = LiveEnvironments::default();
        environments.stand(false);
        assert_eq!(environments.standing(), Standing::default(), "it was never otherwise");
        environments.stand(true);
        let since = environments.standing().since;
        environments.stand(true);
        let standing = environments.standing();
        assert!(standing.is_interrupted && standing.since == since && standing.failed_at >= Some(since));
        environments.stand(false);
        let healed = environments.standing();
        assert!(!healed.is_interrupted && healed.since >= since && healed.failed_at == standing.failed_at);
    }
}

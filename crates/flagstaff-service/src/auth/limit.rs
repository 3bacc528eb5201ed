//! How often somebody may try to sign in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures allowed within the window, per address and account together, so that nobody can lock
/// somebody else out from elsewhere.
const PER_ADDRESS_AND_ACCOUNT: u32 = 5;
/// Failures allowed within the window per address, whatever the accounts.
const PER_ADDRESS: u32 = 20;
/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);
/// More than this many remembered at once: the oldest window is forgotten first.
const REMEMBERED: usize = 10_000;

/// Counts failed sign-ins.
#[derive(Debug, Default)]
pub struct SignInLimit {
    failures: Mutex<HashMap<(IpAddr, Option<String>), Failures>>,
}

#[derive(Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

impl SignInLimit {
    /// How long to wait before the next try, if too many failed.
    pub fn wait(&self, address: IpAddr, account: &str) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let remaining = |key: (IpAddr, Option<String>), allowed: u32| {
            let failed = failures.get(&key).filter(|failed| failed.count >= allowed)?;
            WINDOW.checked_sub(failed.since.elapsed())
        };
        remaining((address, Some(account.to_lowercase())), PER_ADDRESS_AND_ACCOUNT)
            .max(remaining((address, None), PER_ADDRESS))
    }

    /// Notes a failure.
    pub fn failed(&self, address: IpAddr, account: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            failures.retain(|_, failed| failed.since.elapsed() < WINDOW);
        }
        for key in [(address, Some(account.to_lowercase())), (address, None)] {
            let failed = failures.entry(key).or_insert_with(|| Failures { since: Instant::now(), count: 0 });
            if failed.since.elapsed() >= WINDOW {
                *failed = Failures { since: Instant::now(), count: 0 };
            }
            failed.count += 1;
        }
    }

    /// Forgets the failures of this account from this address, after it succeeded.
    pub fn succeeded(&self, address: IpAddr, account: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&(address, Some(account.to_lowercase())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_of_an_account_wait_and_another_address_does_not() {
        let limit = SignInLimit::default();
        let here = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..5 {
            assert_eq!(limit.wait(here, "ada@example.com"), None);
            limit.failed(here, "Ada@example.com");
        }
        assert!(limit.wait(here, "ada@example.com").is_some());
        assert_eq!(limit.wait(IpAddr::from([10, 0, 0, 2]), "ada@example.com"), None);
        limit.succeeded(here, "ada@example.com");
        assert_eq!(limit.wait(here, "ada@example.com"), None);
    }
}

//! How often somebody may try to sign in.
//!
//! A try counts from its beginning: many at the same time would all pass otherwise, before the first
//! of them had failed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::secret;
use crate::peer::Neighbours;

/// Failures allowed within the window, per address and account together, so that nobody can lock
/// somebody else out from elsewhere.
const PER_ADDRESS_AND_ACCOUNT: u32 = 5;
/// Failures allowed within the window per address, whatever the accounts.
const PER_ADDRESS: u32 = 20;
/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);
/// More than this many remembered at once: the older half is forgotten.
const REMEMBERED: usize = 10_000;

/// An address, with the hash of an account or for all accounts together. What is typed as an account
/// may be long; its hash is not.
type Who = (Neighbours, Option<String>);

/// Counts sign-ins that failed or are under way.
#[derive(Debug, Default)]
pub struct SignInLimit {
    failures: Mutex<HashMap<Who, Failures>>,
}

#[derive(Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

impl SignInLimit {
    /// Begins a try, which counts as failed until it has [`succeeded`](Self::succeeded).
    ///
    /// # Errors
    /// How long to wait, if too many failed or are under way.
    pub fn begin(&self, address: IpAddr, account: &str) -> Result<(), Duration> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let anybody = (Neighbours::of(address), None);
        let both = [(of_account(address, account), PER_ADDRESS_AND_ACCOUNT), (anybody, PER_ADDRESS)];
        let remaining = |(who, allowed): &(Who, u32)| {
            let failed = failures.get(who).filter(|failed| failed.count >= *allowed)?;
            WINDOW.checked_sub(failed.since.elapsed())
        };
        if let Some(wait) = both.iter().filter_map(remaining).max() {
            return Err(wait);
        }
        make_room(&mut failures);
        for (who, _) in both {
            let failed = failures.entry(who).or_insert_with(|| Failures { since: Instant::now(), count: 0 });
            if failed.since.elapsed() >= WINDOW {
                *failed = Failures { since: Instant::now(), count: 0 };
            }
            failed.count += 1;
        }
        Ok(())
    }

    /// Forgets the failures of this account from this address, after it succeeded, and that this try
    /// was one of the address.
    pub fn succeeded(&self, address: IpAddr, account: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&of_account(address, account));
        if let Some(failed) = failures.get_mut(&(Neighbours::of(address), None)) {
            failed.count = failed.count.saturating_sub(1);
        }
    }
}

fn of_account(address: IpAddr, account: &str) -> Who {
    (Neighbours::of(address), Some(secret::hash(&account.to_lowercase())))
}

fn make_room(failures: &mut HashMap<Who, Failures>) {
    if failures.len() < REMEMBERED {
        return;
    }
    failures.retain(|_, failed| failed.since.elapsed() < WINDOW);
    if failures.len() < REMEMBERED {
        return;
    }
    // Half of them at a time, so that a flood does not have every try look for the oldest.
    let mut ages: Vec<Instant> = failures.values().map(|failed| failed.since).collect();
    let (_, middle, _) = ages.select_nth_unstable(REMEMBERED / 2);
    let middle = *middle;
    failures.retain(|_, failed| failed.since > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn five_tries_of_an_account_wait_and_another_address_does_not() {
        let limit = SignInLimit::default();
        for _ in 0..5 {
            assert_eq!(limit.begin(HERE, "Ada@example.com"), Ok(()));
        }
        assert!(limit.begin(HERE, "ada@example.com").is_err());
        assert_eq!(limit.begin(THERE, "ada@example.com"), Ok(()));
        limit.succeeded(HERE, "ada@example.com");
        assert_eq!(limit.begin(HERE, "ada@example.com"), Ok(()));
    }

    #[test]
    fn an_address_has_twenty_tries_whatever_the_accounts_and_successes_do_not_count() {
        let limit = SignInLimit::default();
        for _ in 0..100 {
            assert_eq!(limit.begin(HERE, "ada@example.com"), Ok(()));
            limit.succeeded(HERE, "ada@example.com");
        }
        for number in 0..20 {
            assert_eq!(limit.begin(HERE, &format!("{number}@example.com")), Ok(()));
        }
        assert!(limit.begin(HERE, "ada@example.com").is_err());
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let limit = SignInLimit::default();
        for number in 0..20_000_u32 {
            let _ = limit.begin(IpAddr::from(number.to_be_bytes()), "ada@example.com");
        }
        assert!(limit.failures.lock().unwrap().len() <= REMEMBERED + 2);
    }
}

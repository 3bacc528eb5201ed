//! Who was let in by what, so that they can be sent away when it stops counting.
//!
//! A key that is replaced may count on until a time. Those who came by it stay until then, those who come by it
//! meanwhile are let in with them, and at that time all of them are sent away: within a second also if the
//! clock was set. A clock that is set back lets them in again, as it says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{About, Audience, LiveEnvironment, LiveEnvironments};
use crate::auth::secret;
use crate::{SharedServing, now_ms};

/// How long a clock that was set may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who was let in by what.
#[derive(Debug, Default)]
pub(super) struct Admissions(Mutex<Admitted>);

#[derive(Debug, Default)]
struct Admitted {
    /// Each is cancelled when what an audience came by stops counting; for servers that is the present key.
    by_audience: [CancellationToken; 3],
    /// The same for servers that came by the key before.
    by_old_key: CancellationToken,
    /// That key's time came, and who had come by it was sent away.
    has_expired: bool,
}

/// Somebody who is to leave as soon as nobody gets in any more by what they came by.
#[derive(Debug)]
pub(super) enum Leaving {
    /// Everybody of this audience.
    All(Audience),
    /// Those who came by an older key than the one that counts on.
    Some(CancellationToken),
}

impl Admissions {
    pub(super) fn of(&self, audience: Audience) -> CancellationToken {
        self.admitted().by_audience[audience as usize].clone()
    }

    /// Sends everybody of this audience away who is here now.
    pub(super) fn end(&self, audience: Audience) {
        let mut admitted = self.admitted();
        let mut left = vec![std::mem::take(&mut admitted.by_audience[audience as usize])];
        if audience == Audience::Server {
            left.push(std::mem::take(&mut admitted.by_old_key));
        }
        drop(admitted);
        left.iter().for_each(CancellationToken::cancel);
    }

    fn admitted(&self) -> MutexGuard<'_, Admitted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveEnvironment {
    /// Cancelled when this SDK key, by which somebody was let in, stops counting. It is at once if it did before.
    pub(crate) fn revoked_for(&self, sdk_key: &str) -> CancellationToken {
        let admitted = self.admitted.admitted();
        let about = self.about.load();
        let environment = &about.environment;
        if secret::equal(sdk_key, &environment.sdk_key) {
            return admitted.by_audience[Audience::Server as usize].clone();
        }
        match &environment.expiring_sdk_key {
            Some(old) if secret::equal(sdk_key, &old.key) => admitted.by_old_key.clone(),
            _ => {
                let gone = CancellationToken::new();
                gone.cancel();
                gone
            }
        }
    }

    /// Takes over new names, keys and settings. Gives those who are to [leave](Self::leave) as soon as nobody
    /// gets in by the old ones any more.
    #[must_use]
    pub(super) fn describe(&self, about: About) -> Vec<Leaving> {
        let about = Arc::new(about);
        let old = self.about();
        let mut leaving = vec![self.admit_by(&about)];
        self.for_each_following_part(|part| leaving.push(part.admit_by(&about)));
        let mut leaving: Vec<_> = leaving.into_iter().flatten().map(Leaving::Some).collect();
        let (old, new) = (&old.environment, &about.environment);
        let now = now_ms();
        let is_lost = |key: &str| !new.sdk_keys(now).any(|counts| counts == key);
        let lost_proof = new.secure_mode && (!old.secure_mode || old.sdk_keys(now).any(is_lost));
        let all = [
            (Audience::Server, is_lost(&old.sdk_key)),
            (Audience::Mobile, old.mobile_key != new.mobile_key),
            (Audience::Browser, lost_proof),
        ];
        leaving.extend(all.into_iter().filter_map(|(audience, goes)| goes.then_some(Leaving::All(audience))));
        leaving
    }

    /// Sends somebody away.
    pub(super) fn leave(&self, leaving: Leaving) {
        match leaving {
            Leaving::All(audience) => self.send_away(audience),
            Leaving::Some(token) => token.cancel(),
        }
    }

    /// Takes over what is true now, in one step with who came by which key. Gives what is to be cancelled for those
    /// whose key counts neither as the present one nor as the one before.
    fn admit_by(&self, about: &Arc<About>) -> Option<CancellationToken> {
        let mut admitted = self.admitted.admitted();
        let old = self.about.swap(about.clone());
        let (old, new) = (&old.environment, &about.environment);
        let old_key = new.expiring_sdk_key.as_ref().map(|old| &old.key);
        if old.expiring_sdk_key != new.expiring_sdk_key {
            admitted.has_expired = false;
        }
        if old.sdk_key != new.sdk_key && old_key == Some(&old.sdk_key) {
            let present = std::mem::take(&mut admitted.by_audience[Audience::Server as usize]);
            return Some(std::mem::replace(&mut admitted.by_old_key, present));
        }
        let is_other = old.expiring_sdk_key.as_ref().map(|old| &old.key) != old_key;
        is_other.then(|| std::mem::take(&mut admitted.by_old_key))
    }

    /// Sends those away whose key has had its time. Gives when to look again, in Unix milliseconds.
    fn expire(&self, now: i64) -> Option<i64> {
        let about = self.about();
        let until = about.environment.expiring_sdk_key.as_ref()?.until;
        let mut admitted = self.admitted.admitted();
        if now < until {
            admitted.has_expired = false;
            return Some(until);
        }
        if !std::mem::replace(&mut admitted.has_expired, true) {
            let left = std::mem::take(&mut admitted.by_old_key);
            drop(admitted);
            left.cancel();
            // They may have proved themselves by that key.
            if about.environment.secure_mode {
                self.send_away(Audience::Browser);
            }
        }
        // Should the clock be set back, the key counts again, and expires again.
        Some(until.max(now))
    }
}

impl LiveEnvironments {
    /// Sends those away whose key has had its time. Gives when to look again, in Unix milliseconds.
    pub fn expire(&self, now: i64) -> Option<i64> {
        let mut soonest = None;
        let mut look = |live: &LiveEnvironment| {
            let next = live.expire(now);
            soonest = [soonest, next].into_iter().flatten().min();
        };
        for live in self.all() {
            look(&live);
            live.for_each_part(&mut look);
        }
        soonest
    }
}

/// Sends those away whose key has had its time, until the process stops.
pub(crate) async fn expire_keys(serving: SharedServing) {
    let mut changes = serving.live.changes();
    loop {
        let now = now_ms();
        let wait = serving.live.expire(now).map(|next| {
            let left = u64::try_from(next.saturating_sub(now)).unwrap_or(0);
            // Not less than a moment for keys that have expired: they are only looked at in case the clock is set.
            if left == 0 { LOOK_AGAIN } else { Duration::from_millis(left).min(LOOK_AGAIN) }
        });
        let sleep = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            // The sender lives as long as the process serves.
            _ = changes.changed() => {}
            () = serving.stopping.cancelled() => return,
        }
    }
}

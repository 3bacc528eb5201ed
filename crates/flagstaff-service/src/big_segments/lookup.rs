//! One context's big segments, remembered for a while.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flagstaff_eval::BigSegmentsStatus;
use flagstaff_eval::big_segments::Membership;
use flagstaff_wire::big_segments::ContextHash;

use super::BigSegments;
use crate::live_environment::{AskedMembers, Members};
use crate::store::big_segment::member::{self, List};
use crate::store::{EnvironmentId, StoreError};

/// So long an answer counts. A change is heard of earlier: this is the net.
const REMEMBERED: Duration = Duration::from_secs(5);
/// So many contexts are remembered.
const MOST_REMEMBERED: usize = 10_000;
/// So long an evaluation waits for the database.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who is in the big segments of one environment, as the database says.
#[derive(Debug)]
pub(super) struct Lookup {
    all: Arc<BigSegments>,
    environment: EnvironmentId,
}

impl Lookup {
    pub(super) fn new(all: Arc<BigSegments>, environment: EnvironmentId) -> Self {
        Self { all, environment }
    }

    async fn look_up(&self, context_key: &str) -> Result<Arc<Membership>, LookupError> {
        let context = ContextHash::of(context_key);
        let (known, age) = self.all.cache().get(self.environment, context);
        if let Some(known) = known {
            return Ok(known);
        }
        let found = tokio::time::timeout(PATIENCE, self.ask(context)).await;
        let membership = Arc::new(found.map_err(|_| LookupError::TooSlow)??);
        self.all.cache().put(self.environment, context, membership.clone(), age);
        Ok(membership)
    }

    async fn ask(&self, context: ContextHash) -> Result<Membership, StoreError> {
        let mut connection = self.all.store.read().await?;
        let found = member::of_context(&mut connection, self.environment, context).await?;
        let on = |list: List| {
            found.iter().filter(move |(_, state)| state.is_in(list)).map(|(reference, _)| reference.as_str())
        };
        Ok(Membership::new(on(List::Included), on(List::Excluded)))
    }
}

/// Why it is not known who is in big segments.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error("could not look up who is in big segments")]
    Store(#[from] StoreError),
    #[error("the database did not say within {} s who is in big segments", PATIENCE.as_secs())]
    TooSlow,
}

impl Members for Lookup {
    fn of<'a>(&'a self, context_key: &'a str) -> AskedMembers<'a> {
        Box::pin(async {
            match self.look_up(context_key).await {
                Ok(membership) => {
                    if self.all.failing.swap(false, Ordering::Relaxed) {
                        tracing::info!("flags are evaluated with big segments again");
                    }
                    (Some(membership), BigSegmentsStatus::Healthy)
                }
                Err(error) => {
                    // Once, however many evaluations there are.
                    if !self.all.failing.swap(true, Ordering::Relaxed) {
                        let error = crate::error::chain(&error);
                        tracing::error!(error, "flags are evaluated without big segments");
                    }
                    (None, BigSegmentsStatus::StoreError)
                }
            }
        })
    }
}

/// What was answered lately. When there is no more room, the older half goes.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: Answers,
    old: Answers,
    /// How often something was forgotten. What was asked before that may be of before.
    age: u64,
}

/// Each with the time when it was put there.
type Answers = HashMap<(EnvironmentId, ContextHash), (Arc<Membership>, Instant)>;

impl Cache {
    /// What is known, and when it was asked for.
    fn get(&self, environment: EnvironmentId, context: ContextHash) -> (Option<Arc<Membership>>, u64) {
        let here = (environment, context);
        let known = self.young.get(&here).or_else(|| self.old.get(&here));
        let known = known.filter(|(_, since)| since.elapsed() < REMEMBERED);
        (known.map(|(membership, _)| membership.clone()), self.age)
    }

    /// Remembers what was asked at `age`.
    fn put(&mut self, environment: EnvironmentId, context: ContextHash, known: Arc<Membership>, age: u64) {
        if age != self.age {
            return;
        }
        if self.young.len() >= MOST_REMEMBERED / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert((environment, context), (known, Instant::now()));
    }

    pub(super) fn forget(&mut self, environment: EnvironmentId, contexts: Option<&HashSet<ContextHash>>) {
        self.age += 1;
        for answers in [&mut self.young, &mut self.old] {
            match contexts {
                Some(contexts) => {
                    for context in contexts {
                        answers.remove(&(environment, *context));
                    }
                }
                None => answers.retain(|(known, _), _| *known != environment),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: EnvironmentId = EnvironmentId(1);

    fn put(cache: &mut Cache, environment: EnvironmentId, key: &str, age: u64) {
        cache.put(environment, ContextHash::of(key), Arc::default(), age);
    }

    fn has(cache: &Cache, environment: EnvironmentId, key: &str) -> bool {
        cache.get(environment, ContextHash::of(key)).0.is_some()
    }

    #[test]
    fn what_changed_is_forgotten_and_nothing_else() {
        let mut cache = Cache::default();
        let elsewhere = EnvironmentId(2);
        for (environment, key) in [(HERE, "a"), (HERE, "b"), (elsewhere, "a")] {
            put(&mut cache, environment, key, 0);
        }
        cache.forget(HERE, Some(&[ContextHash::of("a")].into()));
        let known =
            |cache: &Cache| [has(cache, HERE, "a"), has(cache, HERE, "b"), has(cache, elsewhere, "a")];
        assert_eq!(known(&cache), [false, true, true]);
        cache.forget(HERE, None);
        assert_eq!(known(&cache), [false, false, true]);
    }

    #[test]
    fn an_answer_from_before_a_change_is_not_remembered() {
        let mut cache = Cache::default();
        let (_, asked_at) = cache.get(HERE, ContextHash::of("a"));
        cache.forget(HERE, Some(&[ContextHash::of("a")].into()));
        put(&mut cache, HERE, "a", asked_at);
        assert!(!has(&cache, HERE, "a"));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_the_latest_always_is() {
        let mut cache = Cache::default();
        for number in 0..3 * MOST_REMEMBERED {
            put(&mut cache, HERE, &number.to_string(), 0);
            assert!(cache.young.len() + cache.old.len() <= MOST_REMEMBERED);
        }
        let latest = 3 * MOST_REMEMBERED - 1;
        assert!(has(&cache, HERE, &latest.to_string()));
        assert!(has(&cache, HERE, &(latest - MOST_REMEMBERED / 2 + 1).to_string()));
        assert!(!has(&cache, HERE, "0"));
        // In either half.
        cache.forget(HERE, None);
        assert_eq!((cache.young.len(), cache.old.len()), (0, 0));
    }
}

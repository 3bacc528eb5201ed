//! Who has to hear of a change of members: what is remembered, streams of values, and whoever copies.

use std::sync::Arc;
use std::time::Duration;

use super::BigSegments;
use crate::SharedApp;
use crate::live_environment::{LiveEnvironments, MembersChanged};
use crate::store::StoreError;
use crate::store::big_segment::revision;

/// So many contexts are named to listeners; of more they are told that there are many.
const MOST_NAMED: usize = 20_000;
/// While a file is imported there are changes all the time, which are passed on no more often than this.
const PAUSE: Duration = Duration::from_millis(200);

impl BigSegments {
    /// Passes on every change that was committed before the call.
    pub async fn catch_up(&self, environments: &LiveEnvironments) -> Result<(), StoreError> {
        let mut passed_on = self.passed_on.lock().await;
        let mut connection = self.store.read().await?;
        let heads = revision::heads(&mut connection).await?;
        for (environment, head) in heads.iter().copied() {
            let before = passed_on.get(&environment).copied().unwrap_or(0);
            if before == head {
                continue;
            }
            let live = environments.by_id(environment);
            let listened_to = live.as_ref().is_some_and(|live| live.has_members_listeners());
            let named = if listened_to && before < head {
                revision::changed_between(&mut connection, environment, before, head, MOST_NAMED).await?
            } else {
                None
            };
            self.forget(environment, named.as_ref());
            if let Some(live) = live {
                let changed = named.map(|named| MembersChanged::These(Arc::new(named)));
                live.tell_members_changed(changed.unwrap_or(MembersChanged::Many));
            }
            passed_on.insert(environment, head);
        }
        passed_on.retain(|environment, _| heads.iter().any(|(known, _)| known == environment));
        Ok(())
    }
}

/// Passes on changes until the service stops, those of other processes too. As long as the database answers, whoever
/// was not told by it in time asks again.
pub async fn follow(app: SharedApp) {
    let mut commits = app.store.commits();
    let mut failures = 0_u64;
    loop {
        match app.big_segments.catch_up(&app.live).await {
            Ok(()) => {
                failures = 0;
                app.live.all().iter().for_each(|live| live.ask_members_again());
            }
            Err(error) => {
                failures += 1;
                if failures.is_power_of_two() {
                    let error = crate::error::chain(&error);
                    tracing::error!(
                        error,
                        failures,
                        "could not follow changes of big segments; trying again"
                    );
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = app.stopping.cancelled() => return,
        }
        tokio::select! {
            _ = commits.changed() => {}
            () = tokio::time::sleep(app.settings.change_log_poll) => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

//! Turns for writing what a stream begins with. A few hundred at a time, so that a storm of reconnects makes each
//! quick rather than all slow, and memory does not fill with what waits in sockets.

use std::time::Duration;

use tokio::task::AbortHandle;

use super::stay::{End, Stay};
use crate::SharedServing;

/// How long a slow reader may hold a turn.
const LONGEST: Duration = Duration::from_secs(2);

/// A turn, given back when it is dropped, or when its time is over.
#[derive(Debug)]
pub(crate) struct Turn(AbortHandle);

/// A turn came.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) turn: Turn,
    /// It had to be waited for, so that what there was to be sent may be old by now.
    pub(crate) waited: bool,
}

impl Turn {
    /// Waits for a turn.
    ///
    /// # Errors
    /// If the stay is over before.
    pub(crate) async fn take(serving: &SharedServing, stay: &Stay) -> Result<Taken, End> {
        let turns = serving.metrics.put_turns.clone();
        let (permit, waited) = match turns.clone().try_acquire_owned() {
            Ok(permit) => (permit, false),
            Err(_) => tokio::select! {
                biased;
                end = stay.over() => return Err(end),
                permit = turns.acquire_owned() => {
                    (permit.unwrap_or_else(|_| unreachable!("nobody closes it")), true)
                }
            },
        };
        let holder = tokio::spawn(async move {
            tokio::time::sleep(LONGEST).await;
            drop(permit);
        });
        Ok(Taken { turn: Self(holder.abort_handle()), waited })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

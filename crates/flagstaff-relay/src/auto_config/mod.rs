//! A relay that is told by upstream what to serve.
//!
//! | What happens | What is done |
//! |---|---|
//! | everything | it is served, and nothing else |
//! | an environment or a filter is new, changed, or gone | the same for it, if its version is greater |
//! | `reconnect`, the stream ends or breaks, 400, 408, 429, 5xx | asked again; what was known is served on |
//! | data that cannot be read | the connection is dropped and opened again |
//! | nothing comes for 5 minutes, not even a comment | taken for dead, opened again |
//! | 401, 403 or another 4xx | said, and tried again after 5 minutes to an hour; what was known is served on |
//! | upstream has not spoken yet, or does not any more | what was known last is served; unknown keys are answered 503 |
//!
//! Source: the protocol's *Automatic configuration*. What was said last is kept in a file.

mod kept;
mod listen;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flagstaff_service::now_ms;
use flagstaff_wire::relay::Configuration;

pub(crate) use listen::{Ended, Listener};

use crate::SharedRelay;
use crate::config::Upstream;
use crate::served::Served;
use kept::Kept;

/// What a relay has itself told by upstream what to serve with.
#[derive(Clone, PartialEq, Eq)]
pub struct AutoConfig {
    /// The key.
    pub key: String,
}

/// Without the key.
impl fmt::Debug for AutoConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AutoConfig").finish_non_exhaustive()
    }
}

/// How being told goes.
#[derive(Clone, Debug, Default)]
pub struct ConfigurationStatus(Arc<Mutex<State>>);

/// How being told goes, at a moment.
#[derive(Clone, Debug)]
pub struct State {
    /// Whether everything was said since the relay was started.
    pub has_come: bool,
    /// Whether the connection is good.
    pub is_connected: bool,
    /// Since when it is so.
    pub since: i64,
    /// What went wrong last, in words without secrets, and when.
    pub last_error: Option<(String, i64)>,
    /// Whether upstream does not let us in.
    pub is_refused: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { has_come: false, is_connected: false, since: now_ms(), last_error: None, is_refused: false }
    }
}

impl State {
    /// Whether what is served is what upstream wants.
    pub fn is_well(&self) -> bool {
        self.has_come && !self.is_refused
    }
}

impl ConfigurationStatus {
    /// How it is now.
    pub fn now(&self) -> State {
        self.state().clone()
    }

    fn came(&self) {
        let mut state = self.state();
        if !state.is_connected {
            state.since = now_ms();
        }
        (state.has_come, state.is_connected, state.is_refused) = (true, true, false);
    }

    fn ended(&self, ended: &Ended) {
        let mut state = self.state();
        if state.is_connected {
            state.since = now_ms();
        }
        state.is_connected = false;
        if let Some(why) = ended.why() {
            state.last_error = Some((why.to_owned(), now_ms()));
        }
        state.is_refused = ended.is_refusal();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a relay was told to serve, and by whom.
#[derive(Debug)]
pub(crate) struct Told {
    served: Served,
    kept: Option<Kept>,
    status: ConfigurationStatus,
}

impl Told {
    /// Begins with what is known from before.
    pub(crate) fn open(
        folder: Option<&Path>,
        upstream: &Upstream,
        auto: &AutoConfig,
        mut served: Served,
    ) -> (Self, ConfigurationStatus) {
        let kept = folder.map(|folder| Kept::new(folder, upstream, auto));
        if let Some(known) = kept.as_ref().and_then(Kept::read) {
            served.replace(known);
        }
        let status = ConfigurationStatus::default();
        (Self { served, kept, status: status.clone() }, status)
    }

    /// What is served.
    pub(crate) fn environments(&self) -> Vec<crate::config::Environment> {
        self.served.environments()
    }

    /// Serves what upstream wants, until the process stops.
    pub(crate) async fn follow(mut self, relay: SharedRelay, mut listener: Listener) {
        let stopping = relay.serving.stopping.clone();
        loop {
            let delay = tokio::select! {
                ended = self.listen(&relay, &mut listener) => {
                    // What is made upstream from now on is not heard of.
                    relay.serving.live.expect_more(true);
                    self.status.ended(&ended);
                    listener.next_attempt(&ended)
                }
                () = stopping.cancelled() => return,
            };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Takes over what one connection says, until it ends.
    async fn listen(&mut self, relay: &SharedRelay, listener: &mut Listener) -> Ended {
        if let Err(ended) = listener.open().await {
            return ended;
        }
        loop {
            let messages = match listener.messages().await {
                Ok(messages) => messages,
                Err(ended) => return ended,
            };
            let (mut is_other, mut is_everything) = (false, false);
            for message in messages {
                is_everything |= matches!(message, flagstaff_wire::relay::ConfigurationMessage::Put(_));
                is_other |= self.served.apply(message);
            }
            if is_other {
                relay.serve(self.environments()).await;
                if let Some(kept) = &self.kept {
                    kept.write(self.served.configuration()).await;
                }
            }
            if is_everything {
                // After it is served: unknown keys are wrong from here on.
                relay.serving.live.expect_more(false);
                relay.forwarder.knows_all();
                self.status.came();
                let Configuration { environments, filters } = self.served.configuration();
                tracing::info!(
                    "upstream says what to serve: {} environments, {} payload filters",
                    environments.len(),
                    filters.len()
                );
            }
        }
    }
}

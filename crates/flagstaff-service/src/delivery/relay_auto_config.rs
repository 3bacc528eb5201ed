//! `GET /relay_auto_config`: what relays serve, as a stream: everything first, then each change.
//!
//! Source: the protocol's *Automatic configuration*. What a relay is told is worked out anew when something may have
//! changed, and compared with what it was told before: a slow reader is told less often, never wrongly. Nothing is
//! told from memory of other nodes: each looks into the database.
//!
//! An environment's version there is the sum of two that only rise, its own and the policy's: so it rises also when
//! the policy takes an environment away and gives it back.

use std::collections::HashSet;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use flagstaff_wire::relay::{
    Configuration, ExpiringKey, RelayedEnvironment, RelayedFilter, RelayedSdkKey, write_configuration,
    write_environment, write_environment_gone, write_filter, write_filter_gone, write_reconnect,
};
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::event_stream;
use super::stay::Stay;
use super::stream::until;
use crate::auth::Relay;
use crate::error::{ApiError, chain};
use crate::live_environment::About;
use crate::management::relay_auto_config::policy;
use crate::peer::Peer;
use crate::store::relay_auto_config::{self as configs, RelayAutoConfig};
use crate::store::{StoreError, payload_filter};
use crate::{SharedApp, now_ms};

/// However many changes there are, they are looked at together this often.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// `GET /relay_auto_config`
pub(super) async fn stream(
    State(app): State<SharedApp>,
    relay: Relay,
    peer: Peer,
) -> Result<Response, ApiError> {
    let stay = Stay::begin_with_relay(&app.serving, peer)?;
    Ok(event_stream::of_no_environment(Subscriber::new(app, relay, stay)))
}

/// One connected relay.
struct Subscriber {
    app: SharedApp,
    relay: Relay,
    stay: Stay,
    commits: watch::Receiver<u64>,
    changes: watch::Receiver<()>,
    /// What it was told.
    told: Option<Configuration>,
    looked_at: Instant,
    spoke_at: Instant,
    is_over: bool,
}

impl Subscriber {
    fn new(app: SharedApp, relay: Relay, stay: Stay) -> Self {
        let (commits, changes) = (app.store.commits(), app.live.changes());
        let now = Instant::now();
        Self { app, relay, stay, commits, changes, told: None, looked_at: now, spoke_at: now, is_over: false }
    }

    /// Whatever there is to tell. None if its key does not count any more.
    async fn look(&mut self) -> Result<Option<Bytes>, StoreError> {
        self.commits.mark_unchanged();
        self.changes.mark_unchanged();
        self.looked_at = Instant::now();
        let mut snapshot = self.app.store.snapshot().await?;
        let config = configs::by_id(&mut snapshot, &self.relay.config.public_id).await?;
        let Some(config) = config.filter(|config| config.admits(&self.relay.key_hash, now_ms())) else {
            return Ok(None);
        };
        let now = self.configuration(&mut snapshot, &config).await?;
        let mut out = Vec::new();
        let written = match &mut self.told {
            None => write_configuration(&mut out, &now),
            Some(told) => tell_changes(&mut out, told, &now),
        };
        written.unwrap_or_else(|error| unreachable!("it has JSON: {error}"));
        self.told.get_or_insert(now);
        Ok(Some(out.into()))
    }

    async fn configuration(
        &self,
        connection: &mut crate::store::connection::Connection,
        config: &RelayAutoConfig,
    ) -> Result<Configuration, StoreError> {
        let version = |own: i64| u64::try_from(own + config.version).unwrap_or_default();
        let mut served = Configuration::default();
        let mut seen = HashSet::new();
        for live in self.app.live.all() {
            let about = live.about();
            let is_told = |told: &Configuration| {
                told.filters.values().any(|filter| filter.project_key == about.project.key)
            };
            let is_allowed = policy::allows(&config.policy, &about.project, &about.environment);
            if is_allowed {
                let environment = relayed(&about, version(about.environment.version));
                served.environments.insert(environment.id.clone(), environment);
            }
            // Filters of a project stay known once they are: without environments they do nothing.
            if (is_allowed || self.told.as_ref().is_some_and(is_told)) && seen.insert(about.project.id) {
                for filter in payload_filter::of_project(connection, about.project.id).await? {
                    let (project_key, version) = (about.project.key.clone(), version(filter.version));
                    let relayed = RelayedFilter { project_key, key: filter.key, version };
                    served.filters.insert(filter.public_id, relayed);
                }
            }
        }
        Ok(served)
    }

    /// Waits until there may be something to tell. What it gives is to be told.
    async fn wait(&mut self) -> Option<Bytes> {
        let heartbeat = self.app.config.heartbeat_interval.map(|interval| self.spoke_at + interval);
        let poll = self.looked_at + self.app.settings.change_log_poll;
        tokio::select! {
            biased;
            _ = self.stay.over() => {
                self.is_over = true;
                let mut out = Vec::new();
                write_reconnect(&mut out).unwrap_or_else(|error| unreachable!("it has JSON: {error}"));
                return Some(out.into());
            }
            () = until(heartbeat) => return Some(Bytes::from_static(b":\n\n")),
            // The senders live as long as the service.
            _ = self.commits.changed() => {}
            _ = self.changes.changed() => {}
            () = until(Some(poll)) => {}
        }
        tokio::time::sleep_until(self.looked_at + AT_MOST_EVERY).await;
        None
    }

    async fn next_chunk(&mut self) -> Option<Bytes> {
        while !self.is_over {
            if self.told.is_some()
                && let Some(chunk) = self.wait().await
            {
                return Some(chunk);
            }
            match self.look().await {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => return Some(chunk),
                // It comes again and is told that its key does not count.
                Ok(None) => return None,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "could not look up what a relay serves; trying again");
                    self.told.as_ref()?;
                }
            }
        }
        None
    }
}

impl event_stream::Subscriber for Subscriber {
    async fn next(&mut self) -> Option<Bytes> {
        let chunk = self.next_chunk().await;
        self.spoke_at = Instant::now();
        chunk
    }
}

fn relayed(about: &About, version: u64) -> RelayedEnvironment {
    let (project, environment) = (&about.project, &about.environment);
    let old = environment.old_sdk_key(now_ms());
    RelayedEnvironment {
        id: environment.client_side_id.clone(),
        key: environment.key.clone(),
        name: environment.name.clone(),
        project_key: project.key.clone(),
        project_name: project.name.clone(),
        mobile_key: environment.mobile_key.clone(),
        sdk_key: RelayedSdkKey {
            value: environment.sdk_key.clone(),
            expiring: old.map(|old| ExpiringKey { value: old.key.clone(), timestamp: old.until }),
        },
        default_ttl: environment.default_ttl,
        secure_mode: environment.secure_mode,
        version,
    }
}

/// Writes what is other than it was told, and notes that it was told. That an old key's time came needs no telling:
/// its time was told.
fn tell_changes(
    out: &mut Vec<u8>,
    told: &mut Configuration,
    now: &Configuration,
) -> Result<(), serde_json::Error> {
    for (id, gone) in told.environments.extract_if(.., |id, _| !now.environments.contains_key(id)) {
        write_environment_gone(out, &id, gone.version + 1)?;
    }
    for (id, gone) in told.filters.extract_if(.., |id, _| !now.filters.contains_key(id)) {
        write_filter_gone(out, &id, gone.version + 1)?;
    }
    for (id, filter) in &now.filters {
        if told.filters.get(id) != Some(filter) {
            write_filter(out, id, filter)?;
            told.filters.insert(id.clone(), filter.clone());
        }
    }
    for (id, environment) in &now.environments {
        if told.environments.get(id).is_none_or(|known| known.version != environment.version) {
            write_environment(out, id, environment)?;
            told.environments.insert(id.clone(), environment.clone());
        }
    }
    Ok(())
}

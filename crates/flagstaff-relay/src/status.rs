//! `GET /status`: whether the relay and its environments are well, in the shape that monitoring of this field
//! reads.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use flagstaff_sdk::{DataAvailability, DataSourceState, DataSourceStatus, DataStoreStatus};
use flagstaff_service::now_ms;
use flagstaff_wire::headers::Masked;
use flagstaff_wire::paths;
use serde::Serialize;

use crate::auto_config::{self, ConfigurationStatus};
use crate::database::Described;
use crate::environment::{self, Environment};
use crate::{Relay, SharedRelay};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    environments: BTreeMap<String, Shown>,
    /// Of ours: how being told what to serve goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_config_status: Option<AutoConfiguration>,
    status: &'static str,
    version: &'static str,
    client_version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    sdk_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    env_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiring_sdk_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proj_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proj_name: Option<String>,
    status: &'static str,
    /// Of ours: what is served was known before this relay started, and may have changed since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    connection_status: Connection,
    data_store_status: Store,
    #[serde(skip_serializing_if = "Option::is_none")]
    big_segment_status: Option<BigSegments>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    state: &'static str,
    state_since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
}

#[derive(Serialize)]
struct LastError {
    kind: &'static str,
    time: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    state: &'static str,
    state_since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    db_server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    db_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    db_table: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BigSegments {
    available: bool,
    potentially_stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_synchronized_on: Option<u64>,
}

/// In the shape of connections.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AutoConfiguration {
    state: &'static str,
    state_since: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<ConfigurationError>,
}

#[derive(Serialize)]
struct ConfigurationError {
    message: String,
    time: i64,
}

impl From<auto_config::State> for AutoConfiguration {
    fn from(state: auto_config::State) -> Self {
        let name = match (state.has_come, state.is_connected) {
            (false, _) => "INITIALIZING",
            (true, true) => "VALID",
            (true, false) => "INTERRUPTED",
        };
        let last_error = state.last_error.map(|(message, time)| ConfigurationError { message, time });
        Self { state: name, state_since: state.since, last_error }
    }
}

/// How the relay is.
pub fn router(relay: &SharedRelay) -> Router {
    Router::new().route(paths::STATUS, get(status)).with_state(relay.clone())
}

/// `GET /status`: 200 whatever it says.
async fn status(State(relay): State<SharedRelay>) -> Json<Status> {
    let environments: BTreeMap<_, _> =
        relay.environments_now().iter().map(|environment| shown(&relay, environment)).collect();
    let configuration = relay.configuration.as_ref().map(ConfigurationStatus::now);
    let is_well = |environment: &Shown| {
        environment.status == CONNECTED
            && !(relay.config.big_segments_stale_as_degraded && environment.has_stale_members())
    };
    let is_healthy =
        environments.values().all(is_well) && configuration.as_ref().is_none_or(auto_config::State::is_well);
    Json(Status {
        environments,
        auto_config_status: configuration.map(AutoConfiguration::from),
        status: if is_healthy { "healthy" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        client_version: env!("CARGO_PKG_VERSION"),
    })
}

const CONNECTED: &str = "connected";

fn shown(relay: &Relay, environment: &Environment) -> (String, Shown) {
    let environment::State { settings, filter, source, database, big_segments } = environment.state();
    let stale_after = relay.config.big_segments_stale_after;
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let old_key = settings.expiring_sdk_key.as_ref().filter(|old| now_ms() < old.until);
    let is_connected = is_connected(&source, relay.config.disconnected_after.as_millis() as u64);
    let shown = Shown {
        sdk_key: Masked(&settings.sdk_key).to_string(),
        env_id: settings.client_side_id,
        mobile_key: settings.mobile_key.map(|key| Masked(&key).to_string()),
        expiring_sdk_key: old_key.map(|old| Masked(&old.key).to_string()),
        env_key: said(&settings.names.key),
        env_name: said(&settings.names.name),
        proj_key: said(&settings.names.project_key),
        proj_name: said(&settings.names.project_name),
        status: if is_connected { CONNECTED } else { "disconnected" },
        stale: source.data_availability != DataAvailability::Refreshed && environment.live().is_initialized(),
        data_store_status: store(&source, database),
        big_segment_status: big_segments.map(|state| BigSegments {
            available: state.available,
            potentially_stale: state.is_stale(stale_after),
            last_synchronized_on: state.last_synchronized_on.map(unix_ms),
        }),
        connection_status: connection(&source),
    };
    let name = match filter {
        None => settings.name,
        Some(filter) => format!("{}/{filter}", settings.name),
    };
    (name, shown)
}

impl Shown {
    fn has_stale_members(&self) -> bool {
        self.big_segment_status.as_ref().is_some_and(|state| !state.available || state.potentially_stale)
    }
}

/// Whether flags have come, and the connection was not lost long ago.
fn is_connected(source: &DataSourceStatus, patience_ms: u64) -> bool {
    let since = unix_ms(SystemTime::now()).saturating_sub(unix_ms(source.state_since));
    source.data_availability == DataAvailability::Refreshed
        && (source.state == DataSourceState::Valid || since < patience_ms)
}

fn connection(source: &DataSourceStatus) -> Connection {
    let last_error = source.last_error.as_ref();
    Connection {
        state: source.state.as_str(),
        state_since: unix_ms(source.state_since),
        last_error: last_error
            .map(|error| LastError { kind: error.kind.as_str(), time: unix_ms(error.time) }),
    }
}

/// Without a database there is memory, which is as good as what has been received.
fn store(source: &DataSourceStatus, database: Option<(Described, DataStoreStatus, i64)>) -> Store {
    let Some((described, status, since)) = database else {
        let has_flags = source.data_availability > DataAvailability::Defaults;
        let state = if has_flags { "VALID" } else { "INITIALIZING" };
        return Store {
            state,
            state_since: unix_ms(source.state_since),
            database: None,
            db_server: None,
            db_prefix: None,
            db_table: None,
        };
    };
    Store {
        state: if status.available { "VALID" } else { "INTERRUPTED" },
        state_since: since.unsigned_abs(),
        database: Some(described.database),
        db_server: described.server,
        db_prefix: (!described.prefix.is_empty()).then_some(described.prefix),
        db_table: described.table,
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

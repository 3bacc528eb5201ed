//! `GET /status`: whether the service is well, in the shape that monitoring of this field reads.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::SharedApp;
use crate::auth::secret::mask;
use crate::live_environment::{LiveEnvironment, Standing};
use crate::now_ms;
use crate::store::health::Trouble;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    environments: BTreeMap<String, Environment>,
    storage: Storage,
    status: &'static str,
    version: &'static str,
    client_version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Environment {
    sdk_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiring_sdk_key: Option<String>,
    env_id: String,
    mobile_key: String,
    env_key: String,
    env_name: String,
    proj_key: String,
    proj_name: String,
    status: &'static str,
    connection_status: Since,
    data_store_status: Since,
}

/// Whether what is written comes to rest.
#[derive(Serialize)]
struct Storage {
    flags: Rest,
    events: Rest,
    quarantined: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rest {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_since: Option<i64>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Since {
    state: &'static str,
    state_since: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
}

#[derive(Clone, Copy, Serialize)]
struct LastError {
    kind: &'static str,
    time: i64,
}

/// `GET /status`. An environment is there once it is loaded; what is served is as the database has it, while that
/// can be asked.
pub(super) async fn status(State(app): State<SharedApp>) -> Json<Status> {
    let environments = app.live.all();
    let (flags, events) = (app.store.trouble(), app.analytics.trouble());
    let (quarantined, standing) = (app.store.quarantined(), app.live.standing());
    let is_kept = flags.is_none() && events.is_none() && quarantined == 0;
    let is_well = is_kept && standing.is_connected(now_ms());
    Json(Status {
        environments: environments.iter().map(|live| environment(live, &standing)).collect(),
        storage: Storage { flags: rest(flags), events: rest(events), quarantined },
        status: if is_well { "healthy" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        client_version: env!("CARGO_PKG_VERSION"),
    })
}

fn rest(trouble: Option<Trouble>) -> Rest {
    Rest {
        state: trouble.map_or("VALID", |trouble| trouble.fault.code()),
        state_since: trouble.map(|trouble| trouble.since),
    }
}

fn environment(live: &LiveEnvironment, standing: &Standing) -> (String, Environment) {
    let about = live.about();
    let is_interrupted = standing.is_interrupted;
    let state = Since {
        state: if is_interrupted { "INTERRUPTED" } else { "VALID" },
        state_since: standing.since.max(live.loaded_at()),
        last_error: standing.failed_at.map(|time| LastError { kind: "STORE_ERROR", time }),
    };
    let shown = Environment {
        sdk_key: mask(&about.environment.sdk_key),
        expiring_sdk_key: about.environment.old_sdk_key(now_ms()).map(|old| mask(&old.key)),
        env_id: about.environment.client_side_id.clone(),
        mobile_key: mask(&about.environment.mobile_key),
        env_key: about.environment.key.clone(),
        env_name: about.environment.name.clone(),
        proj_key: about.project.key.clone(),
        proj_name: about.project.name.clone(),
        status: if standing.is_connected(now_ms()) { "connected" } else { "disconnected" },
        connection_status: state,
        data_store_status: state,
    };
    (format!("{} {}", about.project.key, about.environment.key), shown)
}

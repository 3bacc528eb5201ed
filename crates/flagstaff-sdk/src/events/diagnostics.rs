//! Reports of the client itself: what it is, and how it has been doing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use flagstaff_wire::diagnostic::{
    Configuration, DiagnosticId, DiagnosticInit, DiagnosticStatistics, Platform, Sdk, StreamInit,
};
use flagstaff_wire::paths;
use uuid::Uuid;

use crate::callbacks::contained;
use crate::clock::{millis, now_ms};
use crate::config::Config;
use crate::data_store::PersistentDataStore;
use crate::log::Log;
use crate::{fork, proxies};

/// More attempts to open the stream are not kept between two reports.
const MOST_STREAM_INITS: usize = 1_000;

/// What the next report says.
pub(crate) struct Diagnostics {
    inner: Mutex<Inner>,
}

struct Inner {
    id: DiagnosticId,
    since_ms: u64,
    events_in_last_batch: u64,
    stream_inits: Vec<StreamInit>,
}

impl Diagnostics {
    pub(super) fn new(sdk_key: &str) -> Self {
        let inner = Inner {
            id: DiagnosticId::new(Uuid::new_v4().to_string(), sdk_key),
            since_ms: now_ms(),
            events_in_last_batch: 0,
            stream_inits: Vec::new(),
        };
        Self { inner: Mutex::new(inner) }
    }

    /// Notes an attempt to open the stream.
    pub(crate) fn stream_init(&self, timestamp_ms: u64, failed: bool) {
        let duration_ms = now_ms().saturating_sub(timestamp_ms);
        let _unforked = fork::guard();
        let mut inner = self.lock();
        if inner.stream_inits.len() < MOST_STREAM_INITS {
            inner.stream_inits.push(StreamInit { timestamp_ms, duration_ms, failed });
        }
    }

    pub(super) fn sent(&self, events: usize) {
        let _unforked = fork::guard();
        self.lock().events_in_last_batch = events as u64;
    }

    /// The first report.
    pub(super) fn init(&self, config: &Config, log: &Log) -> DiagnosticInit {
        // Before anything is locked: it asks the program's database for its name.
        let (platform, configuration) = (platform(config), configuration(config, log));
        let _unforked = fork::guard();
        let inner = self.lock();
        DiagnosticInit {
            creation_date_ms: inner.since_ms,
            id: inner.id.clone(),
            sdk: Sdk {
                wrapper_name: config.wrapper_name.clone(),
                wrapper_version: config.wrapper_version.clone(),
                ..config.sdk.clone()
            },
            platform,
            configuration,
        }
    }

    /// A report of what happened since the one before.
    pub(super) fn statistics(&self, dropped_events: u64, deduplicated_users: u64) -> DiagnosticStatistics {
        let creation_date_ms = now_ms();
        let _unforked = fork::guard();
        let mut inner = self.lock();
        DiagnosticStatistics {
            creation_date_ms,
            id: inner.id.clone(),
            data_since_date_ms: std::mem::replace(&mut inner.since_ms, creation_date_ms),
            dropped_events,
            deduplicated_users,
            events_in_last_batch: std::mem::take(&mut inner.events_in_last_batch),
            stream_inits: std::mem::take(&mut inner.stream_inits),
        }
    }

    /// In a child process: a client of its own. The caller holds a fork guard.
    pub(super) fn forget(&self) {
        let mut inner = self.lock();
        inner.id.diagnostic_id = Uuid::new_v4().to_string();
        inner.since_ms = now_ms();
        inner.events_in_last_batch = 0;
        inner.stream_inits.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the client runs on. An SDK of another language says the version of the system itself.
fn platform(config: &Config) -> Platform {
    let mut platform = config.platform.clone();
    if platform.os_version.is_empty() && platform.os_name == "Linux" {
        // Where it cannot be read the report goes without.
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        platform.os_version = release.trim().to_owned();
    }
    platform
}

fn configuration(config: &Config, log: &Log) -> Configuration {
    let name_of = |used: &PersistentDataStore| {
        contained(log, "the name of a data store", || used.store.name().to_owned())
    };
    let store = config.data_store.as_ref().map(|used| name_of(used).unwrap_or_default());
    Configuration {
        custom_base_uri: is_custom(config.poll_base.as_deref(), paths::DEFAULT_POLL_BASE),
        custom_stream_uri: is_custom(config.stream_base.as_deref(), paths::DEFAULT_STREAM_BASE),
        custom_events_uri: is_custom(config.events_base.as_deref(), paths::DEFAULT_EVENTS_BASE),
        streaming_disabled: !config.streaming,
        using_relay_daemon: config.daemon_mode,
        offline: config.offline,
        all_attributes_private: config.redaction.all_attributes_private,
        using_proxy: proxies::uses_proxy(config),
        start_wait_millis: millis(config.start_wait),
        connect_timeout_millis: millis(config.connect_timeout),
        socket_timeout_millis: millis(config.read_timeout),
        reconnect_time_millis: millis(config.initial_reconnect_delay),
        polling_interval_millis: millis(config.poll_interval),
        events_capacity: config.events_capacity,
        events_flush_interval_millis: millis(config.flush_interval),
        user_keys_capacity: config.context_keys_capacity,
        user_keys_flush_interval_millis: millis(config.context_keys_flush_interval),
        diagnostic_recording_interval_millis: millis(config.diagnostic_interval),
        data_store_type: data_store_type(store.as_deref()).to_owned(),
    }
}

/// Whether a host other than the default is asked, however that is spelt.
fn is_custom(base: Option<&str>, default: &str) -> bool {
    base.is_some_and(|base| paths::join(base, "") != default)
}

/// The name of a database as the report says it: those of the program's own have one name.
fn data_store_type(name: Option<&str>) -> &str {
    match name {
        None => "memory",
        // A store of another language's may well be one in memory.
        Some(known @ ("memory" | "Redis" | "Consul" | "DynamoDB")) => known,
        Some(_) => "custom",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    /// The report of a client with this configuration, without what the machine and the moment decide.
    fn reported(config: Config) -> serde_json::Value {
        let init = Diagnostics::new(&config.sdk_key).init(&config, &Log::new(None));
        serde_json::to_value(init).unwrap()["configuration"].take()
    }

    #[test]
    fn every_option_is_reported_as_it_was_set() {
        let seconds = Duration::from_secs;
        let defaults = json!({
            "customBaseURI": false, "customStreamURI": false, "customEventsURI": false,
            "streamingDisabled": false, "usingRelayDaemon": false, "offline": false,
            "allAttributesPrivate": false, "usingProxy": false, "startWaitMillis": 5_000,
            "connectTimeoutMillis": 10_000, "socketTimeoutMillis": 15_000, "reconnectTimeMillis": 1_000,
            "pollingIntervalMillis": 30_000, "eventsCapacity": 10_000, "eventsFlushIntervalMillis": 5_000,
            "userKeysCapacity": 1_000, "userKeysFlushIntervalMillis": 300_000,
            "diagnosticRecordingIntervalMillis": 900_000, "dataStoreType": "memory",
        });
        let mut untouched = reported(Config::new("sdk-key"));
        // The tests may run behind a proxy.
        untouched["usingProxy"] = json!(false);
        assert_eq!(untouched, defaults);
        let changed = Config::new("sdk-key")
            .poll_uri("http://a")
            .stream_uri("http://b")
            .events_uri("http://c")
            .stream(false)
            .daemon_mode(true)
            .offline(true)
            .all_attributes_private(true)
            .http_proxy("http://proxy")
            .reported_start_wait(seconds(1))
            .connect_timeout(seconds(2))
            .read_timeout(seconds(3))
            .initial_reconnect_delay(seconds(4))
            .poll_interval(seconds(50))
            .events_capacity(6)
            .flush_interval(seconds(7))
            .context_keys_capacity(8)
            .context_keys_flush_interval(seconds(9))
            .diagnostic_interval(seconds(100));
        assert_eq!(
            reported(changed),
            json!({
                "customBaseURI": true, "customStreamURI": true, "customEventsURI": true,
                "streamingDisabled": true, "usingRelayDaemon": true, "offline": true,
                "allAttributesPrivate": true, "usingProxy": true, "startWaitMillis": 1_000,
                "connectTimeoutMillis": 2_000, "socketTimeoutMillis": 3_000, "reconnectTimeMillis": 4_000,
                "pollingIntervalMillis": 50_000, "eventsCapacity": 6, "eventsFlushIntervalMillis": 7_000,
                "userKeysCapacity": 8, "userKeysFlushIntervalMillis": 9_000,
                "diagnosticRecordingIntervalMillis": 100_000, "dataStoreType": "memory",
            })
        );
    }

    #[test]
    fn a_base_is_custom_if_it_is_another_host() {
        let default = paths::DEFAULT_POLL_BASE;
        assert!(!is_custom(None, default));
        assert!(!is_custom(Some("https://app.launchdarkly.com/"), default));
        assert!(is_custom(Some("https://flags.example.com"), default));
    }

    #[test]
    fn databases_of_the_programs_own_have_one_name() {
        let names = [None, Some("Redis"), Some("Consul"), Some("DynamoDB"), Some("a file")];
        assert_eq!(names.map(data_store_type), ["memory", "Redis", "Consul", "DynamoDB", "custom"]);
    }
}

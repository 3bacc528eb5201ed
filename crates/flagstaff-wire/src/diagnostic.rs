//! What an SDK reports of itself.
//!
//! Source: the protocol's *Diagnostics*.

use serde::Serialize;

/// Names one client in all its reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosticId {
    /// A UUID made once per client.
    pub diagnostic_id: String,
    /// The last six characters of the SDK key.
    pub sdk_key_suffix: String,
}

impl DiagnosticId {
    /// Names a client with this key.
    pub fn new(diagnostic_id: String, sdk_key: &str) -> Self {
        let skipped = sdk_key.chars().count().saturating_sub(6);
        Self { diagnostic_id, sdk_key_suffix: sdk_key.chars().skip(skipped).collect() }
    }
}

/// The first report: what this client is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind", rename = "diagnostic-init")]
pub struct DiagnosticInit {
    /// When, Unix milliseconds.
    #[serde(rename = "creationDate")]
    pub creation_date_ms: u64,
    /// Which client.
    pub id: DiagnosticId,
    /// The SDK.
    pub sdk: Sdk,
    /// What it runs on.
    pub platform: Platform,
    /// How it is configured.
    pub configuration: Configuration,
}

/// The SDK.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sdk {
    /// `rust-server-sdk`, say.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What wraps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapper_name: Option<String>,
    /// The version of what wraps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapper_version: Option<String>,
}

/// What the SDK runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Platform {
    /// The language.
    pub name: String,
    /// The processor architecture.
    pub os_arch: String,
    /// `Linux`, `Windows` or `MacOS`.
    pub os_name: String,
    /// The version of the operating system.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// The version of Python, if the program is in Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python_version: Option<String>,
}

/// How a client is configured. Durations in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Whether polls go elsewhere than by default.
    #[serde(rename = "customBaseURI")]
    pub custom_base_uri: bool,
    /// Whether streams go elsewhere than by default.
    #[serde(rename = "customStreamURI")]
    pub custom_stream_uri: bool,
    /// Whether events go elsewhere than by default.
    #[serde(rename = "customEventsURI")]
    pub custom_events_uri: bool,
    /// Whether flags are polled.
    pub streaming_disabled: bool,
    /// Whether flags are only read from a shared store.
    pub using_relay_daemon: bool,
    /// Whether the client is offline.
    pub offline: bool,
    /// Whether events carry no attributes.
    pub all_attributes_private: bool,
    /// Whether requests go through a proxy.
    pub using_proxy: bool,
    /// How long the program waits at start.
    pub start_wait_millis: u64,
    /// How long a connection may take.
    pub connect_timeout_millis: u64,
    /// How long an answer may take.
    pub socket_timeout_millis: u64,
    /// The first delay before a stream is opened again.
    pub reconnect_time_millis: u64,
    /// How often flags are polled.
    pub polling_interval_millis: u64,
    /// How many events are kept between two flushes.
    pub events_capacity: usize,
    /// How often events are sent.
    pub events_flush_interval_millis: u64,
    /// How many contexts are remembered as seen.
    pub user_keys_capacity: usize,
    /// How often those are forgotten.
    pub user_keys_flush_interval_millis: u64,
    /// How often the client reports of itself.
    pub diagnostic_recording_interval_millis: u64,
    /// `memory`, `Redis`, `Consul`, `DynamoDB` or `custom`.
    pub data_store_type: String,
}

/// A periodic report: what happened since the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind", rename = "diagnostic")]
pub struct DiagnosticStatistics {
    /// When, Unix milliseconds.
    #[serde(rename = "creationDate")]
    pub creation_date_ms: u64,
    /// Which client.
    pub id: DiagnosticId,
    /// When the report before was made, or the client started.
    #[serde(rename = "dataSinceDate")]
    pub data_since_date_ms: u64,
    /// Events that were lost because too many waited.
    pub dropped_events: u64,
    /// Contexts that were not reported because they had been.
    pub deduplicated_users: u64,
    /// How many events the last batch had.
    pub events_in_last_batch: u64,
    /// Each attempt to open the stream.
    pub stream_inits: Vec<StreamInit>,
}

/// An attempt to open the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamInit {
    /// When it began, Unix milliseconds.
    #[serde(rename = "timestamp")]
    pub timestamp_ms: u64,
    /// How long it took.
    #[serde(rename = "durationMillis")]
    pub duration_ms: u64,
    /// Whether it failed.
    pub failed: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_have_the_wire_form() {
        let id = DiagnosticId::new("d".to_owned(), "sdk-0123456789");
        let report = DiagnosticStatistics {
            creation_date_ms: 2,
            id: id.clone(),
            data_since_date_ms: 1,
            dropped_events: 3,
            deduplicated_users: 4,
            events_in_last_batch: 5,
            stream_inits: vec![StreamInit { timestamp_ms: 1, duration_ms: 7, failed: true }],
        };
        assert_eq!(
            serde_json::to_value(report).unwrap(),
            json!({"kind": "diagnostic", "creationDate": 2, "id": {"diagnosticId": "d", "sdkKeySuffix": "456789"},
                "dataSinceDate": 1, "droppedEvents": 3, "deduplicatedUsers": 4, "eventsInLastBatch": 5,
                "streamInits": [{"timestamp": 1, "durationMillis": 7, "failed": true}]})
        );
        let init = DiagnosticInit {
            creation_date_ms: 1,
            id,
            sdk: Sdk::default(),
            platform: Platform::default(),
            configuration: Configuration::default(),
        };
        let init = serde_json::to_value(init).unwrap();
        assert_eq!(init["kind"], "diagnostic-init");
        assert_eq!(init["configuration"]["customStreamURI"], false);
        assert_eq!(init["configuration"]["userKeysFlushIntervalMillis"], 0);
        assert_eq!(init["platform"], json!({"name": "", "osArch": "", "osName": ""}));
    }
}

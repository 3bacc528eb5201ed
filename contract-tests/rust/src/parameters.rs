//! What the harness sends, as types. A null property counts as absent everywhere, hence the options.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub(crate) struct CreateClient {
    pub(crate) configuration: Configuration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Configuration {
    pub(crate) credential: Option<String>,
    pub(crate) start_wait_time_ms: Option<u64>,
    pub(crate) init_can_fail: Option<bool>,
    pub(crate) service_endpoints: Option<ServiceEndpoints>,
    pub(crate) streaming: Option<Streaming>,
    pub(crate) polling: Option<Polling>,
    pub(crate) events: Option<EventsConfig>,
    pub(crate) big_segments: Option<BigSegmentsConfig>,
    pub(crate) tags: Option<Tags>,
    pub(crate) hooks: Option<Hooks>,
    pub(crate) wrapper: Option<Wrapper>,
    pub(crate) proxy: Option<ProxyConfig>,
    pub(crate) tls: Option<Tls>,
    pub(crate) persistent_data_store: Option<PersistentDataStore>,
    pub(crate) data_system: Option<DataSystemConfig>,
}

#[derive(Deserialize)]
pub(crate) struct ServiceEndpoints {
    pub(crate) streaming: Option<String>,
    pub(crate) polling: Option<String>,
    pub(crate) events: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Streaming {
    pub(crate) base_uri: Option<String>,
    pub(crate) initial_retry_delay_ms: Option<u64>,
    pub(crate) filter: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Polling {
    pub(crate) base_uri: Option<String>,
    pub(crate) poll_interval_ms: Option<u64>,
    pub(crate) filter: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventsConfig {
    pub(crate) base_uri: Option<String>,
    pub(crate) capacity: Option<usize>,
    pub(crate) enable_diagnostics: Option<bool>,
    pub(crate) all_attributes_private: Option<bool>,
    pub(crate) global_private_attributes: Option<Vec<String>>,
    pub(crate) flush_interval_ms: Option<u64>,
    pub(crate) omit_anonymous_contexts: Option<bool>,
    pub(crate) enable_gzip: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BigSegmentsConfig {
    pub(crate) callback_uri: String,
    pub(crate) user_cache_size: Option<usize>,
    pub(crate) user_cache_time_ms: Option<u64>,
    pub(crate) status_poll_interval_ms: Option<u64>,
    pub(crate) stale_after_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tags {
    pub(crate) application_id: Option<String>,
    pub(crate) application_version: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Hooks {
    pub(crate) hooks: Option<Vec<HookConfig>>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HookConfig {
    pub(crate) name: String,
    pub(crate) callback_uri: String,
    pub(crate) data: Option<Map<String, Value>>,
    pub(crate) errors: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
pub(crate) struct Wrapper {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProxyConfig {
    pub(crate) http_proxy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tls {
    pub(crate) skip_verify_peer: Option<bool>,
    #[serde(rename = "customCAFile")]
    pub(crate) custom_ca_file: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct PersistentDataStore {
    pub(crate) store: StoreConfig,
    pub(crate) cache: Option<CacheConfig>,
}

#[derive(Deserialize)]
pub(crate) struct StoreConfig {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) prefix: Option<String>,
    pub(crate) dsn: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct CacheConfig {
    pub(crate) mode: String,
    pub(crate) ttl: Option<u64>,
}

/// The FDv2 harness's way to say where flags come from.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DataSystemConfig {
    pub(crate) use_default_data_system: Option<bool>,
    pub(crate) store: Option<DataSystemStore>,
    pub(crate) store_mode: Option<u8>,
    pub(crate) initializers: Option<Vec<SourceConfig>>,
    pub(crate) synchronizers: Option<Vec<SourceConfig>>,
    pub(crate) fdv1_fallback: Option<FallbackConfig>,
    pub(crate) connection_mode_config: Option<ConnectionModes>,
}

/// The polls stand in it, or in its `polling`.
#[derive(Deserialize)]
pub(crate) struct FallbackConfig {
    pub(crate) polling: Option<Polling>,
    #[serde(flatten)]
    pub(crate) direct: Polling,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DataSystemStore {
    pub(crate) persistent_data_store: Option<PersistentDataStore>,
}

#[derive(Deserialize)]
pub(crate) struct SourceConfig {
    pub(crate) polling: Option<Polling>,
    pub(crate) streaming: Option<Streaming>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionModes {
    pub(crate) initial_connection_mode: Option<String>,
    pub(crate) custom_connection_modes: Option<std::collections::HashMap<String, ConnectionMode>>,
}

#[derive(Deserialize)]
pub(crate) struct ConnectionMode {
    pub(crate) initializers: Option<Vec<SourceConfig>>,
    pub(crate) synchronizers: Option<Vec<SourceConfig>>,
}

/// A command: its name, and its parameters under that name.
#[derive(Deserialize)]
pub(crate) struct Command {
    pub(crate) command: String,
    #[serde(flatten)]
    pub(crate) parameters: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Evaluate {
    pub(crate) flag_key: String,
    pub(crate) context: Option<Value>,
    pub(crate) user: Option<Value>,
    pub(crate) value_type: Option<String>,
    #[serde(default)]
    pub(crate) default_value: Value,
    pub(crate) detail: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvaluateAll {
    pub(crate) context: Option<Value>,
    pub(crate) user: Option<Value>,
    pub(crate) with_reasons: Option<bool>,
    pub(crate) client_side_only: Option<bool>,
    pub(crate) details_only_for_tracked_flags: Option<bool>,
}

#[derive(Deserialize)]
pub(crate) struct OfContext {
    pub(crate) context: Option<Value>,
    pub(crate) user: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomEvent {
    pub(crate) event_key: String,
    pub(crate) context: Option<Value>,
    pub(crate) user: Option<Value>,
    #[serde(default)]
    pub(crate) data: Value,
    pub(crate) metric_value: Option<f64>,
}

#[derive(Deserialize)]
pub(crate) struct ContextBuild {
    pub(crate) single: Option<ContextParts>,
    pub(crate) multi: Option<Vec<ContextParts>>,
}

#[derive(Deserialize)]
pub(crate) struct ContextParts {
    pub(crate) kind: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) anonymous: Option<bool>,
    pub(crate) private: Option<Vec<String>>,
    pub(crate) custom: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
pub(crate) struct ContextConvert {
    pub(crate) input: String,
}

#[derive(Deserialize)]
pub(crate) struct ContextComparison {
    pub(crate) context1: ComparedContext,
    pub(crate) context2: ComparedContext,
}

#[derive(Deserialize)]
pub(crate) struct ComparedContext {
    pub(crate) single: Option<ComparedParts>,
    pub(crate) multi: Option<Vec<ComparedParts>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ComparedParts {
    pub(crate) kind: String,
    pub(crate) key: String,
    pub(crate) attributes: Option<Vec<ComparedAttribute>>,
    pub(crate) private_attributes: Option<Vec<ComparedPrivate>>,
}

#[derive(Deserialize)]
pub(crate) struct ComparedAttribute {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: Value,
}

#[derive(Deserialize)]
pub(crate) struct ComparedPrivate {
    pub(crate) value: String,
    pub(crate) literal: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MigrationVariation {
    pub(crate) key: String,
    pub(crate) context: Option<Value>,
    pub(crate) user: Option<Value>,
    pub(crate) default_stage: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MigrationOperation {
    pub(crate) key: String,
    pub(crate) context: Option<Value>,
    pub(crate) user: Option<Value>,
    pub(crate) default_stage: String,
    pub(crate) read_execution_order: Option<String>,
    pub(crate) operation: String,
    pub(crate) old_endpoint: String,
    pub(crate) new_endpoint: String,
    pub(crate) payload: Option<String>,
    pub(crate) track_latency: Option<bool>,
    pub(crate) track_errors: Option<bool>,
    pub(crate) track_consistency: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FlagChangeListener {
    pub(crate) listener_id: String,
    pub(crate) callback_uri: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FlagValueChangeListener {
    pub(crate) listener_id: String,
    pub(crate) flag_key: String,
    pub(crate) context: Option<Value>,
    pub(crate) user: Option<Value>,
    #[serde(default)]
    pub(crate) default_value: Value,
    pub(crate) callback_uri: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnregisterListener {
    pub(crate) listener_id: String,
}

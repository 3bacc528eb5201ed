//! The SDK by its public face, against a fake service.

mod big_segments;
mod config;
mod custom_source;
mod data_store;
mod data_system;
mod delivery;
mod event_rules;
mod events;
mod file_source;
mod flag_tracker;
#[cfg(unix)]
mod fork;
mod glue;
mod hooks;
mod lifecycle;
mod migrations;
#[cfg(target_os = "linux")]
mod names;
#[cfg(feature = "otel")]
mod otel;
mod outage;
mod outside;
mod plugins;
mod polling;
mod robustness;
mod snapshot;
mod status;
#[cfg(all(feature = "testing", any(feature = "redis", feature = "consul", feature = "dynamodb")))]
mod stores;
mod streaming;
mod support;
mod test_data;
mod tls;
mod variation;

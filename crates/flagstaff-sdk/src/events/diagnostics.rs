//! Reports of the client itself: what it is, and how it has been doing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use flagstaff_wire::diagnostic::{
    Configuration, DiagnosticId, DiagnosticInit, DiagnosticStatistics, Sdk, StreamInit,
};
use uuid::Uuid;

use crate::clock::{millis, now_ms};
use crate::config::Config;
use crate::fork;

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
    pub(super) fn init(&self, config: &Config) -> DiagnosticInit {
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
            platform: config.platform.clone(),
            configuration: configuration(config),
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

fn configuration(config: &Config) -> Configuration {
    Configuration {
        custom_base_uri: config.poll_base.is_some(),
        custom_stream_uri: config.stream_base.is_some(),
        custom_events_uri: config.events_base.is_some(),
        streaming_disabled: !config.streaming,
        using_relay_daemon: false,
        offline: config.offline,
        all_attributes_private: config.redaction.all_attributes_private,
        using_proxy: config.http_proxy.is_some(),
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
        data_store_type: "memory".to_owned(),
    }
}

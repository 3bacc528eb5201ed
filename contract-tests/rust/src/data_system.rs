//! Where flags come from with second-generation delivery, as the FDv2 harness says it.

use std::time::Duration;

use flagstaff_sdk::{Config, DataSystem, PollingSource, StreamingSource};

use crate::configure::given;
use crate::parameters::{ConnectionModes, DataSystemConfig, Polling, SourceConfig, Streaming};
use crate::service::Refusal;
use crate::stores;

/// The harness's number for a store that is not written.
const READ_ONLY: u8 = 0;

pub(crate) fn configured(config: Config, wanted: &DataSystemConfig) -> Result<Config, Refusal> {
    let mut system = sources(wanted)?;
    if let Some(fallback) = &wanted.fdv1_fallback {
        let polling = fallback.polling.as_ref().unwrap_or(&fallback.direct);
        system = system.fdv1_fallback(polling_source(polling));
    }
    let store = wanted.store.as_ref().and_then(|store| store.persistent_data_store.as_ref());
    if let Some(store) = store {
        let store = stores::store(store)?;
        let read_only = wanted.store_mode.unwrap_or(READ_ONLY) == READ_ONLY;
        system = system.store(if read_only { store.read_only() } else { store });
    }
    Ok(config.data_system(system))
}

fn sources(wanted: &DataSystemConfig) -> Result<DataSystem, Refusal> {
    if wanted.use_default_data_system == Some(true) {
        return Ok(DataSystem::default_mode());
    }
    match &wanted.connection_mode_config {
        Some(modes) => of_mode(modes),
        None => listed(wanted.initializers.as_deref(), wanted.synchronizers.as_deref()),
    }
}

fn of_mode(modes: &ConnectionModes) -> Result<DataSystem, Refusal> {
    let name = modes.initial_connection_mode.as_deref().unwrap_or("default");
    if let Some(mode) = modes.custom_connection_modes.as_ref().and_then(|custom| custom.get(name)) {
        return listed(mode.initializers.as_deref(), mode.synchronizers.as_deref());
    }
    match name {
        "default" => Ok(DataSystem::default_mode()),
        "streaming" => Ok(DataSystem::streaming()),
        "polling" => Ok(DataSystem::polling()),
        other => Err(Refusal::Bad(format!("there is no connection mode `{other}`"))),
    }
}

fn listed(
    initializers: Option<&[SourceConfig]>,
    synchronizers: Option<&[SourceConfig]>,
) -> Result<DataSystem, Refusal> {
    let mut system = DataSystem::custom();
    for source in initializers.unwrap_or_default() {
        let polling = source
            .polling
            .as_ref()
            .ok_or_else(|| Refusal::Bad("an initializer is a poll, and nothing else".to_owned()))?;
        system = system.initializer(polling_source(polling));
    }
    for source in synchronizers.unwrap_or_default() {
        system = match (&source.streaming, &source.polling) {
            (Some(streaming), None) => system.synchronizer(streaming_source(streaming)),
            (None, Some(polling)) => system.synchronizer(polling_source(polling)),
            _ => return Err(Refusal::Bad("a synchronizer is either a stream or a poll".to_owned())),
        };
    }
    Ok(system)
}

fn polling_source(polling: &Polling) -> PollingSource {
    let mut source = PollingSource::new();
    if let Some(uri) = given(polling.base_uri.as_deref()) {
        source = source.base_uri(uri);
    }
    if let Some(interval) = polling.poll_interval_ms {
        source = source.interval(Duration::from_millis(interval));
    }
    match &polling.filter {
        Some(filter) => source.payload_filter(filter),
        None => source,
    }
}

fn streaming_source(streaming: &Streaming) -> StreamingSource {
    let mut source = StreamingSource::new();
    if let Some(uri) = given(streaming.base_uri.as_deref()) {
        source = source.base_uri(uri);
    }
    if let Some(delay) = streaming.initial_retry_delay_ms {
        source = source.initial_reconnect_delay(Duration::from_millis(delay));
    }
    match &streaming.filter {
        Some(filter) => source.payload_filter(filter),
        None => source,
    }
}

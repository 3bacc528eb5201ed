//! A configuration of the SDK from the harness's, and the client it starts.

use std::sync::Arc;
use std::time::Duration;

use flagstaff_sdk::{Client, Config};

use crate::big_segments::big_segments;
use crate::callbacks::Caller;
use crate::hooks::HarnessHook;
use crate::parameters::{Configuration, EventsConfig, Polling, Streaming, Tags};
use crate::service::Refusal;
use crate::{data_system, stores};

const DEFAULT_START_WAIT: Duration = Duration::from_secs(5);

/// Starts a client and waits for its flags, as the harness wants it.
pub(crate) fn start(configuration: &Configuration, caller: &Caller) -> Result<Client, Refusal> {
    let wait = match configuration.start_wait_time_ms {
        None | Some(0) => DEFAULT_START_WAIT,
        Some(wait) => Duration::from_millis(wait),
    };
    let config = config(configuration, caller)?.reported_start_wait(wait);
    let client = Client::start(config).map_err(|error| Refusal::Failed(told(&error)))?;
    if client.wait_until_ready(wait) || configuration.init_can_fail == Some(true) {
        return Ok(client);
    }
    let status = client.data_source_status();
    client.close();
    Err(Refusal::Failed(format!("the client was not ready in time: {status:?}")))
}

fn config(configuration: &Configuration, caller: &Caller) -> Result<Config, Refusal> {
    let mut config = Config::new(configuration.credential.as_deref().unwrap_or_default())
        .allow_any_poll_interval()
        .allow_any_diagnostic_interval();
    if let Some(endpoints) = &configuration.service_endpoints {
        if let Some(uri) = given(endpoints.streaming.as_deref()) {
            config = config.stream_uri(uri);
        }
        if let Some(uri) = given(endpoints.polling.as_deref()) {
            config = config.poll_uri(uri);
        }
        if let Some(uri) = given(endpoints.events.as_deref()) {
            config = config.events_uri(uri);
        }
    }
    match (&configuration.streaming, &configuration.polling) {
        (Some(streaming), polling) => {
            config = stream(config, streaming);
            if let Some(uri) = polling.as_ref().and_then(|polling| given(polling.base_uri.as_deref())) {
                config = config.poll_uri(uri);
            }
        }
        (None, Some(polling)) => config = poll(config, polling),
        (None, None) => {}
    }
    config = match &configuration.events {
        Some(settings) => events(config, settings),
        None => config.send_events(false),
    };
    if let Some(tags) = &configuration.tags {
        config = tagged(config, tags);
    }
    let wrapper = configuration.wrapper.as_ref();
    if let Some(name) = wrapper.and_then(|wrapper| given(wrapper.name.as_deref())) {
        config = config.wrapper(name, wrapper.and_then(|wrapper| given(wrapper.version.as_deref())));
    }
    if let Some(proxy) = configuration.proxy.as_ref().and_then(|proxy| given(proxy.http_proxy.as_deref())) {
        config = config.http_proxy(proxy);
    }
    if let Some(tls) = &configuration.tls {
        config = config.verify_tls(tls.skip_verify_peer != Some(true));
        if let Some(path) = given(tls.custom_ca_file.as_deref()) {
            config = config.ca_file(path);
        }
    }
    if let Some(settings) = &configuration.big_segments {
        config = config.big_segments(big_segments(settings, caller));
    }
    for hook in configuration.hooks.iter().flat_map(|hooks| hooks.hooks.iter().flatten()) {
        config = config.hook(Arc::new(HarnessHook::new(hook.clone(), caller.clone())));
    }
    if let Some(store) = &configuration.persistent_data_store {
        let alone = configuration.streaming.is_none() && configuration.polling.is_none();
        config = config.data_store(stores::store(store)?).daemon_mode(alone);
    }
    match &configuration.data_system {
        Some(system) => data_system::configured(config, system),
        None => Ok(config),
    }
}

fn stream(mut config: Config, streaming: &Streaming) -> Config {
    config = config.stream(true);
    if let Some(uri) = given(streaming.base_uri.as_deref()) {
        config = config.stream_uri(uri);
    }
    if let Some(delay) = streaming.initial_retry_delay_ms {
        config = config.initial_reconnect_delay(Duration::from_millis(delay));
    }
    filtered(config, streaming.filter.as_deref())
}

fn poll(mut config: Config, polling: &Polling) -> Config {
    config = config.stream(false);
    if let Some(uri) = given(polling.base_uri.as_deref()) {
        config = config.poll_uri(uri);
    }
    if let Some(interval) = polling.poll_interval_ms {
        config = config.poll_interval(Duration::from_millis(interval));
    }
    filtered(config, polling.filter.as_deref())
}

fn filtered(config: Config, filter: Option<&str>) -> Config {
    match filter {
        Some(filter) => config.payload_filter(filter),
        None => config,
    }
}

fn tagged(mut config: Config, tags: &Tags) -> Config {
    if let Some(id) = &tags.application_id {
        config = config.application_id(id);
    }
    if let Some(version) = &tags.application_version {
        config = config.application_version(version);
    }
    config
}

fn events(mut config: Config, settings: &EventsConfig) -> Config {
    config = config
        .send_events(true)
        .diagnostic_opt_out(settings.enable_diagnostics != Some(true))
        .all_attributes_private(settings.all_attributes_private == Some(true))
        .omit_anonymous_contexts(settings.omit_anonymous_contexts == Some(true))
        .compress_events(settings.enable_gzip == Some(true))
        .private_attributes(settings.global_private_attributes.iter().flatten().map(String::as_str));
    if let Some(uri) = given(settings.base_uri.as_deref()) {
        config = config.events_uri(uri);
    }
    if let Some(capacity) = settings.capacity.filter(|capacity| *capacity > 0) {
        config = config.events_capacity(capacity);
    }
    if let Some(interval) = settings.flush_interval_ms.filter(|interval| *interval > 0) {
        config = config.flush_interval(Duration::from_millis(interval));
    }
    config
}

/// An empty text is none.
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// An error and what is behind it, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

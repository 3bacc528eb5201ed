//! `ldclient.Config`, read into the configuration of the client.

use std::sync::Arc;
use std::time::Duration;

use flagstaff_sdk::{AttributeRef, Config, LogLevel, Platform, Sdk};
use pyo3::prelude::*;

use crate::data_system;
use crate::logging::{self, Bridge};
use crate::stores;

/// The name under which this SDK reports on itself.
const SDK_NAME: &str = "python-server-sdk";
/// The least the originals poll at. Only a program that replaces the property gets below it.
const LEAST_POLL_INTERVAL: f64 = 30.0;
/// Where proxies are named; the last says that this is a CGI program.
const PROXY_VARIABLES: [&str; 7] =
    ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "REQUEST_METHOD"];
/// Longer than anything runs: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Reads a Python config. What it cannot be is warned of here, and left out.
pub(crate) fn read(config: &Bound<'_, PyAny>, version: &str, start_wait: f64) -> PyResult<Config> {
    let py = config.py();
    let text = |name: &str| config.getattr(name)?.extract::<Option<String>>();
    let flag = |name: &str| config.getattr(name)?.is_truthy();
    let whole = |name: &str| config.getattr(name)?.extract::<usize>();
    let seconds = |name: &str| Ok::<_, PyErr>(duration(config.getattr(name)?.extract::<f64>()?));

    let mut made = Config::new(text("sdk_key")?.unwrap_or_default())
        .sdk_key_may_be_missing()
        .answer_when_closed(true)
        .log_to(Arc::new(Bridge::new(flag("stream")?)))
        .identity(
            format!("{}/{version}", config.getattr("_user_agent")?.extract::<String>()?),
            sdk(version),
            platform(py)?,
        )
        .poll_uri(config.getattr("base_uri")?.extract::<String>()?)
        .stream_uri(config.getattr("stream_base_uri")?.extract::<String>()?)
        .events_uri(config.getattr("events_base_uri")?.extract::<String>()?)
        .offline(flag("offline")?)
        .stream(flag("stream")?)
        .initial_reconnect_delay(seconds("initial_reconnect_delay")?)
        .poll_interval(seconds("poll_interval")?)
        .send_events(flag("send_events")? && config.getattr("event_processor_class")?.is_none())
        .events_capacity(whole("events_max_pending")?)
        .flush_interval(seconds("flush_interval")?)
        .context_keys_capacity(whole("context_keys_capacity")?)
        .context_keys_flush_interval(seconds("context_keys_flush_interval")?)
        .compress_events(flag("enable_event_compression")?)
        .omit_anonymous_contexts(flag("omit_anonymous_contexts")?)
        .all_attributes_private(flag("all_attributes_private")?)
        .private_attributes(private_attributes(config)?)
        .diagnostic_opt_out(flag("diagnostic_opt_out")?)
        .diagnostic_interval(seconds("diagnostic_recording_interval")?)
        .reported_start_wait(duration(start_wait.max(0.0)));
    made = network(made, &config.getattr("http")?)?;
    if let Some(store) = stores::data_store(config)? {
        made = made.data_store(store).daemon_mode(flag("use_ldd")?);
    }
    if let Some(system) = data_system::read(config)? {
        made = made.data_system(system);
    }
    if let Some(asked) = stores::big_segments(config)? {
        made = made.big_segments(asked);
    }
    if config.getattr("poll_interval")?.extract::<f64>()? < LEAST_POLL_INTERVAL {
        made = made.allow_any_poll_interval();
    }
    if let Some(events) = config.getattr("events_upload_max_batch_size")?.extract::<Option<usize>>()? {
        made = made.max_batch_size(events);
    }
    made = made.proxy_environment(proxy_environment(py)?);
    if let Some(filter) = text("payload_filter_key")? {
        made = made.payload_filter(filter);
    }
    if let Some(name) = text("wrapper_name")? {
        made = made.wrapper(name, text("wrapper_version")?.as_deref());
    }
    let application = config.getattr("application")?;
    let tag = |name: &str| application.get_item(name)?.extract::<String>();
    let (id, version) = (tag("id")?, tag("version")?);
    if !id.is_empty() {
        made = made.application_id(id);
    }
    if !version.is_empty() {
        made = made.application_version(version);
    }
    Ok(made)
}

/// Reads an `HTTPConfig`.
pub(crate) fn network(made: Config, http: &Bound<'_, PyAny>) -> PyResult<Config> {
    let text = |name: &str| http.getattr(name)?.extract::<Option<String>>();
    let mut made = made
        .connect_timeout(duration(http.getattr("connect_timeout")?.extract()?))
        .read_timeout(duration(http.getattr("read_timeout")?.extract()?))
        .verify_tls(!http.getattr("disable_ssl_verification")?.is_truthy()?);
    if let Some(proxy) = text("http_proxy")? {
        made = made.http_proxy(proxy);
    }
    if let Some(path) = text("ca_certs")? {
        made = made.ca_file(path);
    }
    if let Some(path) = text("cert_file")? {
        made = made.client_certificate(path);
    }
    Ok(made)
}

/// Whether evaluations of a client with this config may have to ask a database.
pub(crate) fn may_wait(config: &Bound<'_, PyAny>) -> PyResult<bool> {
    let has_store =
        !config.getattr("feature_store")?.is_none() || config.getattr("datasystem_config")?.is_truthy()?;
    Ok(has_store || !config.getattr("big_segments")?.getattr("store")?.is_none())
}

/// No longer than what can be added to the time of day.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).map_or(LONGEST, |duration| duration.min(LONGEST))
}

/// What `os.environ` says of proxies, which is not always what the process's own environment says; and
/// whoever changes that on another thread has the interpreter, which this thread has now.
fn proxy_environment(py: Python<'_>) -> PyResult<Vec<(String, String)>> {
    let environment = py.import("os")?.getattr("environ")?;
    let mut found = Vec::new();
    for name in PROXY_VARIABLES {
        if let Ok(value) = environment.call_method1("get", (name,))?.extract::<String>() {
            found.push((name.to_owned(), value));
        }
    }
    Ok(found)
}

fn private_attributes(config: &Bound<'_, PyAny>) -> PyResult<Vec<AttributeRef>> {
    let names: Vec<String> = config.getattr("private_attributes")?.extract()?;
    let (valid, others): (Vec<_>, Vec<_>) =
        names.iter().map(|name| AttributeRef::new(name)).partition(AttributeRef::is_valid);
    for other in others {
        let message =
            format!("Private attribute {other} is not a name or a path like /address/city; ignored");
        logging::log(config.py(), LogLevel::Warn, &message);
    }
    Ok(valid)
}

fn sdk(version: &str) -> Sdk {
    Sdk { name: SDK_NAME.to_owned(), version: version.to_owned(), ..Sdk::default() }
}

fn platform(py: Python<'_>) -> PyResult<Platform> {
    let module = py.import("platform")?;
    let ask = |name: &str| module.call_method0(name)?.extract::<String>();
    let system = ask("system")?;
    Ok(Platform {
        name: "python".to_owned(),
        os_arch: ask("machine")?,
        os_name: if system == "Darwin" { "MacOS".to_owned() } else { system },
        os_version: ask("release")?,
        python_version: Some(ask("python_version")?),
    })
}

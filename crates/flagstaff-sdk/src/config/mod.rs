//! How a client is configured: one builder, sensible with only an SDK key.

mod check;
mod error;
mod events;
mod names;
mod network;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flagstaff_wire::diagnostic::{Platform, Sdk};
use flagstaff_wire::headers::ApplicationTags;
use flagstaff_wire::paths;
use flagstaff_wire::redaction::Redaction;
use rustls::sign::CertifiedKey;

pub(crate) use check::{LONGEST, at_least, check_base_uri, check_uri, without_password};
pub use error::ConfigError;

use crate::big_segments::BigSegments;
use crate::data_source::DataSource;
use crate::data_store::PersistentDataStore;
use crate::data_system::DataSystem;
use crate::glue::Observer;
use crate::hooks::Hook;
use crate::log::LogSink;
use crate::plugins::Plugin;

/// The default poll interval, and the least that is not refused.
pub(crate) const SHORTEST_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// How a client is configured.
///
/// ```
/// use flagstaff_sdk::Config;
///
/// let config = Config::new("sdk-demo-production").application_id("shop").private_attributes(["email"]);
/// ```
///
/// Values are checked by [`Client::start`](crate::Client::start), all at once. What the client cannot do
/// without is refused with a [`ConfigError`]; a payload filter, an application tag or a private attribute
/// that cannot be one is left out with a warning, and costs nobody their flags.
#[derive(Clone)]
#[must_use]
pub struct Config {
    pub(crate) sdk_key: String,
    pub(crate) sdk_key_may_be_missing: bool,
    pub(crate) stream_base: Option<String>,
    pub(crate) poll_base: Option<String>,
    pub(crate) events_base: Option<String>,
    pub(crate) streaming: bool,
    pub(crate) initial_reconnect_delay: Duration,
    pub(crate) stream_read_timeout: Duration,
    pub(crate) poll_interval: Duration,
    pub(crate) any_poll_interval: bool,
    pub(crate) payload_filter: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) http_proxy: Option<String>,
    /// None for the process's own.
    pub(crate) proxy_environment: Option<Arc<HashMap<String, String>>>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) client_certificate: Option<PathBuf>,
    /// What stands in that file, once the configuration is checked.
    pub(crate) certified_key: Option<Arc<CertifiedKey>>,
    pub(crate) verify_tls: bool,
    pub(crate) offline: bool,
    pub(crate) data_system: Option<DataSystem>,
    pub(crate) data_source: Option<Arc<dyn DataSource>>,
    pub(crate) keep_items: bool,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) snapshot_file: Option<PathBuf>,
    pub(crate) snapshot_delay: Duration,
    pub(crate) data_store: Option<PersistentDataStore>,
    pub(crate) daemon_mode: bool,
    pub(crate) big_segments: Option<BigSegments>,
    pub(crate) answer_when_closed: bool,
    pub(crate) send_events: bool,
    pub(crate) events_capacity: usize,
    pub(crate) flush_interval: Duration,
    pub(crate) context_keys_capacity: usize,
    pub(crate) context_keys_flush_interval: Duration,
    pub(crate) redaction: Redaction,
    pub(crate) omit_anonymous_contexts: bool,
    pub(crate) compress_events: bool,
    pub(crate) max_batch_size: Option<usize>,
    pub(crate) close_timeout: Duration,
    pub(crate) diagnostic_opt_out: bool,
    pub(crate) diagnostic_interval: Duration,
    pub(crate) any_diagnostic_interval: bool,
    pub(crate) start_wait: Duration,
    pub(crate) time_factor: u32,
    pub(crate) application_id: Option<String>,
    pub(crate) application_version: Option<String>,
    pub(crate) wrapper_name: Option<String>,
    pub(crate) wrapper_version: Option<String>,
    pub(crate) user_agent: String,
    pub(crate) sdk: Sdk,
    pub(crate) platform: Platform,
    pub(crate) log_sink: Option<Arc<dyn LogSink>>,
    pub(crate) hooks: Vec<Arc<dyn Hook>>,
    pub(crate) plugins: Vec<Arc<dyn Plugin>>,
}

impl Config {
    /// A configuration with this SDK key and nothing else said.
    pub fn new(sdk_key: impl Into<String>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self {
            sdk_key: sdk_key.into(),
            sdk_key_may_be_missing: false,
            stream_base: None,
            poll_base: None,
            events_base: None,
            streaming: true,
            initial_reconnect_delay: Duration::from_secs(1),
            stream_read_timeout: Duration::from_secs(300),
            poll_interval: SHORTEST_POLL_INTERVAL,
            any_poll_interval: false,
            payload_filter: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(15),
            http_proxy: None,
            proxy_environment: None,
            ca_file: None,
            client_certificate: None,
            certified_key: None,
            verify_tls: true,
            offline: false,
            data_system: None,
            data_source: None,
            keep_items: false,
            observer: None,
            snapshot_file: None,
            snapshot_delay: Duration::from_secs(5),
            data_store: None,
            daemon_mode: false,
            big_segments: None,
            answer_when_closed: false,
            send_events: true,
            events_capacity: 10_000,
            flush_interval: Duration::from_secs(5),
            context_keys_capacity: 1_000,
            context_keys_flush_interval: Duration::from_secs(300),
            redaction: Redaction::default(),
            omit_anonymous_contexts: false,
            compress_events: false,
            max_batch_size: None,
            close_timeout: Duration::from_secs(5),
            diagnostic_opt_out: false,
            diagnostic_interval: Duration::from_secs(900),
            any_diagnostic_interval: false,
            start_wait: Duration::from_secs(5),
            time_factor: 1,
            application_id: None,
            application_version: None,
            wrapper_name: None,
            wrapper_version: None,
            user_agent: format!("FlagstaffRustClient/{version}"),
            sdk: Sdk { name: "flagstaff-rust-sdk".to_owned(), version: version.to_owned(), ..Sdk::default() },
            platform: Platform {
                name: "Rust".to_owned(),
                os_arch: std::env::consts::ARCH.to_owned(),
                os_name: match std::env::consts::OS {
                    "linux" => "Linux",
                    "macos" => "MacOS",
                    "windows" => "Windows",
                    other => other,
                }
                .to_owned(),
                ..Platform::default()
            },
            log_sink: None,
            hooks: Vec::new(),
            plugins: Vec::new(),
        }
    }

    /// Takes streams, polls and events to one service. Without this and the three that follow, the
    /// environment variable `FLAGSTAFF_URL` does the same, and without that the hosts are
    /// LaunchDarkly's.
    pub fn base_uri(self, uri: impl Into<String>) -> Self {
        let uri = uri.into();
        self.stream_uri(uri.clone()).poll_uri(uri.clone()).events_uri(uri)
    }

    /// Takes streams to another host.
    pub fn stream_uri(mut self, uri: impl Into<String>) -> Self {
        self.stream_base = Some(uri.into());
        self
    }

    /// Takes polls to another host.
    pub fn poll_uri(mut self, uri: impl Into<String>) -> Self {
        self.poll_base = Some(uri.into());
        self
    }

    /// Takes events to another host.
    pub fn events_uri(mut self, uri: impl Into<String>) -> Self {
        self.events_base = Some(uri.into());
        self
    }

    /// Whether changes are streamed, as they are by default, or polled.
    pub fn stream(mut self, stream: bool) -> Self {
        self.streaming = stream;
        self
    }

    /// The first delay before a broken stream is opened again; it doubles up to 30 s. Default 1 s.
    pub fn initial_reconnect_delay(mut self, delay: Duration) -> Self {
        self.initial_reconnect_delay = delay;
        self
    }

    /// A stream on which nothing comes for so long is taken for dead. Default 5 min; services send
    /// something every 3 min.
    pub fn stream_read_timeout(mut self, timeout: Duration) -> Self {
        self.stream_read_timeout = timeout;
        self
    }

    /// How often flags are polled if they are not streamed. Default and least 30 s.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Lets the poll interval be anything. For tests against a service of one's own.
    pub fn allow_any_poll_interval(mut self) -> Self {
        self.any_poll_interval = true;
        self
    }

    /// Receives only the flags of this filter.
    pub fn payload_filter(mut self, key: impl Into<String>) -> Self {
        self.payload_filter = Some(key.into());
        self
    }

    /// Whether nothing is connected to, and every variation is the default.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Whether a closed client goes on answering from the flags it last knew. By default it answers
    /// with defaults, so that a closed client is noticed.
    pub fn answer_when_closed(mut self, answer: bool) -> Self {
        self.answer_when_closed = answer;
        self
    }

    /// How long `close` may take for the last events. Default 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Names the application with each request.
    pub fn application_id(mut self, id: impl Into<String>) -> Self {
        self.application_id = Some(id.into());
        self
    }

    /// Says the application's version with each request.
    pub fn application_version(mut self, version: impl Into<String>) -> Self {
        self.application_version = Some(version.into());
        self
    }

    /// Names a library that wraps this one.
    pub fn wrapper(mut self, name: impl Into<String>, version: Option<&str>) -> Self {
        self.wrapper_name = Some(name.into());
        self.wrapper_version = version.map(str::to_owned);
        self
    }

    /// For an SDK of another language that is built on this one: who it is, and what it runs on.
    /// `user_agent` is `Name/Version`.
    pub fn identity(mut self, user_agent: impl Into<String>, sdk: Sdk, platform: Platform) -> Self {
        self.user_agent = user_agent.into();
        self.sdk = sdk;
        self.platform = platform;
        self
    }

    /// For an SDK of another language whose users may leave out the key, and then learn from the
    /// service that it is missing.
    pub fn sdk_key_may_be_missing(mut self) -> Self {
        self.sdk_key_may_be_missing = true;
        self
    }

    /// Takes log lines elsewhere than to `tracing`.
    pub fn log_to(mut self, sink: Arc<dyn LogSink>) -> Self {
        self.log_sink = Some(sink);
        self
    }

    pub(crate) fn tags(&self) -> ApplicationTags {
        let mut tags = ApplicationTags::default();
        if let Some(id) = &self.application_id {
            tags.set_id(id);
        }
        if let Some(version) = &self.application_version {
            tags.set_version(version);
        }
        tags
    }

    pub(crate) fn url(&self, base: Base, path: &str) -> String {
        let filtered = matches!(base, Base::Stream | Base::Poll);
        let base = match base {
            Base::Stream => self.stream_base.as_deref().unwrap_or(paths::DEFAULT_STREAM_BASE),
            Base::Poll => self.poll_base.as_deref().unwrap_or(paths::DEFAULT_POLL_BASE),
            Base::Events => self.events_base.as_deref().unwrap_or(paths::DEFAULT_EVENTS_BASE),
        };
        let mut url = paths::join(base, path);
        if let (true, Some(filter)) = (filtered, &self.payload_filter) {
            // A checked key has nothing in it that would have to be encoded.
            url.push_str(&format!("?{}={filter}", paths::FILTER));
        }
        url
    }
}

/// Which of the three hosts.
#[derive(Clone, Copy)]
pub(crate) enum Base {
    Stream,
    Poll,
    Events,
}

/// The end of a key, by which its owner knows it: a fifth of it at most, and never more than five characters.
pub(crate) fn end_of(key: &str) -> String {
    let count = key.chars().count();
    let shown = (count / 5).min(5);
    format!("...{}", key.chars().skip(count - shown).collect::<String>())
}

/// Without the key.
impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Config")
            .field("sdk_key", &format_args!("{}", end_of(&self.sdk_key)))
            .field("stream_uri", &self.stream_base)
            .field("poll_uri", &self.poll_base)
            .field("events_uri", &self.events_base)
            .field("stream", &self.streaming)
            .field("offline", &self.offline)
            .field("send_events", &self.send_events)
            .finish_non_exhaustive()
    }
}

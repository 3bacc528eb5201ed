//! Refuses what cannot be, all at once, before anything is started.

use std::time::Duration;

use flagstaff_wire::headers;
use url::Url;

use super::{Config, ConfigError, SHORTEST_POLL_INTERVAL};

/// Diagnostics more often than this are refused: a service has many clients.
const SHORTEST_DIAGNOSTIC_INTERVAL: Duration = Duration::from_secs(60);
/// As good as never. Longer durations cannot be added to the time of day, so they are taken for this.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Config {
    /// Refuses what cannot be, and settles what was left to the environment.
    pub(crate) fn checked(mut self) -> Result<Self, ConfigError> {
        self.check_key()?;
        let service = std::env::var("FLAGSTAFF_URL").ok().filter(|url| !url.is_empty());
        if let (None, None, None, Some(service)) =
            (&self.stream_base, &self.poll_base, &self.events_base, service)
        {
            self = self.base_uri(service);
        }
        for (which, base) in
            [("stream", &self.stream_base), ("poll", &self.poll_base), ("events", &self.events_base)]
        {
            check_base_uri(which, base.as_deref())?;
        }
        check_uri("proxy", self.http_proxy.as_deref())?;
        self.read_client_certificate()?;
        if !self.any_poll_interval {
            at_least("the poll interval", self.poll_interval, SHORTEST_POLL_INTERVAL)?;
        }
        if !self.any_diagnostic_interval {
            at_least("the diagnostic interval", self.diagnostic_interval, SHORTEST_DIAGNOSTIC_INTERVAL)?;
        }
        let shortest = Duration::from_millis(1);
        for (setting, duration) in [
            ("the poll interval", self.poll_interval),
            ("the diagnostic interval", self.diagnostic_interval),
            ("the flush interval", self.flush_interval),
            ("the context keys flush interval", self.context_keys_flush_interval),
            ("the connect time-out", self.connect_timeout),
            ("the read time-out", self.read_timeout),
            ("the stream read time-out", self.stream_read_timeout),
            ("the initial reconnect delay", self.initial_reconnect_delay),
        ] {
            at_least(setting, duration, shortest)?;
        }
        for (setting, capacity) in [
            ("the events capacity", self.events_capacity),
            ("the context keys capacity", self.context_keys_capacity),
            ("the largest batch size", self.max_batch_size.unwrap_or(1)),
        ] {
            if capacity == 0 {
                let (given, least) = ("0".to_owned(), "1".to_owned());
                return Err(ConfigError::TooSmall { setting, given, least });
            }
        }
        if self.daemon_mode && self.data_store.is_none() && !self.offline {
            return Err(ConfigError::DaemonWithoutStore);
        }
        self.check_big_segments()?;
        self.check_data_store()?;
        self.check_wrapper()?;
        self.leave_out_bad_names();
        self.check_data_system()?;
        for duration in [
            &mut self.poll_interval,
            &mut self.diagnostic_interval,
            &mut self.flush_interval,
            &mut self.context_keys_flush_interval,
            &mut self.connect_timeout,
            &mut self.read_timeout,
            &mut self.stream_read_timeout,
            &mut self.initial_reconnect_delay,
            &mut self.close_timeout,
            &mut self.start_wait,
        ] {
            *duration = LONGEST.min(*duration);
        }
        Ok(self)
    }

    fn check_key(&self) -> Result<(), ConfigError> {
        if self.sdk_key.is_empty() {
            let needed = !self.offline && !self.sdk_key_may_be_missing;
            return if needed { Err(ConfigError::MissingSdkKey) } else { Ok(()) };
        }
        if headers::is_sdk_key(&self.sdk_key) { Ok(()) } else { Err(ConfigError::BadSdkKey) }
    }

    fn check_wrapper(&self) -> Result<(), ConfigError> {
        for value in [&self.wrapper_name, &self.wrapper_version].into_iter().flatten() {
            if http::HeaderValue::from_str(value).is_err() {
                return Err(ConfigError::BadWrapper { value: value.clone() });
            }
        }
        Ok(())
    }
}

pub(crate) fn check_base_uri(which: &'static str, base: Option<&str>) -> Result<(), ConfigError> {
    check_uri(which, base)?;
    check_no_password(which, base)
}

pub(crate) fn check_uri(which: &'static str, uri: Option<&str>) -> Result<(), ConfigError> {
    let Some(uri) = uri else { return Ok(()) };
    match Url::parse(uri) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        _ => Err(ConfigError::BadUri { which, uri: without_password(uri) }),
    }
}

/// A password would take the place of the SDK key, and stand in log lines.
fn check_no_password(which: &'static str, uri: Option<&str>) -> Result<(), ConfigError> {
    match uri.map(|uri| (uri, Url::parse(uri))) {
        Some((uri, Ok(url))) if !url.username().is_empty() || url.password().is_some() => {
            Err(ConfigError::PasswordInUri { which, uri: without_password(uri) })
        }
        _ => Ok(()),
    }
}

/// What stands before an `@` is a secret.
pub(crate) fn without_password(uri: &str) -> String {
    uri.rsplit('@').next().unwrap_or(uri).to_owned()
}

pub(crate) fn at_least(setting: &'static str, given: Duration, least: Duration) -> Result<(), ConfigError> {
    if given < least {
        let (given, least) = (format!("{given:?}"), format!("{least:?}"));
        return Err(ConfigError::TooSmall { setting, given, least });
    }
    Ok(())
}

//! How one source is reached, if not as the client is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;

use super::held::Held;
use crate::config::{Config, ConfigError, LONGEST, at_least, check_uri};
use crate::http::{self, Http};
use crate::log::LogLevel;

/// A source's own time-outs, proxy and certificates.
#[derive(Clone)]
pub(super) struct Network {
    /// Nothing else of it counts.
    like: Box<Config>,
    /// The certificate authorities, once the configuration is checked; none if certificates are not checked.
    roots: Option<RootCertStore>,
}

impl Network {
    pub(super) fn new(like: Config) -> Self {
        Self { like: Box::new(like), roots: None }
    }

    /// Refuses what cannot be, and reads what stands in files.
    pub(super) fn check(&mut self) -> Result<(), ConfigError> {
        let like = &mut self.like;
        check_uri("proxy", like.http_proxy.as_deref())?;
        like.read_client_certificate()?;
        for (setting, duration) in [
            ("the connect time-out of a source", &mut like.connect_timeout),
            ("the read time-out of a source", &mut like.read_timeout),
        ] {
            at_least(setting, *duration, Duration::from_millis(1))?;
            *duration = LONGEST.min(*duration);
        }
        self.roots = http::roots(like)?;
        Ok(())
    }

    /// The client's configuration, but for the way to the service.
    fn config(&self, client: &Config) -> Config {
        let like = &*self.like;
        Config {
            connect_timeout: like.connect_timeout,
            read_timeout: like.read_timeout,
            http_proxy: like.http_proxy.clone(),
            certified_key: like.certified_key.clone(),
            verify_tls: like.verify_tls,
            ..client.clone()
        }
    }
}

impl Held {
    /// What a source's requests are sent with.
    pub(super) fn http_by(&self, network: Option<&Network>) -> Arc<Http> {
        let Some(network) = network else { return self.http.clone() };
        let instance_id = self.shared.instance_id().to_string();
        let config = network.config(&self.shared.config);
        let own = Http::new(&config, network.roots.clone(), &instance_id);
        own.map_or_else(
            |error| {
                let line = format_args!("a source of flags is reached as the client is: {error}");
                self.shared.log.write(LogLevel::Error, line);
                self.http.clone()
            },
            Arc::new,
        )
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { connect_timeout, read_timeout, verify_tls, .. } = &*self.like;
        formatter
            .debug_struct("Network")
            .field("connect_timeout", connect_timeout)
            .field("read_timeout", read_timeout)
            .field("verify_tls", verify_tls)
            .finish_non_exhaustive()
    }
}

//! Options of whatever serves environments to SDKs: `flagstaff serve` and `flagstaff relay`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use flagstaff_service::ServingConfig;
use flagstaff_service::config::Origin;
use flagstaff_service::peer::{Network, TrustedProxies};
use flagstaff_service::tls::TlsFiles;

use super::logs::{Logging, Logs};
use super::{File, address, listen, read};
use crate::Failure;
use crate::relay::Variables;

/// Options of whatever serves environments to SDKs.
#[derive(Debug, Args)]
pub(crate) struct Serving {
    /// Where to take requests; port 0 picks a free one [default: 127.0.0.1:8030]
    #[arg(long, env = "FLAGSTAFF_LISTEN", value_parser = address, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Where to answer `/metrics`, and nothing else [default: with everything else]
    #[arg(long, env = "FLAGSTAFF_METRICS_LISTEN", value_parser = address, value_name = "IP:PORT")]
    metrics_listen: Option<SocketAddr>,
    /// A file with the certificate to encrypt connections with, and those that vouch for it, as PEM; it is read
    /// again when it changes
    #[arg(long, env = "FLAGSTAFF_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// A file with the certificate's private key, as PEM
    #[arg(long, env = "FLAGSTAFF_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Proxies in front that are believed who asks and whether encrypted (X-Forwarded-For, X-Forwarded-Proto,
    /// Forwarded), by address or network, like 10.0.0.0/8 [default: none]
    #[arg(long, env = "FLAGSTAFF_TRUSTED_PROXY", value_delimiter = ',', value_name = "NETWORK,...")]
    trusted_proxy: Option<Vec<Network>>,
    /// The origins whose pages may read what browsers ask for, like https://shop.example [default: any]
    #[arg(long, env = "FLAGSTAFF_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGIN,...")]
    allowed_origins: Option<Vec<Origin>>,
    /// How often an idle stream gets a comment line, in seconds; 0 turns it off [default: 180]
    #[arg(long, env = "FLAGSTAFF_HEARTBEAT_INTERVAL", value_name = "SECONDS")]
    heartbeat_interval: Option<u64>,
    /// How long a stream lasts, within a tenth of it, in seconds, so that streams spread over several nodes anew; 0:
    /// for ever [default: 0]
    #[arg(long, env = "FLAGSTAFF_MAX_CLIENT_CONNECTION_TIME", value_name = "SECONDS")]
    max_client_connection_time: Option<u64>,
    /// How long a request may take to arrive, in seconds: its headers, then its body [default: 30]
    #[arg(long, env = "FLAGSTAFF_REQUEST_TIMEOUT", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    request_timeout: Option<u64>,
    /// How many connections there may be [default: as many as there may be open files, less 160]
    #[arg(long, env = "FLAGSTAFF_MAX_CONNECTIONS", value_name = "COUNT")]
    max_connections: Option<usize>,
    /// How many of them one address may have; behind a trusted proxy: streams [default: nine tenths]
    #[arg(long, env = "FLAGSTAFF_MAX_CONNECTIONS_PER_ADDRESS", value_name = "COUNT")]
    max_connections_per_address: Option<usize>,
    /// How many streams one environment may have to servers [default: nine tenths of the connections]
    #[arg(long, env = "FLAGSTAFF_MAX_STREAMS_PER_ENVIRONMENT", value_name = "COUNT")]
    max_streams_per_environment: Option<usize>,
    /// How many streams one environment may have to browsers and mobile programs [default: half of the connections]
    #[arg(long, env = "FLAGSTAFF_MAX_CLIENT_STREAMS_PER_ENVIRONMENT", value_name = "COUNT")]
    max_client_streams_per_environment: Option<usize>,
    #[command(flatten)]
    logs: Logs,
    /// A TOML file with these options by name: listen = "127.0.0.1:8030"
    #[arg(long, env = "FLAGSTAFF_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serving {
    /// Takes what is set in names of other relays, where nothing is said by ours.
    pub(crate) fn or_else(&mut self, set: &Variables) {
        self.listen = self.listen.or(set.listen);
        self.metrics_listen = self.metrics_listen.or(set.metrics_listen);
        if self.tls_certificate.is_none() && self.tls_key.is_none() {
            self.tls_certificate.clone_from(&set.tls_certificate);
            self.tls_key.clone_from(&set.tls_key);
        }
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64().ceil() as u64);
        self.heartbeat_interval = self.heartbeat_interval.or(seconds(set.heartbeat_interval));
        self.max_client_connection_time = self.max_client_connection_time.or(seconds(set.longest_stream));
        self.logs.or_else(set.log.as_deref());
    }

    /// How SDKs are served, and what is logged; and the file, for the rest.
    pub(crate) fn resolve(self) -> Result<(ServingConfig, Logging, File), Failure> {
        let file: File = read(self.config.as_deref())?;
        let mut config = ServingConfig::default();
        config.listen = listen(self.listen, file.listen);
        config.metrics_listen = self.metrics_listen.or(file.metrics_listen);
        let certificate = self.tls_certificate.or(file.tls_certificate.clone());
        config.tls = match (certificate, self.tls_key.or(file.tls_key.clone())) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => return Err("give both tls-certificate and tls-key, or neither".into()),
        };
        let proxies = either(self.trusted_proxy, file.trusted_proxy.as_deref())?;
        config.trusted_proxies = TrustedProxies::new(proxies);
        config.allowed_origins = either(self.allowed_origins, file.allowed_origins.as_deref())?;
        if let Some(seconds) = self.heartbeat_interval.or(file.heartbeat_interval) {
            config.heartbeat_interval = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        let longest = self.max_client_connection_time.or(file.max_client_connection_time);
        config.longest_stream = longest.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        if let Some(seconds) = self.request_timeout.or(file.request_timeout) {
            if seconds == 0 {
                return Err("request-timeout is 0; give at least 1 second".into());
            }
            config.request_timeout = Duration::from_secs(seconds);
        }
        config.limits.connections = self.max_connections.or(file.max_connections);
        config.limits.connections_per_address =
            self.max_connections_per_address.or(file.max_connections_per_address);
        config.limits.streams_per_environment =
            self.max_streams_per_environment.or(file.max_streams_per_environment);
        config.limits.client_streams_per_environment =
            self.max_client_streams_per_environment.or(file.max_client_streams_per_environment);
        let logging = self.logs.resolve(&file);
        Ok((config, logging, file))
    }
}

/// What is said, or what the file lists as texts.
fn either<T: std::str::FromStr<Err = String>>(
    said: Option<Vec<T>>,
    in_file: Option<&[String]>,
) -> Result<Vec<T>, Failure> {
    said.map_or_else(|| in_file.unwrap_or_default().iter().map(|text| text.parse()).collect(), Ok)
}

//! What the service is started with. Reading it from arguments, environment and file is the
//! executable's business.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderValue, Uri};

use crate::analytics;
use crate::peer::TrustedProxies;
use crate::store::PostgresUrl;
use crate::tls::{self, TlsFiles};

/// What the service is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How environments are served to SDKs.
    pub serving: ServingConfig,
    /// The folder that holds the databases, unless they are elsewhere.
    pub data: PathBuf,
    /// Where flags and what is counted are kept.
    pub database: Database,
    /// Seed an empty database with the demo, and refuse any other.
    pub demo: bool,
    /// What is kept of events.
    pub analytics: analytics::Settings,
    /// Where pictures of users are asked for: [`crate::avatars::GRAVATAR`]; none means nowhere.
    pub avatars: Option<String>,
    /// How often the change log is looked at even when nobody called: the net under the wake-up.
    pub change_log_poll: Duration,
}

/// Where flags and what is counted are kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// In files in the data folder, of this process alone.
    Sqlite,
    /// In a database that several nodes share.
    Postgres(PostgresUrl),
}

/// How environments are served to SDKs, by the service or by a relay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServingConfig {
    /// Where requests are taken; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Encrypt connections, with what these files hold.
    pub tls: Option<TlsFiles>,
    /// How often those files are looked at.
    pub certificate_poll: Duration,
    /// The proxies in front whose word counts about who asks, and whether encrypted.
    pub trusted_proxies: TrustedProxies,
    /// How much there may be of what takes room.
    pub limits: Limits,
    /// How long a request may take to arrive: a handshake, headers and body, each.
    pub request_timeout: Duration,
    /// Where `/metrics` is answered, if not where everything else is.
    pub metrics_listen: Option<SocketAddr>,
    /// The origins whose pages may read what browsers ask for; any, if there are none.
    pub allowed_origins: Vec<Origin>,
    /// How often an idle stream gets a comment line; none turns it off.
    pub heartbeat_interval: Option<Duration>,
    /// A stream ends after about so long, so that streams spread over several nodes anew; none: never.
    pub longest_stream: Option<Duration>,
    /// A reader that takes no byte for so long is cut.
    pub stalled_after: Duration,
    /// The largest body of a request that has no limit of its own, in bytes.
    pub body_limit: usize,
    /// How long requests in flight may take to end after SIGTERM.
    pub drain: Duration,
}

/// How much there may be of what takes room. What is not said follows from how many files the process may
/// have open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections; as many as there are file handles for.
    pub connections: Option<usize>,
    /// Connections from one address; nine tenths of them.
    pub connections_per_address: Option<usize>,
    /// Streams to servers of one environment; nine tenths of the connections.
    pub streams_per_environment: Option<usize>,
    /// Streams to browsers and mobile programs of one environment; half of the connections.
    pub client_streams_per_environment: Option<usize>,
}

impl Config {
    /// The database as people call it: by its folder, or by its address without the password.
    pub fn database_name(&self) -> String {
        match &self.database {
            Database::Sqlite => self.data.display().to_string(),
            Database::Postgres(url) => url.to_string(),
        }
    }

    /// The defaults, on 127.0.0.1:8030.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            serving: ServingConfig::default(),
            data: data.into(),
            database: Database::Sqlite,
            demo: false,
            analytics: analytics::Settings::default(),
            avatars: None,
            change_log_poll: Duration::from_secs(1),
        }
    }
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8030)),
            tls: None,
            certificate_poll: tls::POLL,
            trusted_proxies: TrustedProxies::default(),
            limits: Limits::default(),
            request_timeout: Duration::from_secs(30),
            metrics_listen: None,
            allowed_origins: Vec::new(),
            heartbeat_interval: Some(Duration::from_secs(180)),
            longest_stream: None,
            stalled_after: Duration::from_secs(30),
            body_limit: 2 * 1024 * 1024,
            drain: Duration::from_secs(4),
        }
    }
}

/// Where pages come from, as browsers say it: `https://shop.example`, with a port unless it is the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl Origin {
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{}` is not an origin; give one like https://shop.example", text.escape_debug());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
        // Compared with what browsers say, letter by letter.
        let said = format!("{scheme}://{host}").to_ascii_lowercase();
        if said != text || host.as_str().contains('@') {
            return Err(wrong());
        }
        HeaderValue::try_from(said).map(Self).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_call_one() {
        for origin in ["https://shop.example", "http://localhost:3000", "http://[::1]:80"] {
            assert!(origin.parse::<Origin>().is_ok(), "{origin}");
        }
        for other in
            ["", "*", "shop.example", "https://shop.example/", "https://Shop.example", "https://a@b", "null"]
        {
            let said = other.parse::<Origin>().expect_err(other);
            assert!(said.contains("is not an origin"), "{said}");
        }
    }
}

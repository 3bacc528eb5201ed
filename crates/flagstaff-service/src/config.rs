//! What the service is started with. Reading it from arguments, environment and file is the
//! executable's business.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::{self, TlsFiles};

/// What the service is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where requests are taken; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Encrypt connections, with what these files hold.
    pub tls: Option<TlsFiles>,
    /// How often those files are looked at.
    pub certificate_poll: Duration,
    /// The folder that holds the databases.
    pub data: PathBuf,
    /// Seed an empty database with the demo, and refuse any other.
    pub demo: bool,
    /// How often an idle stream gets a comment line; none turns it off.
    pub heartbeat_interval: Option<Duration>,
    /// A reader that takes no byte for so long is cut.
    pub stalled_after: Duration,
    /// The largest body of an admin API request, in bytes.
    pub body_limit: usize,
    /// How often the change log is looked at even when nobody called: the net under the wake-up.
    pub change_log_poll: Duration,
    /// How long requests in flight may take to end after SIGTERM.
    pub drain: Duration,
}

impl Config {
    /// The defaults, on 127.0.0.1:8030.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8030)),
            tls: None,
            certificate_poll: tls::POLL,
            data: data.into(),
            demo: false,
            heartbeat_interval: Some(Duration::from_secs(180)),
            stalled_after: Duration::from_secs(30),
            body_limit: 2 * 1024 * 1024,
            change_log_poll: Duration::from_secs(1),
            drain: Duration::from_secs(4),
        }
    }
}

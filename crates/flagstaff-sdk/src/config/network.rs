//! How the service is reached: time-outs, proxy and certificates.

use std::path::PathBuf;
use std::time::Duration;

use super::Config;

impl Config {
    /// How long a connection may take. Default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a poll's answer may keep one waiting, for its beginning and from piece to piece; and
    /// how long sending events may take altogether. Default 15 s.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sends all requests through this HTTP proxy, which may carry `user:password@`. Without it,
    /// `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` of the environment count, in either case; in a CGI
    /// program not `HTTP_PROXY`, which a visitor could set there.
    pub fn http_proxy(mut self, url: impl Into<String>) -> Self {
        self.http_proxy = Some(url.into());
        self
    }

    /// Trusts the certificate authorities in this PEM file instead of the public ones.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Whether the service's certificate is checked. Off is for tests: anybody could then hand out flags.
    pub fn verify_tls(mut self, verify: bool) -> Self {
        self.verify_tls = verify;
        self
    }
}

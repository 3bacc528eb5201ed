//! How the service is reached: time-outs, proxy and certificates.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Config, ConfigError};

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
    /// `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` of the environment count, in either case, small letters
    /// first; in a CGI program not `HTTP_PROXY`, which a visitor could set there. `NO_PROXY` lists hosts,
    /// with all below them, and addresses or ranges of them; each may have a port.
    pub fn http_proxy(mut self, url: impl Into<String>) -> Self {
        self.http_proxy = Some(url.into());
        self
    }

    /// Takes these variables for the environment that proxies are named in, instead of the process's own:
    /// for languages that keep an environment of their own.
    pub fn proxy_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.proxy_environment = Some(Arc::new(variables.into_iter().collect()));
        self
    }

    /// Trusts the certificate authorities in this PEM file instead of the public ones.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Shows a certificate to a service, or a proxy before it, that asks for one. The PEM file has the
    /// certificate, those that vouch for it if there are any, and its private key.
    pub fn client_certificate(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_certificate = Some(path.into());
        self
    }

    /// Whether the service's certificate is checked. Off is for tests: anybody could then hand out flags.
    pub fn verify_tls(mut self, verify: bool) -> Self {
        self.verify_tls = verify;
        self
    }

    pub(crate) fn read_client_certificate(&mut self) -> Result<(), ConfigError> {
        let Some(path) = self.client_certificate.as_ref().filter(|_| !self.offline) else { return Ok(()) };
        let bad = |reason: String| ConfigError::BadClientCertificate { path: path.clone(), reason };
        let read = CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))?;
        let chain: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))?;
        if chain.is_empty() {
            return Err(bad("there is no certificate in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_file(path).map_err(|error| bad(error.to_string()))?;
        // Refuses a key that is not the certificate's.
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        self.certified_key = Some(Arc::new(certified.map_err(|error| bad(error.to_string()))?));
        Ok(())
    }
}

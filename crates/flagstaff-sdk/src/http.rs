//! Requests: TLS, proxy, and the headers that every request carries.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use flagstaff_wire::headers;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::{Config, ConfigError};
use crate::fork::{self, Connection};
use crate::proxies::proxies;

/// Sends requests on behalf of one client.
pub(crate) struct Http {
    client: Client,
    connect_timeout: Duration,
    read_timeout: Duration,
}

impl Http {
    /// `roots` are the certificate authorities; none if certificates are not to be checked.
    pub(crate) fn new(
        config: &Config,
        roots: Option<RootCertStore>,
        instance_id: &str,
    ) -> Result<Self, ConfigError> {
        let failed = |source: Box<dyn Error + Send + Sync>| ConfigError::Http { source };
        let mut builder = Client::builder()
            .default_headers(default_headers(config, instance_id))
            .connect_timeout(config.connect_timeout)
            .tls_backend_preconfigured(tls(config, roots).map_err(|error| failed(error.into()))?)
            // The proxy is what follows, and nothing the operating system says.
            .no_proxy();
        for proxy in proxies(config)? {
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|error| failed(error.into()))?;
        let Config { connect_timeout, read_timeout, .. } = *config;
        Ok(Self { client, connect_timeout, read_timeout })
    }

    /// For requests of another kind.
    pub(crate) fn into_client(self) -> Client {
        self.client
    }

    /// A request whose answer takes as long as it takes: whoever reads it sees to it that it goes on.
    pub(crate) fn get(&self, url: &str) -> RequestBuilder {
        self.client.get(url)
    }

    /// A request that is to be done with in time.
    pub(crate) fn post(&self, url: &str) -> RequestBuilder {
        self.client.post(url).timeout(self.read_timeout)
    }

    /// How long an answer may keep one waiting, from piece to piece.
    pub(crate) fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    /// How long an answer may take to begin.
    pub(crate) fn head_timeout(&self) -> Duration {
        self.connect_timeout + self.read_timeout
    }

    /// Remembers the connection an answer came on, for a child process to close its copy.
    pub(crate) fn remember(&self, response: &Response) {
        use hyper_util::client::legacy::connect::HttpInfo;
        if let Some(info) = response.extensions().get::<HttpInfo>() {
            fork::remember(Connection { local: info.local_addr(), remote: info.remote_addr() });
        }
    }
}

fn default_headers(config: &Config, instance_id: &str) -> HeaderMap {
    let tags = config.tags().header();
    let wrapper = headers::wrapper(config.wrapper_name.as_deref(), config.wrapper_version.as_deref());
    let mut map = HeaderMap::new();
    // Values that cannot stand in a header were refused with the configuration.
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(name == AUTHORIZATION);
            map.insert(name, value);
        }
    };
    if !config.sdk_key.is_empty() {
        set(AUTHORIZATION, &config.sdk_key);
    }
    set(USER_AGENT, &config.user_agent);
    set(HeaderName::from_static(headers::INSTANCE_ID), instance_id);
    if let Some(tags) = tags {
        set(HeaderName::from_static(headers::TAGS), &tags);
    }
    if let Some(wrapper) = wrapper {
        set(HeaderName::from_static(headers::WRAPPER), &wrapper);
    }
    map
}

/// The certificate authorities to trust; none if certificates are not to be checked.
pub(crate) fn roots(config: &Config) -> Result<Option<RootCertStore>, ConfigError> {
    if !config.verify_tls {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    let Some(path) = &config.ca_file else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(Some(roots));
    };
    let bad = |reason: String| ConfigError::BadCaFile { path: path.clone(), reason };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate in it".to_owned()));
    }
    Ok(Some(roots))
}

/// TLS with our own choice of everything, whatever the process's defaults are.
fn tls(config: &Config, roots: Option<RootCertStore>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match roots {
        Some(roots) => builder.with_root_certificates(roots),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
    };
    Ok(match &config.certified_key {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone()))),
        None => builder.with_no_client_auth(),
    })
}

/// Takes any certificate: see [`Config::verify_tls`].
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What an answer's status means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusClass {
    Success,
    /// Trying again may help.
    Recoverable,
    /// Trying again helps only once somebody has changed something.
    Unrecoverable,
}

/// Source: the protocol's table of HTTP statuses.
pub(crate) fn classify(status: StatusCode) -> StatusClass {
    match status.as_u16() {
        200..=299 => StatusClass::Success,
        400 | 408 | 429 => StatusClass::Recoverable,
        401..=499 => StatusClass::Unrecoverable,
        _ => StatusClass::Recoverable,
    }
}

/// What went wrong, down to the cause, without the address: that may have a proxy's password in it.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "it took too long".to_owned(),
        error if error.is_connect() => "no connection".to_owned(),
        error if error.is_body() || error.is_decode() => "the connection broke".to_owned(),
        error if error.is_redirect() => "too many redirects".to_owned(),
        _ => "the request failed".to_owned(),
    };
    if let Some(cause) = causes(error).last() {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}

/// Whether the service's certificate is the trouble: time alone does not mend that.
pub(crate) fn is_certificate_error(error: &reqwest::Error) -> bool {
    fn is_one(error: &(dyn Error + 'static)) -> bool {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return matches!(
                error,
                rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented
            );
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.is_some_and(|error| is_one(error))
    }
    causes(error).any(is_one)
}

/// What is behind an error, from the outside in.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

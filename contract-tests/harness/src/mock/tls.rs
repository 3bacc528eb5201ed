//! A certificate authority of the tests' own, and certificates good and bad.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate authority that nobody trusts unless told to.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// A file with its certificate, as `customCAFile` wants it.
    pub(crate) file: PathBuf,
}

/// What a server shows, and the key to it.
pub(crate) struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Authority {
    /// Makes one; its file is named after `name`, in the folder for temporary files.
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Flagstaff conformance tests");
        let key = KeyPair::generate().map_err(told)?;
        let certificate = params.self_signed(&key).map_err(told)?;
        let file = std::env::temp_dir().join(format!("conformance-{}-{name}.pem", std::process::id()));
        std::fs::write(&file, certificate.pem()).map_err(told)?;
        Ok(Self { issuer: Issuer::new(params, key), file })
    }

    /// A certificate for this host name, good today.
    pub(crate) fn certificate(&self, host: &str) -> Result<Certificate, String> {
        self.sign(CertificateParams::new([host.to_owned()]).map_err(told)?)
    }

    /// A certificate for this host name that was good long ago.
    pub(crate) fn expired(&self, host: &str) -> Result<Certificate, String> {
        let mut params = CertificateParams::new([host.to_owned()]).map_err(told)?;
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Certificate, String> {
        let key = KeyPair::generate().map_err(told)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(told)?;
        Ok(Certificate { chain: vec![certificate.der().clone()], key: key.serialize_der() })
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // Left behind it would do no harm.
        let _ = std::fs::remove_file(&self.file);
    }
}

impl Certificate {
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(told)?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .map_err(told)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

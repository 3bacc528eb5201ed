//! TLS: a certificate and its key from two files, which may be replaced while the service runs.
//!
//! The files are looked at again from time to time. What can be read comes into force for new connections;
//! what cannot is said in the log, and the old certificate stays.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::SharedApp;

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// A certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("`{}` cannot be used as {what}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The two do not belong together.
    #[error("the certificate in `{}` and the key in `{}` do not belong together: {reason}", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library says.
        reason: String,
    },
}

/// What connections are encrypted with.
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If there is no certificate in them that can be used.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let current = Arc::new(Current { key: ArcSwap::from_pointee(read(files)?), files: files.clone() });
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|error| unreachable!("the provider has the default versions: {error}"))
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        current.log();
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current })
    }

    /// What takes connections.
    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("files", &self.current.files).finish_non_exhaustive()
    }
}

/// Looks at the files until the service stops.
pub(crate) async fn follow(app: SharedApp) {
    let Some(current) = app.tls.as_ref().map(|tls| tls.current.clone()) else { return };
    let mut known = Stamp::of(&current.files);
    loop {
        tokio::select! {
            () = tokio::time::sleep(app.config.certificate_poll) => {}
            () = app.stopping.cancelled() => return,
        }
        let now = Stamp::of(&current.files);
        if now == known {
            continue;
        }
        match read(&current.files) {
            Ok(key) => {
                current.key.store(Arc::new(key));
                current.log();
                known = now;
            }
            // Perhaps only one of the two was replaced so far: it is tried again until they fit.
            Err(error) => tracing::error!("the old certificate stays in force: {error}"),
        }
    }
}

/// The certificate in force.
#[derive(Debug)]
struct Current {
    key: ArcSwap<CertifiedKey>,
    files: TlsFiles,
}

impl Current {
    fn log(&self) {
        tracing::info!("the certificate in `{}` is in force", self.files.certificate.display());
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

/// What tells whether a file was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([Option<(SystemTime, u64)>; 2]);

impl Stamp {
    fn of(files: &TlsFiles) -> Self {
        let stamp = |path: &Path| {
            let about = fs::metadata(path).ok()?;
            Some((about.modified().ok()?, about.len()))
        };
        Self([stamp(&files.certificate), stamp(&files.key)])
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let wrong = |path: &Path, what: &'static str, reason: &dyn fmt::Display| TlsError::File {
        path: path.to_owned(),
        what,
        reason: reason.to_string(),
    };
    let bytes = |path: &Path, what| fs::read(path).map_err(|error| wrong(path, what, &error));
    let what = "a certificate in PEM form";
    let pem = bytes(&files.certificate, what)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&files.certificate, what, &error))?;
    if chain.is_empty() {
        return Err(wrong(&files.certificate, what, &"there is none in it"));
    }
    let what = "a private key in PEM form";
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key, what)?)
        .map_err(|error| wrong(&files.key, what, &error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| TlsError::Mismatch {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        reason: error.to_string(),
    })
}

/// How often the files are looked at, unless said otherwise.
pub(crate) const POLL: Duration = Duration::from_secs(30);

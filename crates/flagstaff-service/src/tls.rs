//! TLS: a certificate and its key from two files, which may be replaced while the service runs.
//!
//! The files are looked at again from time to time. What can be read comes into force for new connections;
//! what cannot is said in the log, and the old certificate stays.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::SharedServing;

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
        // Before they are read: what replaces them meanwhile is noticed later.
        let known = Mutex::new(Stamp::of(files));
        let key = ArcSwap::from_pointee(read(files)?);
        let current = Arc::new(Current { key, files: files.clone(), known });
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|error| unreachable!("the provider has the default versions: {error}"))
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        current.log();
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current })
    }

    /// Takes what is in the files over, if they were replaced.
    pub(crate) fn look(&self) {
        self.current.look();
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
pub(crate) async fn follow(serving: SharedServing) {
    let Some(tls) = &serving.tls else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(serving.config.certificate_poll) => {}
            () = serving.stopping.cancelled() => return,
        }
        tls.look();
    }
}

/// The certificate in force.
#[derive(Debug)]
struct Current {
    key: ArcSwap<CertifiedKey>,
    files: TlsFiles,
    /// Of the files that it was read from.
    known: Mutex<Stamp>,
}

impl Current {
    /// Takes what is in the files over, if they were replaced.
    fn look(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamp::of(&self.files);
        if now == *known {
            return;
        }
        match read(&self.files) {
            Ok(key) => {
                self.key.store(Arc::new(key));
                self.log();
                *known = now;
            }
            // Perhaps only one of the two was replaced so far: it is tried again until they fit.
            Err(error) => tracing::error!("the old certificate stays in force: {error}"),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replaces_the_files_right_after_they_were_read_is_noticed() {
        let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flagstaff-sdk/tests/it/tls");
        let folder = std::env::temp_dir().join(format!("flagstaff-tls-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&folder).unwrap();
        let files = TlsFiles { certificate: folder.join("c.pem"), key: folder.join("k.pem") };
        fs::copy(made.join("localhost.pem"), &files.certificate).unwrap();
        fs::copy(made.join("localhost.key"), &files.key).unwrap();
        let tls = Tls::load(&files).unwrap();
        let shown = || tls.current.key.load().cert.clone();
        let first = shown();
        tls.look();
        assert_eq!(shown(), first);
        fs::copy(made.join("other-host.pem"), &files.certificate).unwrap();
        tls.look();
        assert_ne!(shown(), first);
        fs::remove_dir_all(&folder).unwrap();
    }
}

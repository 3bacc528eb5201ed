//! HTTP for a store: one thread with a small runtime, and a client whose connections it looks after.
//!
//! A store is asked on a thread that may wait, which must not be one of a runtime's; what waits here is
//! any thread at all.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How a store's connections are made.
#[derive(Clone, Debug)]
pub(super) struct LinkSettings {
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) ca_file: Option<PathBuf>,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(2), timeout: Duration::from_secs(5), ca_file: None }
    }
}

/// The connections of one store in one process.
pub(super) struct HttpLink {
    pub(super) client: Client,
    runtime: Handle,
    /// Its end ends the thread.
    _running: oneshot::Sender<()>,
}

/// Why a store has no connections.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("could not read certificate authorities from `{path}`: {reason}")]
    CaFile { path: PathBuf, reason: String },
    #[error("could not set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("could not set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    #[error("could not start a thread: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the thread of the store is gone")]
    Gone,
}

impl HttpLink {
    pub(super) fn new(settings: &LinkSettings) -> Result<Self, LinkError> {
        let client = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.timeout)
            .tls_backend_preconfigured(tls(roots(settings.ca_file.as_deref())?)?)
            // A database is where it is said to be.
            .redirect(Policy::none())
            .no_proxy()
            .build()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel();
        thread::Builder::new().name("flagstaff-store".to_owned()).spawn(move || {
            // An error is what the end of the other side is told by.
            let _ = runtime.block_on(ended);
            // A look-up of a name may hang in a thread of its own: it is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { client, runtime: handle, _running: running })
    }

    /// Waits for the answer. Each request in it must end by itself.
    pub(super) fn run<T: Send + 'static>(
        &self,
        asked: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, LinkError> {
        let (sender, receiver) = sync_channel(1);
        self.runtime.spawn(async move {
            // Whoever asked waits.
            let _ = sender.try_send(asked.await);
        });
        receiver.recv().map_err(|_| LinkError::Gone)
    }
}

/// With our own choice of everything, whatever the process's defaults are.
fn tls(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, LinkError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let bad = |reason: String| LinkError::CaFile { path: path.to_owned(), reason };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
        roots.add(certificate.map_err(|error| bad(error.to_string()))?)?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

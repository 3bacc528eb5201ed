//! Whom the client trusts.
//!
//! The certificate of `localhost` and that of the authority that signed it stand in `tls/`, made for
//! these tests with openssl, valid for a hundred years.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flagstaff_sdk::{Client, Config, DataSourceErrorKind};
use flagstaff_testkit::{FakeService, PATIENCE, flag, user};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

/// A service behind TLS, and how many connections it was asked for.
struct SecureService {
    _service: FakeService,
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl SecureService {
    fn start() -> Self {
        let service = FakeService::start([flag("f")]);
        let behind = service.url().replace("http://", "");
        let certificates = vec![CertificateDer::from_pem_file(file("localhost.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counting = connections.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                counting.fetch_add(1, Ordering::Relaxed);
                let (config, behind) = (config.clone(), behind.clone());
                std::thread::spawn(move || {
                    let session = ServerConnection::new(config).unwrap();
                    pass_on(StreamOwned::new(session, connection), &behind)
                });
            }
        });
        Self { _service: service, address, connections }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn config(&self) -> Config {
        Config::new("sdk-key")
            .base_uri(self.url())
            .initial_reconnect_delay(Duration::from_millis(5))
            .send_events(false)
    }
}

/// One request in, its answer out, however long that takes. Ends at the first error: the client that
/// does not trust the certificate hangs up.
fn pass_on(mut secure: StreamOwned<ServerConnection, TcpStream>, behind: &str) -> Option<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match secure.read(&mut buffer).ok()? {
            0 => return None,
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let mut plain = TcpStream::connect(behind).ok()?;
    plain.write_all(&head).ok()?;
    loop {
        match plain.read(&mut buffer).ok()? {
            0 => return None,
            count => secure.write_all(&buffer[..count]).ok()?,
        }
        secure.flush().ok()?;
    }
}

#[test]
fn a_certificate_of_a_trusted_authority_is_taken() {
    let service = SecureService::start();
    let client = Client::start(service.config().ca_file(file("authority.pem"))).unwrap();
    assert!(client.wait_until_ready(PATIENCE), "{:?}", client.data_source_status());
    assert!(client.variation("f", &user("u"), false));
}

#[test]
fn any_certificate_is_taken_if_the_program_insists() {
    let service = SecureService::start();
    let client = Client::start(service.config().verify_tls(false)).unwrap();
    assert!(client.wait_until_ready(PATIENCE), "{:?}", client.data_source_status());
}

#[test]
fn an_unknown_authority_is_refused_and_not_tried_again_soon() {
    let service = SecureService::start();
    let client = Client::start(service.config()).unwrap();
    assert!(!client.wait_until_ready(Duration::from_secs(60)), "the waiter was released");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(service.connections.load(Ordering::Relaxed), 1);
    let error = client.data_source_status().last_error.unwrap();
    assert_eq!(error.kind, DataSourceErrorKind::NetworkError);
    assert!(error.message.contains("certificate"), "{}", error.message);
}

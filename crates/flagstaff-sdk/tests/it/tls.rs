//! Whom the client trusts.
//!
//! The certificates in `tls/` were made for these tests with openssl, all for one key, and but for
//! `expired.pem` they are valid until 2120. `authority.pem` signed all but `self-signed.pem`, and
//! `client-authority.pem` the certificate of a client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flagstaff_sdk::{Client, Config, DataSourceErrorKind, DataSourceState};
use flagstaff_testkit::{FakeService, PATIENCE, eventually, flag, user};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

/// A service behind TLS, and when it was asked for connections.
struct SecureService {
    behind: FakeService,
    address: SocketAddr,
    certificate: Arc<Mutex<Arc<ServerConfig>>>,
    connections: Arc<Mutex<Vec<Instant>>>,
}

/// A server that shows this certificate.
fn showing(certificate: &str) -> Arc<ServerConfig> {
    server(certificate, None)
}

/// A server that shows this certificate, and may ask for one.
fn server(certificate: &str, clients: Option<Arc<dyn ClientCertVerifier>>) -> Arc<ServerConfig> {
    let certificates = vec![CertificateDer::from_pem_file(file(certificate)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match clients {
        Some(clients) => config.with_client_cert_verifier(clients),
        None => config.with_no_client_auth(),
    };
    Arc::new(config.with_single_cert(certificates, key).unwrap())
}

impl SecureService {
    fn start() -> Self {
        Self::start_showing("localhost.pem")
    }

    fn start_showing(certificate: &str) -> Self {
        let service = FakeService::start([flag("f")]);
        let behind = service.url().replace("http://", "");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let certificate = Arc::new(Mutex::new(showing(certificate)));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (shown, noting) = (certificate.clone(), connections.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                noting.lock().unwrap().push(Instant::now());
                let (config, behind) = (shown.lock().unwrap().clone(), behind.clone());
                std::thread::spawn(move || {
                    let session = ServerConnection::new(config).unwrap();
                    pass_on(StreamOwned::new(session, connection), &behind)
                });
            }
        });
        Self { behind: service, address, certificate, connections }
    }

    /// From now on shows this certificate.
    fn show(&self, certificate: &str) {
        *self.certificate.lock().unwrap() = showing(certificate);
    }

    /// From now on asks for the certificate of a client.
    fn ask_for_certificates(&self) {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file("client-authority.pem")).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        *self.certificate.lock().unwrap() = server("localhost.pem", Some(clients));
    }

    fn connections(&self) -> Vec<Instant> {
        self.connections.lock().unwrap().clone()
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
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        match secure.read(&mut buffer).ok()? {
            0 => return None,
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    let mut plain = TcpStream::connect(behind).ok()?;
    plain.write_all(&request).ok()?;
    loop {
        match plain.read(&mut buffer).ok()? {
            0 => return None,
            count => secure.write_all(&buffer[..count]).ok()?,
        }
        secure.flush().ok()?;
    }
}

/// Whether that is a head, and as much of a body as the head says.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
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
    assert_eq!(service.connections().len(), 1);
    let error = client.data_source_status().last_error.unwrap();
    assert_eq!(error.kind, DataSourceErrorKind::NetworkError);
    assert!(error.message.contains("certificate"), "{}", error.message);
}

/// A certificate that is wrong in this way is refused, tried again late, and once it is right the
/// client goes on.
fn check_refused(certificate: &str, why: &str, polling: bool) {
    let service = SecureService::start_showing(certificate);
    // Five minutes, less up to half of it, are 300 ms, less up to half of it.
    let config = service
        .config()
        .ca_file(file("authority.pem"))
        .compress_time(1_000)
        .stream(!polling)
        .allow_any_poll_interval()
        .poll_interval(Duration::from_millis(5));
    let client = Client::start(config).unwrap();
    assert!(!client.wait_until_ready(PATIENCE), "{certificate}: the waiter was released");
    let status = client.data_source_status();
    let error = status.last_error.unwrap();
    assert_eq!(
        (status.state, error.kind),
        (DataSourceState::Initializing, DataSourceErrorKind::NetworkError)
    );
    assert!(error.message.contains("certificate") && error.message.contains(why), "{}", error.message);
    let connections = eventually("it was tried again", || {
        let connections = service.connections();
        (connections.len() >= 2).then_some(connections)
    });
    let between = connections[1] - connections[0];
    assert!(between >= Duration::from_millis(149), "{certificate}: tried again after {between:?}");
    service.show("localhost.pem");
    eventually("the client has its flags", || client.is_initialized().then_some(()));
    assert!(client.variation("f", &user("u"), false));
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
}

#[test]
fn an_expired_certificate_is_refused_until_it_is_renewed() {
    check_refused("expired.pem", "expired", false);
    check_refused("expired.pem", "expired", true);
}

#[test]
fn a_certificate_for_another_host_is_refused_until_it_is_for_this_one() {
    check_refused("other-host.pem", "not valid for name", false);
}

#[test]
fn a_certificate_that_vouches_for_itself_is_refused_until_an_authority_does() {
    check_refused("self-signed.pem", "UnknownIssuer", false);
}

#[test]
fn events_are_not_sent_to_whom_the_client_does_not_trust() {
    let service = SecureService::start_showing("expired.pem");
    let config = Config::new("sdk-key")
        .stream_uri("http://127.0.0.1:1")
        .events_uri(service.url())
        .ca_file(file("authority.pem"))
        .compress_time(1_000)
        .flush_interval(Duration::from_secs(3_600))
        .diagnostic_opt_out(true);
    let client = Client::start(config).unwrap();
    client.identify(&user("u"));
    client.flush_and_wait(PATIENCE);
    client.identify(&user("v"));
    client.flush_and_wait(PATIENCE);
    assert!(service.behind.requests("/bulk").is_empty());
    service.show("localhost.pem");
    client.identify(&user("w"));
    eventually("events were sent again", || {
        client.flush_and_wait(PATIENCE);
        (!service.behind.requests("/bulk").is_empty()).then_some(())
    });
}

#[test]
fn a_service_that_asks_who_the_client_is_is_told() {
    let service = SecureService::start();
    service.ask_for_certificates();
    let config = || service.config().ca_file(file("authority.pem"));
    let nobody = Client::start(config()).unwrap();
    eventually("the service turned it away", || nobody.data_source_status().last_error);
    let known = Client::start(config().client_certificate(file("client.pem"))).unwrap();
    assert!(known.wait_until_ready(PATIENCE), "{:?}", known.data_source_status());
    let trusting = service.config().verify_tls(false).client_certificate(file("client.pem"));
    let trusting = Client::start(trusting).unwrap();
    assert!(trusting.wait_until_ready(PATIENCE), "{:?}", trusting.data_source_status());
    assert!(!nobody.is_initialized());
}

#[test]
fn a_client_certificate_needs_its_own_key() {
    let refused = |name: &str| {
        let config = Config::new("sdk-key").client_certificate(file(name));
        let error = Client::start(config).expect_err("that is no certificate with its key").to_string();
        assert!(error.starts_with("could not read a client certificate and its key from `"), "{error}");
    };
    refused("no-such-file.pem");
    refused("localhost.key");
    refused("localhost.pem");
    let mixed = std::env::temp_dir().join(format!("flagstaff-sdk-mixed-{}.pem", std::process::id()));
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    std::fs::write(&mixed, read("client-authority.pem") + &read("localhost.key")).unwrap();
    let error = Client::start(Config::new("sdk-key").client_certificate(&mixed)).err().unwrap();
    std::fs::remove_file(&mixed).unwrap();
    assert!(error.to_string().contains("client certificate"), "{error}");
}

//! Encrypted connections, and certificates that are replaced while the service runs.
//!
//! The certificates are those that the SDK's tests use: all for one key, made for tests alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flagstaff_service::tls::TlsFiles;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Folder, Service};

const PATIENCE: Duration = Duration::from_secs(30);

fn made(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../flagstaff-sdk/tests/it/tls").join(name)
}

/// What the service answers to whoever expects it to be `host`, as text, over TLS.
async fn ask(service: &Service, host: &str, request: &str) -> std::io::Result<String> {
    ask_with(service, host, request, "").await
}

async fn ask_with(service: &Service, host: &str, request: &str, body: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(made("authority.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(service.address()).await?;
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(host, stream).await?;
    stream.write_all(format!("{request}\r\nhost: localhost\r\nconnection: close\r\n").as_bytes()).await?;
    stream.write_all(format!("content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    let mut answer = Vec::new();
    // Whether the other side says goodbye to TLS first is its own affair.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

const STATUS: &str = "GET /status HTTP/1.1";

async fn eventually_shows(service: &Service, host: &str) {
    let shown = async {
        while ask(service, host, STATUS).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("the other certificate is shown in time");
}

#[tokio::test]
async fn connections_are_encrypted_and_certificates_are_replaced_while_it_runs() {
    let files = Folder::new();
    let own = TlsFiles { certificate: files.path().join("c.pem"), key: files.path().join("k.pem") };
    fs::copy(made("localhost.pem"), &own.certificate).unwrap();
    fs::copy(made("localhost.key"), &own.key).unwrap();
    let (certificate, tls) = (own.certificate.clone(), own.clone());
    let service = Service::demo_with(|config| {
        config.serving.tls = Some(tls);
        config.serving.certificate_poll = Duration::from_millis(20);
    })
    .await;
    assert!(service.base_url().starts_with("https://127.0.0.1:"));
    let answer = ask(&service, "localhost", STATUS).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(ask(&service, "other.invalid", STATUS).await.is_err(), "it is not that host");

    // Half of a change: what does not fit together is not taken.
    fs::write(&certificate, "not a certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(ask(&service, "localhost", STATUS).await.is_ok());

    fs::copy(made("other-host.pem"), &certificate).unwrap();
    eventually_shows(&service, "other.invalid").await;
    assert!(ask(&service, "localhost", STATUS).await.is_err());
    service.stop().await;
}

/// A service that shows `localhost`'s certificate.
async fn encrypted(change: impl FnOnce(&mut flagstaff_service::Config)) -> Service {
    let own = TlsFiles { certificate: made("localhost.pem"), key: made("localhost.key") };
    Service::demo_with(|config| {
        config.serving.tls = Some(own);
        change(config);
    })
    .await
}

#[tokio::test]
async fn a_provider_that_asks_by_tls_hears_of_changes_by_tls() {
    let service = encrypted(|_| {}).await;
    let request = "POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nauthorization: demo-production\r\ncontent-type: application/json";
    let answer =
        ask_with(&service, "localhost", request, r#"{"context":{"targetingKey":"ann"}}"#).await.unwrap();
    assert!(
        answer.contains(r#""url":"https://localhost/ofrep/v1/event-streams/demo-production""#),
        "{answer}"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_connected_and_asked_nothing() {
    let service = encrypted(|config| config.serving.drain = 2 * PATIENCE).await;
    let silent = TcpStream::connect(service.address()).await.unwrap();
    // It was taken: the next that connects is answered.
    assert!(ask(&service, "localhost", STATUS).await.is_ok());
    tokio::time::timeout(PATIENCE / 2, service.stop()).await.expect("it stops in time");
    drop(silent);
}

#[tokio::test]
async fn what_is_not_encrypted_is_not_answered() {
    let service = encrypted(|_| {}).await;
    let mut plain = TcpStream::connect(service.address()).await.unwrap();
    plain.write_all(b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("it hangs up");
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"));
    service.stop().await;
}

#[tokio::test]
async fn a_start_without_a_certificate_that_can_be_used_says_what_is_wrong() {
    let folder = Folder::new();
    let start = async |certificate: PathBuf, key: PathBuf| {
        let mut config = flagstaff_service::Config::new(folder.path());
        config.serving.listen = ([127, 0, 0, 1], 0).into();
        config.serving.tls = Some(TlsFiles { certificate, key });
        let error = flagstaff_service::App::start(config).await.expect_err("it cannot start");
        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()
    };
    let said = start(folder.path().join("none.pem"), made("localhost.key")).await;
    assert!(said.contains("none.pem") && said.contains("a certificate in PEM form"), "{said}");
    let said = start(made("localhost.key"), made("localhost.key")).await;
    assert!(said.contains("there is none in it"), "{said}");
    let said = start(made("localhost.pem"), made("localhost.pem")).await;
    assert!(said.contains("a private key in PEM form"), "{said}");
}

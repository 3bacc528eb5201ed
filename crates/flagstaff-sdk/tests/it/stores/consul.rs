//! Consul, the real one.

use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use flagstaff_sdk::testing::check_persistent_store;
use flagstaff_sdk::{Consul, ItemKind, PersistentStore, StoredItem};
use serde_json::{Value, json};

use super::faults::{self, flag};
use super::servers::{Program, Server, answers_with, find, in_path, shared, tools};
use crate::support::Lines;

fn program() -> Option<Program> {
    let mut places = in_path("consul");
    places.push(tools().join("consul/consul"));
    Some(Program {
        file: find("consul", "FLAGSTAFF_CONSUL", &places)?,
        command: |file, port, [server, gossip]| {
            let mut command = Command::new(file);
            command.args([
                "agent",
                "-dev",
                "-bind",
                "127.0.0.1",
                "-client",
                "127.0.0.1",
                "-log-level",
                "warn",
            ]);
            command.args([
                "-dns-port",
                "-1",
                "-grpc-port",
                "-1",
                "-grpc-tls-port",
                "-1",
                "-serf-wan-port",
                "-1",
            ]);
            command.args(["-hcl", "acl { enabled = true, default_policy = \"allow\" }"]);
            for (name, port) in [("-http-port", port), ("-server-port", server), ("-serf-lan-port", gossip)] {
                command.arg(name).arg(port.to_string());
            }
            command
        },
        // The leader is who writes.
        answers: |port| answers_with(port, "GET /v1/status/leader HTTP/1.0\r\n\r\n", "\"127.0.0.1:"),
    })
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    shared(&SERVER, program)
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn hasty(port: u16) -> Box<dyn PersistentStore> {
    let store = Consul::new(address(port)).prefix(unique("hasty"));
    Box::new(store.timeout(Duration::from_millis(1_500)).connect_timeout(Duration::from_millis(500)))
}

/// A prefix of this test.
fn unique(name: &str) -> String {
    format!("{name}-{:?}", Instant::now())
}

/// One request without the store.
fn raw(port: u16, method: &str, path: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    write!(connection, "{method} {path} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{answer}");
    body.to_owned()
}

#[test]
fn keeps_flags_as_every_store_must() {
    let Some(server) = server() else { return };
    check_persistent_store(|prefix| Consul::new(address(server.port)).prefix(prefix));
}

#[test]
fn has_the_layout_that_other_sdks_share() {
    let Some(server) = server() else { return };
    let store = Consul::new(format!("http://{}/", address(server.port)));
    let segment = StoredItem { kind: ItemKind::Segment, ..flag("s", 4) };
    store.init(&[segment.clone(), flag("f", 1), flag("g", 1)]).unwrap();
    store.upsert(&flag("g", 2)).unwrap();

    let keys: Value =
        serde_json::from_str(&raw(server.port, "GET", "/v1/kv/launchdarkly/?keys", "")).unwrap();
    let expected =
        ["$inited", "features/f", "features/g", "segments/s"].map(|key| format!("launchdarkly/{key}"));
    assert_eq!(keys, json!(expected));
    let value = |key| raw(server.port, "GET", &format!("/v1/kv/launchdarkly/{key}?raw"), "");
    assert_eq!(value("features/f"), *flag("f", 1).json);
    assert_eq!(value("features/g"), *flag("g", 2).json);
    assert_eq!(value("segments/s"), *segment.json);
    assert_eq!(value("$inited"), "");
}

#[test]
fn reads_what_other_sdks_wrote() {
    let Some(server) = server() else { return };
    let json = r#"{"version":3,"key":"f","from":"elsewhere"}"#;
    raw(server.port, "PUT", "/v1/kv/elsewhere/features/f", json);
    raw(server.port, "PUT", "/v1/kv/elsewhere/$inited", "");
    let store = Consul::new(address(server.port)).prefix("elsewhere");
    assert!(store.is_initialized().unwrap());
    assert_eq!(store.get(ItemKind::Flag, "f").unwrap().as_deref(), Some(json));
    assert!(!store.upsert(&flag("f", 3)).unwrap());
    // Nothing can be older than what cannot be read.
    raw(server.port, "PUT", "/v1/kv/elsewhere/features/f", "damaged");
    assert!(store.upsert(&flag("f", 1)).unwrap());
}

/// As JSON of this many bytes.
fn large(key: &str, version: u64, size: usize) -> StoredItem {
    let json = format!(r#"{{"key":"{key}","version":{version},"filling":"{}"}}"#, "x".repeat(size));
    StoredItem { json: json[..].into(), ..flag(key, version) }
}

#[test]
fn large_items_are_written_and_larger_ones_left_out() {
    let Some(server) = server() else { return };
    let lines = Lines::default();
    let store = Consul::new(address(server.port)).prefix(unique("large")).log_to(Arc::new(lines.clone()));
    // Too large for a transaction; then too large for a value.
    let (fits, too_large) = (large("fits", 1, 500_000), large("too-large", 1, 550_000));
    store.init(&[flag("first", 1), too_large, fits.clone(), flag("last", 1)]).unwrap();
    assert_eq!(store.items_left_out(), 1);
    assert_eq!(store.get(ItemKind::Flag, "fits").unwrap(), Some(fits.json));
    assert_eq!(store.get(ItemKind::Flag, "too-large").unwrap(), None);
    assert_eq!(store.all(ItemKind::Flag).unwrap().len(), 3);
    assert!(store.is_initialized().unwrap());

    assert!(store.upsert(&large("fits", 2, 400_000)).unwrap());
    assert!(!store.upsert(&large("fits", 2, 500_000)).unwrap(), "versions count for large items too");
    assert!(store.upsert(&large("new", 2, 500_000)).unwrap());
    assert!(!store.upsert(&large("last", 2, 550_000)).unwrap());
    assert_eq!(store.get(ItemKind::Flag, "last").unwrap(), Some(flag("last", 1).json));
    // A key that the path of a URL would turn into another.
    assert!(!store.upsert(&large("..", 1, 500_000)).unwrap());
    assert!(store.upsert(&large("..", 1, 300_000)).unwrap());
    assert_eq!(store.items_left_out(), 3);
    let told = lines.with("was not written to Consul");
    assert!(told.len() == 3 && told[0].contains("too-large`"), "{told:?}");
}

#[test]
fn an_outage_is_an_error_while_it_lasts() {
    let Some(program) = program() else { return };
    faults::survives_an_outage(&program, hasty, |_| {});
}

#[test]
fn a_silent_server_is_an_error_in_time() {
    faults::silence_is_an_error_in_time(hasty);
}

#[cfg(unix)]
#[test]
fn a_child_process_has_connections_of_its_own() {
    let Some(server) = server() else { return };
    faults::survives_a_fork(server, |port| Box::new(Consul::new(address(port)).prefix(unique("fork"))));
}

#[test]
fn a_token_is_sent_and_never_told() {
    let Some(server) = server() else { return };
    let store = Consul::new(address(server.port)).token("s3cret-token");
    let error = store.is_initialized().expect_err("Consul knows no such token").to_string();
    assert!(error.contains("Consul answered 403"), "{error}");
    for store in [store, Consul::new("http://user:s3cret@127.0.0.1:1"), Consul::new("s3cret@:not an address")]
    {
        let error = store.is_initialized().unwrap_err();
        let text = format!("{error} {error:?} {store:?}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn can_be_asked_on_a_thread_of_any_runtime() {
    let Some(server) = server() else { return };
    let store = Consul::new(address(server.port)).prefix(unique("runtime"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(!store.is_initialized().unwrap());
        drop(store);
    });
}

//! DynamoDB: Amazon's own local edition.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use flagstaff_sdk::testing::{BigSegmentWriter, check_big_segment_store, check_persistent_store};
use flagstaff_sdk::{DynamoDb, ItemKind, PersistentStore, StoredItem};
use serde_json::{Value, json};

use super::copies::check_copy;
use super::faults::{self, flag};
use super::servers::{Program, Server, answers_with, find, shared, tools};
use crate::support::Lines;

fn program() -> Option<Program> {
    Some(Program {
        file: find("DynamoDB Local", "FLAGSTAFF_DYNAMODB_LOCAL", &[tools().join("dynamodb-local")])?,
        command: |folder, port, _| {
            let mut command = Command::new("java");
            command.arg(format!("-Djava.library.path={}", folder.display()));
            command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(folder.join("*"));
            command.arg("software.amazon.dynamodb.services.local.main.ServerRunner");
            command.args(["-inMemory", "-sharedDb", "-disableTelemetry", "-port"]).arg(port.to_string());
            command
        },
        answers: |port| answers_with(port, "GET / HTTP/1.0\r\n\r\n", "400"),
    })
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static PREPARED: OnceLock<()> = OnceLock::new();
    let server = shared(&SERVER, program)?;
    PREPARED.get_or_init(|| create_table(server.port));
    Some(server)
}

fn store(port: u16) -> DynamoDb {
    DynamoDb::new(TABLE)
        .endpoint(format!("http://127.0.0.1:{port}"))
        .region("us-east-1")
        .credentials("dummy", "dummy")
        // Amazon's local edition is slow at first.
        .timeout(Duration::from_secs(20))
}

fn hasty(port: u16, timeout: Duration) -> Box<dyn PersistentStore> {
    Box::new(store(port).prefix("hasty").connect_timeout(timeout).timeout(timeout))
}

const TABLE: &str = "flags";

fn create_table(port: u16) {
    let names = [("namespace", "HASH"), ("key", "RANGE")];
    let schema = names.map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind}));
    let types = names.map(|(name, _)| json!({"AttributeName": name, "AttributeType": "S"}));
    raw(
        port,
        "CreateTable",
        json!({
            "TableName": TABLE, "KeySchema": schema, "AttributeDefinitions": types,
            "BillingMode": "PAY_PER_REQUEST",
        }),
    );
}

/// One request without the store. The local edition checks no signature, but wants one.
fn raw(port: u16, operation: &str, body: Value) -> Value {
    let body = body.to_string();
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let signature = "AWS4-HMAC-SHA256 Credential=dummy/20200101/us-east-1/dynamodb/aws4_request, \
                     SignedHeaders=host, Signature=0";
    write!(
        connection,
        "POST / HTTP/1.0\r\nhost: localhost\r\nx-amz-target: DynamoDB_20120810.{operation}\r\n\
         content-type: application/x-amz-json-1.0\r\nauthorization: {signature}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 OK"), "{answer}");
    serde_json::from_str(body).unwrap()
}

fn put(port: u16, item: Value) {
    raw(port, "PutItem", json!({"TableName": TABLE, "Item": item}));
}

/// Everything in the table whose namespace begins so, by namespace and key.
fn items(port: u16, prefix: &str) -> Vec<Value> {
    let found = raw(port, "Scan", json!({"TableName": TABLE}));
    let named = |item: &Value, name: &str| item[name]["S"].as_str().unwrap().to_owned();
    let mut items = found["Items"].as_array().unwrap().clone();
    items.retain(|item| named(item, "namespace").starts_with(prefix));
    items.sort_by_key(|item| (named(item, "namespace"), named(item, "key")));
    items
}

#[test]
fn keeps_flags_as_every_store_must() {
    let Some(server) = server() else { return };
    check_persistent_store(|prefix| store(server.port).prefix(prefix));
}

#[test]
fn has_the_layout_that_other_sdks_share() {
    let Some(program) = program() else { return };
    // A table of its own: one store here has no prefix.
    let server = program.start();
    create_table(server.port);
    let segment = StoredItem { kind: ItemKind::Segment, ..flag("s", 4) };
    for (prefix, before) in [("", ""), ("p", "p:")] {
        let store = store(server.port).prefix(prefix);
        store.init(&[segment.clone(), flag("f", 1), flag("g", 1)]).unwrap();
        store.upsert(&flag("g", 2)).unwrap();
        let item = |namespace: &str, item: &StoredItem| {
            json!({
                "namespace": {"S": format!("{before}{namespace}")}, "key": {"S": &*item.key},
                "version": {"N": item.version.to_string()}, "item": {"S": &*item.json},
            })
        };
        let mark = json!({"S": format!("{before}$inited")});
        let expected = [
            json!({"namespace": mark, "key": mark}),
            item("features", &flag("f", 1)),
            item("features", &flag("g", 2)),
            item("segments", &segment),
        ];
        let found = items(server.port, before);
        assert_eq!(found, expected);
        // So that the other prefix is alone.
        for item in found {
            let key = json!({"namespace": item["namespace"], "key": item["key"]});
            raw(server.port, "DeleteItem", json!({"TableName": TABLE, "Key": key}));
        }
    }
}

#[test]
fn reads_what_other_sdks_wrote() {
    let Some(server) = server() else { return };
    let json = r#"{"version":3,"key":"f","from":"elsewhere"}"#;
    put(
        server.port,
        json!({
            "namespace": {"S": "other:features"}, "key": {"S": "f"}, "version": {"N": "3"}, "item": {"S": json},
        }),
    );
    put(server.port, json!({"namespace": {"S": "other:$inited"}, "key": {"S": "other:$inited"}}));
    let store = store(server.port).prefix("other");
    assert!(store.is_initialized().unwrap());
    assert_eq!(store.get(ItemKind::Flag, "f").unwrap().as_deref(), Some(json));
    assert!(!store.upsert(&flag("f", 3)).unwrap());
    assert!(store.upsert(&flag("f", 4)).unwrap());
}

#[test]
fn reads_big_segments() {
    let Some(server) = server() else { return };
    struct Writer(u16, String);
    impl BigSegmentWriter for Writer {
        fn set_last_up_to_date(&self, milliseconds: u64) {
            let key = json!({"S": format!("{}:big_segments_metadata", self.1)});
            let time = json!({"N": milliseconds.to_string()});
            put(
                self.0,
                json!({"namespace": key, "key": key, "synchronizedOn": time, "lastVersion": {"S": "7"}}),
            );
        }

        fn add(&self, context_hash: &str, included: &[&str], excluded: &[&str]) {
            let namespace = format!("{}:big_segments_user", self.1);
            let mut item = json!({"namespace": {"S": namespace}, "key": {"S": context_hash}});
            for (name, segments) in [("included", included), ("excluded", excluded)] {
                if !segments.is_empty() {
                    item[name] = json!({"SS": segments});
                }
            }
            put(self.0, item);
        }
    }
    check_big_segment_store(|prefix| {
        (store(server.port).prefix(prefix), Writer(server.port, prefix.to_owned()))
    });
}

#[test]
fn is_filled_with_big_segments() {
    let Some(server) = server() else { return };
    check_copy(&store(server.port).prefix("copy"));
}

/// As JSON of about this many bytes.
fn large(key: &str, version: u64, size: usize) -> StoredItem {
    let json = format!(r#"{{"key":"{key}","version":{version},"filling":"{}"}}"#, "x".repeat(size));
    StoredItem { json: json[..].into(), ..flag(key, version) }
}

#[test]
fn too_large_items_are_left_out_and_the_rest_is_written() {
    let Some(server) = server() else { return };
    let lines = Lines::default();
    let store = store(server.port).prefix("large").log_to(Arc::new(lines.clone()));
    let fits = large("fits", 1, 409_000);
    let long_key = "k".repeat(1_025);
    store
        .init(&[
            flag("first", 1),
            large("too-large", 1, 409_600),
            fits.clone(),
            flag(&long_key, 1),
            flag("", 1),
            flag("last", 1),
        ])
        .unwrap();
    assert_eq!(store.items_left_out(), 3);
    assert_eq!(store.get(ItemKind::Flag, "fits").unwrap(), Some(fits.json));
    for key in ["too-large", &long_key, ""] {
        assert_eq!(store.get(ItemKind::Flag, key).unwrap(), None);
    }
    assert_eq!(store.all(ItemKind::Flag).unwrap().len(), 3);
    assert!(store.is_initialized().unwrap());
    let told = lines.with("was not written to DynamoDB");
    assert!(told[0].contains("flag `too-large`") && told[0].contains("409600"), "{told:?}");
    assert_eq!(told.len(), 3);

    assert!(!store.upsert(&large("last", 2, 409_600)).unwrap());
    assert_eq!(store.get(ItemKind::Flag, "last").unwrap(), Some(flag("last", 1).json));
    assert_eq!(store.items_left_out(), 4);
}

/// A table whose capacity is used up puts writes off: here the first request's, all but one.
#[test]
fn what_was_put_off_is_written_again() {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let port = answering({
        let requests = requests.clone();
        move |operation, body| match operation {
            "BatchWriteItem" => {
                let mut requests = requests.lock().unwrap();
                let mut writes = body["RequestItems"][TABLE].as_array().unwrap().clone();
                requests.push(writes.len());
                writes.truncate(if requests.len() == 1 { writes.len() - 1 } else { 0 });
                let unprocessed = if writes.is_empty() { json!({}) } else { json!({ TABLE: writes }) };
                json!({ "UnprocessedItems": unprocessed })
            }
            "Query" => json!({"Items": [], "Count": 0}),
            _ => json!({}),
        }
    });
    let items: Vec<_> = (0..30).map(|index| flag(&format!("item-{index}"), 1)).collect();
    store(port).init(&items).unwrap();
    assert_eq!(*requests.lock().unwrap(), [25, 24, 5]);
}

/// Something that speaks as DynamoDB does, and says what a test wants to hear.
fn answering(answer: impl Fn(&str, Value) -> Value + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut asked = BufReader::new(connection.try_clone().unwrap());
            let (mut operation, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                asked.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim().split_once(": ") else {
                    if line.trim().is_empty() { break } else { continue }
                };
                match name.to_lowercase().as_str() {
                    "x-amz-target" => operation = value.rsplit('.').next().unwrap().to_owned(),
                    "content-length" => length = value.parse().unwrap(),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            asked.read_exact(&mut body).unwrap();
            let said = answer(&operation, serde_json::from_slice(&body).unwrap()).to_string();
            let length = said.len();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close";
            write!(connection, "{head}\r\ncontent-length: {length}\r\n\r\n{said}").unwrap();
        }
    });
    port
}

#[test]
fn all_is_read_page_after_page() {
    let Some(server) = server() else { return };
    let store = store(server.port).prefix("pages");
    // A page has one megabyte.
    let items: Vec<_> = (0..30).map(|index| large(&format!("item-{index}"), 1, 100_000)).collect();
    store.init(&items).unwrap();
    assert_eq!(store.all(ItemKind::Flag).unwrap().len(), 30);
    store.init(&items[..1]).unwrap();
    assert_eq!(store.all(ItemKind::Flag).unwrap().len(), 1, "those of later pages were deleted too");
}

#[test]
fn an_outage_is_an_error_while_it_lasts() {
    let Some(program) = program() else { return };
    let store = |port| hasty(port, Duration::from_secs(3));
    faults::survives_an_outage(&program, store, create_table);
}

#[test]
fn a_silent_server_is_an_error_in_time() {
    faults::silence_is_an_error_in_time(|port| hasty(port, Duration::from_millis(500)));
}

#[cfg(unix)]
#[test]
fn a_child_process_has_connections_of_its_own() {
    let Some(server) = server() else { return };
    faults::survives_a_fork(server, |port| Box::new(store(port).prefix("fork")));
}

#[test]
fn a_missing_table_is_an_error_that_names_it() {
    let Some(server) = server() else { return };
    let store = DynamoDb::new("no-such-table")
        .endpoint(format!("http://127.0.0.1:{}", server.port))
        .region("us-east-1")
        .credentials("dummy", "dummy");
    let error = store.is_initialized().unwrap_err().to_string();
    assert!(error.contains("`no-such-table`") && error.contains("ResourceNotFoundException"), "{error}");
    assert!(!store.is_available());
}

#[test]
fn credentials_are_never_told() {
    let store = DynamoDb::new("t")
        .endpoint("http://user:s3cret@127.0.0.1:1")
        .region("us-east-1")
        .credentials("s3cret-id", "s3cret-key")
        .session_token("s3cret-token");
    let error = store.is_initialized().unwrap_err();
    let text = format!("{error} {error:?} {store:?}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn can_be_asked_on_a_thread_of_any_runtime() {
    let Some(server) = server() else { return };
    let store = store(server.port).prefix("runtime");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(!store.is_initialized().unwrap());
        drop(store);
    });
}

//! Redis, the real one.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use flagstaff_sdk::testing::{BigSegmentWriter, check_big_segment_store, check_persistent_store};
use flagstaff_sdk::{ItemKind, PersistentStore, Redis, StoredItem};
use redis::{Commands, Connection};

use super::copies::check_copy;
use super::faults::{self, flag};
use super::servers::{Program, Server, answers_with, find, in_path, shared};

fn program() -> Option<Program> {
    Some(Program {
        file: find("redis-server", "FLAGSTAFF_REDIS_SERVER", &in_path("redis-server"))?,
        command: |file, port, _| {
            let mut command = Command::new(file);
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
            command.arg(port.to_string());
            command
        },
        answers: |port| answers_with(port, "PING\r\n", "PONG") || answers_with(port, "PING\r\n", "NOAUTH"),
    })
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    shared(&SERVER, program)
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

fn raw(port: u16) -> Connection {
    redis::Client::open(url(port)).unwrap().get_connection().unwrap()
}

fn hasty(port: u16) -> Box<dyn PersistentStore> {
    Box::new(
        Redis::new(url(port))
            .prefix(unique("hasty"))
            .timeout(Duration::from_millis(500))
            .connect_timeout(Duration::from_millis(500)),
    )
}

/// A prefix of this test.
fn unique(name: &str) -> String {
    format!("{name}-{:?}", Instant::now())
}

#[test]
fn keeps_flags_as_every_store_must() {
    let Some(server) = server() else { return };
    check_persistent_store(|prefix| Redis::new(url(server.port)).prefix(prefix));
}

#[test]
fn has_the_layout_that_other_sdks_share() {
    let Some(server) = server() else { return };
    // The database in the path is one that no other test uses.
    let store = Redis::new(format!("{}/5", url(server.port)));
    let mut raw = raw(server.port);
    redis::cmd("SELECT").arg(5).exec(&mut raw).unwrap();
    let segment = StoredItem { kind: ItemKind::Segment, ..flag("s", 4) };
    store.init(&[segment.clone(), flag("f", 1), flag("g", 1)]).unwrap();
    store.upsert(&flag("g", 2)).unwrap();

    let mut keys: Vec<String> = raw.keys("*").unwrap();
    keys.sort();
    assert_eq!(keys, ["launchdarkly:$inited", "launchdarkly:features", "launchdarkly:segments"]);
    let mut flags: Vec<(String, String)> = raw.hgetall("launchdarkly:features").unwrap();
    flags.sort();
    let expected = [flag("f", 1), flag("g", 2)].map(|flag| (flag.key.to_string(), flag.json.to_string()));
    assert_eq!(flags, expected);
    let segments: Vec<(String, String)> = raw.hgetall("launchdarkly:segments").unwrap();
    assert_eq!(segments, [("s".to_owned(), segment.json.to_string())]);
    assert_eq!(raw.get::<_, String>("launchdarkly:$inited").unwrap(), "");
}

#[test]
fn reads_what_other_sdks_wrote() {
    let Some(server) = server() else { return };
    let prefix = unique("other");
    let mut raw = raw(server.port);
    let json = r#"{"version":3,"key":"f","from":"elsewhere"}"#;
    let _: i64 = raw.hset(format!("{prefix}:features"), "f", json).unwrap();
    let _: () = raw.set(format!("{prefix}:$inited"), "any value").unwrap();
    let store = Redis::new(url(server.port)).prefix(&prefix);
    assert!(store.is_initialized().unwrap());
    assert_eq!(store.get(ItemKind::Flag, "f").unwrap().as_deref(), Some(json));
    assert!(!store.upsert(&flag("f", 3)).unwrap());
    // Nothing can be older than what cannot be read.
    let _: i64 = raw.hset(format!("{prefix}:features"), "f", "damaged").unwrap();
    assert!(store.upsert(&flag("f", 1)).unwrap());
}

#[test]
fn reads_big_segments() {
    let Some(server) = server() else { return };
    struct Writer(u16, String);
    impl BigSegmentWriter for Writer {
        fn set_last_up_to_date(&self, milliseconds: u64) {
            let key = format!("{}:big_segments_synchronized_on", self.1);
            raw(self.0).set::<_, _, ()>(key, milliseconds.to_string()).unwrap();
        }

        fn add(&self, context_hash: &str, included: &[&str], excluded: &[&str]) {
            for (list, segments) in [("include", included), ("exclude", excluded)] {
                for segment in segments {
                    let key = format!("{}:big_segment_{list}:{context_hash}", self.1);
                    raw(self.0).sadd::<_, _, ()>(key, segment).unwrap();
                }
            }
        }
    }
    check_big_segment_store(|prefix| {
        (Redis::new(url(server.port)).prefix(prefix), Writer(server.port, prefix.to_owned()))
    });
}

#[test]
fn is_filled_with_big_segments() {
    let Some(server) = server() else { return };
    check_copy(&Redis::new(url(server.port)).prefix(unique("copy")));
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

#[test]
fn a_restart_between_two_questions_is_not_noticed() {
    let Some(program) = program() else { return };
    let server = program.start();
    let store = Redis::new(url(server.port));
    store.init(&[flag("f", 1)]).unwrap();
    let _again = program.start_at(server.stop());
    assert_eq!(store.get(ItemKind::Flag, "f").unwrap(), None, "answered by the new one");
}

#[cfg(unix)]
#[test]
fn a_child_process_has_connections_of_its_own() {
    let Some(server) = server() else { return };
    faults::survives_a_fork(server, |port| Box::new(Redis::new(url(port)).prefix(unique("fork"))));
}

#[test]
fn connections_are_kept_and_no_more_than_allowed() {
    let Some(program) = program() else { return };
    let server = program.start();
    let store = Redis::new(url(server.port)).pool_size(2);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..50).for_each(|_| assert!(!store.is_initialized().unwrap())));
        }
    });
    let mut raw = raw(server.port);
    // The raw one is the third.
    flagstaff_testkit::eventually("surplus connections were closed", || {
        let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut raw).unwrap();
        (clients.lines().count() <= 3).then_some(())
    });
    let before = connections_received(&mut raw);
    (0..20).for_each(|_| assert!(store.is_available()));
    assert_eq!(connections_received(&mut raw), before, "they are used again");
}

fn connections_received(raw: &mut Connection) -> String {
    let info: String = redis::cmd("INFO").arg("stats").query(raw).unwrap();
    info.lines().find(|line| line.starts_with("total_connections_received")).unwrap().to_owned()
}

#[test]
fn a_password_is_used_and_never_told() {
    let Some(program) = program() else { return };
    let server = program.start();
    let _: () = redis::cmd("CONFIG")
        .arg("SET")
        .arg("requirepass")
        .arg("s3cret/päss")
        .query(&mut raw(server.port))
        .unwrap();
    let host = format!("127.0.0.1:{}", server.port);

    let right = [
        Redis::new(format!("redis://:s3cret%2Fp%C3%A4ss@{host}")),
        Redis::new(format!("redis://default:s3cret%2Fp%C3%A4ss@{host}/1")),
        Redis::new(format!("redis://{host}")).password("s3cret/päss"),
        Redis::new(format!("redis://nobody:nothing@{host}")).user("default").password("s3cret/päss"),
    ];
    for store in &right {
        assert!(!store.is_initialized().unwrap(), "{store:?}");
        assert_secret(&format!("{store:?}"));
    }

    for store in [
        Redis::new(format!("redis://:s3cret-but-wrong@{host}")),
        Redis::new(format!("redis://s3cret:s3cret@{host}/0?protocol=s3cret")),
        Redis::new("redis://user:s3cret@127.0.0.1:1"),
        Redis::new("http://user:s3cret@127.0.0.1"),
        Redis::new("redis://user:s3cret@127.0.0.1:notaport"),
        Redis::new("rediss://user:s3cret@127.0.0.1:1/0#s3cret"),
        Redis::new("unix:///nowhere?pass=s3cret"),
        right[0].clone().password("s3cret but wrong"),
    ] {
        let error = store.is_initialized().expect_err("nobody lets us in");
        assert_secret(&format!("{error} {error:?} {store:?}"));
    }
}

#[test]
fn speaks_tls_with_whom_it_trusts() {
    let Some(program) = program() else { return };
    let program = Program {
        command: |file, port, _| {
            let mut command = Command::new(file);
            command.args(["--bind", "127.0.0.1", "--save", "", "--port", "0", "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(tls_file("localhost.pem"));
            command.arg("--tls-key-file").arg(tls_file("localhost.key"));
            command.arg("--tls-ca-cert-file").arg(tls_file("authority.pem"));
            command.arg("--tls-port").arg(port.to_string());
            command
        },
        answers: |port| TcpStream::connect(("127.0.0.1", port)).is_ok(),
        ..program
    };
    let server = program.start();
    let store = Redis::new(format!("rediss://localhost:{}", server.port));
    let error = store.is_initialized().unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    let store = store.ca_file(tls_file("authority.pem"));
    store.init(&[flag("f", 1)]).unwrap();
    assert!(store.is_initialized().unwrap());
    let error = store.ca_file("no-such-file.pem").is_initialized().unwrap_err().to_string();
    assert!(error.contains("`no-such-file.pem`"), "{error}");
}

fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

fn assert_secret(text: &str) {
    assert!(!text.contains("s3cret"), "{text}");
}

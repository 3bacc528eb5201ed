//! R5: the disk fails. A library that is preloaded lets the process's own calls fail with `EIO`, when the test
//! says so: writing to the log of the database, syncing it, syncing the file itself.
//!
//! What was acknowledged is there after the next start; from the first failure on nothing is acknowledged, also
//! once the disk seems well again; reading and streams go on.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Folder, Service};

const SDK_KEY: &str = "sdk-demo-production";
const TOKEN: &str = "api-demo";
const PATIENCE: Duration = Duration::from_secs(120);

/// A disk that fails when it is told to.
struct Disk {
    library: PathBuf,
    rules: PathBuf,
}

impl Disk {
    /// None where there is no compiler for C.
    fn made_in(folder: &Path) -> Option<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/failing_disk/shim.c");
        let library = folder.join("failing_disk.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
        let Ok(done) = compiler.status() else {
            eprintln!("passed over: there is no compiler for C here");
            return None;
        };
        assert!(done.success(), "the library could not be compiled");
        Some(Self { library, rules: folder.join("rules") })
    }

    fn start(&self, data: &Folder, log: &Path) -> Service {
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        Service::start_with(data, &["--demo"], |command| {
            command.env("LD_PRELOAD", &self.library).env("FAILING_DISK", &self.rules).stderr(log)
        })
    }

    fn fail(&self, rule: &str) {
        // In one step, as it is read at any time.
        let beside = self.rules.with_extension("new");
        fs::write(&beside, rule).unwrap();
        fs::rename(beside, &self.rules).unwrap();
    }

    fn be_well(&self) {
        fs::remove_file(&self.rules).unwrap();
    }
}

fn tag(service: &Service, tag: &str) -> (u16, Value) {
    let patch = json!([{"op": "replace", "path": "/tags", "value": [tag]}]);
    service.request("PATCH", "/api/v2/flags/demo/wish-lists", TOKEN, &patch.to_string()).expect("an answer")
}

fn tags(service: &Service) -> Value {
    let flag = service.request("GET", "/api/v2/flags/demo/wish-lists", TOKEN, "");
    let (status, mut flag) = flag.expect("an answer");
    assert_eq!(status, 200, "{flag}");
    flag["tags"].take()
}

fn event(service: &Service, number: u64) -> (u16, Value) {
    let context = json!({"kind": "user", "key": format!("user-{number}")});
    let event = json!([{"kind": "identify", "creationDate": 1_700_000_000_000_u64, "context": context}]);
    service.request("POST", "/bulk", SDK_KEY, &event.to_string()).expect("an answer")
}

fn storage(service: &Service, which: &str) -> Value {
    let (status, mut body) = service.request("GET", "/status", "", "").expect("an answer");
    assert_eq!(status, 200, "{body}");
    let is_well =
        body["storage"]["flags"]["state"] == "VALID" && body["storage"]["events"]["state"] == "VALID";
    assert_eq!(body["status"], if is_well { "healthy" } else { "degraded" }, "{body}");
    body["storage"][which]["state"].take()
}

fn figure(service: &Service, name: &str) -> String {
    let mut connection = TcpStream::connect(service.address()).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(connection, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let lines = BufReader::new(connection).lines().map(Result::unwrap);
    let found = lines.filter_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned())).next();
    found.unwrap_or_else(|| panic!("no figure {name}"))
}

fn reads_go_on(service: &Service) {
    for path in ["/sdk/latest-all", "/sdk/poll", "/sdk/evalx/contexts/eyJrZXkiOiJhIn0"] {
        let (status, body) = service.request("GET", path, SDK_KEY, "").expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
    }
}

/// Changes a flag, has the disk fail by `rule`, and looks for what must hold then and after the next start.
fn fails_for_flags(name: &str, rule: &str, may_take_writes_meanwhile: bool) {
    let folder = Folder::new(&format!("failing-disk-{name}"));
    let Some(disk) = Disk::made_in(folder.path()) else { return };
    let (data, log) = (Folder::new(&format!("failing-disk-data-{name}")), folder.path().join("log"));
    let mut service = disk.start(&data, &log);
    let mut stream = BufReader::new(TcpStream::connect(service.address()).unwrap());
    stream.get_mut().set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream.get_mut(), "GET /all HTTP/1.1\r\nhost: test\r\nauthorization: {SDK_KEY}\r\n\r\n").unwrap();
    let mut line = String::new();
    while !line.starts_with("event: put") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
    }
    assert_eq!(tag(&service, "before").0, 200);
    assert_eq!((storage(&service, "flags"), storage(&service, "events")), (json!("VALID"), json!("VALID")));
    assert_eq!(figure(&service, "flagstaff_flags_writable"), "1");

    disk.fail(rule);
    let mut acknowledged = json!(["before"]);
    let started = Instant::now();
    for number in 0.. {
        let wanted = format!("during-{number}");
        let (status, body) = tag(&service, &wanted);
        if status == 200 {
            assert!(may_take_writes_meanwhile, "a write was acknowledged that is not on disk");
            acknowledged = json!([wanted]);
            assert!(started.elapsed() < PATIENCE, "a disk that fails was never heard of");
            continue;
        }
        assert_eq!((status, &body["code"]), (503, &json!("storage_failed")), "{body}");
        break;
    }
    disk.be_well();
    for number in 0..3 {
        let (status, body) = tag(&service, &format!("after-{number}"));
        assert_eq!((status, &body["code"]), (503, &json!("storage_failed")), "it was tried again: {body}");
    }
    assert_eq!(storage(&service, "flags"), "storage_failed");
    assert_eq!(storage(&service, "events"), "VALID", "events have a file of their own");
    assert_eq!(figure(&service, "flagstaff_flags_writable"), "0");
    assert_eq!(event(&service, 1).0, 202);
    reads_go_on(&service);
    let before_the_restart = tags(&service);
    assert!(
        before_the_restart == acknowledged || before_the_restart.to_string().contains("during"),
        "{before_the_restart}"
    );
    // The stream is not cut by it.
    stream.get_mut().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    line.clear();
    let read = stream.read_line(&mut line);
    assert!(!matches!(read, Ok(0)), "the stream ended");
    service.kill();

    let service = disk.start(&data, &log);
    let now = tags(&service);
    // The change that failed was not acknowledged; like any whose answer was lost, it may be there.
    let of = |tags: &Value| tags[0].as_str().map(str::to_owned).unwrap_or_default();
    let number =
        |tags: &Value| of(tags).strip_prefix("during-").and_then(|number| number.parse::<i64>().ok());
    let (last, found) = (number(&acknowledged).unwrap_or(-1), number(&now).unwrap_or(-1));
    assert!(found == last || found == last + 1, "acknowledged {acknowledged}, found {now}");
    assert_eq!(storage(&service, "flags"), "VALID");
    assert_eq!(tag(&service, "well again").0, 200);
    assert_eq!(tags(&service), json!(["well again"]));
    let said = fs::read_to_string(&log).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(said.matches("storage_failed").count(), 1, "said once, with what to do: {said}");
}

#[test]
fn a_sync_of_the_log_that_fails_ends_writing_until_the_next_start() {
    fails_for_flags("sync", "sync flagstaff.db-wal", false);
}

#[test]
fn a_write_to_the_log_that_fails_ends_writing_until_the_next_start() {
    fails_for_flags("write", "write flagstaff.db-wal", false);
}

/// What is acknowledged meanwhile is in the log, and the log is on disk.
#[test]
fn a_sync_of_the_file_that_fails_is_heard_of_though_the_engine_does_not_say_so() {
    fails_for_flags("file", "sync flagstaff.db", true);
}

#[test]
fn events_are_refused_once_their_disk_failed_and_flags_are_not() {
    let folder = Folder::new("failing-disk-events");
    let Some(disk) = Disk::made_in(folder.path()) else { return };
    let (data, log) = (Folder::new("failing-disk-data-events"), folder.path().join("log"));
    let mut service = disk.start(&data, &log);
    let mut acknowledged = Vec::new();
    for number in 0..5 {
        assert_eq!(event(&service, number).0, 202);
        acknowledged.push(number);
    }
    disk.fail("sync events.sqlite-wal");
    // One that is in flight while the rule is written may have been synced before.
    let (status, body) = event(&service, 100);
    assert_eq!((status, &body["code"]), (503, &json!("storage_failed")), "{body}");
    disk.be_well();
    let (status, body) = event(&service, 101);
    assert_eq!((status, &body["code"]), (503, &json!("storage_failed")), "it was tried again: {body}");
    assert_eq!(storage(&service, "events"), "storage_failed");
    assert_eq!(storage(&service, "flags"), "VALID");
    assert_eq!(figure(&service, "flagstaff_events_writable"), "0");
    assert_eq!(tag(&service, "still").0, 200);
    reads_go_on(&service);
    service.kill();

    let service = disk.start(&data, &log);
    assert_eq!(event(&service, 102).0, 202);
    let started = Instant::now();
    for number in acknowledged.into_iter().chain([102]) {
        let path = format!("/api/v2/users/demo/production/user-{number}");
        loop {
            let (status, body) = service.request("GET", &path, TOKEN, "").expect("an answer");
            if status == 200 {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "user {number} was lost: {body}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let said = fs::read_to_string(&log).unwrap();
    assert!(!said.contains("panicked"), "{said}");
}

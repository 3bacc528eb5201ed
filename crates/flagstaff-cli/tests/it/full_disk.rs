//! R4: the disk is full, a real one: writes say so, everything else goes on, and so do writes once there is room.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Folder, Service};

const SDK_KEY: &str = "sdk-demo-production";
const TOKEN: &str = "api-demo";
const PATIENCE: Duration = Duration::from_secs(60);

/// A file system of eight megabytes in a folder; none where we may not make one.
struct SmallDisk<'f>(&'f Folder);

impl<'f> SmallDisk<'f> {
    fn mount(folder: &'f Folder) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.path().join("filler")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Its files may be in use for a moment yet.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn tag(service: &Service, tag: &str) -> (u16, Value) {
    let patch = json!([{"op": "replace", "path": "/tags", "value": [tag]}]);
    service.request("PATCH", "/api/v2/flags/demo/wish-lists", TOKEN, &patch.to_string()).expect("an answer")
}

fn events(service: &Service, number: u64) -> (u16, Value) {
    // Long enough that some pages of the database are written.
    let context = json!({"kind": "user", "key": format!("user-{number}"), "about": "x".repeat(20_000)});
    let event = json!([{"kind": "identify", "creationDate": 1_700_000_000_000_u64, "context": context}]);
    service.request("POST", "/bulk", SDK_KEY, &event.to_string()).expect("an answer")
}

/// Asks until the answer is this one; whatever comes before is one of `meanwhile`.
fn until(status: u16, meanwhile: &[u16], ask: impl Fn(u64) -> (u16, Value)) -> Value {
    let started = Instant::now();
    for number in 0.. {
        let (answered, body) = ask(number);
        if answered == status {
            return body;
        }
        assert!(meanwhile.contains(&answered), "{answered}: {body}");
        assert!(started.elapsed() < PATIENCE, "never {status}");
    }
    unreachable!("it goes on until it is so")
}

fn read_until(lines: &mut BufReader<TcpStream>, beginning: &str) {
    let mut line = String::new();
    while !line.starts_with(beginning) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the stream ended");
    }
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else_and_takes_them_again_once_there_is_room() {
    let folder = Folder::new("full-disk");
    let Some(disk) = SmallDisk::mount(&folder) else {
        eprintln!("passed over: a file system of its own takes the right to mount one");
        return;
    };
    let data = Folder::new("full-disk-log");
    let log = fs::File::create(data.path().join("log")).unwrap();
    let service = Service::start_with(&folder, &["--demo"], |command| command.stderr(log));
    let mut stream = BufReader::new(TcpStream::connect(service.address()).unwrap());
    stream.get_mut().set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream.get_mut(), "GET /all HTTP/1.1\r\nhost: test\r\nauthorization: {SDK_KEY}\r\n\r\n").unwrap();
    read_until(&mut stream, "event: put");
    assert_eq!(events(&service, 0).0, 202);

    disk.fill();
    let refused = until(503, &[200], |number| tag(&service, &format!("full-{number}")));
    assert_eq!(refused["code"], "storage_full", "{refused}");
    let refused = until(503, &[202], |number| events(&service, number));
    assert_eq!(refused["code"], "storage_full", "{refused}");
    for path in ["/sdk/latest-all", "/sdk/poll", "/status", "/sdk/evalx/contexts/eyJrZXkiOiJhIn0"] {
        let (status, body) = service.request("GET", path, SDK_KEY, "").expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
    }
    let (status, before) = service.request("GET", "/api/v2/flags/demo/wish-lists", TOKEN, "").unwrap();
    assert_eq!(status, 200);

    disk.make_room();
    until(200, &[503], |_| tag(&service, "room-again"));
    until(202, &[503], |number| events(&service, number));
    let (_, after) = service.request("GET", "/api/v2/flags/demo/wish-lists", TOKEN, "").unwrap();
    assert_eq!(after["tags"], json!(["room-again"]));
    assert!(
        after["_version"].as_u64() > before["_version"].as_u64(),
        "what was refused left a version behind"
    );
    // The stream has been open all the while: a flip is on it.
    let on = after["environments"]["production"]["on"].as_bool().expect("a flag is on or off");
    let flip = json!([{"op": "replace", "path": "/environments/production/on", "value": !on}]);
    let (status, body) = service
        .request("PATCH", "/api/v2/flags/demo/wish-lists", TOKEN, &flip.to_string())
        .expect("an answer");
    assert_eq!(status, 200, "{body}");
    read_until(&mut stream, "event: patch");
    drop(service);
    let said = fs::read_to_string(Path::new(data.path()).join("log")).unwrap();
    assert!(!said.contains("panicked"), "{said}");
}

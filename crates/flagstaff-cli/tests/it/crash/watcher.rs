//! A server SDK's stream, watched while flags are written: what it saw must never be taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::thread::JoinHandle;

use serde_json::Value;

use super::{PATIENCE, SDK_KEY};

/// What streams saw up to now.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The greatest version of anything.
    pub(super) newest: u64,
    /// How many patches there were.
    pub(super) changes: u64,
    flags: BTreeMap<String, SeenFlag>,
}

#[derive(Debug, Default)]
struct SeenFlag {
    version: u64,
    /// The numbers of the writes that were shown.
    writes: BTreeSet<u64>,
}

/// One stream, read until the service is gone.
#[derive(Debug)]
pub(super) struct Watcher(JoinHandle<Vec<(String, Value)>>);

impl Watcher {
    /// Returns once the stream has begun.
    pub(super) fn start(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // HTTP/1.0 has no chunks, so that the lines stand as they are.
        stream
            .write_all(format!("GET /all HTTP/1.0\r\nauthorization: {SDK_KEY}\r\n\r\n").as_bytes())
            .unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().expect("an answer").unwrap();
        assert!(status.contains(" 200 "), "{status}");
        Self(std::thread::spawn(move || {
            let (mut events, mut name) = (Vec::new(), String::new());
            // It ends in the middle of a line when the service is killed.
            while let Some(Ok(line)) = lines.next() {
                if let Some(event) = line.strip_prefix("event:") {
                    event.trim().clone_into(&mut name);
                } else if let Some(data) = line.strip_prefix("data:")
                    && let Ok(data) = serde_json::from_str(data)
                {
                    events.push((name.clone(), data));
                }
            }
            events
        }))
    }

    /// Adds what it saw, and says where a version fell.
    pub(super) fn end_into(self, seen: &mut Seen, found: &mut Vec<String>) {
        for (event, data) in self.0.join().unwrap() {
            if event == "put" {
                for (key, flag) in data["data"]["flags"].as_object().expect("a put has flags") {
                    seen.add(key, flag, found);
                }
            } else if let Some(key) = data["path"].as_str().and_then(|path| path.strip_prefix("/flags/")) {
                seen.changes += 1;
                seen.add(key, &data["data"], found);
            }
        }
    }
}

impl Seen {
    fn add(&mut self, key: &str, flag: &Value, found: &mut Vec<String>) {
        let version = flag["version"].as_u64().expect("a flag has a version");
        let before = self.flags.entry(key.to_owned()).or_default();
        if version < before.version {
            found.push(format!("a stream got {key} at {version} after {}", before.version));
        }
        before.version = before.version.max(version);
        before.writes.extend(flag["variations"][0].as_u64());
        self.newest = self.newest.max(version);
    }

    /// What was shown of a flag was kept, and its version did not fall.
    pub(super) fn check(&self, key: &str, written: &BTreeSet<u64>, served: &Value, found: &mut Vec<String>) {
        let Some(flag) = self.flags.get(key) else { return };
        let version = served["version"].as_u64().expect("a flag has a version");
        if version < flag.version {
            found.push(format!("{key} is at {version}, but a stream saw {}", flag.version));
        }
        let shown = flag.writes.difference(written);
        found.extend(shown.map(|number| format!("a stream saw write {number} of {key}, which is not there")));
    }
}

//! A service of our own to put load on, in a folder that is removed afterwards.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Connection, request};

pub const SDK_KEY: &str = "sdk-demo-production";
pub const CLIENT_SIDE_ID: &str = "demo-production";
const TOKEN: &str = "api-demo";

/// A running service with a demo.
#[derive(Debug)]
pub struct Service {
    process: Child,
    folder: PathBuf,
    pub address: SocketAddr,
}

impl Service {
    pub fn start(executable: &Path, more: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("flagstaff-load-{}", std::process::id()));
        // Left by one that was killed.
        let _ = std::fs::remove_dir_all(&folder);
        let mut process = Command::new(executable)
            .args(["serve", "--listen", "127.0.0.1:0", "--demo", "--log", "warn", "--data"])
            .arg(&folder)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the executable");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("a line").expect("text");
        let address = first.strip_prefix("listening on http://").expect("where").parse().expect("an address");
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, folder, address }
    }

    /// Resident memory now, and at most so far, in bytes.
    pub fn memory(&self) -> (usize, usize) {
        memory_of(self.process.id())
    }

    /// Makes flags with two values of this length, all seen by browsers, served to everybody by a rule or not.
    pub async fn make_flags(&self, count: usize, length: usize) {
        let mut connection = Connection::open(self.address).await;
        for number in 0..count {
            let value = |letter: &str| json!({"value": letter.repeat(length)});
            let flag = json!({
                "key": format!("flag-{number:05}"), "name": format!("Flag {number}"),
                "variations": [value("a"), value("b")],
                "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": true},
            });
            let request = admin("POST", "/api/v2/flags/demo", "application/json", &flag);
            let answer = connection.ask(&request, true).await.expect("an answer");
            assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        }
    }

    /// The request that turns a flag on or off.
    pub fn flip(&self, flag: &str, on: bool) -> Vec<u8> {
        let kind = if on { "turnFlagOn" } else { "turnFlagOff" };
        let body = json!({"environmentKey": "production", "instructions": [{"kind": kind}]});
        let kind = "application/json; domain-model=launchdarkly.semanticpatch";
        admin("PATCH", &format!("/api/v2/flags/demo/{flag}"), kind, &body)
    }

    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A request to the admin API.
fn admin(method: &str, path: &str, kind: &str, body: &Value) -> Vec<u8> {
    request(method, path, &[("Authorization", TOKEN), ("Content-Type", kind)], body.to_string().as_bytes())
}

/// Resident memory of a process now, and at most so far, in bytes.
pub fn memory_of(process: u32) -> (usize, usize) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("Linux says");
        line.split_whitespace()
            .nth(1)
            .and_then(|kilobytes| kilobytes.parse::<usize>().ok())
            .expect("a number")
            * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Processor time that a process has used so far.
pub fn processor_time_of(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let after_name = stat.rsplit_once(')').expect("its form").1;
    let fields: Vec<u64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    // In hundredths of a second, on every Linux.
    Duration::from_millis(fields.iter().sum::<u64>() * 10)
}

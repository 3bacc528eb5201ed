//! The peer: Unleash Edge, offline, with as many features and bodies as long as ours.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{Connection, request};

const SERVER_TOKEN: &str = "*:development.load-server";
const BROWSER_TOKEN: &str = "*:development.load-browser";

/// A running peer.
pub struct Edge {
    process: Child,
    file: PathBuf,
    pub address: SocketAddr,
    pub poll: Vec<u8>,
    pub poll_size: usize,
    pub unchanged: Vec<u8>,
    pub evaluate: Vec<u8>,
    pub evaluated_size: usize,
}

impl Edge {
    /// Starts it twice: first to see how long its bodies are, then with as much more in each feature as ours
    /// has. None, and a line that says so, if it does not start.
    pub async fn start(
        executable: &Path,
        features: usize,
        poll_size: usize,
        evaluated_size: usize,
    ) -> Option<Self> {
        let plain = Self::with_padding(executable, features, 0, 0).await?;
        let missing = |ours: usize, theirs: usize| ours.saturating_sub(theirs) / features;
        let in_value = missing(evaluated_size, plain.evaluated_size);
        let in_description = missing(poll_size, plain.poll_size + in_value * features);
        drop(plain);
        Self::with_padding(executable, features, in_value, in_description).await
    }

    async fn with_padding(
        executable: &Path,
        features: usize,
        in_value: usize,
        in_description: usize,
    ) -> Option<Self> {
        let file = std::env::temp_dir().join(format!("flagstaff-load-edge-{}.json", std::process::id()));
        std::fs::write(&file, document(features, in_value, in_description)).expect("room for a file");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let process = Command::new(executable)
            .args(["--port", &port.to_string(), "--interface", "127.0.0.1", "--workers", "2", "offline"])
            .arg("--bootstrap-file")
            .arg(&file)
            .args(["--client-tokens", SERVER_TOKEN, "--frontend-tokens", BROWSER_TOKEN])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| println!("\nUnleash Edge does not start: {error}"))
            .ok()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let server = [("Authorization", SERVER_TOKEN)];
        let poll = request("GET", "/api/client/features", &server, b"");
        let evaluate = request("GET", "/api/frontend?userId=ada", &[("Authorization", BROWSER_TOKEN)], b"");
        let mut edge = Self {
            process,
            file,
            address,
            poll,
            poll_size: 0,
            unchanged: Vec::new(),
            evaluate,
            evaluated_size: 0,
        };
        edge.look().await.then_some(edge)
    }

    /// Waits until it answers, and notes how long its bodies are.
    async fn look(&mut self) -> bool {
        let started = Instant::now();
        while std::net::TcpStream::connect(self.address).is_err() {
            if started.elapsed() > Duration::from_secs(30) {
                println!("\nUnleash Edge does not listen after 30 s.");
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut connection = Connection::open(self.address).await;
        let Ok(full) = connection.ask(&self.poll, true).await else { return false };
        let Ok(evaluated) = connection.ask(&self.evaluate, true).await else { return false };
        if (full.status, evaluated.status) != (200, 200) {
            println!("\nUnleash Edge answers {} and {}.", full.status, evaluated.status);
            return false;
        }
        (self.poll_size, self.evaluated_size) = (full.body.len(), evaluated.body.len());
        let tag = full.etag.unwrap_or_default();
        let headers = [("Authorization", SERVER_TOKEN), ("If-None-Match", &*tag)];
        self.unchanged = request("GET", "/api/client/features", &headers, b"");
        true
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Features with two variants each, on for everybody.
fn document(features: usize, in_value: usize, in_description: usize) -> String {
    let feature = |number: usize| {
        let variant = |name: &str, weight: u32| {
            json!({"name": name, "weight": weight, "weightType": "variable", "stickiness": "default",
                "payload": {"type": "string", "value": name.repeat(in_value.max(1))}})
        };
        json!({"name": format!("flag-{number:05}"), "type": "release", "enabled": true, "project": "default", "stale": false,
            "impressionData": false, "description": "x".repeat(in_description),
            "strategies": [{"name": "default", "parameters": {}, "constraints": []}],
            "variants": [variant("a", 1000), variant("b", 0)]})
    };
    let features: Vec<_> = (0..features).map(feature).collect();
    json!({"version": 2, "features": features, "segments": []}).to_string()
}

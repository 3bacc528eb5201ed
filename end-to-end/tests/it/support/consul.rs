//! A real Consul that keeps nothing.

use std::process::Command;
use std::time::Duration;

use flagstaff_testkit::free_port;

use super::folder::Folder;
use super::http::request;
use super::process::Process;
use super::{eventually, root, say};

/// A server of this test's own.
#[derive(Debug)]
pub(crate) struct Consul {
    _process: Process,
    port: u16,
    _folder: Folder,
}

impl Consul {
    /// Starts one on a free port. Without the program there is none, and a line says so; with
    /// `FLAGSTAFF_REQUIRE_STORES=1` that is a failure.
    pub(crate) fn start() -> Option<Self> {
        let program = root().join(".tools/consul/consul");
        if !program.exists() {
            let required = std::env::var_os("FLAGSTAFF_REQUIRE_STORES").is_some_and(|value| value == "1");
            assert!(!required, "Consul is not installed: run `make setup-stores`");
            say("skipped: Consul is not installed (`make setup-stores`)");
            return None;
        }
        let (port, folder) = (free_port(), Folder::new());
        let mut command = Command::new(program);
        command.args(["agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-log-level", "warn"]);
        command.args(["-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1", "-serf-wan-port", "-1"]);
        for (name, port) in
            [("-http-port", port), ("-server-port", free_port()), ("-serf-lan-port", free_port())]
        {
            command.arg(name).arg(port.to_string());
        }
        let process = Process::start("Consul", &mut command, folder.path().join("consul.log"));
        let server = Self { _process: process, port, _folder: folder };
        // The leader is who writes.
        let leader = format!("http://{}/v1/status/leader", server.address());
        eventually(Duration::from_secs(60), || match request("GET", &leader, &[], "") {
            Ok(answer) if answer.body.contains("127.0.0.1:") => Ok(()),
            other => Err(format!("no leader: {other:?}")),
        });
        Some(server)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

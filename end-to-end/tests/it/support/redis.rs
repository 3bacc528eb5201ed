//! A real Redis that keeps nothing: started, ended as a crash would, and started again where it was, empty.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use super::eventually;
use super::folder::Folder;
use super::process::Process;

/// A Redis server of this test's own.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    port: u16,
    folder: Folder,
}

impl Redis {
    /// Starts one on a free port. Without the program there is none, and a line says so; with
    /// `FLAGSTAFF_REQUIRE_STORES=1` that is a failure.
    pub(crate) fn start() -> Option<Self> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            let required = std::env::var_os("FLAGSTAFF_REQUIRE_STORES").is_some_and(|value| value == "1");
            assert!(!required, "redis-server is not installed: run `make setup-stores`");
            super::say("skipped: redis-server is not installed (`make setup-stores`)");
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        drop(listener);
        let folder = Folder::new();
        let process = serve(&folder, port);
        Some(Self { process, port, folder })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, empty.
    pub(crate) fn start_again(&mut self) {
        self.process = serve(&self.folder, self.port);
    }

    /// What its own client program prints for a command.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command)
            .output()
            .expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn serve(folder: &Folder, port: u16) -> Process {
    let port_text = port.to_string();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.current_dir(folder.path());
    let process = Process::start("redis-server", &mut command, folder.path().join("redis.log"));
    eventually(Duration::from_secs(20), || {
        TcpStream::connect(("127.0.0.1", port)).map_err(|error| format!("no Redis: {error}"))
    });
    process
}

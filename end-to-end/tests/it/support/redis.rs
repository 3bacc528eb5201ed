//! A real Redis that keeps nothing: started, ended as a crash would, and started again where it was, empty.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use flagstaff_testkit::free_port;

use super::eventually;
use super::folder::Folder;
use super::network::Network;
use super::process::Process;

/// A Redis server of this test's own.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    place: Place,
    port: u16,
    folder: Folder,
}

#[derive(Debug)]
enum Place {
    Here,
    Apart(Network),
}

impl Place {
    fn host(&self) -> &str {
        match self {
            Place::Here => "127.0.0.1",
            Place::Apart(network) => &network.far,
        }
    }
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
        let port = free_port();
        let (folder, place) = (Folder::new(), Place::Here);
        let process = serve(&folder, &place, port);
        Some(Self { process, place, port, folder })
    }

    /// Starts one in a network of its own, from which answers can be kept. None, with a line that says
    /// so, without the means to make one.
    pub(crate) fn start_apart() -> Option<Self> {
        let network = Network::make()?;
        let port = 6379;
        let (folder, place) = (Folder::new(), Place::Apart(network));
        let process = serve(&folder, &place, port);
        Some(Self { process, place, port, folder })
    }

    /// Whether packets from here to the program vanish, without a word.
    pub(crate) fn set_cut_off(&self, is_cut_off: bool) {
        let Place::Apart(network) = &self.place else { panic!("it is in no network of its own") };
        network.set_cut_off(is_cut_off);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}:{}", self.place.host(), self.port)
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, empty.
    pub(crate) fn start_again(&mut self) {
        self.process = serve(&self.folder, &self.place, self.port);
    }

    /// What its own client program prints for a command.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-h", self.place.host(), "-p", &self.port.to_string()])
            .args(command)
            .output()
            .expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn serve(folder: &Folder, place: &Place, port: u16) -> Process {
    let mut command = match place {
        Place::Here => Command::new("redis-server"),
        Place::Apart(network) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &network.name, "redis-server", "--protected-mode", "no"]);
            command
        }
    };
    command.args(["--port", &port.to_string(), "--bind", place.host(), "--save", "", "--appendonly", "no"]);
    command.current_dir(folder.path());
    let process = Process::start("redis-server", &mut command, folder.path().join("redis.log"));
    eventually(Duration::from_secs(20), || {
        TcpStream::connect((place.host(), port)).map_err(|error| format!("no Redis: {error}"))
    });
    process
}

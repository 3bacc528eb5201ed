//! The real servers, each started once per test run, and others of their kind that a test may stop.
//!
//! Where a server is not installed, its tests say so and pass; with `FLAGSTAFF_REQUIRE_STORES=1` they
//! fail.

#![allow(dead_code, reason = "not every server needs all of it")]

use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use flagstaff_testkit::{PATIENCE, free_port};

/// Runs a server in a folder of its own, until its standard input ends: that is when the test, or
/// whatever happened to it, is over.
const SUPERVISOR: &str = r#"
folder=$1; shift
cd "$folder" || exit 1
"$@" >log 2>&1 </dev/null &
server=$!
read -r _
kill -9 $server
wait $server 2>/dev/null
rm -rf "$folder"
"#;

/// A server of some kind.
pub(crate) struct Server {
    supervisor: Child,
    folder: PathBuf,
    pub(crate) port: u16,
}

/// How to start servers of one kind.
pub(crate) struct Program {
    /// How it is started at a port, given two more that are free.
    pub(crate) command: fn(&Path, u16, [u16; 2]) -> Command,
    /// What is started, once it was found.
    pub(crate) file: PathBuf,
    /// Whether it answers at this port.
    pub(crate) answers: fn(u16) -> bool,
}

impl Program {
    /// Starts one at a free port.
    pub(crate) fn start(&self) -> Server {
        self.start_at(free_port())
    }

    /// Starts one at this port, and waits until it answers.
    pub(crate) fn start_at(&self, port: u16) -> Server {
        let folder = std::env::temp_dir().join(format!("flagstaff-store-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let command = (self.command)(&self.file, port, [free_port(), free_port()]);
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(&folder)
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let server = Server { supervisor, folder, port };
        let started = Instant::now();
        while !(self.answers)(port) {
            // A Java machine on a busy computer takes its time.
            assert!(started.elapsed() < PATIENCE * 3, "no answer from {:?}: {}", self.file, server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Server {
    /// Ends it at once, as a crash would.
    pub(crate) fn stop(mut self) -> u16 {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().expect("the server can be stopped");
        self.port
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// Whether something takes connections, and says `expected` somewhere in its answer to `question`.
pub(crate) fn answers_with(port: u16, question: &str, expected: &str) -> bool {
    use std::io::Write;
    let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    connection.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let _ = connection.write_all(question.as_bytes());
    while let Ok(count @ 1..) = connection.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..count]);
        if String::from_utf8_lossy(&answer).contains(expected) {
            return true;
        }
    }
    false
}

/// The file or folder a variable names, or the first of these places that exists. None, with a line
/// that says so, if there is nothing.
pub(crate) fn find(what: &str, variable: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let found = named.or_else(|| places.iter().find(|place| place.exists()).cloned());
    if found.is_none() {
        assert!(
            std::env::var_os("FLAGSTAFF_REQUIRE_STORES").is_none_or(|value| value != "1"),
            "{what} is not installed, and FLAGSTAFF_REQUIRE_STORES=1: run `make setup-stores`"
        );
        eprintln!("skipped: {what} is not installed (`make setup-stores`, or {variable})");
    }
    found
}

/// A program of this name in each folder of the path.
pub(crate) fn in_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).collect()
}

/// Where `make setup-stores` puts what Debian does not have.
pub(crate) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools")
}

/// The one that all tests share; none if the program is not installed.
pub(crate) fn shared(
    cell: &'static OnceLock<Option<Server>>,
    program: impl FnOnce() -> Option<Program>,
) -> Option<&'static Server> {
    cell.get_or_init(|| program().map(|program| program.start())).as_ref()
}

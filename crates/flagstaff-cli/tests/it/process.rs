//! The executable as a process, and requests to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use flagstaff_testkit::free_port;
use serde_json::Value;

/// Ten times what is expected.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that goes with the test.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("flagstaff-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that is left over harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A command that sees none of our own environment.
pub(crate) fn flagstaff(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flagstaff"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    flagstaff(arguments).output().unwrap()
}

/// A service in a process of its own; killed at the end.
#[derive(Debug)]
pub(crate) struct Service {
    process: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl Service {
    /// Starts it on a free port, and returns once it takes requests.
    pub(crate) fn start(folder: &Folder, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, |command| command.stderr(Stdio::null()))
    }

    /// With its log, or its environment, as the test wants it.
    pub(crate) fn start_with(
        folder: &Folder,
        arguments: &[&str],
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        // Requests to one that was killed meet nobody, not another test's that has its port.
        Self::start_at(&format!("127.0.0.1:{}", free_port()), folder, arguments, change)
    }

    /// At this address.
    pub(crate) fn start_at(
        listen: &str,
        folder: &Folder,
        arguments: &[&str],
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let data = folder.path().to_str().unwrap();
        let mut command = flagstaff(&["serve", "--listen", listen, "--data", data]);
        let mut process = change(command.args(arguments)).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        let address = first.trim_end().strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("the first line is `{first}`")).to_owned();
        Self { process, out, address }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it printed after the first line; it has to have ended.
    pub(crate) fn rest_of_output(&mut self) -> String {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        rest
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to stop, and gives its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.ask_to_stop();
        self.exit_code()
    }

    /// SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// How it ended, once it has.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// A request with the demo's access token or SDK key; none if the service died meanwhile.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        credential: &str,
        body: &str,
    ) -> Option<(u16, Value)> {
        request(&self.address, method, path, credential, body)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How much memory a process has in use, in MB, for people to read; 0 where that cannot be known.
pub(crate) fn resident_mb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    credential: &str,
    body: &str,
) -> Option<(u16, Value)> {
    let mut connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nauthorization: {credential}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    connection.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    // An answer that was cut is none.
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).ok()? };
    Some((status, body))
}

//! A child process whose output lines are stamped with the moment they arrived.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::eventually;

/// A running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<(Instant, String)>,
    /// What it writes to stderr; shown when a test fails.
    log: PathBuf,
}

impl Process {
    /// Starts a process; its stderr goes to the file `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: PathBuf) -> Self {
        let stderr = File::options().create(true).append(true).open(&log).expect("the log can be opened");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let lines = stamped_lines(child.stdout.take().expect("stdout is piped"));
        Self { name: name.to_owned(), child, lines, log }
    }

    /// The next line of stdout, and when it arrived.
    pub(crate) fn line(&mut self, limit: Duration) -> (Instant, String) {
        match self.lines.recv_timeout(limit) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("{} printed nothing for {limit:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => panic!("{} closed its output", self.name),
        }
    }

    /// The next line that starts with `prefix`: when it arrived, and the rest of it.
    pub(crate) fn line_after(&mut self, prefix: &str, limit: Duration) -> (Instant, String) {
        let end = Instant::now() + limit;
        loop {
            let (arrived, line) = self.line(end.saturating_duration_since(Instant::now()));
            if let Some(rest) = line.strip_prefix(prefix) {
                return (arrived, rest.to_owned());
            }
        }
    }

    /// Whether no line came within the time.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        matches!(self.lines.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }

    /// Asks it to stop, as Ctrl-C or a service manager would: `INT`, `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status().expect("kill runs");
        assert!(status.success(), "{} was already gone", self.name);
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        eventually(limit, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{name} still runs: {other:?}")),
        })
    }

    /// Ends it at once, as a crash or `kill -9` would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process can be waited for");
    }

    /// What it has written to stderr so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log can be read")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- what {} wrote to stderr ----\n{}", self.name, self.log());
        }
        // It may have ended already, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stamped_lines(output: ChildStdout) -> Receiver<(Instant, String)> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if sender.send((Instant::now(), line)).is_err() {
                return;
            }
        }
    });
    receiver
}

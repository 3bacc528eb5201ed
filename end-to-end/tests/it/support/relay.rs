//! A real relay, started as users start it, on all of the demo's environments.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flagstaff_testkit::free_port;
use serde_json::Value as Json;

use super::binaries;
use super::folder::Folder;
use super::process::Process;

/// `flagstaff relay` with a folder of its own.
#[derive(Debug)]
pub(crate) struct Relay {
    process: Process,
    url: String,
    upstream: String,
    more: Vec<String>,
    environments: &'static [&'static str],
    folder: Folder,
}

/// The demo's environments.
const ALL: &[&str] = &["production", "staging"];

impl Relay {
    /// Starts on a free port, in front of a service or of another relay.
    pub(crate) fn start(upstream: &str) -> Self {
        Self::start_with(upstream, Vec::new())
    }

    /// The same with more options. What it writes to a database has the environment's name as its prefix.
    pub(crate) fn start_with(upstream: &str, more: Vec<String>) -> Self {
        Self::start_on(upstream, more, ALL)
    }

    /// With no environments of its own: some of the options say who tells it what to serve.
    pub(crate) fn start_told(upstream: &str, more: Vec<String>) -> Self {
        Self::start_on(upstream, more, &[])
    }

    fn start_on(upstream: &str, more: Vec<String>, environments: &'static [&'static str]) -> Self {
        let folder = Folder::new();
        let listen = format!("127.0.0.1:{}", free_port());
        let (process, url) = relay(folder.path(), &listen, upstream, &more, environments);
        Self { process, url, upstream: upstream.to_owned(), more, environments, folder }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was, with what it kept.
    pub(crate) fn start_again(&mut self) {
        let address = self.url.strip_prefix("http://").expect("the URL is http").to_owned();
        let (process, url) =
            relay(self.folder.path(), &address, &self.upstream, &self.more, self.environments);
        assert_eq!(url, self.url);
        self.process = process;
    }

    /// Asks it to stop, and waits for that.
    pub(crate) fn stop(mut self) {
        self.process.signal("TERM");
        let status = self.process.wait(Duration::from_secs(50));
        assert!(status.success(), "{status}");
    }

    /// What it keeps of production.
    pub(crate) fn snapshot(&self) -> Json {
        let text = std::fs::read(self.folder.path().join("data/production.json"));
        serde_json::from_slice(&text.expect("there is a snapshot")).expect("it is JSON")
    }

    /// A file of its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

fn relay(
    folder: &Path,
    listen: &str,
    upstream: &str,
    more: &[String],
    environments: &[&str],
) -> (Process, String) {
    let mut command = Command::new(binaries::flagstaff());
    command.env_clear().args(["relay", "--listen", listen, "--upstream", upstream]).args(more);
    // Whatever Amazon's local edition of DynamoDB is told, it believes.
    command.envs([
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "dummy"),
        ("AWS_SECRET_ACCESS_KEY", "dummy"),
    ]);
    for name in environments {
        let keys = format!(
            "sdk-key=sdk-demo-{name},mobile-key=mob-demo-{name},client-side-id=demo-{name},prefix={name}"
        );
        command.args(["--environment", &format!("name={name},{keys}")]);
    }
    command.arg("--data").arg(folder.join("data"));
    let mut process = Process::start("flagstaff relay", &mut command, folder.join("relay.log"));
    let (_, url) = process.line_after("listening on ", Duration::from_secs(60));
    (process, url)
}

//! A real relay, started as users start it, on all of the demo's environments.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
    folder: Folder,
}

impl Relay {
    /// Starts on a free port, in front of a service or of another relay.
    pub(crate) fn start(upstream: &str) -> Self {
        let folder = Folder::new();
        let (process, url) = relay(folder.path(), "127.0.0.1:0", upstream);
        Self { process, url, upstream: upstream.to_owned(), folder }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was, with what it kept.
    pub(crate) fn start_again(&mut self) {
        let address = self.url.strip_prefix("http://").expect("the URL is http").to_owned();
        let (process, url) = relay(self.folder.path(), &address, &self.upstream);
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

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

fn relay(folder: &Path, listen: &str, upstream: &str) -> (Process, String) {
    let mut command = Command::new(binaries::flagstaff());
    command.env_clear().args(["relay", "--listen", listen, "--upstream", upstream]);
    for name in ["production", "staging"] {
        let keys = format!("sdk-key=sdk-demo-{name},mobile-key=mob-demo-{name},client-side-id=demo-{name}");
        command.args(["--environment", &format!("name={name},{keys}")]);
    }
    command.arg("--data").arg(folder.join("data"));
    let mut process = Process::start("flagstaff relay", &mut command, folder.join("relay.log"));
    let (_, url) = process.line_after("listening on ", Duration::from_secs(60));
    (process, url)
}

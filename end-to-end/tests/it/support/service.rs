//! The real service, started as users start it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flagstaff_testkit::free_port;

use super::binaries;
use super::folder::Folder;
use super::process::Process;

/// `flagstaff serve --demo` with a folder of its own.
#[derive(Debug)]
pub(crate) struct Service {
    process: Process,
    url: String,
    folder: Folder,
}

impl Service {
    /// Starts on a free port with an empty folder.
    pub(crate) fn start() -> Self {
        let folder = Folder::new();
        let (process, url) = serve(folder.path(), &format!("127.0.0.1:{}", free_port()));
        Self { process, url, folder }
    }

    /// Ends it as a crash would. Requests are refused until `start_again`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was, on the same data.
    pub(crate) fn start_again(&mut self) {
        let address = self.url.strip_prefix("http://").expect("the URL is http").to_owned();
        let (process, url) = serve(self.folder.path(), &address);
        assert_eq!(url, self.url);
        self.process = process;
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A file of this test's beside the service's data.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The command that serves, with nothing taken from the environment of whoever runs the tests.
pub(crate) fn serve_command(folder: &Path, listen: &str) -> Command {
    let mut command = Command::new(binaries::flagstaff());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLAGSTAFF_") {
            command.env_remove(name);
        }
    }
    command.args(["serve", "--demo", "--listen", listen, "--data"]).arg(folder.join("data"));
    command
}

fn serve(folder: &Path, listen: &str) -> (Process, String) {
    let mut process =
        Process::start("flagstaff", &mut serve_command(folder, listen), folder.join("flagstaff.log"));
    let (_, url) = process.line_after("listening on ", Duration::from_secs(60));
    (process, url)
}

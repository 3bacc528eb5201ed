//! The example programs, as they stand.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::Process;
use super::service::Service;
use super::{binaries, root};

/// Ten times what the slowest of them takes to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// One example program: how it is run, and whom it evaluates the flag for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Example {
    pub(crate) name: &'static str,
    pub(crate) email: &'static str,
    pub(crate) user: &'static str,
    command: fn() -> Command,
}

pub(crate) const RUST: Example = Example {
    name: "our Rust SDK",
    email: "rust-sdk@example.com",
    user: "rust-sdk-user",
    command: || Command::new(binaries::rust_example()),
};

pub(crate) const PYTHON: Example = Example {
    name: "our Python package",
    email: "python-sdk@example.com",
    user: "python-sdk-user",
    command: || python(".venv", "make python-debug", "examples/python/flip.py"),
};

pub(crate) const OFFICIAL_PYTHON_9: Example = Example {
    name: "official Python 9",
    email: "official-python-9@example.com",
    user: "official-python-9-user",
    command: || python(".venv-official-9", "make setup-official", "examples/official-python-9/flip.py"),
};

pub(crate) const OFFICIAL_PYTHON_6: Example = Example {
    name: "official Python 6",
    email: "official-python-6@example.com",
    user: "official-python-6-user",
    command: || python(".venv-official-6", "make setup-official", "examples/official-python-6/flip.py"),
};

pub(crate) const OFFICIAL_NODE: Example = Example {
    name: "official Node.js",
    email: "official-node@example.com",
    user: "official-node-user",
    command: || {
        binaries::needed(root().join("examples/official-node/node_modules/.ready"), "make setup-official");
        let mut command = Command::new("node");
        command.arg(root().join("examples/official-node/flip.js"));
        command
    },
};

pub(crate) const OFFICIAL_GO: Example = Example {
    name: "official Go",
    email: "official-go@example.com",
    user: "official-go-user",
    command: || Command::new(binaries::needed(root().join(".tools/official-go/flip"), "make setup-official")),
};

pub(crate) const OFFICIAL_JAVA: Example = Example {
    name: "official Java",
    email: "official-java@example.com",
    user: "official-java-user",
    command: || {
        let folder = root().join(".tools/official-java");
        binaries::needed(folder.join("Flip.class"), "make setup-official");
        let mut command = Command::new("java");
        command.arg("-cp").arg(format!("{0}:{0}/*", folder.display())).arg("Flip");
        command
    },
};

/// Either Python package, by second-generation delivery.
pub(crate) const SECOND_GENERATION: Example = Example {
    name: "our Python package, second generation",
    email: "second-generation@example.com",
    user: "second-generation-user",
    command: || python(".venv", "make python-debug", SECOND_GENERATION_PROGRAM),
};

pub(crate) const OFFICIAL_SECOND_GENERATION: Example = Example {
    name: "official Python 9, second generation",
    command: || python(".venv-official-9", "make setup-official", SECOND_GENERATION_PROGRAM),
    ..SECOND_GENERATION
};

const SECOND_GENERATION_PROGRAM: &str = "end-to-end/tests/it/support/second_generation.py";

fn python(environment: &str, set_up_by: &str, program: &str) -> Command {
    let mut command = Command::new(binaries::python(environment, set_up_by));
    command.arg(root().join(program));
    command
}

/// An example program that runs against a service.
#[derive(Debug)]
pub(crate) struct Program(Process);

impl Program {
    pub(crate) fn start(example: Example, service: &Service) -> Self {
        Self::start_at(example, service.url(), service)
    }

    /// The same at another address, from which the service is reached.
    pub(crate) fn start_at(example: Example, url: &str, service: &Service) -> Self {
        Self::run(example, url, service, &[])
    }

    /// The same with another SDK key.
    pub(crate) fn start_with_key(example: Example, url: &str, service: &Service, sdk_key: &str) -> Self {
        Self::run(example, url, service, &[("FLAGSTAFF_SDK_KEY", sdk_key)])
    }

    /// The same, watching another flag.
    pub(crate) fn watch(example: Example, url: &str, service: &Service, flag: &str) -> Self {
        Self::run(example, url, service, &[("FLAG_KEY", flag)])
    }

    fn run(example: Example, url: &str, service: &Service, settings: &[(&str, &str)]) -> Self {
        let mut command = (example.command)();
        command.env("FLAGSTAFF_URL", url);
        for name in ["FLAGSTAFF_SDK_KEY", "FLAG_KEY", "RUN_SECONDS"] {
            command.env_remove(name);
        }
        command.envs(settings.iter().copied());
        let log: PathBuf = service.file(&format!("{}.log", example.user));
        Self(Process::start(example.name, &mut command, log))
    }

    /// The first value it prints.
    pub(crate) fn first_value(&mut self) -> String {
        self.0.line_after("value ", START).1
    }

    /// The next value it prints, and when.
    pub(crate) fn next_value(&mut self, limit: Duration) -> (Instant, String) {
        self.0.line_after("value ", limit)
    }

    /// Whether it prints nothing within the time.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.0.is_silent_for(time)
    }

    /// Asks it to stop; it reports what it has counted and says how often it evaluated the flag.
    pub(crate) fn stop(mut self) -> u64 {
        self.0.signal("TERM");
        let (_, count) = self.0.line_after("evaluated ", START);
        let status = self.0.wait(START);
        assert!(status.success(), "{status}");
        count.parse().unwrap_or_else(|_| panic!("`{count}` is no count"))
    }
}

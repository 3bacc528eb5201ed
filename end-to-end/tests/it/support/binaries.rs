//! The programs under test: built ones from this workspace, and the environments of the others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value as Json;

use super::root;

/// The `flagstaff` program.
pub(crate) fn flagstaff() -> &'static Path {
    &built()["flagstaff"]
}

/// The example program of the Rust SDK.
pub(crate) fn rust_example() -> &'static Path {
    &built()["flagstaff-example"]
}

/// Another one, of those in `examples/rust-…`.
pub(crate) fn rust_example_called(name: &str) -> &'static Path {
    &built()[&format!("flagstaff-example-{name}")]
}

/// The interpreter of a Python environment that `make` sets up.
pub(crate) fn python(environment: &str, set_up_by: &str) -> PathBuf {
    needed(root().join(environment).join("bin/python"), set_up_by)
}

/// A path that must exist, or the test fails and says how to get it.
pub(crate) fn needed(path: PathBuf, set_up_by: &str) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `{set_up_by}` once, then this test again", path.display());
    path
}

/// Builds once what is tested. Cargo builds the programs of another package only when asked to.
fn built() -> &'static HashMap<String, PathBuf> {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).stderr(Stdio::inherit());
        cargo.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
        cargo.args(["--package", "flagstaff-cli", "--package", "flagstaff-example"]);
        // As releases have it.
        cargo.args(["--features", "flagstaff-cli/dynamodb"]);
        for name in ["axum", "command-line", "sync"] {
            cargo.args(["--package", &format!("flagstaff-example-{name}")]);
        }
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.output().expect("cargo runs");
        assert!(output.status.success(), "the programs under test do not build");
        executables(&String::from_utf8(output.stdout).expect("cargo prints UTF-8"))
    })
}

/// Reads from cargo's messages where it put each program.
fn executables(messages: &str) -> HashMap<String, PathBuf> {
    let mut executables = HashMap::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
        if let (Some(name), Some(path)) = (message["target"]["name"].as_str(), message["executable"].as_str())
        {
            executables.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    executables
}

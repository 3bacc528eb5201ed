//! The Rust SDK behind the suite, without what needs databases or takes minutes.
//!
//! `make conformance` runs all of it.

use std::process::Command;

#[test]
fn the_rust_sdk_conforms() {
    let harness = env!("CARGO_BIN_EXE_conformance");
    // The adapter is another package's program: Cargo builds it into the folder of this one.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "contract-test-service-rust"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let built = cargo.status().expect("cargo can be run");
    assert!(built.success(), "the adapter cannot be built");
    let adapter = std::path::Path::new(harness).with_file_name("contract-test-service-rust");
    let run = Command::new(harness)
        .args(["--command".as_ref(), adapter.as_os_str()])
        .output()
        .expect("the suite can be run");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    // A suite that runs nothing finds nothing.
    let passed = said.lines().rev().find_map(|line| line.split_once(" passed, ")?.0.parse::<u32>().ok());
    assert!(passed.is_some_and(|passed| passed > 700), "{said}");
}

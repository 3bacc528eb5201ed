//! Who may depend on whom, and where `unsafe` may stand: the picture in ARCHITECTURE.md, kept true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::support::root;

/// Each crate of this workspace, and the only others of it that it may name.
///
/// SDK and service never see each other; what they exchange is in `flagstaff-wire`. A relay is both.
const PICTURE: &[(&str, &[&str])] = &[
    ("flagstaff-eval", &[]),
    ("flagstaff-wire", &["flagstaff-eval"]),
    ("flagstaff-sdk", &["flagstaff-eval", "flagstaff-wire"]),
    ("flagstaff-openfeature", &["flagstaff-sdk"]),
    ("flagstaff-service", &["flagstaff-eval", "flagstaff-wire"]),
    ("flagstaff-testkit", &["flagstaff-eval", "flagstaff-wire"]),
    ("flagstaff-fuzz", &["flagstaff-eval", "flagstaff-wire", "flagstaff-sdk"]),
    ("flagstaff-python", &["flagstaff-eval", "flagstaff-wire", "flagstaff-sdk"]),
    ("flagstaff-relay", &["flagstaff-eval", "flagstaff-wire", "flagstaff-sdk", "flagstaff-service"]),
    (
        "flagstaff-cli",
        &["flagstaff-eval", "flagstaff-wire", "flagstaff-sdk", "flagstaff-service", "flagstaff-relay"],
    ),
    ("contract-test-service-rust", &["flagstaff-sdk"]),
    ("flagstaff-example", &["flagstaff-sdk"]),
    ("flagstaff-example-axum", &["flagstaff-sdk"]),
    ("flagstaff-example-command-line", &["flagstaff-sdk"]),
    ("flagstaff-example-sync", &["flagstaff-sdk"]),
    // They start programs and link nothing.
    ("conformance", &[]),
    ("end-to-end", &[]),
];

/// What would bring I/O, async or a clock of the caller's choosing into the two pure crates.
const IMPURE: &[&str] = &[
    "async-trait",
    "axum",
    "chrono",
    "futures-util",
    "getrandom",
    "hyper",
    "libc",
    "rand",
    "reqwest",
    "sqlx",
    "time",
    "tokio",
    "tokio-util",
    "tracing",
    "uuid",
];

/// The modules in which `unsafe` is allowed, each with tests of its own.
const UNSAFE: &[&str] = &["crates/flagstaff-sdk/src/fork", "python/src/"];

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let allowed: BTreeMap<_, BTreeSet<_>> =
        PICTURE.iter().map(|(name, others)| (*name, others.iter().copied().collect())).collect();
    let ours: BTreeSet<_> = allowed.keys().copied().collect();

    for manifest in manifests() {
        let name = manifest["package"]["name"].as_str().expect("a package has a name");
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("crate `{name}` is not in the picture"));
        for dependency in named(&manifest, &["dependencies", "build-dependencies"]) {
            assert!(
                !ours.contains(dependency.as_str()) || allowed.contains(dependency.as_str()),
                "`{name}` may not depend on `{dependency}`"
            );
        }
    }
}

#[test]
fn testkit_is_for_tests_only() {
    for manifest in manifests() {
        let dependencies = named(&manifest, &["dependencies", "build-dependencies"]);
        assert!(!dependencies.contains("flagstaff-testkit"), "{}", manifest["package"]["name"]);
    }
}

#[test]
fn evaluation_and_wire_are_pure() {
    for name in ["flagstaff-eval", "flagstaff-wire"] {
        let manifest = read(&root().join("crates").join(name).join("Cargo.toml"));
        let dependencies = named(&manifest, &["dependencies", "build-dependencies"]);
        let impure: Vec<_> = IMPURE.iter().filter(|name| dependencies.contains(**name)).collect();
        assert!(impure.is_empty(), "`{name}` is pure and may not depend on {impure:?}");
    }
}

#[test]
fn unsafe_stands_only_in_its_named_modules() {
    let workspace = read(&root().join("Cargo.toml"));
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("deny"));

    for folder in members() {
        let manifest = read(&folder.join("Cargo.toml"));
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{} opts out of lints",
            folder.display()
        );
        for file in rust_files(&folder) {
            let place = file.strip_prefix(root()).expect("members lie in the project").to_string_lossy();
            let text = std::fs::read_to_string(&file).expect("a source file can be read");
            let lifts_the_lint = ["allow", "expect", "warn"]
                .iter()
                .any(|level| text.contains(&format!("{level}(unsafe_code")));
            let is_named = UNSAFE.iter().any(|named| place.starts_with(named)) || is_test(&place);
            assert!(!lifts_the_lint || is_named, "{place} allows `unsafe`");
        }
    }
}

#[test]
fn npm_lock_files_hold_no_host() {
    for folder in ["examples/official-node", "end-to-end/browser"] {
        let file = root().join(folder).join("package-lock.json");
        let text = std::fs::read_to_string(&file).expect("the lock file can be read");
        assert!(text.contains("\"integrity\"") && !text.contains("\"resolved\""), "{}", file.display());
    }
}

/// Tests count allocations and fork processes, which takes `unsafe`; nothing of them is shipped.
fn is_test(place: &str) -> bool {
    place.contains("/tests/") || place.contains("/benches/")
}

fn manifests() -> Vec<Table> {
    members().iter().map(|folder| read(&folder.join("Cargo.toml"))).collect()
}

/// The folders of all workspace members; `crates/*` stands for each folder there.
fn members() -> Vec<PathBuf> {
    let workspace = read(&root().join("Cargo.toml"));
    let members = workspace["workspace"]["members"].as_array().expect("members is a list");
    let mut folders = Vec::new();
    for member in members.iter().filter_map(Value::as_str) {
        match member.strip_suffix("/*") {
            Some(parent) => folders.extend(entries(&root().join(parent))),
            None => folders.push(root().join(member)),
        }
    }
    assert!(folders.len() >= PICTURE.len(), "only {} of the crates drawn exist", folders.len());
    folders
}

/// The names in all of these tables, also in those for one target only.
fn named(manifest: &Table, kinds: &[&str]) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let places = targets.filter_map(Value::as_table).chain([manifest]);
    places
        .flat_map(|place| kinds.iter().filter_map(|kind| place.get(*kind)?.as_table()))
        .flat_map(|table| table.keys().cloned())
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in entries(folder) {
        if entry.is_dir() && !entry.ends_with("target") {
            files.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("a folder entry can be read").path()).collect()
}

fn read(manifest: &Path) -> Table {
    let text =
        std::fs::read_to_string(manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", manifest.display()))
}

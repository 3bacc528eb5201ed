//! What must hold for any bytes a stranger sends. Only ever a tool of development.
//!
//! Each module is one target: a function that takes any bytes and panics if something does not hold.
//! Most compare what is shipped with a second, plain way to the same answer, so that a wrong answer
//! is found as well as a crash. `make fuzz` gives them inputs that a fuzzer thinks up; `make test`
//! gives them the corpora in `fuzz/corpus`, which is why they stand in a crate of this workspace
//! and the fuzzer itself, with its C++, in one of its own.

mod context;
mod date;
mod event_batch;
mod event_stream;
mod file;
mod flag;
mod one_clause;
mod pattern;
mod redaction;
mod reference;
mod second_generation;
mod semver;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Panics if something does not hold for this input.
    pub check: fn(&[u8]),
}

/// Every target, in the order in which `make fuzz` runs them.
pub const TARGETS: &[Target] = &[
    Target { name: "event_stream", check: event_stream::check },
    Target { name: "second_generation", check: second_generation::check },
    Target { name: "flag", check: flag::check },
    Target { name: "file", check: file::check },
    Target { name: "context", check: context::check },
    Target { name: "redaction", check: redaction::check },
    Target { name: "event_batch", check: event_batch::check },
    Target { name: "reference", check: reference::check },
    Target { name: "semver", check: semver::check },
    Target { name: "date", check: date::check },
    Target { name: "pattern", check: pattern::check },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

//! What the journeys share: building, starting and asking processes.

pub(crate) mod api;
pub(crate) mod binaries;
pub(crate) mod consul;
pub(crate) mod counts;
pub(crate) mod dynamodb;
pub(crate) mod folder;
pub(crate) mod http;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod reader;
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod service;

use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The root of the project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the project's root")
}

/// Says it to whoever runs the tests: what `println!` prints is kept back unless the test fails.
pub(crate) fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("stderr is open");
}

/// Held by journeys that measure time, so that they do not slow each other.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks again and again until there is an answer, or fails after the limit with what was seen last.
pub(crate) fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            Err(seen) => panic!("after {limit:?}: {seen}"),
        }
    }
}

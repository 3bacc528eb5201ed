//! Waiting for what another thread is about to do.

use std::time::{Duration, Instant};

/// How long a test waits before it fails: far longer than anything should take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until there is an answer.
///
/// # Panics
/// If there is none within [`PATIENCE`]; `what` is said then.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "in {PATIENCE:?} it did not happen that {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

//! Python code that is called from here: on threads that Python did not make, as by listeners, data sources
//! and stores, and in the middle of a call of the program's, as by stores, loggers and `str()`.
//!
//! It must have returned before the interpreter ends: Python ends threads by unwinding them, which Rust
//! does not survive, and the process dies with a fright instead of an exit code. So each of these visits is
//! counted, and the end of the program waits for a moment. Whoever comes later is let in on the thread that
//! ends the program only, whose exit hooks may still ask for flags.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use pyo3::prelude::*;

use crate::interrupts;
use crate::per_process::{Own, PerProcess};

/// Runs Python code on a thread that Python did not make. None if the interpreter is ending, and nothing
/// was run: whoever called gives up quietly.
pub(crate) fn visit<R>(run: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    let _counted = enter()?;
    let result = Python::try_attach(run);
    // Who wants the program to exit cannot have it from this thread, as from any but the main one.
    drop(interrupts::raise());
    result
}

/// Runs Python code of the program's in the middle of one of its calls, with the interpreter held. None if
/// the interpreter is ending, and nothing was run.
pub(crate) fn within<R>(run: impl FnOnce() -> R) -> Option<R> {
    let _counted = enter()?;
    Some(run())
}

/// Counts a visit until what this gives is dropped; none if nobody is let in any more.
pub(crate) fn enter() -> Option<Counted> {
    let visits = VISITS.get();
    let mut state = visits.state();
    if state.ended_by.is_some_and(|thread| thread != thread::current().id()) {
        return None;
    }
    state.inside += 1;
    drop(state);
    Some(Counted(visits))
}

/// Lets nobody in any more, and waits, for so many seconds at most, until those that are in have left.
#[pyfunction]
pub(crate) fn end_visits(py: Python<'_>, seconds: f64) {
    let at_most = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let visits = VISITS.get();
    py.detach(|| visits.end(at_most));
}

static VISITS: PerProcess<Visits> = PerProcess::new();

#[derive(Default)]
struct Visits {
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    inside: usize,
    ended_by: Option<ThreadId>,
}

/// Counted until this is dropped.
pub(crate) struct Counted(Arc<Own<Visits>>);

impl Visits {
    fn end(&self, at_most: Duration) {
        let mut state = self.state();
        state.ended_by = Some(thread::current().id());
        let left = self.left.wait_timeout_while(state, at_most, |state| state.inside > 0);
        drop(left.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Code that was called from here may have forked: this visit is the parent's.
        if self.0.is_of_this_process() {
            self.0.state().inside -= 1;
            self.0.left.notify_all();
        }
    }
}

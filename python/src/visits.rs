//! Threads that were not made by Python, and run Python code: listeners, data sources, stores.
//!
//! They must be out of the interpreter before it ends, or the process dies with a fright instead of an
//! exit code. So each of their visits is counted, and the end of the program waits for a moment.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pyo3::prelude::*;

use crate::interrupts;

/// Runs Python code on a thread that Python did not make. None if the interpreter is ending, and nothing
/// was run: whoever called gives up quietly.
pub(crate) fn visit<R>(run: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    let _counted = enter()?;
    let result = Python::try_attach(run);
    // Who wants the program to exit cannot have it from this thread, as from any but the main one.
    drop(interrupts::raise());
    result
}

/// Counts a visit until what this gives is dropped; none if nobody is let in any more.
pub(crate) fn enter() -> Option<Counted> {
    let visits = Visits::of_this_process();
    let mut state = visits.state();
    if state.ended {
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
    let visits = Visits::of_this_process();
    py.detach(|| visits.end(at_most));
}

/// One per process: the visitors of a parent's are not in a child made by `fork`, and its copy of the lock
/// may be held for ever.
struct Visits {
    process: u32,
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    inside: usize,
    ended: bool,
}

/// Counted until this is dropped.
pub(crate) struct Counted(Arc<Visits>);

impl Visits {
    fn of_this_process() -> Arc<Self> {
        static CURRENT: ArcSwapOption<Visits> = ArcSwapOption::const_empty();
        let process = std::process::id();
        loop {
            let current = CURRENT.load_full();
            if let Some(visits) = current.as_ref().filter(|visits| visits.process == process) {
                return Arc::clone(visits);
            }
            let made = Visits { process, state: Mutex::default(), left: Condvar::new() };
            CURRENT.compare_and_swap(&current, Some(Arc::new(made)));
        }
    }

    fn end(&self, at_most: Duration) {
        let mut state = self.state();
        state.ended = true;
        let left = self.left.wait_timeout_while(state, at_most, |state| state.inside > 0);
        drop(left.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.left.notify_all();
    }
}

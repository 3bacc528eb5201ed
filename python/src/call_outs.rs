//! Code of the program's that may take any time, called from threads that were not made by Python.
//!
//! A thread of ours that is inside Python when the interpreter ends takes the process down: Python ends
//! threads by unwinding them, which Rust does not survive. So such code runs on threads that Python made,
//! with nothing of ours below it on the stack: `ldclient.impl.call_outs`.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::interrupts;
use crate::visits::{self, visit};

/// How long a thread waits for the next call before it ends.
const IDLE: Duration = Duration::from_secs(1);

/// What is called, and with what.
type Prepared = (Py<PyAny>, Py<PyTuple>);
type Prepare = Box<dyn FnOnce(Python<'_>) -> PyResult<Prepared> + Send>;

/// Has something of the program's called, and waits until it returns. Nothing is called if the interpreter
/// is ending. Whoever calls this must not hold the interpreter.
pub(crate) fn call_out(prepare: impl FnOnce(Python<'_>) -> PyResult<Prepared> + Send + 'static) {
    let Some(_counted) = visits::enter() else { return };
    let (done, returned) = channel();
    let calls = CallOuts::of_this_process();
    if calls.push(Waiting { prepare: Box::new(prepare), done }) && !start_thread() {
        // Newer Pythons start no thread any more at their end. Then it is done here, if not by another.
        if let Some(waiting) = calls.state().waiting.pop_back() {
            visit(|py| {
                let called = (waiting.prepare)(py).and_then(|(what, with)| what.call1(py, with));
                interrupts::contained(py, called);
            });
        }
    }
    // Nothing is ever sent: whoever has the other end hangs up.
    let _: Result<(), _> = returned.recv();
}

/// Starts a thread that makes calls.
fn start_thread() -> bool {
    let started = visit(|py| {
        let start = || py.import("ldclient.impl.call_outs")?.call_method0("start");
        start().is_ok_and(|started| started.is_truthy().unwrap_or(false))
    });
    started.unwrap_or(false)
}

/// The next call that is to be made, for a thread of Python's; none if there is none for a while.
#[pyfunction]
pub(crate) fn next_call(py: Python<'_>) -> Option<CallOut> {
    let calls = CallOuts::of_this_process();
    loop {
        let Waiting { prepare, done } = py.detach(|| calls.next())?;
        if let Some((what, with)) = interrupts::contained(py, prepare(py)) {
            return Some(CallOut { what, with, done: Mutex::new(Some(done)) });
        }
    }
}

/// A call to be made.
#[pyclass(module = "ldclient._native", frozen)]
pub(crate) struct CallOut {
    #[pyo3(get)]
    what: Py<PyAny>,
    #[pyo3(get, name = "with_")]
    with: Py<PyTuple>,
    done: Mutex<Option<Sender<()>>>,
}

#[pymethods]
impl CallOut {
    /// It was made.
    fn done(&self) {
        drop(self.done.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

struct Waiting {
    prepare: Prepare,
    /// Who waits goes on when this is dropped.
    done: Sender<()>,
}

/// The calls that wait. One per process: a child made by `fork` has none of its parent's threads, and its
/// copy of the lock may be held for ever.
struct CallOuts {
    process: u32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// How many threads have nothing to do.
    idle: usize,
}

impl CallOuts {
    fn of_this_process() -> Arc<Self> {
        static CURRENT: ArcSwapOption<CallOuts> = ArcSwapOption::const_empty();
        let process = std::process::id();
        loop {
            let current = CURRENT.load_full();
            if let Some(calls) = current.as_ref().filter(|calls| calls.process == process) {
                return Arc::clone(calls);
            }
            let made = CallOuts { process, state: Mutex::default(), changed: Condvar::new() };
            CURRENT.compare_and_swap(&current, Some(Arc::new(made)));
        }
    }

    /// True if there is no thread to make this call.
    fn push(&self, call: Waiting) -> bool {
        let mut state = self.state();
        state.waiting.push_back(call);
        let needs_thread = state.idle < state.waiting.len();
        drop(state);
        self.changed.notify_one();
        needs_thread
    }

    fn next(&self) -> Option<Waiting> {
        let mut state = self.state();
        state.idle += 1;
        let waited = self.changed.wait_timeout_while(state, IDLE, |state| state.waiting.is_empty());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state.waiting.pop_front()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

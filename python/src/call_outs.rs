//! Code of the program's that may take any time, called from threads that were not made by Python.
//!
//! A thread of ours that is inside Python when the interpreter ends takes the process down: Python ends
//! threads by unwinding them, which Rust does not survive. So such code runs on threads that Python made,
//! with nothing of ours below it on the stack: `ldclient.impl.call_outs`.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::interrupts;
use crate::per_process::PerProcess;
use crate::visits::{self, Counted, visit};

/// How long a thread waits for the next call before it ends.
const IDLE: Duration = Duration::from_secs(1);

/// What is called, and with what.
type Prepared = (Py<PyAny>, Py<PyTuple>);
type Prepare = Box<dyn FnOnce(Python<'_>) -> PyResult<Prepared> + Send>;

/// Has something of the program's called, and waits until it returns. Nothing is called if the interpreter
/// is ending. Whoever calls this must not hold the interpreter.
pub(crate) fn call_out(prepare: impl FnOnce(Python<'_>) -> PyResult<Prepared> + Send + 'static) {
    let (returned, hearing) = channel();
    begin(Box::new(prepare), returned);
    // Nothing is ever sent: whoever has the other end hangs up.
    let _: Result<(), _> = hearing.recv();
}

/// As [`call_out`], without waiting.
pub(crate) fn call_out_later(prepare: impl FnOnce(Python<'_>) -> PyResult<Prepared> + Send + 'static) {
    begin(Box::new(prepare), channel().0);
}

fn begin(prepare: Prepare, returned: Sender<()>) {
    let Some(counted) = visits::enter() else { return };
    let calls = CALL_OUTS.get();
    let until_returned = UntilReturned { _counted: counted, _returned: returned };
    if calls.push(Waiting { prepare, until_returned }) && !start_thread() {
        // Newer Pythons start no thread any more at their end. Then it is done here, if not by another.
        let waiting = calls.state().waiting.pop_back();
        if let Some(Waiting { prepare, until_returned }) = waiting {
            visit(|py| {
                let called = prepare(py).and_then(|(what, with)| what.call1(py, with));
                interrupts::contained(py, called);
            });
            drop(until_returned);
        }
    }
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
    let calls = CALL_OUTS.get();
    loop {
        let Waiting { prepare, until_returned } = py.detach(|| calls.next())?;
        if let Some((what, with)) = interrupts::contained(py, prepare(py)) {
            return Some(CallOut { what, with, done: Mutex::new(Some(until_returned)) });
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
    done: Mutex<Option<UntilReturned>>,
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
    until_returned: UntilReturned,
}

/// Who waits for a call goes on when this is dropped.
struct UntilReturned {
    _counted: Counted,
    _returned: Sender<()>,
}

static CALL_OUTS: PerProcess<CallOuts> = PerProcess::new();

/// The calls that wait.
#[derive(Default)]
struct CallOuts {
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

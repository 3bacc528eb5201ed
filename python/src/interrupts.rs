//! Exceptions that must not be swallowed: Ctrl-C, and a program that is told to exit.
//!
//! Calls never raise because of what a logger or a caller's object does. But a signal handler may run
//! inside either, and what it raises is meant for the program. It is put by, and raised when the call
//! that it interrupted returns.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

/// How many threads have put something by.
static WAITING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PUT_BY: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Takes what a logger or a caller's object raised. Gives it back if it is an ordinary exception,
/// which harms nobody.
pub(crate) fn put_by(py: Python<'_>, error: PyErr) -> Option<PyErr> {
    if error.is_instance_of::<PyException>(py) {
        return Some(error);
    }
    if PUT_BY.replace(Some(error)).is_none() {
        WAITING.fetch_add(1, Ordering::Relaxed);
    }
    None
}

/// What a caller's object gave; none if it raised, which harms nobody but is not passed over in silence.
pub(crate) fn contained<T>(py: Python<'_>, given: PyResult<T>) -> Option<T> {
    match given {
        Ok(value) => Some(value),
        Err(error) => {
            if let Some(ordinary) = put_by(py, error) {
                ordinary.write_unraisable(py, None);
            }
            None
        }
    }
}

/// Raises what was put by on this thread.
#[inline]
pub(crate) fn raise() -> PyResult<()> {
    if WAITING.load(Ordering::Relaxed) == 0 { Ok(()) } else { raise_of_this_thread() }
}

#[cold]
fn raise_of_this_thread() -> PyResult<()> {
    match PUT_BY.take() {
        Some(error) => {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            Err(error)
        }
        None => Ok(()),
    }
}

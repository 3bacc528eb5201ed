//! Letting go of the interpreter while an evaluation waits for a database.
//!
//! Evaluations hold the interpreter throughout, as long as they only look into memory. With a database
//! behind the flags or the big segments they may have to wait, on the thread that asked; then other
//! threads must be able to run, not least those that ask a store written in Python.

use std::cell::Cell;
use std::marker::PhantomData;

use pyo3::prelude::*;

use crate::visits::{self, Counted};

thread_local! {
    static MAY_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// Has the client core let go of the interpreter around every wait of a thread that [`Holding`] speaks for.
/// Once for the whole process, however often it is called.
pub(crate) fn let_go_while_waiting() {
    flagstaff_sdk::around_waits(|wait| {
        // Not during the wait: what runs on this thread meanwhile does not hold the interpreter.
        if MAY_WAIT.replace(false) {
            Python::attach(|py| py.detach(&mut *wait));
            MAY_WAIT.set(true);
        } else {
            wait();
        }
    });
}

/// Says that this thread holds the interpreter and may come to wait, until it is dropped.
pub(crate) struct Holding {
    before: bool,
    /// The end of the program waits for this thread, which comes back to the interpreter.
    _counted: Option<Counted>,
    /// Belongs to its thread.
    _thread: PhantomData<*const ()>,
}

impl Holding {
    /// `py` is the proof.
    #[cold]
    pub(crate) fn new(_py: Python<'_>) -> Self {
        let counted = visits::enter();
        Self { before: MAY_WAIT.replace(counted.is_some()), _counted: counted, _thread: PhantomData }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        MAY_WAIT.set(self.before);
    }
}

//! Stores of flags and of big segments, as a Python program configures them.
//!
//! | File | What it is about |
//! |---|---|
//! | `plug` | which of them a configuration has, and how the client core is given it |
//! | `database` | Redis, Consul and DynamoDB, for scripts to use and for clients to be given |
//! | `lookup` | reading a store written in Python, on the thread of whoever evaluates |
//! | `python_store` | the same store as the client core writes it, on a thread of its own |
//! | `items` | what such a store holds: dictionaries, or objects that give one |
//! | `big_segments` | a store of big segments written in Python |
//!
//! Databases of our own never meet Python while flags are evaluated. A store written in Python is asked
//! by every evaluation, as it always was: what it says at that moment counts.

mod big_segments;
pub(crate) mod database;
mod items;
mod lookup;
mod plug;
mod python_store;

pub(crate) use plug::{big_segments, data_store, lookup};

use flagstaff_sdk::StoreError;
use pyo3::prelude::*;

use crate::visits::visit;

/// Calls something of the program's on a thread that Python did not make. What it raises is the failure of
/// what was attempted.
fn attached<R>(attempted: &str, call: impl FnOnce(Python<'_>) -> PyResult<R>) -> Result<R, StoreError> {
    let called = visit(|py| {
        call(py).map_err(|error| StoreError::new(format_args!("{attempted}: {}", shown(py, &error))))
    });
    called.unwrap_or_else(|| Err(StoreError::new(format_args!("{attempted}: Python is ending"))))
}

/// `repr()` of an exception.
fn shown(py: Python<'_>, error: &PyErr) -> String {
    match error.value(py).repr() {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => error.to_string(),
    }
}

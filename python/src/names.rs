//! Attribute names as Python strings, made once: a dictionary is asked with the same object each time,
//! whose hash is known.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::FixedState;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Names come from flags, which are few. More than this is something else, and not worth keeping.
const CAPACITY: usize = 10_000;

type Names = HashMap<Box<str>, Py<PyString>, FixedState>;

static NAMES: Mutex<Option<Names>> = Mutex::new(None);

/// The Python string for an attribute name.
pub(crate) fn name_object<'py>(py: Python<'py>, name: &str) -> Bound<'py, PyString> {
    // Nothing under the lock runs Python code, so the thread that holds it is never made to wait.
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_with(HashMap::default);
    if let Some(known) = names.get(name) {
        return known.bind(py).clone();
    }
    let object = PyString::intern(py, name);
    if names.len() < CAPACITY {
        names.insert(name.into(), object.clone().unbind());
    }
    object
}

//! What a store written in Python holds: dictionaries, or objects that give one.

use flagstaff_sdk::ItemKind;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Number, Value};

use crate::value::FromPython;

static KINDS: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
static SAME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// `FEATURES` or `SEGMENTS`.
pub(super) fn kind_object<'py>(py: Python<'py>, kind: ItemKind) -> PyResult<&'py Bound<'py, PyAny>> {
    let kinds = KINDS.get_or_try_init(py, || {
        let module = py.import("ldclient.versioned_data_kind")?;
        Ok::<_, PyErr>((module.getattr("FEATURES")?.unbind(), module.getattr("SEGMENTS")?.unbind()))
    })?;
    Ok(match kind {
        ItemKind::Flag => kinds.0.bind(py),
        ItemKind::Segment => kinds.1.bind(py),
    })
}

/// The callback that stores are given: `lambda item: item`.
pub(super) fn as_it_is<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyAny>> {
    let find = || Ok::<_, PyErr>(py.import("ldclient.impl.native_stores")?.getattr("as_it_is")?.unbind());
    Ok(SAME.get_or_try_init(py, find)?.bind(py))
}

/// The dictionary of an item; anything else that maps will do.
pub(super) fn dictionary<'py>(item: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if item.cast_exact::<PyDict>().is_ok() {
        return Ok(item);
    }
    let name = intern!(item.py(), "to_json_dict");
    match item.getattr_opt(name)? {
        Some(give) => give.call0(),
        None => Ok(item),
    }
}

/// The JSON of an item's dictionary.
pub(super) fn json(item: &Bound<'_, PyAny>) -> Value {
    FromPython::default().value(item)
}

/// Whether this is plain data with just this JSON: what was read before need not be prepared again then.
/// False also where it takes a closer look to tell.
pub(super) fn is_same(item: &Bound<'_, PyAny>, known: &Value) -> bool {
    match known {
        Value::Null => item.is_none(),
        Value::Bool(known) => item.cast::<PyBool>().is_ok_and(|item| item.is_true() == *known),
        Value::String(known) => {
            item.cast_exact::<PyString>().is_ok_and(|item| item.to_str().is_ok_and(|item| item == known))
        }
        Value::Number(known) => is_same_number(item, known),
        Value::Array(known) => {
            if let Ok(list) = item.cast_exact::<PyList>() {
                list.len() == known.len()
                    && list.iter().zip(known).all(|(element, known)| is_same(&element, known))
            } else if let Ok(tuple) = item.cast_exact::<PyTuple>() {
                tuple.len() == known.len()
                    && tuple.iter().zip(known).all(|(element, known)| is_same(&element, known))
            } else {
                false
            }
        }
        Value::Object(known) => {
            let Ok(dict) = item.cast_exact::<PyDict>() else { return false };
            dict.len() == known.len()
                && dict.iter().all(|(name, value)| {
                    let Ok(name) = name.cast_into_exact::<PyString>() else { return false };
                    let known = name.to_str().ok().and_then(|name| known.get(name));
                    known.is_some_and(|known| is_same(&value, known))
                })
        }
    }
}

fn is_same_number(item: &Bound<'_, PyAny>, known: &Number) -> bool {
    if let Ok(item) = item.cast_exact::<PyFloat>() {
        return known.is_f64() && known.as_f64() == Some(item.value());
    }
    if item.cast_exact::<PyInt>().is_err() {
        return false;
    }
    match known.as_i64() {
        Some(known) => item.extract::<i64>().is_ok_and(|item| item == known),
        None => known.as_u64().is_some_and(|known| item.extract::<u64>().is_ok_and(|item| item == known)),
    }
}

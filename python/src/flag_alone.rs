//! One flag, evaluated without a client: `ldclient.flag.evaluate` and `ldclient.operators`.

use flagstaff_eval::{DataSet, Detail, ErrorKind, evaluate, model::FlagData};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::caller::Caller;
use crate::client::DetailParts;
use crate::logging;
use crate::results::reason_to_python;
use crate::value::{FromPython, to_python};

/// Evaluates a flag among other flags and segments, all in their JSON form. Gives the detail, and one of each
/// prerequisite that was evaluated on the way, with its key and that of the flag that asked for it.
#[pyfunction]
#[pyo3(signature = (data, key, context, /))]
pub(crate) fn evaluate_flag<'py>(
    data: &Bound<'py, PyDict>,
    key: &str,
    context: &Bound<'py, PyAny>,
) -> PyResult<(DetailParts<'py>, Bound<'py, PyList>)> {
    let py = data.py();
    let data: FlagData = serde_json::from_value(FromPython::default().value(data.as_any()))
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let data = DataSet::from_model(data);
    let prerequisites = PyList::empty(py);
    let mut failed = Ok(());
    let mut tell = |result: flagstaff_eval::PrerequisiteResult<'_>| {
        let told = parts(py, result.detail).and_then(|detail| {
            prerequisites.append((result.flag.key(), result.prerequisite_of.key(), detail))
        });
        if told.is_err() {
            failed = told;
        }
    };
    let detail = match (data.flag(key), Caller::of(context)) {
        (None, _) => Detail::error(ErrorKind::FlagNotFound),
        (_, Caller::Unusable(_)) => Detail::error(ErrorKind::UserNotSpecified),
        (Some(flag), Caller::User(user)) => evaluate(&data, flag, &user, &mut tell),
        (Some(flag), Caller::Context(context)) => match context.get().checked() {
            Ok(context) => evaluate(&data, flag, context, &mut tell),
            Err(_) => Detail::error(ErrorKind::UserNotSpecified),
        },
    };
    let answer = parts(py, detail)?;
    failed?;
    logging::finish(py)?;
    Ok((answer, prerequisites))
}

fn parts<'py>(py: Python<'py>, detail: Detail<'_>) -> PyResult<DetailParts<'py>> {
    let value = match detail.value {
        Some(value) => to_python(py, value)?,
        None => py.None().into_bound(py),
    };
    Ok((value, detail.variation_index, reason_to_python(py, &detail.reason)?))
}

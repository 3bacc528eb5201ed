//! Python callables that are told of changes, on the client's callback thread.
//!
//! `ldclient.impl.listeners` keeps the program's listeners and calls them one by one; here is only the one
//! callable that it has told. That callable must not hold the client: the client holds it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use flagstaff_sdk::{BigSegmentStoreStatus, DataSourceStatus, DataStoreStatus, FlagChange, ListenerId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::call_outs::call_out;
use crate::client::Client;

/// What `DataSourceStatus` is made of: state, since when, and the last error's kind, HTTP status, time
/// and message. Times are Unix seconds.
pub(crate) type StatusParts = (String, f64, Option<(String, u16, f64, String)>);

/// Somebody is told of something until [`unlisten`].
#[pyclass(module = "ldclient._native", name = "Listening", frozen)]
pub(crate) struct Listening {
    id: ListenerId,
    to: About,
}

/// What there is to be told of.
#[derive(Clone, Copy)]
enum About {
    DataSource,
    Flags,
    DataStore,
    BigSegmentStore,
}

/// Has `told` called with what a Python value is made of, each time that something changes: `flags` (the
/// key of each flag that changes), `data_source`, `data_store` or `big_segment_store` (their status).
#[pyfunction]
#[pyo3(signature = (client, about, told, /))]
pub(crate) fn listen(py: Python<'_>, client: &Client, about: &str, told: Py<PyAny>) -> PyResult<Listening> {
    let inner = client.inner();
    // Taken along on threads that do not hold the interpreter.
    let told = Arc::new(told);
    let (id, to) = match about {
        "flags" => {
            let tell = move |change: &FlagChange| call(&told, (change.key.clone(),));
            (py.detach(|| inner.flag_tracker().add_listener(tell)), About::Flags)
        }
        "data_source" => {
            let tell = move |status: &DataSourceStatus| call(&told, status_parts(status));
            let id = py.detach(|| inner.data_source_status_provider().add_listener(tell));
            (id, About::DataSource)
        }
        "data_store" => {
            let tell = move |status: &DataStoreStatus| call(&told, (status.available, status.stale));
            let id = py.detach(|| inner.data_store_status_provider().add_listener(tell));
            (id, About::DataStore)
        }
        "big_segment_store" => {
            let tell = move |status: &BigSegmentStoreStatus| call(&told, (status.available, status.stale));
            let id = py.detach(|| inner.big_segment_store_status_provider().add_listener(tell));
            (id, About::BigSegmentStore)
        }
        _ => return Err(PyValueError::new_err(format!("nobody can be told of {about}"))),
    };
    Ok(Listening { id, to })
}

/// Takes [`listen`] back.
#[pyfunction]
#[pyo3(signature = (client, listening, /))]
pub(crate) fn unlisten(py: Python<'_>, client: &Client, listening: &Listening) {
    let inner = client.inner();
    py.detach(|| match listening.to {
        About::Flags => inner.flag_tracker().remove_listener(listening.id),
        About::DataSource => inner.data_source_status_provider().remove_listener(listening.id),
        About::DataStore => inner.data_store_status_provider().remove_listener(listening.id),
        About::BigSegmentStore => inner.big_segment_store_status_provider().remove_listener(listening.id),
    });
}

pub(crate) fn status_parts(status: &DataSourceStatus) -> StatusParts {
    let error = status.last_error.as_ref().map(|error| {
        let kind = error.kind.as_str().to_lowercase();
        (kind, error.status_code.unwrap_or(0), unix_seconds(error.time), error.message.clone())
    });
    (status.state.as_str().to_lowercase(), unix_seconds(status.state_since), error)
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Python contains what listeners raise. The next thing is told of once this was.
fn call<A>(told: &Arc<Py<PyAny>>, parts: A)
where
    A: for<'py> IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>
        + Send
        + 'static,
{
    let told = Arc::clone(told);
    call_out(move |py| Ok((told.clone_ref(py), parts.into_pyobject(py)?.unbind())));
}

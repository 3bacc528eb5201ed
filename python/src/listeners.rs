//! Python callables that are told of changes, on the client's callback thread.
//!
//! `ldclient.impl.listeners` keeps the program's listeners and calls them one by one; here is only the one
//! callable that it has told. That callable must not hold the client: the client holds it.

use std::collections::HashSet;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use flagstaff_sdk::{BigSegmentStoreStatus, DataSourceStatus, DataStoreStatus, FlagChange, ListenerId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::call_outs::{call_out, call_out_later};
use crate::client::Client;
use crate::per_process::PerProcess;

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
            let changes = Arc::new(Changes(PerProcess::new()));
            let tell = move |change: &FlagChange| Changes::tell(&changes, &told, &change.key);
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

/// Flags of which somebody is still to be told. Many may change at once, and each turn in the interpreter is
/// waited for; so they are told together, and nobody waits for that. A flag that changes again meanwhile is
/// told of once.
#[pyclass(module = "ldclient._native", name = "FlagChanges", frozen)]
pub(crate) struct FlagChanges(Arc<Changes>);

struct Changes(PerProcess<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    /// In the order in which they changed.
    keys: Vec<String>,
    known: HashSet<String>,
    /// Whether somebody takes them.
    is_told: bool,
}

#[pymethods]
impl FlagChanges {
    /// The keys of flags that have changed; none if there are no more, and whoever takes them is done.
    fn take(&self) -> Option<Vec<String>> {
        let own = self.0.0.get();
        let mut pending = own.lock().unwrap_or_else(PoisonError::into_inner);
        pending.known.clear();
        pending.is_told = !pending.keys.is_empty();
        pending.is_told.then(|| mem::take(&mut pending.keys))
    }
}

impl Changes {
    fn tell(this: &Arc<Self>, told: &Arc<Py<PyAny>>, key: &str) {
        {
            let own = this.0.get();
            let mut pending = own.lock().unwrap_or_else(PoisonError::into_inner);
            if pending.known.insert(key.to_owned()) {
                pending.keys.push(key.to_owned());
            }
            if mem::replace(&mut pending.is_told, true) {
                return;
            }
        }
        let (this, told) = (Arc::clone(this), Arc::clone(told));
        call_out_later(move |py| {
            let tell_all = told.getattr(py, "all")?;
            Ok((tell_all, (FlagChanges(this),).into_pyobject(py)?.unbind()))
        });
    }
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

//! Data sources and stores written in Python: the way for their flags into the client, and back.
//!
//! The Python half is `ldclient.impl.data_source` and `ldclient.feature_store`. What waits here for the
//! client lets go of the interpreter.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use flagstaff_sdk::{
    DataSource, DataSourceErrorKind, DataSourceState, DataSourceUpdates, ItemKind, KeptItems, StoredItem,
    model, read_flags_document,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use serde_json::{Map, Value};

use crate::call_outs::call_out;
use crate::client::Client;
use crate::interrupts;
use crate::value::{FromPython, text_of, to_python};
use crate::visits;

/// A data source of the program's, as the client core and evaluations see it: a
/// `ldclient.impl.data_source.ProgramDataSource`.
#[derive(Clone)]
pub(crate) struct ProgramSource {
    source: Arc<Py<PyAny>>,
    /// Where Python itself has started it.
    process: u32,
}

impl ProgramSource {
    pub(crate) fn new(source: Py<PyAny>) -> Self {
        Self { source: Arc::new(source), process: std::process::id() }
    }

    /// Whether it says that it has had a full data set.
    #[cold]
    pub(crate) fn is_initialized(&self, py: Python<'_>) -> bool {
        let ask = || self.source.call_method0(py, "initialized").and_then(|said| said.is_truthy(py));
        visits::within(ask).and_then(|said| interrupts::contained(py, said)).unwrap_or(false)
    }

    /// Waits until it says that waiting is over, for so long at most. Gives up if the interpreter is ending.
    pub(crate) fn wait(&self, py: Python<'_>, at_most: Duration) -> PyResult<bool> {
        let ask = || self.source.call_method1(py, "wait", (at_most.as_secs_f64(),))?.is_truthy(py);
        visits::within(ask).unwrap_or(Ok(true))
    }

    /// Python contains what it raises.
    fn call(&self, method: &'static str) {
        let source = Arc::clone(&self.source);
        call_out(move |py| Ok((source.getattr(py, method)?, PyTuple::empty(py).unbind())));
    }
}

impl DataSource for ProgramSource {
    fn name(&self) -> &'static str {
        "a data source written in Python"
    }

    fn start(&self, _updates: DataSourceUpdates) {
        // In the process that made it, the constructor of the client starts it.
        if std::process::id() != self.process {
            self.call("start_in_child");
        }
    }

    fn stop(&self, _updates: &DataSourceUpdates) {
        self.call("stop");
    }
}

/// The way for flags into a client, beside or instead of its data source; and back, if the client keeps
/// them as they came. Does not keep the client alive.
#[pyclass(module = "ldclient._native", name = "DataSourceUpdates", frozen)]
pub(crate) struct Updates {
    updates: DataSourceUpdates,
    kept: Option<KeptItems>,
}

/// The way for flags into this client.
#[pyfunction]
#[pyo3(signature = (client, /))]
pub(crate) fn data_source_updates(py: Python<'_>, client: &Client) -> Updates {
    let inner = client.inner();
    py.detach(|| Updates { updates: inner.data_source_updates(), kept: inner.kept_items() })
}

/// Of these items, those that cannot be ones of this kind, by key, each with what is wrong with it.
#[pyfunction]
#[pyo3(signature = (namespace, items, /))]
pub(crate) fn unusable_items<'py>(
    namespace: &str,
    items: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let kind = kind_of(namespace)?;
    let unusable = PyDict::new(items.py());
    for (key, item) in items {
        if let Err(problem) = check(kind, FromPython::default().value(&item)) {
            unusable.set_item(key, problem)?;
        }
    }
    Ok(unusable)
}

/// Of flags, of values by flag key, and of segments.
type Pairs<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>);

/// What stands in a file of flags, JSON or YAML: pairs of key and item, of flags, values and segments.
#[pyfunction]
#[pyo3(signature = (file, /))]
pub(crate) fn read_flags_file<'py>(py: Python<'py>, file: &[u8]) -> PyResult<Pairs<'py>> {
    let document =
        py.detach(|| read_flags_document(file)).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let pairs = |items: Vec<(String, Value)>| {
        let pairs = PyList::empty(py);
        for (key, item) in items {
            pairs.append((key, to_python(py, &item)?))?;
        }
        Ok::<_, PyErr>(pairs)
    };
    Ok((pairs(document.flags)?, pairs(document.flag_values)?, pairs(document.segments)?))
}

#[pymethods]
impl Updates {
    /// Replaces everything. How receiving is going stays what it is.
    #[pyo3(signature = (flags, segments, /))]
    fn put_in(&self, flags: &Bound<'_, PyDict>, segments: &Bound<'_, PyDict>) -> PyResult<()> {
        let json = data_json(flags, segments)?;
        let done = flags.py().detach(|| self.updates.put_in_json(&json));
        done.map_err(|error| unusable(flags, segments, &error))
    }

    /// Puts in what was known before the client was there, unless flags have come meanwhile.
    #[pyo3(signature = (flags, segments, /))]
    fn remind_of(&self, flags: &Bound<'_, PyDict>, segments: &Bound<'_, PyDict>) -> PyResult<()> {
        let json = data_json(flags, segments)?;
        let done = flags.py().detach(|| self.updates.remind_of_json(&json));
        done.map_err(|error| unusable(flags, segments, &error))
    }

    /// Puts in one item, if it is newer than the one that is there.
    #[pyo3(signature = (namespace, key, item, /))]
    fn upsert(&self, namespace: &str, key: &str, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let kind = kind_of(namespace)?;
        let json = to_json(&FromPython::default().value(item))?;
        let done = item.py().detach(|| self.updates.upsert_json(kind, key, &json));
        done.map_err(|error| PyValueError::new_err(format!("{} `{key}`: {error}", name_of(kind))))
    }

    /// Deletes one item, unless one that is there is as new.
    #[pyo3(signature = (namespace, key, version, /))]
    fn delete(&self, py: Python<'_>, namespace: &str, key: &str, version: u64) -> PyResult<()> {
        let kind = kind_of(namespace)?;
        py.detach(|| self.updates.delete(kind, key, version));
        Ok(())
    }

    /// Says how receiving is going: `valid` and the like; of an error, its kind, HTTP status (0 if there
    /// is none), message and time.
    #[pyo3(signature = (state, error, /))]
    fn update_status(
        &self,
        py: Python<'_>,
        state: &str,
        error: Option<(String, u16, String, f64)>,
    ) -> PyResult<()> {
        let state = state_of(state)?;
        let error = error.map(|(kind, status, message, seconds)| {
            let since_1970 = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            let time = UNIX_EPOCH.checked_add(since_1970).unwrap_or(UNIX_EPOCH);
            (error_kind_of(&kind), Some(status).filter(|status| *status != 0), message, time)
        });
        py.detach(|| self.updates.update_status(state, error));
        Ok(())
    }

    /// An item as it came, also a deleted one.
    #[pyo3(signature = (namespace, key, /))]
    fn item<'py>(&self, py: Python<'py>, namespace: &str, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (kind, kept) = (kind_of(namespace)?, self.kept()?);
        py.detach(|| kept.item(kind, key)).map(|item| item_to_python(py, &item)).transpose()
    }

    /// All items of a kind by key, also deleted ones.
    #[pyo3(signature = (namespace, /))]
    fn items<'py>(&self, py: Python<'py>, namespace: &str) -> PyResult<Bound<'py, PyDict>> {
        let (kind, kept) = (kind_of(namespace)?, self.kept()?);
        let items = PyDict::new(py);
        for item in py.detach(|| kept.items(kind)) {
            items.set_item(&*item.key, item_to_python(py, &item)?)?;
        }
        Ok(items)
    }

    /// Whether the client has a full data set.
    fn has_everything(&self, py: Python<'_>) -> bool {
        py.detach(|| self.updates.has_everything())
    }

    /// Whether the client was closed, or is gone.
    fn is_closed(&self) -> bool {
        self.updates.is_stopped()
    }
}

impl Updates {
    fn kept(&self) -> PyResult<&KeptItems> {
        self.kept.as_ref().ok_or_else(|| PyValueError::new_err("the client does not keep its items"))
    }
}

fn kind_of(namespace: &str) -> PyResult<ItemKind> {
    match namespace {
        "features" => Ok(ItemKind::Flag),
        "segments" => Ok(ItemKind::Segment),
        _ => Err(PyValueError::new_err(format!("a client has no items of kind {namespace}"))),
    }
}

fn name_of(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Flag => "flag",
        ItemKind::Segment => "segment",
    }
}

fn state_of(state: &str) -> PyResult<DataSourceState> {
    use DataSourceState::{Initializing, Interrupted, Off, Valid};
    let known = [Initializing, Valid, Interrupted, Off];
    known
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(state))
        .ok_or_else(|| PyValueError::new_err(format!("{state} is no state of a data source")))
}

fn error_kind_of(kind: &str) -> DataSourceErrorKind {
    use DataSourceErrorKind::{ErrorResponse, InvalidData, NetworkError, StoreError, Unknown};
    let known = [NetworkError, ErrorResponse, InvalidData, StoreError];
    known.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(kind)).unwrap_or(Unknown)
}

fn data_json(flags: &Bound<'_, PyDict>, segments: &Bound<'_, PyDict>) -> PyResult<Vec<u8>> {
    let members = |items| Value::Object(FromPython::default().object(items));
    let data: Map<String, Value> =
        [("flags".to_owned(), members(flags)), ("segments".to_owned(), members(segments))]
            .into_iter()
            .collect();
    to_json(&Value::Object(data))
}

fn to_json(value: &Value) -> PyResult<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Names the item that is to blame.
fn unusable(flags: &Bound<'_, PyDict>, segments: &Bound<'_, PyDict>, error: &dyn std::error::Error) -> PyErr {
    let culprit =
        [(ItemKind::Flag, flags), (ItemKind::Segment, segments)].into_iter().find_map(|(kind, items)| {
            items.iter().find_map(|(key, item)| {
                let problem = check(kind, FromPython::default().value(&item)).err()?;
                Some(format!("{} `{}`: {problem}", name_of(kind), text_of(&key)))
            })
        });
    PyValueError::new_err(culprit.unwrap_or_else(|| error.to_string()))
}

fn check(kind: ItemKind, item: Value) -> Result<(), String> {
    let checked = match kind {
        ItemKind::Flag => serde_json::from_value::<model::Flag>(item).map(drop),
        ItemKind::Segment => serde_json::from_value::<model::Segment>(item).map(drop),
    };
    checked.map_err(|error| error.to_string())
}

fn item_to_python<'py>(py: Python<'py>, item: &StoredItem) -> PyResult<Bound<'py, PyAny>> {
    let value: Value =
        serde_json::from_str(&item.json).map_err(|error| PyValueError::new_err(error.to_string()))?;
    to_python(py, &value)
}

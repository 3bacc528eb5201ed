//! A store written in Python: what is known of it, and how the client core writes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flagstaff_sdk::{Client, ItemKind, PersistentStore, StoreError, StoredItem};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde_json::Value;

use super::attached;
use super::items::{self, as_it_is, kind_object};
use crate::interrupts;
use crate::value::{to_python, type_name};

/// What the client's own report calls a store. Any other is `custom`.
const KNOWN_NAMES: [&str; 4] = ["memory", "Redis", "Consul", "DynamoDB"];

/// A store written in Python, which evaluations read and the client writes.
pub(crate) struct Kept {
    store: Py<PyAny>,
    name: String,
    /// Whether the client put a full data set in it.
    written: AtomicBool,
}

impl Kept {
    pub(crate) fn new(store: &Bound<'_, PyAny>, config: &Bound<'_, PyAny>) -> Arc<Self> {
        let described = described(store, config);
        let name = described.unwrap_or_else(|| type_name(store));
        Arc::new(Self { store: store.clone().unbind(), name, written: AtomicBool::new(false) })
    }

    pub(super) fn store<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.store.bind(py)
    }

    /// Whether the store has had a full data set. A property, or a method; a store that lacks it has not.
    pub(crate) fn is_initialized(&self, py: Python<'_>) -> PyResult<bool> {
        if self.written.load(Ordering::Acquire) {
            return Ok(true);
        }
        match self.store(py).getattr_opt(intern!(py, "initialized"))? {
            Some(method) if method.is_callable() => method.call0()?.is_truthy(),
            Some(value) => value.is_truthy(),
            None => Ok(false),
        }
    }

    /// Whether the store can tell how it is.
    pub(crate) fn is_monitored(&self, py: Python<'_>) -> bool {
        is_monitored(self.store(py))
    }

    /// An evaluation could not read the store: one that can tell is asked until it is well again.
    pub(super) fn failed(&self, py: Python<'_>, client: &Client, error: &str) {
        if self.is_monitored(py) {
            let error = StoreError::new(error);
            py.detach(|| client.data_store_failed(&error));
        }
    }
}

/// Whether a store can tell how it is.
pub(super) fn is_monitored(store: &Bound<'_, PyAny>) -> bool {
    let py = store.py();
    let can_tell = || -> PyResult<bool> {
        if store.getattr_opt(intern!(py, "is_available"))?.is_none() {
            return Ok(false);
        }
        match store.getattr_opt(intern!(py, "is_monitoring_enabled"))? {
            Some(method) => method.call0()?.is_truthy(),
            None => Ok(false),
        }
    };
    can_tell().unwrap_or_else(|error| {
        interrupts::put_by(py, error);
        false
    })
}

fn described(store: &Bound<'_, PyAny>, config: &Bound<'_, PyAny>) -> Option<String> {
    let ask = || store.call_method1("describe_configuration", (config,))?.extract::<String>();
    match ask() {
        Ok(name) => KNOWN_NAMES.contains(&&*name).then_some(name),
        // It need not say.
        Err(error) => {
            interrupts::put_by(store.py(), error);
            None
        }
    }
}

/// Called by the client core, on threads of its own.
pub(super) struct PythonStore(pub(super) Arc<Kept>);

impl PersistentStore for PythonStore {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn init(&self, items: &[StoredItem]) -> Result<(), StoreError> {
        attached("could not write all flags", |py| {
            let all = PyDict::new(py);
            // What comes first is what others depend on, and dictionaries keep their order.
            for kind in [ItemKind::Segment, ItemKind::Flag] {
                let of_kind = PyDict::new(py);
                for item in items.iter().filter(|item| item.kind == kind) {
                    of_kind.set_item(&*item.key, item_object(py, item)?)?;
                }
                all.set_item(kind_object(py, kind)?, of_kind)?;
            }
            self.0.store(py).call_method1("init", (all,))?;
            self.0.written.store(true, Ordering::Release);
            Ok(())
        })
    }

    fn get(&self, kind: ItemKind, key: &str) -> Result<Option<Arc<str>>, StoreError> {
        attached("could not read an item", |py| {
            let arguments = (kind_object(py, kind)?, key, as_it_is(py)?);
            let item = self.0.store(py).call_method1("get", arguments)?;
            if item.is_none() { Ok(None) } else { text(item).map(Some) }
        })
    }

    fn all(&self, kind: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError> {
        attached("could not read all items", |py| {
            let items = self.0.store(py).call_method1("all", (kind_object(py, kind)?, as_it_is(py)?))?;
            let copy = PyDict::new(py);
            copy.update(items.cast()?)?;
            let known = copy.iter().filter(|(_, item)| !item.is_none());
            known.map(|(key, item)| Ok((key.cast::<PyString>()?.to_string(), text(item)?))).collect()
        })
    }

    fn upsert(&self, item: &StoredItem) -> Result<bool, StoreError> {
        attached("could not write an item", |py| {
            let store = self.0.store(py);
            let kind = kind_object(py, item.kind)?;
            let object = item_object(py, item)?;
            let is_deleted =
                object.get_item("deleted").is_ok_and(|deleted| deleted.is_truthy().unwrap_or(false));
            if is_deleted {
                store.call_method1("delete", (kind, &*item.key, item.version))?;
            } else {
                store.call_method1("upsert", (kind, object))?;
            }
            // Stores do not say.
            Ok(true)
        })
    }

    fn is_initialized(&self) -> Result<bool, StoreError> {
        attached("could not ask whether there are flags", |py| self.0.is_initialized(py))
    }

    fn is_available(&self) -> bool {
        let asked = attached("could not ask whether it answers", |py| {
            let store = self.0.store(py);
            // A store that cannot tell is tried.
            if !is_monitored(store) {
                return Ok(true);
            }
            store.call_method0("is_available")?.is_truthy()
        });
        asked.unwrap_or(false)
    }
}

fn item_object<'py>(py: Python<'py>, item: &StoredItem) -> PyResult<Bound<'py, PyAny>> {
    let json: Value = serde_json::from_str(&item.json).map_err(|error| {
        pyo3::exceptions::PyValueError::new_err(format!("`{}` is no JSON: {error}", item.key))
    })?;
    to_python(py, &json)
}

/// The JSON of an item as text.
fn text(item: Bound<'_, PyAny>) -> PyResult<Arc<str>> {
    Ok(items::json(&items::dictionary(item)?).to_string().into())
}

//! Redis, Consul and DynamoDB as Python has them: a script may use them by hand, a client is given the
//! database itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use flagstaff_sdk::{
    BigSegmentStore, Consul, DynamoDb, ItemKind, PersistentStore, Redis, StoreError, StoredItem,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;

use super::items;
use crate::settings::duration;
use crate::value::to_python;

/// How a database is connected to. What is none is left as it is.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Link {
    connect_timeout: Option<f64>,
    timeout: Option<f64>,
    ca_file: Option<PathBuf>,
}

/// A database of flags.
#[pyclass(module = "ldclient._native", frozen)]
pub(crate) struct FlagDatabase(Arc<dyn PersistentStore>);

/// A database of big segments.
#[pyclass(module = "ldclient._native", frozen)]
pub(crate) struct BigSegmentDatabase(Arc<dyn BigSegmentStore>);

#[pymethods]
impl FlagDatabase {
    #[staticmethod]
    fn redis(
        url: String,
        prefix: String,
        user: Option<String>,
        password: Option<String>,
        link: Link,
    ) -> Self {
        Self(Arc::new(redis(url, prefix, user, password, link)))
    }

    #[staticmethod]
    fn consul(address: String, prefix: String, token: Option<String>, link: Link) -> Self {
        let mut consul = Consul::new(address).prefix(prefix);
        if let Some(token) = token {
            consul = consul.token(token);
        }
        if let Some(time) = link.connect_timeout {
            consul = consul.connect_timeout(limit(time));
        }
        if let Some(time) = link.timeout {
            consul = consul.timeout(limit(time));
        }
        if let Some(path) = link.ca_file {
            consul = consul.ca_file(path);
        }
        Self(Arc::new(consul))
    }

    #[staticmethod]
    fn dynamodb(
        table: String,
        prefix: String,
        endpoint: Option<String>,
        region: Option<String>,
        credentials: Option<(String, String, Option<String>)>,
        link: Link,
    ) -> Self {
        Self(Arc::new(dynamodb(table, prefix, endpoint, region, credentials, link)))
    }

    /// One item, tombstones included; none if there is none.
    fn get<'py>(&self, py: Python<'py>, kind: &str, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let kind = item_kind(kind)?;
        let text = py.detach(|| self.0.get(kind, key)).map_err(raised)?;
        text.map(|text| item(py, key, &text)).transpose()
    }

    /// All items by key, tombstones included.
    fn all<'py>(&self, py: Python<'py>, kind: &str) -> PyResult<Bound<'py, PyDict>> {
        let kind = item_kind(kind)?;
        let texts = py.detach(|| self.0.all(kind)).map_err(raised)?;
        let all = PyDict::new(py);
        for (key, text) in texts {
            all.set_item(&key, item(py, &key, &text)?)?;
        }
        Ok(all)
    }

    /// Replaces everything by these: kind, key and item, in the order in which they are to be written.
    fn init(&self, py: Python<'_>, items: Vec<(String, String, Bound<'_, PyAny>)>) -> PyResult<()> {
        let stored = |(kind, key, item): &(String, String, _)| stored_item(kind, key, item);
        let items: Vec<StoredItem> = items.iter().map(stored).collect::<PyResult<_>>()?;
        py.detach(|| self.0.init(&items)).map_err(raised)
    }

    /// Writes an item, unless the one that is there has as high a version. Gives whether it was written.
    fn upsert(&self, py: Python<'_>, kind: &str, key: &str, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        let item = stored_item(kind, key, item)?;
        py.detach(|| self.0.upsert(&item)).map_err(raised)
    }

    fn is_initialized(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.0.is_initialized()).map_err(raised)
    }

    fn is_available(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.is_available())
    }

    /// The kind of database in one word.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }
}

impl FlagDatabase {
    pub(super) fn shared(&self) -> Arc<dyn PersistentStore> {
        self.0.clone()
    }
}

#[pymethods]
impl BigSegmentDatabase {
    #[staticmethod]
    fn redis(
        url: String,
        prefix: String,
        user: Option<String>,
        password: Option<String>,
        link: Link,
    ) -> Self {
        Self(Arc::new(redis(url, prefix, user, password, link)))
    }

    #[staticmethod]
    fn dynamodb(
        table: String,
        prefix: String,
        endpoint: Option<String>,
        region: Option<String>,
        credentials: Option<(String, String, Option<String>)>,
        link: Link,
    ) -> Self {
        Self(Arc::new(dynamodb(table, prefix, endpoint, region, credentials, link)))
    }

    /// When it was last brought up to date, in Unix milliseconds; none if never.
    fn last_up_to_date(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        let time = py.detach(|| self.0.last_up_to_date()).map_err(raised)?;
        Ok(time.and_then(|time| u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()))
    }

    /// The segments of a context by reference; none if there is nothing of it.
    fn membership<'py>(&self, py: Python<'py>, hash: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(found) = py.detach(|| self.0.membership(hash)).map_err(raised)? else { return Ok(None) };
        let references = PyDict::new(py);
        for (reference, is_in) in found.iter() {
            references.set_item(reference, is_in)?;
        }
        Ok(Some(references))
    }
}

impl BigSegmentDatabase {
    pub(super) fn shared(&self) -> Arc<dyn BigSegmentStore> {
        self.0.clone()
    }
}

fn redis(url: String, prefix: String, user: Option<String>, password: Option<String>, link: Link) -> Redis {
    let mut redis = Redis::new(url).prefix(prefix);
    if let Some(user) = user {
        redis = redis.user(user);
    }
    if let Some(password) = password {
        redis = redis.password(password);
    }
    if let Some(time) = link.connect_timeout {
        redis = redis.connect_timeout(limit(time));
    }
    if let Some(time) = link.timeout {
        redis = redis.timeout(limit(time));
    }
    if let Some(path) = link.ca_file {
        redis = redis.ca_file(path);
    }
    redis
}

fn dynamodb(
    table: String,
    prefix: String,
    endpoint: Option<String>,
    region: Option<String>,
    credentials: Option<(String, String, Option<String>)>,
    link: Link,
) -> DynamoDb {
    let mut dynamodb = DynamoDb::new(table).prefix(prefix);
    if let Some(url) = endpoint {
        dynamodb = dynamodb.endpoint(url);
    }
    if let Some(region) = region {
        dynamodb = dynamodb.region(region);
    }
    if let Some((id, secret, token)) = credentials {
        dynamodb = dynamodb.credentials(id, secret);
        if let Some(token) = token {
            dynamodb = dynamodb.session_token(token);
        }
    }
    if let Some(time) = link.connect_timeout {
        dynamodb = dynamodb.connect_timeout(limit(time));
    }
    if let Some(time) = link.timeout {
        dynamodb = dynamodb.timeout(limit(time));
    }
    if let Some(path) = link.ca_file {
        dynamodb = dynamodb.ca_file(path);
    }
    dynamodb
}

/// No time at all is no time-out that anything could keep to.
fn limit(seconds: f64) -> Duration {
    duration(seconds).max(Duration::from_millis(1))
}

fn item_kind(namespace: &str) -> PyResult<ItemKind> {
    match namespace {
        "features" => Ok(ItemKind::Flag),
        "segments" => Ok(ItemKind::Segment),
        other => Err(PyValueError::new_err(format!("databases keep features and segments, not `{other}`"))),
    }
}

fn stored_item(kind: &str, key: &str, item: &Bound<'_, PyAny>) -> PyResult<StoredItem> {
    let json = items::json(&items::dictionary(item.clone())?);
    let version = json.get("version").and_then(Value::as_f64).unwrap_or_default();
    let json = json.to_string().into();
    Ok(StoredItem { kind: item_kind(kind)?, key: key.into(), version: version as u64, json })
}

fn item<'py>(py: Python<'py>, key: &str, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let json: Value = serde_json::from_str(text)
        .map_err(|error| PyValueError::new_err(format!("`{key}` in the database cannot be read: {error}")))?;
    to_python(py, &json)
}

fn raised(error: StoreError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

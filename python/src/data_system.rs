//! `ldclient.datasystem`, read into the client core's data system; and the sources in it that are written
//! in Python.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flagstaff_sdk::{
    Config, DataSourceErrorKind, DataSystem, FileDataSource, Initializer, LogLevel, PollingSource,
    StreamingSource, Synchronizer, TransferSource,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::call_outs::call_out;
use crate::logging;
use crate::settings::{duration, network};
use crate::value::text_of;

/// `ldclient.impl.system_sources.NativeSource`: a source that the client core has.
#[derive(FromPyObject)]
struct NativeSource<'py> {
    kind: String,
    base_uri: Option<String>,
    seconds: Option<f64>,
    paths: Vec<PathBuf>,
    /// An `HTTPConfig`.
    http: Option<Bound<'py, PyAny>>,
}

impl NativeSource<'_> {
    fn polling(self) -> PyResult<PollingSource> {
        let mut source = PollingSource::new();
        if let Some(network) = self.network()? {
            source = source.network(network);
        }
        if let Some(uri) = self.base_uri {
            source = source.base_uri(uri);
        }
        if let Some(seconds) = self.seconds {
            source = source.interval(duration(seconds));
        }
        Ok(source)
    }

    fn streaming(self) -> PyResult<StreamingSource> {
        let mut source = StreamingSource::new();
        if let Some(network) = self.network()? {
            source = source.network(network);
        }
        if let Some(uri) = self.base_uri {
            source = source.base_uri(uri);
        }
        if let Some(seconds) = self.seconds {
            source = source.initial_reconnect_delay(duration(seconds));
        }
        Ok(source)
    }

    fn network(&self) -> PyResult<Option<Config>> {
        self.http.as_ref().map(|http| network(Config::new(""), http)).transpose()
    }

    fn files(self) -> FileDataSource {
        let files = FileDataSource::new(self.paths);
        match self.seconds {
            Some(seconds) => files.poll_interval(duration(seconds)),
            None => files,
        }
    }
}

/// The data system that a config has, if it has one that something is received with.
pub(crate) fn read(config: &Bound<'_, PyAny>) -> PyResult<Option<DataSystem>> {
    let py = config.py();
    let is_none = config.getattr("datasystem_config")?.is_none();
    if is_none || config.getattr("use_ldd")?.is_truthy()? || config.getattr("offline")?.is_truthy()? {
        return Ok(None);
    }
    let (initializers, synchronizers, fallback) =
        py.import("ldclient.impl.system_sources")?.call_method1("sources", (config,))?.extract()?;
    let (initializers, synchronizers): (Vec<Bound<'_, PyAny>>, Vec<Bound<'_, PyAny>>) =
        (initializers, synchronizers);
    let fallback: Option<NativeSource<'_>> = fallback;

    let mut system = DataSystem::custom();
    for source in initializers {
        match initializer(&source)? {
            Some(initializer) => system = system.initializer(initializer),
            None => misplaced(&source, "an initializer"),
        }
    }
    for source in synchronizers {
        match synchronizer(&source)? {
            Some(synchronizer) => system = system.synchronizer(synchronizer),
            None => misplaced(&source, "a synchronizer"),
        }
    }
    if let Some(source) = fallback {
        system = system.fdv1_fallback(source.polling()?);
    }
    Ok(Some(system))
}

fn initializer(source: &Bound<'_, PyAny>) -> PyResult<Option<Initializer>> {
    let Some(native) = native(source)? else {
        return Ok(Some(Initializer::own(PythonSource::new(source, "initialize")?)));
    };
    Ok(match &*native.kind {
        "polling" => Some(native.polling()?.into()),
        "files" => Some(native.files().into()),
        _ => None,
    })
}

fn synchronizer(source: &Bound<'_, PyAny>) -> PyResult<Option<Synchronizer>> {
    let Some(native) = native(source)? else {
        return Ok(Some(Synchronizer::own(PythonSource::new(source, "synchronize")?)));
    };
    Ok(match &*native.kind {
        "polling" => Some(native.polling()?.into()),
        "streaming" => Some(native.streaming()?.into()),
        "files" => Some(native.files().into()),
        _ => None,
    })
}

/// None for a source written in Python.
fn native<'py>(source: &Bound<'py, PyAny>) -> PyResult<Option<NativeSource<'py>>> {
    if source.hasattr("kind")? { source.extract().map(Some) } else { Ok(None) }
}

fn misplaced(source: &Bound<'_, PyAny>, place: &str) {
    let message = format!("A data source cannot be {place} and is ignored: {}", text_of(source));
    logging::log(source.py(), LogLevel::Warn, &message);
}

/// `ldclient.impl.system_sources.OwnSource`, in its place in the order. That contains what the source raises.
struct PythonSource {
    source: Arc<Py<PyAny>>,
    name: String,
    /// What it is called by.
    method: &'static str,
}

impl PythonSource {
    fn new(source: &Bound<'_, PyAny>, method: &'static str) -> PyResult<Self> {
        let name = source.getattr("name")?.extract()?;
        Ok(Self { source: Arc::new(source.clone().unbind()), name, method })
    }
}

impl TransferSource for PythonSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, transfers: flagstaff_sdk::Transfers) {
        let (source, method, ending) = (self.source.clone(), self.method, transfers.clone());
        call_out(move |py| {
            let arguments = (Transfers(transfers),).into_pyobject(py)?;
            Ok((source.getattr(py, method)?, arguments.unbind()))
        });
        // Somebody may still have the Python object, if only by the traceback of an exception.
        ending.end();
    }

    fn stop(&self) {
        let source = self.source.clone();
        call_out(move |py| Ok((source.getattr(py, "stop")?, PyTuple::empty(py).unbind())));
    }
}

/// Where a source written in Python says what it has. All of it waits until it was heard.
#[pyclass(module = "ldclient._native", frozen)]
struct Transfers(flagstaff_sdk::Transfers);

#[pymethods]
impl Transfers {
    /// What the data that is held is called.
    fn selector(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.0.selector())
    }

    /// Takes messages of second-generation delivery, as a poll is answered with.
    fn take_json(&self, py: Python<'_>, json: &str) -> PyResult<()> {
        py.detach(|| self.0.take_json(json.as_bytes()))
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn interrupted(&self, py: Python<'_>, kind: &str, message: &str) {
        py.detach(|| self.0.interrupted(error_kind(kind), message));
    }

    fn off(&self, py: Python<'_>, kind: &str, message: &str) {
        py.detach(|| self.0.off(error_kind(kind), message));
    }

    /// Asks for first-generation delivery.
    fn fall_back(&self, py: Python<'_>) {
        py.detach(|| self.0.fall_back());
    }

    fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }

    fn wait_until_stopped(&self, py: Python<'_>, seconds: f64) -> bool {
        let at_most: Duration = duration(seconds);
        py.detach(|| self.0.wait_until_stopped(at_most))
    }
}

/// The kind of error that Python calls so.
fn error_kind(name: &str) -> DataSourceErrorKind {
    use DataSourceErrorKind::{ErrorResponse, InvalidData, NetworkError, StoreError};
    let known = [NetworkError, ErrorResponse, InvalidData, StoreError];
    known.into_iter().find(|kind| kind.as_str() == name).unwrap_or(DataSourceErrorKind::Unknown)
}

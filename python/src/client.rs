//! The native client: a `flagstaff_sdk::Client` that reads and answers in Python's terms.
//!
//! Evaluations hold the interpreter throughout, because they are short; whatever waits lets go of it.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use flagstaff_sdk::{AllFlagsOptions, AllFlagsState, DataSet, EventContext};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString};

use crate::asked::Asked;
use crate::caller::{Caller, Unusable};
use crate::complaints::Complaints;
use crate::data_source::ProgramSource;
use crate::listeners::{StatusParts, status_parts};
use crate::logging;
use crate::notices::{self, WaitingForFlags};
use crate::results::{FlagsState, flags_state, reason_to_python};
use crate::seen::{EventSink, FlagLookup, OwnParts};
use crate::settings;
use crate::start;
use crate::stores;
use crate::value::{FromPython, text_of, to_python, type_name};
use crate::visits;
use crate::waits::{self, Holding};

/// How often a thread that waits for flags looks whether the program was interrupted.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// What `EvaluationDetail` is made of.
pub(crate) type DetailParts<'py> = (Bound<'py, PyAny>, Option<usize>, Bound<'py, PyDict>);

/// The native half of `LDClient`.
#[pyclass(module = "ldclient._native", name = "Client", frozen)]
pub(crate) struct Client {
    inner: Arc<flagstaff_sdk::Client>,
    /// `Config.defaults`.
    defaults: Py<PyAny>,
    complaints: Complaints,
    /// Whether the program wants no connection for flags, and so none is missing.
    without_connection: bool,
    has_sdk_key: bool,
    /// Whether an evaluation may have to ask a database.
    may_wait: bool,
    /// What brings flags, if it is not the client core.
    source: Option<ProgramSource>,
    /// What of the program's own evaluations pass by; mostly nothing.
    parts: Option<OwnParts>,
}

#[pymethods]
impl Client {
    /// Starts a client; does not wait for flags. `start_wait` is how long somebody will, in seconds.
    ///
    /// `before_connecting` is called with the client once it can be used: nothing is received before it
    /// returns. `events` takes events instead of the client's own pipeline, `source` brings flags; with
    /// `keeps_items` they can be read back.
    #[staticmethod]
    #[pyo3(signature = (config, version, start_wait, before_connecting, events=None, source=None, keeps_items=false))]
    fn start(
        config: &Bound<'_, PyAny>,
        version: &str,
        start_wait: f64,
        before_connecting: Py<PyAny>,
        events: Option<Py<PyAny>>,
        source: Option<Py<PyAny>>,
        keeps_items: bool,
    ) -> PyResult<Py<Self>> {
        let py = config.py();
        // Plugins and the like are called meanwhile.
        let _counted = visits::enter();
        logging::refresh_level(py);
        waits::let_go_while_waiting();
        let mut settings = settings::read(config, version, start_wait)?.keep_items(keeps_items);
        let source = source.map(ProgramSource::new);
        if let Some(source) = &source {
            settings = settings.data_source(source.clone());
        }
        let config = config.clone().unbind();
        let make = move |py: Python<'_>, core| {
            let events = events.as_ref().map(|events| EventSink::new(events.clone_ref(py)));
            let store = stores::lookup(config.bind(py), &core)?;
            let parts = OwnParts { events, store };
            let source = source.clone();
            Py::new(py, Self { source, ..Self::of(core, config.bind(py), parts)? })
        };
        start::start(py, settings, Box::new(make), before_connecting)
    }

    #[pyo3(signature = (key, context, default, /))]
    fn variation<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let asked = self.asked(key, default);
        let value = asked.evaluate(context, false, |detail, _| {
            detail.value.map(|value| to_python(py, value)).transpose()
        })?;
        let value = value.unwrap_or_else(|| asked.effective_default());
        logging::finish(py)?;
        Ok(value)
    }

    #[pyo3(signature = (key, context, default, /))]
    fn variation_detail<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<DetailParts<'py>> {
        self.detail(key, context, default, true)
    }

    /// As `variation`, with what hooks are told: the reason is not reported.
    #[pyo3(signature = (key, context, default, /))]
    fn variation_for_hooks<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<DetailParts<'py>> {
        self.detail(key, context, default, false)
    }

    #[pyo3(signature = (event_name, context, data, metric_value, /))]
    fn track(
        &self,
        event_name: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        metric_value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = event_name.py();
        let caller = Caller::of(context);
        if let Caller::Unusable(why) = &caller {
            self.complaints.unusable(py, why, "track");
            return logging::finish(py);
        }
        let name = text_of(event_name);
        let metric = metric(metric_value).unwrap_or_else(|problem| {
            self.complaints.warn_of(py, &format!("metric value of {name}"), || problem);
            None
        });
        if let Some(events) = self.event_sink() {
            match &caller {
                Caller::Context(known) => {
                    if let Ok(known) = known.get().checked() {
                        events.tracked(&name, context, known, data, metric);
                    }
                }
                Caller::User(user) => events.tracked(&name, context, user, data, metric),
                Caller::Unusable(_) => {}
            }
            return logging::finish(py);
        }
        let mut convert = FromPython::default();
        let data = convert.value(data);
        if let Some(type_name) = convert.replaced {
            logging::warn_of_other_type(py, &type_name);
        }
        match &caller {
            Caller::Context(context) => {
                if let Ok(context) = context.get().checked() {
                    self.inner.track(&name, context, data, metric);
                }
            }
            Caller::User(user) => {
                self.inner.track(&name, user, data, metric);
                user.warn_of_other_types(py);
            }
            Caller::Unusable(_) => {}
        }
        logging::finish(py)
    }

    #[pyo3(signature = (context, /))]
    fn identify(&self, context: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = context.py();
        match Caller::of(context) {
            Caller::Context(known) => {
                if let Ok(known) = known.get().checked() {
                    match self.event_sink() {
                        Some(events) => events.identified(context, known),
                        None => self.inner.identify(known),
                    }
                }
            }
            // A user without a name to be found by is of no use to anybody.
            Caller::User(user) if user.has_blank_key() => {
                self.complaints.unusable(py, &Unusable::NoKey, "identify");
            }
            Caller::User(user) => {
                match self.event_sink() {
                    Some(events) => events.identified(context, &user),
                    None => self.inner.identify(&user),
                }
                user.warn_of_other_types(py);
            }
            Caller::Unusable(why) => self.complaints.unusable(py, &why, "identify"),
        }
        logging::finish(py)
    }

    #[pyo3(signature = (context, client_side_only, with_reasons, details_only_for_tracked_flags, /))]
    fn all_flags_state<'py>(
        &self,
        context: &Bound<'py, PyAny>,
        client_side_only: bool,
        with_reasons: bool,
        details_only_for_tracked_flags: bool,
    ) -> PyResult<Option<FlagsState<'py>>> {
        let py = context.py();
        let store = self.own_store();
        let data = store.map(|store| store.all_data(py, &|| self.source_is_initialized(py)));
        if let Some(None) = data {
            logging::finish(py)?;
            return Ok(None);
        }
        if let Some(message) = self.why_no_flags(py).filter(|_| store.is_none()) {
            self.complaints.warn(py, message);
            logging::finish(py)?;
            return Ok(None);
        }
        if store.is_none() && !self.inner.is_initialized() && self.inner.data_set().flags().next().is_none() {
            // A data source of the program's says that it has everything, and brought nothing.
            return Ok(Some((PyDict::new(py), PyDict::new(py))));
        }
        let options = AllFlagsOptions { client_side_only, with_reasons, details_only_for_tracked_flags };
        let _holding = self.may_wait.then(|| Holding::new(py));
        let state = match Caller::of(context) {
            Caller::Context(context) => {
                let Ok(context) = context.get().checked() else { return Ok(None) };
                self.all_flags_in(data.flatten().as_deref(), context, options)
            }
            Caller::User(user) => self.all_flags_in(data.flatten().as_deref(), &user, options),
            Caller::Unusable(why) => {
                self.complaints.unusable(py, &why, "all_flags_state");
                logging::finish(py)?;
                return Ok(None);
            }
        };
        logging::finish(py)?;
        if state.is_valid() { flags_state(py, &state).map(Some) } else { Ok(None) }
    }

    #[pyo3(signature = (context, /))]
    fn secure_mode_hash(&self, context: &Bound<'_, PyAny>) -> PyResult<String> {
        let py = context.py();
        if !self.has_sdk_key {
            return Ok(String::new());
        }
        let hash = match Caller::of(context) {
            Caller::Context(context) => context
                .get()
                .checked()
                .map(|context| self.inner.secure_mode_hash(context))
                .unwrap_or_default(),
            Caller::User(user) => self.inner.secure_mode_hash(&user),
            Caller::Unusable(why) => {
                self.complaints.unusable(py, &why, "secure_mode_hash");
                String::new()
            }
        };
        logging::finish(py)?;
        Ok(hash)
    }

    /// Waits for flags, or for the first answer that makes waiting pointless; interrupts are heard.
    fn wait_until_ready(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let started = Instant::now();
        loop {
            let slice = wait.saturating_sub(started.elapsed()).min(SIGNAL_INTERVAL);
            if let Some(source) = &self.source {
                let is_over = source.wait(py, slice)?;
                if is_over || slice.is_zero() {
                    return Ok(is_over);
                }
                continue;
            }
            let begun = Instant::now();
            let Some(counted) = visits::enter() else { return Ok(false) };
            let ready = py.detach(|| self.inner.wait_until_ready(slice));
            drop(counted);
            logging::finish(py)?;
            py.check_signals()?;
            // Back before its time: the flags have come, or there will be none soon. At the end of its time
            // it is also ready if there are some that were known before, but newer ones may still come.
            if slice.is_zero() || begun.elapsed() < slice {
                return Ok(ready);
            }
        }
    }

    /// Whether an evaluation may have to ask a database, and so be kept waiting.
    #[getter]
    fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// Whether the evaluation of this flag, begun at once, may be kept waiting.
    #[pyo3(signature = (key, /))]
    fn may_wait_for(&self, key: &Bound<'_, PyAny>) -> bool {
        let asks = || match key.cast::<PyString>().ok().and_then(|key| key.to_str().ok()) {
            Some(key) => self.inner.may_wait_for(key),
            // Whatever is no text is no flag's key either.
            None => false,
        };
        self.may_wait && (self.own_store().is_some() || asks())
    }

    /// As `wait_until_ready`, for as long as it takes and without keeping a thread: `tell` is called with what
    /// that would give, on a thread of ours.
    fn when_ready(&self, tell: Py<PyAny>) -> WaitingForFlags {
        notices::once_known(self.inner.ready(), tell)
    }

    fn is_initialized(&self, py: Python<'_>) -> bool {
        self.without_connection
            || self.inner.is_initialized()
            || self.source_is_initialized(py)
            || self.own_store().is_some_and(|store| store.is_initialized(py))
    }

    /// The id of the environment, once the service has said it.
    fn environment_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.inner.environment_id().map(|id| PyString::new(py, &id))
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.inner.flush();
        logging::refresh_level(py);
        logging::finish(py)
    }

    /// Has events sent now; `tell` is called once they are, on a thread of ours, with whether they were.
    fn flush_then(&self, py: Python<'_>, tell: Py<PyAny>) -> PyResult<()> {
        self.inner.flush_then(move |sent| notices::soon(tell, sent));
        logging::finish(py)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let _counted = visits::enter();
        py.detach(|| self.inner.close());
        logging::finish(py)
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn data_source_status(&self) -> StatusParts {
        status_parts(&self.inner.data_source_status())
    }

    /// What `DataStoreStatus` is made of.
    fn data_store_status(&self) -> (bool, bool) {
        let status = self.inner.data_store_status();
        (status.available, status.stale)
    }

    /// What `BigSegmentStoreStatus` is made of. Waits for the store if it was never asked.
    fn big_segment_store_status(&self, py: Python<'_>) -> (bool, bool) {
        let status = py.detach(|| self.inner.big_segment_store_status());
        (status.available, status.stale)
    }
}

impl Client {
    pub(crate) fn complaints(&self) -> &Complaints {
        &self.complaints
    }

    pub(crate) fn inner(&self) -> &Arc<flagstaff_sdk::Client> {
        &self.inner
    }

    /// Python's half of a client that is not connected yet.
    fn of(core: flagstaff_sdk::Client, config: &Bound<'_, PyAny>, parts: OwnParts) -> PyResult<Self> {
        let offline = config.getattr("offline")?.is_truthy()?;
        Ok(Self {
            inner: Arc::new(core),
            defaults: config.getattr("defaults")?.unbind(),
            complaints: Complaints::default(),
            without_connection: offline || config.getattr("use_ldd")?.is_truthy()?,
            has_sdk_key: config.getattr("sdk_key")?.is_truthy()?,
            may_wait: settings::may_wait(config)?,
            source: None,
            parts: parts.into_option(),
        })
    }

    fn detail<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
        with_reason: bool,
    ) -> PyResult<DetailParts<'py>> {
        let py = key.py();
        let asked = self.asked(key, default);
        let (value, index, reason) = asked.evaluate(context, with_reason, |detail, _| {
            let value = detail.value.map(|value| to_python(py, value)).transpose()?;
            Ok((value, detail.variation_index, reason_to_python(py, &detail.reason)?))
        })?;
        let value = value.unwrap_or_else(|| asked.effective_default());
        logging::finish(py)?;
        Ok((value, index, reason))
    }

    #[inline]
    pub(crate) fn asked<'a, 'py>(
        &'a self,
        key: &'a Bound<'py, PyAny>,
        default: &'a Bound<'py, PyAny>,
    ) -> Asked<'a, 'py> {
        let defaults = self.defaults.bind(key.py());
        let may_wait = self.may_wait;
        Asked {
            client: &self.inner,
            defaults,
            complaints: &self.complaints,
            key,
            default,
            parts: self.parts.as_ref(),
            source: self.source.as_ref(),
            may_wait,
        }
    }

    fn event_sink(&self) -> Option<&EventSink> {
        self.parts.as_ref()?.events.as_ref()
    }

    /// Where flags are kept, if it is not the client's memory.
    fn own_store(&self) -> Option<&dyn FlagLookup> {
        self.parts.as_ref()?.store.as_deref()
    }

    fn all_flags_in<C: EventContext>(
        &self,
        data: Option<&DataSet>,
        context: &C,
        options: AllFlagsOptions,
    ) -> AllFlagsState {
        match data {
            Some(data) => self.inner.all_flags_state_in(data, context, options),
            None => self.inner.all_flags_state(context, options),
        }
    }

    fn source_is_initialized(&self, py: Python<'_>) -> bool {
        self.source.as_ref().is_some_and(|source| source.is_initialized(py))
    }

    /// What is said when flags are asked for that are not there.
    fn why_no_flags(&self, py: Python<'_>) -> Option<&'static str> {
        if self.inner.is_offline() {
            Some("all_flags_state() called, but client is in offline mode. Returning empty state")
        } else if !self.inner.is_initialized() && !self.source_is_initialized(py) {
            Some(
                "all_flags_state() called before client has finished initializing! \
                 Feature store unavailable - returning empty state",
            )
        } else {
            None
        }
    }
}

/// Has a client begin with the flags of one whose place it takes; that may be one of a parent process.
#[pyfunction]
#[pyo3(signature = (client, other, /))]
pub(crate) fn remind_of(py: Python<'_>, client: &Client, other: &Client) {
    py.detach(|| client.inner.remind_of(&other.inner));
}

/// Closes several clients at once, within a time limit.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>, clients: Vec<Py<Client>>, seconds: f64) {
    if clients.is_empty() {
        return;
    }
    let at_most = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let (done, all_done) = mpsc::channel();
    for client in clients {
        let inner = Arc::clone(&client.get().inner);
        let done = done.clone();
        // A client that cannot be closed on a thread of its own is left to the end of the process.
        let _ = std::thread::Builder::new().spawn(move || {
            inner.close();
            drop(done);
        });
    }
    drop(done);
    // Nothing is ever sent: the last client to be done hangs up.
    py.detach(move || {
        let _: Result<(), _> = all_done.recv_timeout(at_most);
    });
}

/// A metric value that can be sent; none in place of one that cannot.
fn metric(value: &Bound<'_, PyAny>) -> Result<Option<f64>, String> {
    if value.is_none() {
        return Ok(None);
    }
    let is_number = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
    match value.extract::<f64>() {
        Ok(number) if is_number && number.is_finite() => Ok(Some(number)),
        // Its type alone: the value may be anything of the program's, and this line goes to the log.
        _ => Err(format!(
            "track() was given a metric_value that is no finite number, but a {}; it is left out",
            type_name(value)
        )),
    }
}

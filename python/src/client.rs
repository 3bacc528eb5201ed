//! The native client: a `flagstaff_sdk::Client` that reads and answers in Python's terms.
//!
//! Evaluations hold the interpreter throughout, because they are short; whatever waits lets go of it.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flagstaff_sdk::{
    AllFlagsOptions, Config, Detail, ErrorKind, EventContext, EventDefault, LogLevel, Value,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString};

use crate::caller::{Caller, Unusable};
use crate::logging;
use crate::results::{FlagsState, flags_state, reason_to_python};
use crate::settings;
use crate::value::{FromPython, text_of, to_python};

/// How often a thread that waits for flags looks whether the program was interrupted.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);
const BLANK_KEY: &str =
    "User key is blank. Flag evaluation will proceed, but the user will not be stored in LaunchDarkly.";

/// What `EvaluationDetail` is made of.
type DetailParts<'py> = (Bound<'py, PyAny>, Option<usize>, Bound<'py, PyDict>);
/// What `DataSourceStatus` is made of: state, since when, and the last error's kind, HTTP status, time
/// and message. Times are Unix seconds.
type StatusParts = (String, f64, Option<(String, u16, f64, String)>);

/// The native half of `LDClient`.
#[pyclass(module = "ldclient._native", name = "Client", frozen)]
pub(crate) struct Client {
    inner: Arc<flagstaff_sdk::Client>,
    /// `Config.defaults`.
    defaults: Py<PyAny>,
    /// Whether the program wants no connection for flags, and so none is missing.
    without_connection: bool,
    has_sdk_key: bool,
}

#[pymethods]
impl Client {
    /// Starts a client; does not wait for flags.
    #[new]
    fn new(config: &Bound<'_, PyAny>, version: &str) -> PyResult<Self> {
        let py = config.py();
        logging::refresh_level(py);
        let settings = settings::read(config, version)?;
        let offline = config.getattr("offline")?.is_truthy()?;
        let inner = py.detach(|| flagstaff_sdk::Client::start(settings)).or_else(|error| {
            let message =
                format!("The client could not be started, evaluations give defaults: {}", chain(&error));
            logging::log(py, LogLevel::Error, &message);
            let silent = Config::new("").offline(true).answer_when_closed(true);
            py.detach(|| flagstaff_sdk::Client::start(silent))
                .map_err(|error| pyo3::exceptions::PyRuntimeError::new_err(chain(&error)))
        })?;
        logging::drain(py);
        Ok(Self {
            inner: Arc::new(inner),
            defaults: config.getattr("defaults")?.unbind(),
            without_connection: offline || config.getattr("use_ldd")?.is_truthy()?,
            has_sdk_key: config.getattr("sdk_key")?.is_truthy()?,
        })
    }

    #[pyo3(signature = (key, context, default, /))]
    fn variation<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let asked = Asked { client: self, key, default };
        let value = asked
            .evaluate(context, false, |detail| detail.value.map(|value| to_python(py, value)).transpose())?;
        Ok(value.unwrap_or_else(|| asked.effective_default()))
    }

    #[pyo3(signature = (key, context, default, /))]
    fn variation_detail<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<DetailParts<'py>> {
        let py = key.py();
        let asked = Asked { client: self, key, default };
        let (value, index, reason) = asked.evaluate(context, true, |detail| {
            let value = detail.value.map(|value| to_python(py, value)).transpose()?;
            Ok((value, detail.variation_index, reason_to_python(py, &detail.reason)?))
        })?;
        Ok((value.unwrap_or_else(|| asked.effective_default()), index, reason))
    }

    #[pyo3(signature = (event_name, context, data, metric_value, /))]
    fn track(
        &self,
        event_name: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        metric_value: &Bound<'_, PyAny>,
    ) {
        let py = event_name.py();
        let caller = Caller::of(context);
        if let Caller::Unusable(why) = &caller {
            return warn_of_unusable(py, why, "track");
        }
        let mut convert = FromPython::default();
        let data = convert.value(data);
        if let Some(type_name) = convert.replaced {
            logging::warn_of_other_type(py, &type_name);
        }
        let metric = metric(metric_value);
        let name = text_of(event_name);
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
        logging::drain(py);
    }

    #[pyo3(signature = (context, /))]
    fn identify(&self, context: &Bound<'_, PyAny>) {
        let py = context.py();
        match Caller::of(context) {
            Caller::Context(context) => {
                if let Ok(context) = context.get().checked() {
                    self.inner.identify(context);
                }
            }
            // A user without a name to be found by is of no use to anybody.
            Caller::User(user) if user.has_blank_key() => {
                warn_of_unusable(py, &Unusable::NoKey, "identify");
            }
            Caller::User(user) => {
                self.inner.identify(&user);
                user.warn_of_other_types(py);
            }
            Caller::Unusable(why) => warn_of_unusable(py, &why, "identify"),
        }
        logging::drain(py);
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
        if let Some(message) = self.why_no_flags() {
            logging::log(py, LogLevel::Warn, message);
            return Ok(None);
        }
        let options = AllFlagsOptions { client_side_only, with_reasons, details_only_for_tracked_flags };
        let state = match Caller::of(context) {
            Caller::Context(context) => {
                let Ok(context) = context.get().checked() else { return Ok(None) };
                self.inner.all_flags_state(context, options)
            }
            Caller::User(user) => self.inner.all_flags_state(&user, options),
            Caller::Unusable(why) => {
                warn_of_unusable(py, &why, "all_flags_state");
                return Ok(None);
            }
        };
        logging::drain(py);
        if state.is_valid() { flags_state(py, &state).map(Some) } else { Ok(None) }
    }

    #[pyo3(signature = (context, /))]
    fn secure_mode_hash(&self, context: &Bound<'_, PyAny>) -> String {
        let py = context.py();
        if !self.has_sdk_key {
            return String::new();
        }
        match Caller::of(context) {
            Caller::Context(context) => context
                .get()
                .checked()
                .map(|context| self.inner.secure_mode_hash(context))
                .unwrap_or_default(),
            Caller::User(user) => self.inner.secure_mode_hash(&user),
            Caller::Unusable(why) => {
                warn_of_unusable(py, &why, "secure_mode_hash");
                String::new()
            }
        }
    }

    /// Waits for flags, or for the first answer that makes waiting pointless; interrupts are heard.
    fn wait_until_ready(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let started = Instant::now();
        loop {
            let slice = wait.saturating_sub(started.elapsed()).min(SIGNAL_INTERVAL);
            let begun = Instant::now();
            let ready = py.detach(|| self.inner.wait_until_ready(slice));
            logging::drain(py);
            py.check_signals()?;
            // Back before its time without flags: there will be none soon.
            if ready || slice.is_zero() || begun.elapsed() < slice {
                return Ok(ready);
            }
        }
    }

    fn is_initialized(&self) -> bool {
        self.without_connection || self.inner.is_initialized()
    }

    fn flush(&self, py: Python<'_>) {
        self.inner.flush();
        logging::refresh_level(py);
        logging::drain(py);
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.inner.close());
        logging::drain(py);
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn data_source_status(&self) -> StatusParts {
        let status = self.inner.data_source_status();
        let error = status.last_error.map(|error| {
            let kind = error.kind.as_str().to_lowercase();
            (kind, error.status_code.unwrap_or(0), unix_seconds(error.time), error.message)
        });
        (status.state.as_str().to_lowercase(), unix_seconds(status.state_since), error)
    }
}

impl Client {
    /// What is said when flags are asked for that are not there.
    fn why_no_flags(&self) -> Option<&'static str> {
        if self.inner.is_offline() {
            Some("all_flags_state() called, but client is in offline mode. Returning empty state")
        } else if !self.inner.is_initialized() {
            Some(
                "all_flags_state() called before client has finished initializing! \
                 Feature store unavailable - returning empty state",
            )
        } else {
            None
        }
    }
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

/// One question of a caller's.
struct Asked<'a, 'py> {
    client: &'a Client,
    key: &'a Bound<'py, PyAny>,
    default: &'a Bound<'py, PyAny>,
}

impl<'py> Asked<'_, 'py> {
    #[inline]
    fn evaluate<R>(
        &self,
        context: &Bound<'py, PyAny>,
        with_reason: bool,
        then: impl FnOnce(Detail<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let py = self.key.py();
        // Whatever is no text is no flag's key either.
        let key = self.key.cast::<PyString>().ok().and_then(|key| key.to_str().ok()).unwrap_or_default();
        match Caller::of(context) {
            Caller::Context(context) => match context.get().checked() {
                Ok(context) => self.evaluate_for(key, context, with_reason, then),
                Err(_) => then(Detail::error(ErrorKind::UserNotSpecified)),
            },
            Caller::User(user) => {
                if user.has_blank_key() {
                    logging::log(py, LogLevel::Warn, BLANK_KEY);
                }
                let answer = self.evaluate_for(key, &user, with_reason, then);
                user.warn_of_other_types(py);
                answer
            }
            Caller::Unusable(why) => self.without_context(key, &why, then),
        }
    }

    #[inline]
    fn evaluate_for<C: EventContext, R>(
        &self,
        key: &str,
        context: &C,
        with_reason: bool,
        then: impl FnOnce(Detail<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let mut error = None;
        let answer = self.client.inner.evaluate_with(key, context, self, with_reason, |detail| {
            error = detail.reason.error_kind();
            then(detail)
        });
        if let Some(error) = error {
            self.explain(error);
        }
        logging::drain(self.key.py());
        answer
    }

    /// The first thing that is wrong, in the order of the era that the caller's input belongs to.
    #[cold]
    fn without_context<R>(
        &self,
        key: &str,
        why: &Unusable<'py>,
        then: impl FnOnce(Detail<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let py = self.key.py();
        let inner = &self.client.inner;
        if inner.is_offline() || !inner.is_initialized() {
            self.explain(ErrorKind::ClientNotReady);
            return then(Detail::error(ErrorKind::ClientNotReady));
        }
        let knows_flag = || inner.data_set().flag(key).is_some();
        let error = match why {
            Unusable::Context(_) | Unusable::OtherType(_) => {
                warn_of_unusable(py, why, "flag evaluation");
                ErrorKind::UserNotSpecified
            }
            Unusable::NoKey | Unusable::KeyMissing if !knows_flag() => ErrorKind::FlagNotFound,
            Unusable::NoKey => {
                logging::log(py, LogLevel::Warn, "User or user key is None; returning default value");
                ErrorKind::UserNotSpecified
            }
            Unusable::KeyMissing => {
                logging::log(py, LogLevel::Warn, BLANK_KEY);
                ErrorKind::UserNotSpecified
            }
        };
        then(Detail::error(error))
    }

    #[cold]
    fn explain(&self, error: ErrorKind) {
        let py = self.key.py();
        let key = || text_of(self.key);
        match error {
            ErrorKind::ClientNotReady if !self.client.inner.is_offline() => {
                let message = format!(
                    "Feature Flag evaluation attempted before client has initialized! Feature store unavailable \
                     - returning default: {} for feature key: {}",
                    text_of(&self.effective_default()),
                    key()
                );
                logging::log(py, LogLevel::Warn, &message);
            }
            ErrorKind::Exception => {
                let message = format!("Unexpected error while evaluating feature flag \"{}\"", key());
                logging::log(py, LogLevel::Error, &message);
            }
            _ => {}
        }
    }

    /// What the caller gets if there is no value: the very object that was given.
    fn effective_default(&self) -> Bound<'py, PyAny> {
        let defaults = self.client.defaults.bind(self.key.py());
        let configured = match defaults.cast_exact::<PyDict>() {
            Ok(defaults) if defaults.is_empty() => None,
            Ok(defaults) => defaults.get_item(self.key).ok().flatten(),
            Err(_) => defaults.call_method1("get", (self.key, self.default)).ok(),
        };
        configured.unwrap_or_else(|| self.default.clone())
    }
}

impl EventDefault for Asked<'_, '_> {
    fn to_value(&self) -> Value {
        FromPython::default().value(&self.effective_default())
    }
}

/// Says that a call came to nothing, in the words of the era that its input belongs to.
#[cold]
fn warn_of_unusable(py: Python<'_>, why: &Unusable<'_>, call: &str) {
    let error = match why {
        Unusable::Context(context) => context.get().checked().err().unwrap_or_default().to_owned(),
        Unusable::OtherType(type_name) => format!("Cannot use a {type_name} as a context"),
        Unusable::NoKey | Unusable::KeyMissing => {
            let message = match call {
                "all_flags_state" => {
                    "User or user key is None when calling all_flags_state(). Returning empty state."
                        .to_owned()
                }
                _ => format!("Missing user or user key when calling {call}()."),
            };
            return logging::log(py, LogLevel::Warn, &message);
        }
    };
    let message = match call {
        "flag evaluation" => {
            format!("Context was invalid for flag evaluation ({error}); returning default value")
        }
        "all_flags_state" => {
            format!("Context was invalid for all_flags_state ({error}); returning default value")
        }
        "secure_mode_hash" => {
            format!("Context was invalid for secure_mode_hash ({error}); returning empty hash")
        }
        _ => format!("Invalid context for {call} ({error})"),
    };
    logging::log(py, LogLevel::Warn, &message);
}

/// A metric value that can be sent; none, with a warning, in place of one that cannot.
fn metric(value: &Bound<'_, PyAny>) -> Option<f64> {
    if value.is_none() {
        return None;
    }
    let is_number = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
    let number = value.extract::<f64>().ok().filter(|number| is_number && number.is_finite());
    if number.is_none() {
        let message = format!("track() was given a metric_value that is no number: {}", text_of(value));
        logging::log(value.py(), LogLevel::Warn, &message);
    }
    number
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// An error and what caused it, each saying its own part.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

//! One question of a caller's: which flag, for whom, and what if there is no answer.

use std::sync::Arc;

use flagstaff_sdk::{
    Client, DataSet, DataSourceState, Detail, ErrorKind, EventContext, EventDefault, LogLevel, PreparedFlag,
    Seen, Value,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::caller::{Caller, Unusable};
use crate::complaints::{BLANK_KEY, Complaints, NO_KEY};
use crate::data_source::ProgramSource;
use crate::interrupts;
use crate::logging;
use crate::seen::{self, OwnParts};
use crate::value::{FromPython, text_of};
use crate::visits;
use crate::waits::Holding;

/// What is said of flags that a store had before the client connected.
pub(crate) fn old_values(flag_key: &str) -> String {
    format!(
        "Feature Flag evaluation attempted before client has initialized - using last known values from \
         feature store for feature key: {flag_key}. This message is logged once."
    )
}

/// The question. The context comes with the call that answers it.
pub(crate) struct Asked<'a, 'py> {
    pub(crate) client: &'a Client,
    /// `Config.defaults`.
    pub(crate) defaults: &'a Bound<'py, PyAny>,
    pub(crate) complaints: &'a Complaints,
    pub(crate) key: &'a Bound<'py, PyAny>,
    pub(crate) default: &'a Bound<'py, PyAny>,
    /// What of the program's own takes part; mostly nothing.
    pub(crate) parts: Option<&'a OwnParts>,
    /// Whether a database may have to be asked.
    pub(crate) may_wait: bool,
    /// What brings flags, if it is not the client core.
    pub(crate) source: Option<&'a ProgramSource>,
}

impl<'py> Asked<'_, 'py> {
    /// Evaluates, and hands on what came of it, with the flag if there is one.
    #[inline]
    pub(crate) fn evaluate<R>(
        &self,
        context: &Bound<'py, PyAny>,
        with_reason: bool,
        then: impl FnOnce(Detail<'_>, Option<&PreparedFlag>) -> PyResult<R>,
    ) -> PyResult<R> {
        let py = self.key.py();
        // Whatever is no text is no flag's key either.
        let key = self.key.cast::<PyString>().ok().and_then(|key| key.to_str().ok()).unwrap_or_default();
        let given = context;
        match Caller::of(given) {
            Caller::Context(context) => match context.get().checked() {
                Ok(context) => self.evaluate_for(given, key, context, with_reason, then),
                Err(_) => then(Detail::error(ErrorKind::UserNotSpecified), None),
            },
            Caller::User(user) => {
                if user.has_blank_key() {
                    self.complaints.warn(py, BLANK_KEY);
                }
                let answer = self.evaluate_for(given, key, &user, with_reason, then);
                user.warn_of_other_types(py);
                answer
            }
            Caller::Unusable(why) => self.without_context(given, key, &why, with_reason, then),
        }
    }

    #[inline]
    fn evaluate_for<C: EventContext, R>(
        &self,
        given: &Bound<'py, PyAny>,
        key: &str,
        context: &C,
        with_reason: bool,
        then: impl FnOnce(Detail<'_>, Option<&PreparedFlag>) -> PyResult<R>,
    ) -> PyResult<R> {
        if let Some(parts) = self.parts {
            return seen::evaluate(parts, self, given, key, context, with_reason, then);
        }
        let mut error = None;
        let _holding = self.may_wait.then(|| Holding::new(self.key.py()));
        let seen = Seen { data: None, on_prerequisite: &mut |_| {} };
        let answer = self.client.evaluate_seen(seen, key, context, self, with_reason, |detail, flag| {
            let detail = self.settled(detail);
            error = detail.reason.error_kind();
            then(detail, flag)
        });
        match error {
            Some(error) => self.explain(error),
            None if self.may_wait => self.tell_of_old_values(),
            None => {}
        }
        answer
    }

    /// Says once that flags are only those that a database had before.
    #[cold]
    pub(crate) fn tell_of_old_values(&self) {
        let is_old = || {
            let state = self.client.data_source_status().state;
            state == DataSourceState::Initializing && !self.source_is_initialized()
        };
        if self.complaints.first_value() && is_old() {
            logging::log(self.key.py(), LogLevel::Warn, &old_values(&text_of(self.key)));
        }
    }

    /// The first thing that is wrong, in the order of the era that the caller's input belongs to.
    #[cold]
    fn without_context<R>(
        &self,
        given: &Bound<'py, PyAny>,
        key: &str,
        why: &Unusable<'py>,
        with_reason: bool,
        then: impl FnOnce(Detail<'_>, Option<&PreparedFlag>) -> PyResult<R>,
    ) -> PyResult<R> {
        let py = self.key.py();
        if self.client.is_offline() {
            return then(Detail::error(ErrorKind::ClientNotReady), None);
        }
        let data = self.data_for(py, key);
        let flag = data.as_ref().ok().and_then(|data| data.flag(key));
        let error = match (&data, why) {
            (Err(ErrorKind::ClientNotReady), _) => ErrorKind::ClientNotReady,
            (_, Unusable::Context(_) | Unusable::OtherType(_)) => {
                self.complaints.unusable(py, why, "flag evaluation");
                ErrorKind::UserNotSpecified
            }
            (Err(error), _) => *error,
            (Ok(_), _) if flag.is_none() => ErrorKind::FlagNotFound,
            (Ok(_), Unusable::NoKey) => {
                self.complaints.warn(py, NO_KEY);
                ErrorKind::UserNotSpecified
            }
            (Ok(_), Unusable::KeyMissing) => {
                self.complaints.warn(py, BLANK_KEY);
                ErrorKind::UserNotSpecified
            }
        };
        if error == ErrorKind::ClientNotReady {
            self.explain(error);
        }
        let flag = flag.map(|flag| &**flag);
        // Users were reported whatever was wrong with them, contexts are not.
        let was_user = matches!(why, Unusable::NoKey | Unusable::KeyMissing);
        let was_early = matches!(why, Unusable::Context(_)) && error == ErrorKind::ClientNotReady;
        match self.parts.and_then(|parts| parts.events.as_ref()) {
            Some(events) if was_user || was_early => {
                events.evaluated_for_nobody(self, given, flag, error, with_reason);
            }
            None if was_user => self.client.count_for_nobody(key, flag, self),
            _ => {}
        }
        then(Detail::error(error), flag)
    }

    /// Where the flag is looked up.
    fn data_for(&self, py: Python<'py>, key: &str) -> Result<Arc<DataSet>, ErrorKind> {
        match self.parts.and_then(|parts| parts.store.as_ref()) {
            Some(store) => visits::within(|| store.data_for(py, key, &|| self.source_is_initialized()))
                .unwrap_or(Err(ErrorKind::ClientNotReady)),
            None if self.client.is_initialized() || self.source_is_initialized() => {
                Ok(self.client.data_set())
            }
            None => Err(ErrorKind::ClientNotReady),
        }
    }

    /// The detail as the program's own data source sees it: where that says that it has everything, a flag
    /// which is not there does not exist.
    #[inline]
    pub(crate) fn settled<'d>(&self, detail: Detail<'d>) -> Detail<'d> {
        match detail.reason.error_kind() {
            Some(ErrorKind::ClientNotReady) if !self.client.is_offline() && self.source_is_initialized() => {
                Detail::error(ErrorKind::FlagNotFound)
            }
            _ => detail,
        }
    }

    /// Whether a data source of the program's own says that it has had everything.
    pub(crate) fn source_is_initialized(&self) -> bool {
        self.source.is_some_and(|source| source.is_initialized(self.key.py()))
    }

    #[cold]
    pub(crate) fn explain(&self, error: ErrorKind) {
        let py = self.key.py();
        let key = || text_of(self.key);
        match error {
            ErrorKind::ClientNotReady if !self.client.is_offline() => {
                self.complaints.warn_of(py, &format!("not ready for {}", key()), || {
                    format!(
                        "Feature Flag evaluation attempted before client has initialized! Feature store \
                         unavailable - returning default: {} for feature key: {}",
                        text_of(&self.effective_default()),
                        key()
                    )
                });
            }
            ErrorKind::Exception => {
                let message = format!("Unexpected error while evaluating feature flag \"{}\"", key());
                logging::log(py, LogLevel::Error, &message);
            }
            _ => {}
        }
    }

    /// What the caller gets if there is no value: the very object that was given.
    pub(crate) fn effective_default(&self) -> Bound<'py, PyAny> {
        let configured = match self.defaults.cast_exact::<PyDict>() {
            Ok(defaults) if defaults.is_empty() => None,
            Ok(defaults) => defaults.get_item(self.key).ok().flatten(),
            Err(_) => {
                let ask = || self.defaults.call_method1("get", (self.key, self.default));
                visits::within(ask).and_then(|given| interrupts::contained(self.key.py(), given))
            }
        };
        configured.unwrap_or_else(|| self.default.clone())
    }
}

impl EventDefault for Asked<'_, '_> {
    fn to_value(&self) -> Value {
        FromPython::default().value(&self.effective_default())
    }
}

//! One question of a caller's: which flag, for whom, and what if there is no answer.

use flagstaff_sdk::{Client, Detail, ErrorKind, EventContext, EventDefault, LogLevel, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::caller::{Caller, Unusable};
use crate::complaints::{BLANK_KEY, Complaints, NO_KEY};
use crate::logging;
use crate::value::{FromPython, text_of};
use crate::waits::Holding;

/// The question. The context comes with the call that answers it.
pub(crate) struct Asked<'a, 'py> {
    pub(crate) client: &'a Client,
    /// `Config.defaults`.
    pub(crate) defaults: &'a Bound<'py, PyAny>,
    pub(crate) complaints: &'a Complaints,
    pub(crate) key: &'a Bound<'py, PyAny>,
    pub(crate) default: &'a Bound<'py, PyAny>,
    /// Whether a database may have to be asked.
    pub(crate) may_wait: bool,
}

impl<'py> Asked<'_, 'py> {
    #[inline]
    pub(crate) fn evaluate<R>(
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
                    self.complaints.warn(py, BLANK_KEY);
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
        let _holding = self.may_wait.then(|| Holding::new(self.key.py()));
        let answer = self.client.evaluate_with(key, context, self, with_reason, |detail| {
            error = detail.reason.error_kind();
            then(detail)
        });
        if let Some(error) = error {
            self.explain(error);
        }
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
        if self.client.is_offline() || !self.client.is_initialized() {
            self.explain(ErrorKind::ClientNotReady);
            return then(Detail::error(ErrorKind::ClientNotReady));
        }
        let knows_flag = || self.client.data_set().flag(key).is_some();
        let error = match why {
            Unusable::Context(_) | Unusable::OtherType(_) => {
                self.complaints.unusable(py, why, "flag evaluation");
                ErrorKind::UserNotSpecified
            }
            Unusable::NoKey | Unusable::KeyMissing if !knows_flag() => ErrorKind::FlagNotFound,
            Unusable::NoKey => {
                self.complaints.warn(py, NO_KEY);
                ErrorKind::UserNotSpecified
            }
            Unusable::KeyMissing => {
                self.complaints.warn(py, BLANK_KEY);
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
            Err(_) => self.defaults.call_method1("get", (self.key, self.default)).ok(),
        };
        configured.unwrap_or_else(|| self.default.clone())
    }
}

impl EventDefault for Asked<'_, '_> {
    fn to_value(&self) -> Value {
        FromPython::default().value(&self.effective_default())
    }
}

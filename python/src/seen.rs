//! Evaluations that something written in Python takes part in: a store that keeps the flags, or an
//! event processor that is told of each.
//!
//! Without either, evaluations do not come by here. Neither is called while the client evaluates: the
//! store is read before, and the event processor is told afterwards.

use std::sync::Arc;

use flagstaff_sdk::{DataSet, Detail, ErrorKind, EventContext, PreparedFlag, PrerequisiteResult, Seen};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::asked::Asked;
use crate::context::Context;
use crate::interrupts;
use crate::results::reason_to_python;
use crate::value::to_python;
use crate::visits;
use crate::waits::Holding;

/// What a program brings of its own, and evaluations pass by.
#[derive(Default)]
pub(crate) struct OwnParts {
    /// Where flags are kept, if it is not the client's memory.
    pub(crate) store: Option<Box<dyn FlagLookup>>,
    /// What is told of evaluations, instead of the client's own pipeline.
    pub(crate) events: Option<EventSink>,
}

impl OwnParts {
    /// None if there is nothing of the program's own.
    pub(crate) fn into_option(self) -> Option<Self> {
        (self.store.is_some() || self.events.is_some()).then_some(self)
    }
}

/// A place outside the client's memory where flags are kept.
pub(crate) trait FlagLookup: Send + Sync {
    /// A data set with the flag, if there is such a flag, and everything that its evaluation looks at.
    /// What stands in the way of that is said here, in the log, except that nothing has come yet.
    /// Flags may have come otherwise than the client core knows of, of which `has_flags` is asked.
    fn data_for(
        &self,
        py: Python<'_>,
        flag_key: &str,
        has_flags: &dyn Fn() -> bool,
    ) -> Result<Arc<DataSet>, ErrorKind>;

    /// A data set with all flags and everything that their evaluation looks at. None if there is none, of
    /// which everything was said.
    fn all_data(&self, py: Python<'_>, has_flags: &dyn Fn() -> bool) -> Option<Arc<DataSet>>;

    /// Whether it has had a full data set.
    fn is_initialized(&self, py: Python<'_>) -> bool;
}

/// The Python half of the way to an event processor: `ldclient.impl.events.EventSink`.
pub(crate) struct EventSink(Py<PyAny>);

impl EventSink {
    pub(crate) fn new(sink: Py<PyAny>) -> Self {
        Self(sink)
    }

    /// Tells of a context that was declared.
    pub(crate) fn identified(&self, given: &Bound<'_, PyAny>, context: &impl EventContext) {
        let py = given.py();
        let tell = || self.0.call_method1(py, "identified", (given, context_object(given, context)?));
        contain(py, tell);
    }

    /// Tells of something that happened in the program.
    pub(crate) fn tracked(
        &self,
        event_name: &str,
        given: &Bound<'_, PyAny>,
        context: &impl EventContext,
        data: &Bound<'_, PyAny>,
        metric_value: Option<f64>,
    ) {
        let py = given.py();
        let tell = || {
            let context = context_object(given, context)?;
            self.0.call_method1(py, "tracked", (event_name, given, context, data, metric_value))
        };
        contain(py, tell);
    }

    /// Tells of an evaluation that had no context it could be done for.
    pub(crate) fn evaluated_for_nobody(
        &self,
        asked: &Asked<'_, '_>,
        given: &Bound<'_, PyAny>,
        flag: Option<&PreparedFlag>,
        error: ErrorKind,
        with_reason: bool,
    ) {
        let py = given.py();
        let detail = Detail::error(error);
        let told = || Evaluation::of(py, flag, &detail, with_reason, None);
        let context = given.cast::<Context>().ok().map(Bound::as_any);
        contain(py, || self.evaluated(asked.key, asked, given, context, told()?));
    }

    fn evaluated<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        asked: &Asked<'_, 'py>,
        given: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        told: Evaluation<'py>,
    ) -> PyResult<Py<PyAny>> {
        let py = given.py();
        let default = match told.prerequisite_of {
            // Nobody gave a default for a prerequisite.
            Some(_) => py.None().into_bound(py),
            None => asked.effective_default(),
        };
        let value = told.value.unwrap_or_else(|| default.clone());
        let Evaluation { flag, variation, reason, in_experiment, prerequisite_of, .. } = told;
        self.0.call_method1(
            py,
            "evaluated",
            (key, given, context, flag, variation, value, default, reason, in_experiment, prerequisite_of),
        )
    }
}

/// Evaluates a flag with the program's own parts in it.
#[cold]
pub(crate) fn evaluate<'py, C: EventContext, R>(
    parts: &OwnParts,
    asked: &Asked<'_, 'py>,
    given: &Bound<'py, PyAny>,
    key: &str,
    context: &C,
    with_reason: bool,
    then: impl FnOnce(Detail<'_>, Option<&PreparedFlag>) -> PyResult<R>,
) -> PyResult<R> {
    let py = given.py();
    let Some(_counted) = visits::enter() else {
        return then(Detail::error(ErrorKind::ClientNotReady), None);
    };
    let found = parts.store.as_ref().map(|store| store.data_for(py, key, &|| asked.source_is_initialized()));
    let nothing = DataSet::default();
    let (data, failure) = match &found {
        None => (None, None),
        Some(Ok(data)) => (Some(&**data), None),
        // Counted as a flag that does not exist.
        Some(Err(error)) => (Some(&nothing), Some(*error)),
    };

    let is_told = parts.events.is_some();
    let mut prerequisites = Vec::new();
    let mut on_prerequisite = |result: &PrerequisiteResult<'_>| {
        if is_told {
            let parent = Some(result.prerequisite_of.key());
            let told = Evaluation::of(py, Some(result.flag), &result.detail, with_reason, parent);
            prerequisites.push(told.map(|told| (result.flag.key().to_owned(), told)));
        }
    };
    let mut evaluation = None;
    let mut error = None;
    let holding = asked.may_wait.then(|| Holding::new(py));
    let seen = Seen { data, on_prerequisite: &mut on_prerequisite };
    let answer = asked.client.evaluate_seen(seen, key, context, asked, with_reason, |detail, flag| {
        let detail = asked.settled(failure.map_or(detail, Detail::error));
        error = detail.reason.error_kind();
        if is_told {
            evaluation = Some(Evaluation::of(py, flag, &detail, with_reason, None));
        }
        then(detail, flag)
    });
    drop(holding);

    match error {
        // A store of the program's own says itself what is wrong.
        Some(error) if failure.is_none() || error == ErrorKind::ClientNotReady => asked.explain(error),
        None if asked.may_wait && parts.store.is_none() => asked.tell_of_old_values(),
        _ => {}
    }
    let Some(events) = parts.events.as_ref().filter(|_| !asked.client.is_offline()) else { return answer };
    let tell = || {
        let context = context_object(given, context)?;
        for told in prerequisites {
            let (key, told) = told?;
            let key = key.into_pyobject(py)?.into_any();
            events.evaluated(&key, asked, given, Some(&context), told)?;
        }
        match evaluation {
            Some(told) => events.evaluated(asked.key, asked, given, Some(&context), told?).map(drop),
            None => Ok(()),
        }
    };
    contain(py, tell);
    answer
}

/// What an event processor is told of one evaluation, in Python's terms.
struct Evaluation<'py> {
    /// What is known of the flag; none if there is no such flag.
    flag: Option<Bound<'py, PyTuple>>,
    variation: Option<usize>,
    /// None for the default.
    value: Option<Bound<'py, PyAny>>,
    /// Only if it is to be reported.
    reason: Option<Bound<'py, PyDict>>,
    in_experiment: bool,
    prerequisite_of: Option<String>,
}

impl<'py> Evaluation<'py> {
    fn of(
        py: Python<'py>,
        flag: Option<&PreparedFlag>,
        detail: &Detail<'_>,
        with_reason: bool,
        prerequisite_of: Option<&str>,
    ) -> PyResult<Self> {
        let in_experiment = flag.is_some_and(|flag| flag.is_experiment(&detail.reason));
        let known = flag.map(|flag| {
            let known = (
                flag.version(),
                flag.track_events(),
                flag.debug_events_until_date(),
                flag.sampling_ratio(),
                flag.exclude_from_summaries(),
            );
            known.into_pyobject(py)
        });
        let value = detail.variation_index.and(detail.value).map(|value| to_python(py, value));
        let reason = (with_reason || in_experiment).then(|| reason_to_python(py, &detail.reason));
        Ok(Self {
            flag: known.transpose()?,
            variation: detail.variation_index,
            value: value.transpose()?,
            reason: reason.transpose()?,
            in_experiment,
            prerequisite_of: prerequisite_of.map(str::to_owned),
        })
    }
}

/// The caller's own `Context`, or one with what the caller's dictionary says.
fn context_object<'py>(
    given: &Bound<'py, PyAny>,
    context: &impl EventContext,
) -> PyResult<Bound<'py, PyAny>> {
    if given.is_instance_of::<Context>() {
        return Ok(given.clone());
    }
    Ok(Bound::new(given.py(), Context::from(context.to_context()))?.into_any())
}

/// The Python half contains what an event processor raises, all but what is meant for the program.
fn contain<T>(py: Python<'_>, tell: impl FnOnce() -> PyResult<T>) {
    if let Some(told) = visits::within(tell) {
        interrupts::contained(py, told);
    }
}

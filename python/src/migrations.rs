//! The stage of a migration, and reports of what was done at it: the native half of
//! `ldclient.migrations`.

use std::borrow::Cow;
use std::str::FromStr;

use flagstaff_eval::BigSegmentsStatus;
use flagstaff_sdk::migrations::{
    ByOrigin, Consistency, MigrationOpEvent, Operation, Origin, Stage, StageEvaluation,
};
use flagstaff_sdk::{ErrorKind, EventContext, PreparedFlag, Reason, ReasonKind};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::caller::Caller;
use crate::client::Client;
use crate::logging;
use crate::results::reason_to_python;
use crate::value::text_of;

/// The stage, the variation index, why, and what is known of the flag.
type Staged<'py> = (&'static str, Option<usize>, Bound<'py, PyDict>, Option<Bound<'py, PyDict>>);

/// Asks for the stage of a migration. `default_stage` is the name of a stage.
#[pyfunction]
#[pyo3(signature = (client, key, context, default_stage, /))]
pub(crate) fn migration_variation<'py>(
    client: &Bound<'py, Client>,
    key: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
    default_stage: &Bound<'py, PyString>,
) -> PyResult<Staged<'py>> {
    let py = client.py();
    let default = stage_in(default_stage.to_str()?)?;
    let client = client.get();
    let asked = client.asked(key, default_stage);
    let (served, index, reason, flag) = asked.evaluate(context, false, |detail, flag| {
        // What is served, if anything is, and which stage that is, if it is one.
        let served = detail.value.map(|value| {
            let stage = value.as_str().and_then(|name| Stage::from_str(name).ok());
            stage.ok_or_else(|| value.to_string())
        });
        let flag = flag.map(|flag| known_of(py, flag)).transpose()?;
        Ok((served, detail.variation_index, reason_to_python(py, &detail.reason)?, flag))
    })?;
    // `Config.defaults` may say something else than the caller.
    let served = served.unwrap_or_else(|| {
        let name = asked.effective_default();
        let stage = name.extract::<&str>().ok().and_then(|name| Stage::from_str(name).ok());
        stage.ok_or_else(|| text_of(&name))
    });
    let staged = match served {
        Ok(stage) => (stage.as_str(), index, reason, flag),
        Err(served) => {
            let key = text_of(key);
            client.complaints().warn_of(py, &format!("no stage in {key}"), || {
                format!(
                    "Feature flag \"{key}\" steers a migration, but its value {served} is no stage; using \
                     '{default}' instead"
                )
            });
            let reason = reason_to_python(py, &ErrorKind::WrongType.into())?;
            (default.as_str(), None, reason, flag)
        }
    };
    logging::finish(py)?;
    Ok(staged)
}

/// What a tracker has to know of the flag, in the flag's JSON form.
fn known_of<'py>(py: Python<'py>, flag: &PreparedFlag) -> PyResult<Bound<'py, PyDict>> {
    let known = PyDict::new(py);
    known.set_item("key", flag.key())?;
    known.set_item("version", flag.version())?;
    if flag.sampling_ratio() != 1 {
        known.set_item("samplingRatio", flag.sampling_ratio())?;
    }
    if flag.check_ratio() != 1 {
        let migration = PyDict::new(py);
        migration.set_item("checkRatio", flag.check_ratio())?;
        known.set_item("migration", migration)?;
    }
    Ok(known)
}

/// Reports one step of a migration: a `ldclient.migrations.MigrationOpEvent`.
#[pyfunction]
#[pyo3(signature = (client, event, /))]
pub(crate) fn report_migration_op(client: &Bound<'_, Client>, event: &Bound<'_, PyAny>) -> PyResult<()> {
    client.get().inner().report_migration_op(event_of(event)?);
    logging::finish(client.py())
}

fn event_of(event: &Bound<'_, PyAny>) -> PyResult<MigrationOpEvent> {
    let context = event.getattr("context")?;
    let context = match Caller::of(&context) {
        Caller::Context(context) => context.get().checked().ok().map(EventContext::to_context),
        Caller::User(user) => Some(user.to_context()),
        Caller::Unusable(_) => None,
    };
    let consistent = event.getattr("consistent")?.extract::<Option<bool>>()?;
    let check_ratio = event.getattr("consistent_ratio")?.extract::<Option<i64>>()?.unwrap_or(1);
    let latencies = event.getattr("latencies")?;
    Ok(MigrationOpEvent {
        creation_date_ms: event.getattr("timestamp")?.extract()?,
        operation: operation_of(&event.getattr("operation")?)?,
        context: context.ok_or_else(|| PyValueError::new_err("the context is not valid"))?,
        evaluation: evaluation_of(event)?,
        invoked: by_origin(&event.getattr("invoked")?, |_| Ok(true))?,
        consistency: consistent.map(|consistent| Consistency { consistent, check_ratio }),
        latency: by_origin(&latencies, |origin| latencies.get_item(origin)?.extract().map(Some))?,
        error: by_origin(&event.getattr("errors")?, |_| Ok(true))?,
        sampling_ratio: event.getattr("sampling_ratio")?.extract()?,
    })
}

fn evaluation_of(event: &Bound<'_, PyAny>) -> PyResult<StageEvaluation> {
    let detail = event.getattr("detail")?;
    let flag = event.getattr("flag")?;
    let version = if flag.is_none() { None } else { flag.call_method1("get", ("version",))?.extract()? };
    Ok(StageEvaluation {
        key: event.getattr("key")?.extract()?,
        version,
        variation: detail.getattr("variation_index")?.extract()?,
        value: stage_in(&detail.getattr("value")?.extract::<String>()?)?.as_str(),
        default: stage_in(&value_of(&event.getattr("default_stage")?)?)?.as_str(),
        reason: reason_of(detail.getattr("reason")?.cast()?)?,
    })
}

/// The other way round than [`reason_to_python`].
fn reason_of(dict: &Bound<'_, PyDict>) -> PyResult<Reason<'static>> {
    let text = |name: &str| match dict.get_item(name)? {
        Some(value) if !value.is_none() => value.extract::<String>(),
        _ => Ok(String::new()),
    };
    let kind = text("kind")?;
    let mut reason = Reason::from(match &*kind {
        "OFF" => ReasonKind::Off,
        "FALLTHROUGH" => ReasonKind::Fallthrough,
        "TARGET_MATCH" => ReasonKind::TargetMatch,
        "RULE_MATCH" => {
            let index = dict.get_item("ruleIndex")?.map(|index| index.extract()).transpose()?;
            ReasonKind::RuleMatch { index: index.unwrap_or_default(), id: Cow::Owned(text("ruleId")?) }
        }
        "PREREQUISITE_FAILED" => ReasonKind::PrerequisiteFailed { key: Cow::Owned(text("prerequisiteKey")?) },
        "ERROR" => ReasonKind::Error(error_kind_of(&text("errorKind")?)?),
        _ => return Err(unknown("reason", &kind)),
    });
    reason.in_experiment = matches!(dict.get_item("inExperiment")?, Some(it) if it.is_truthy()?);
    let status = text("bigSegmentsStatus")?;
    let statuses = [
        BigSegmentsStatus::Healthy,
        BigSegmentsStatus::Stale,
        BigSegmentsStatus::StoreError,
        BigSegmentsStatus::NotConfigured,
    ];
    reason.big_segments_status = statuses.into_iter().find(|known| known.as_str() == status);
    Ok(reason)
}

fn error_kind_of(name: &str) -> PyResult<ErrorKind> {
    let kinds = [
        ErrorKind::ClientNotReady,
        ErrorKind::FlagNotFound,
        ErrorKind::UserNotSpecified,
        ErrorKind::MalformedFlag,
        ErrorKind::WrongType,
        ErrorKind::Exception,
    ];
    kinds.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| unknown("error", name))
}

/// What is said of each origin that is among those given.
fn by_origin<T: Default>(
    origins: &Bound<'_, PyAny>,
    of: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<ByOrigin<T>> {
    let mut found = ByOrigin::default();
    for origin in origins.try_iter()? {
        let origin = origin?;
        *found.of_mut(origin_of(&origin)?) = of(&origin)?;
    }
    Ok(found)
}

fn origin_of(origin: &Bound<'_, PyAny>) -> PyResult<Origin> {
    match &*value_of(origin)? {
        "old" => Ok(Origin::Old),
        "new" => Ok(Origin::New),
        other => Err(unknown("origin", other)),
    }
}

fn operation_of(operation: &Bound<'_, PyAny>) -> PyResult<Operation> {
    match &*value_of(operation)? {
        "read" => Ok(Operation::Read),
        "write" => Ok(Operation::Write),
        other => Err(unknown("operation", other)),
    }
}

fn stage_in(name: &str) -> PyResult<Stage> {
    Stage::from_str(name).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The value of a member of an enumeration.
fn value_of(member: &Bound<'_, PyAny>) -> PyResult<String> {
    member.getattr("value")?.extract()
}

fn unknown(what: &str, name: &str) -> PyErr {
    PyValueError::new_err(format!("`{name}` is no {what}"))
}

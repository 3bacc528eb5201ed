//! What evaluations answer, as Python data.

use flagstaff_sdk::{AllFlagsState, Reason, ReasonKind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::value::to_python;

/// What `FeatureFlagsState` is made of: values, and what else is known, by flag key.
pub(crate) type FlagsState<'py> = (Bound<'py, PyDict>, Bound<'py, PyDict>);

/// A reason as the plain dictionary that programs look into.
pub(crate) fn reason_to_python<'py>(py: Python<'py>, reason: &Reason<'_>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "kind"), reason.kind.as_str())?;
    match &reason.kind {
        ReasonKind::RuleMatch { index, id } => {
            dict.set_item(intern!(py, "ruleIndex"), index)?;
            let id = if id.is_empty() { None } else { Some(&**id) };
            dict.set_item(intern!(py, "ruleId"), id)?;
        }
        ReasonKind::PrerequisiteFailed { key } => {
            dict.set_item(intern!(py, "prerequisiteKey"), &**key)?;
        }
        ReasonKind::Error(kind) => dict.set_item(intern!(py, "errorKind"), kind.as_str())?,
        _ => {}
    }
    if reason.in_experiment {
        dict.set_item(intern!(py, "inExperiment"), true)?;
    }
    if let Some(status) = reason.big_segments_status {
        dict.set_item(intern!(py, "bigSegmentsStatus"), status.as_str())?;
    }
    Ok(dict)
}

/// All flags; members that are false or empty are left out.
pub(crate) fn flags_state<'py>(py: Python<'py>, state: &AllFlagsState) -> PyResult<FlagsState<'py>> {
    let values = PyDict::new(py);
    let metadata = PyDict::new(py);
    // In an order of their own: processes that were given the same flags say the same text, which pages and
    // proxies compare.
    let mut flags: Vec<_> = state.flags().iter().collect();
    flags.sort_unstable_by_key(|flag| flag.key());
    for flag in flags {
        let value = flag.value().map(|value| to_python(py, value)).transpose()?;
        values.set_item(flag.key(), value)?;
        let known = PyDict::new(py);
        if !state.leaves_out_details(flag) {
            known.set_item(intern!(py, "version"), flag.flag().version())?;
        }
        if let Some(index) = flag.variation_index() {
            known.set_item(intern!(py, "variation"), index)?;
        }
        if state.says_reason(flag) {
            known.set_item(intern!(py, "reason"), reason_to_python(py, flag.reason())?)?;
        }
        if flag.track_events() {
            known.set_item(intern!(py, "trackEvents"), true)?;
        }
        if flag.track_reason() {
            known.set_item(intern!(py, "trackReason"), true)?;
        }
        if let Some(until) = flag.flag().debug_events_until_date() {
            known.set_item(intern!(py, "debugEventsUntilDate"), until)?;
        }
        let prerequisites = state.prerequisites_of(flag);
        if !prerequisites.is_empty() {
            let keys = PyList::new(py, prerequisites.iter().map(|key| &**key))?;
            known.set_item(intern!(py, "prerequisites"), keys)?;
        }
        metadata.set_item(flag.key(), known)?;
    }
    Ok((values, metadata))
}

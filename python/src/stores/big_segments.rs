//! A store of big segments written in Python, asked on threads of the client core's.

use std::time::{Duration, SystemTime};

use flagstaff_sdk::{BigSegmentStore, Membership, StoreError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::attached;

pub(super) struct PythonBigSegments(pub(super) Py<PyAny>);

impl BigSegmentStore for PythonBigSegments {
    fn last_up_to_date(&self) -> Result<Option<SystemTime>, StoreError> {
        attached("could not ask how old big segments are", |py| {
            let metadata = self.0.bind(py).call_method0("get_metadata")?;
            if metadata.is_none() {
                return Ok(None);
            }
            let milliseconds: Option<f64> = metadata.getattr("last_up_to_date")?.extract()?;
            Ok(milliseconds.and_then(time))
        })
    }

    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError> {
        attached("could not ask for the big segments of a context", |py| {
            let found = self.0.bind(py).call_method1("get_membership", (context_hash,))?;
            if found.is_none() {
                return Ok(None);
            }
            let copy = PyDict::new(py);
            copy.update(found.cast()?)?;
            let (mut included, mut excluded) = (Vec::new(), Vec::new());
            for (reference, is_in) in copy.iter() {
                // None is neither: the segment's own rules decide.
                if !is_in.is_none() {
                    let references = if is_in.is_truthy()? { &mut included } else { &mut excluded };
                    references.push(reference.extract::<String>()?);
                }
            }
            let (included, excluded) = (included.iter(), excluded.iter());
            Ok(Some(Membership::new(included.map(String::as_str), excluded.map(String::as_str))))
        })
    }
}

/// None for a time before there was any.
fn time(milliseconds: f64) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(milliseconds / 1_000.0).ok().filter(|since| !since.is_zero())?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

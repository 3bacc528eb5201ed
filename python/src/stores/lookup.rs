//! Reading a store written in Python, on the thread of whoever evaluates, with the interpreter held.
//!
//! What an evaluation looks at is read anew each time: the flag, its prerequisites, their segments. What
//! was made of an item is kept for as long as the store goes on giving the same, and a data set with it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use flagstaff_eval::{Entry, PreparedSegment};
use flagstaff_sdk::model::{Flag, Segment};
use flagstaff_sdk::{Client, DataSet, DataSourceState, ErrorKind, ItemKind, LogLevel, PreparedFlag};
use foldhash::fast::FixedState;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde_json::Value;

use super::items::{self, as_it_is, kind_object};
use super::python_store::Kept;
use super::shown;
use crate::asked::old_values;
use crate::interrupts;
use crate::logging;
use crate::seen::FlagLookup;
use crate::value::copy_of_mapping;
use crate::visits;

/// More items than this are not kept: a store may make up flags as it is asked for them.
const MOST_ITEMS: usize = 20_000;

/// A store written in Python, and what was made of the items in it.
pub(crate) struct Lookup {
    kept: Arc<Kept>,
    client: Client,
    flags: Known<PreparedFlag>,
    segments: Known<PreparedSegment>,
    /// What was read by evaluations of one flag.
    some: ArcSwap<DataSet>,
    /// What was read when all flags were asked for.
    all: ArcSwap<DataSet>,
    /// Whether the client is known to have had a full data set.
    has_received: AtomicBool,
    /// Whether it was said that there is nothing but what the store has.
    told_of_old_values: AtomicBool,
}

/// Items as they were last read, by key.
struct Known<T>(Mutex<HashMap<Box<str>, Arc<Made<T>>, FixedState>>);

/// An item, and what was made of it.
struct Made<T> {
    json: Value,
    /// None for one that was deleted.
    live: Option<Arc<T>>,
}

/// What was read for one evaluation. None is an item that is not there.
struct Gathered {
    flags: Vec<(String, Option<Arc<Made<PreparedFlag>>>)>,
    segments: Vec<(String, Option<Arc<Made<PreparedSegment>>>)>,
}

impl Lookup {
    pub(crate) fn new(kept: Arc<Kept>, client: Client) -> Self {
        Self {
            kept,
            client,
            flags: Known(Mutex::default()),
            segments: Known(Mutex::default()),
            some: ArcSwap::default(),
            all: ArcSwap::default(),
            has_received: AtomicBool::new(false),
            told_of_old_values: AtomicBool::new(false),
        }
    }

    /// Whether the client has had flags, or the store has some of its own, of which `or_else` is said once.
    fn is_ready(
        &self,
        py: Python<'_>,
        has_flags: &dyn Fn() -> bool,
        or_else: impl FnOnce() -> String,
    ) -> PyResult<bool> {
        if self.has_received.load(Ordering::Relaxed) || self.has_received_by_now() || has_flags() {
            return Ok(true);
        }
        if !self.client.is_initialized() && !self.kept.is_initialized(py)? {
            return Ok(false);
        }
        if !self.told_of_old_values.swap(true, Ordering::Relaxed) {
            logging::log(py, LogLevel::Warn, &or_else());
        }
        Ok(true)
    }

    #[cold]
    fn has_received_by_now(&self) -> bool {
        let state = self.client.data_source_status().state;
        let has = matches!(state, DataSourceState::Valid | DataSourceState::Interrupted);
        self.has_received.store(has, Ordering::Relaxed);
        has
    }

    fn read<'py>(&self, py: Python<'py>, kind: ItemKind, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let arguments = (kind_object(py, kind)?, key, as_it_is(py)?);
        let item = self.kept.store(py).call_method1("get", arguments)?;
        if item.is_none() { Ok(None) } else { items::dictionary(item).map(Some) }
    }

    fn flag(&self, py: Python<'_>, key: &str) -> PyResult<Option<Arc<Made<PreparedFlag>>>> {
        let Some(item) = self.read(py, ItemKind::Flag, key)? else { return Ok(None) };
        self.flags.made(key, &item, prepared_flag).map(Some)
    }

    fn segment(&self, py: Python<'_>, key: &str) -> PyResult<Option<Arc<Made<PreparedSegment>>>> {
        let Some(item) = self.read(py, ItemKind::Segment, key)? else { return Ok(None) };
        self.segments.made(key, &item, prepared_segment).map(Some)
    }

    /// Reads what the flags that were gathered look at, and what that looks at in turn.
    fn gather_needed(&self, py: Python<'_>, gathered: &mut Gathered) -> PyResult<()> {
        let mut seen_flags: HashSet<String> = gathered.flags.iter().map(|(key, _)| key.clone()).collect();
        let mut seen_segments: HashSet<String> = HashSet::new();
        let mut next = 0;
        while next < gathered.flags.len() {
            let made = gathered.flags[next].1.clone();
            next += 1;
            // What is off looks at nothing.
            let Some(flag) = made.as_ref().and_then(|made| made.live.as_ref()).filter(|flag| flag.is_on())
            else {
                continue;
            };
            for key in flag.prerequisites() {
                if seen_flags.insert(key.to_owned()) {
                    gathered.flags.push((key.to_owned(), self.flag(py, key)?));
                }
            }
            for key in flag.segments() {
                if seen_segments.insert(key.to_owned()) {
                    gathered.segments.push((key.to_owned(), self.segment(py, key)?));
                }
            }
        }
        let mut next = 0;
        while next < gathered.segments.len() {
            let made = gathered.segments[next].1.clone();
            next += 1;
            let Some(segment) = made.as_ref().and_then(|made| made.live.as_ref()) else { continue };
            for key in segment.segments() {
                if seen_segments.insert(key.to_owned()) {
                    gathered.segments.push((key.to_owned(), self.segment(py, key)?));
                }
            }
        }
        Ok(())
    }

    /// All flags, and what they look at.
    fn gather_all(&self, py: Python<'_>) -> PyResult<Gathered> {
        let arguments = (kind_object(py, ItemKind::Flag)?, as_it_is(py)?);
        let all = self.kept.store(py).call_method1("all", arguments)?;
        let all = match all.cast_into::<PyDict>() {
            Ok(dict) => dict.copy()?,
            Err(other) => copy_of_mapping(&other.into_inner())
                .ok_or_else(|| PyTypeError::new_err("the store gave no dictionary of flags"))?,
        };
        let mut gathered = Gathered { flags: Vec::with_capacity(all.len()), segments: Vec::new() };
        for (key, item) in all.iter() {
            let key = key.cast_into::<PyString>().map_err(PyErr::from)?.to_string_lossy().into_owned();
            if item.is_none() {
                continue;
            }
            let item = items::dictionary(item)?;
            let made = self.flags.made(&key, &item, prepared_flag)?;
            gathered.flags.push((key, Some(made)));
        }
        self.gather_needed(py, &mut gathered)?;
        Ok(gathered)
    }

    /// What failed is said here, and to whom it may concern.
    fn failed(&self, py: Python<'_>, error: PyErr, message: impl FnOnce(&str) -> String) {
        // What is meant for the program is raised when the call is over.
        let Some(error) = interrupts::put_by(py, error) else { return };
        let text = shown(py, &error);
        logging::log(py, LogLevel::Error, &message(&text));
        self.kept.failed(py, &self.client, &text);
    }
}

impl FlagLookup for Lookup {
    fn data_for(
        &self,
        py: Python<'_>,
        flag_key: &str,
        has_flags: &dyn Fn() -> bool,
    ) -> Result<Arc<DataSet>, ErrorKind> {
        if self.client.is_offline() {
            return Err(ErrorKind::ClientNotReady);
        }
        let retrieving =
            |error: &str| format!("Unexpected error while retrieving feature flag \"{flag_key}\": {error}");
        let read = self.is_ready(py, has_flags, || old_values(flag_key));
        let flag = match read {
            Ok(false) => return Err(ErrorKind::ClientNotReady),
            Ok(true) => self.flag(py, flag_key),
            Err(error) => Err(error),
        };
        let flag = flag.map_err(|error| {
            self.failed(py, error, retrieving);
            ErrorKind::Exception
        })?;
        let mut gathered = Gathered { flags: vec![(flag_key.to_owned(), flag)], segments: Vec::new() };
        self.gather_needed(py, &mut gathered).map_err(|error| {
            let evaluating = |error: &str| {
                format!("Unexpected error while evaluating feature flag \"{flag_key}\": {error}")
            };
            self.failed(py, error, evaluating);
            ErrorKind::Exception
        })?;
        let known = self.some.load();
        if gathered.is_in(&known) {
            return Ok(known.clone());
        }
        let data = Arc::new(known.with_all(gathered.flag_entries(), gathered.segment_entries()));
        self.some.store(data.clone());
        Ok(data)
    }

    fn all_data(&self, py: Python<'_>, has_flags: &dyn Fn() -> bool) -> Option<Arc<DataSet>> {
        let _counted = visits::enter()?;
        let read = self.is_ready(py, has_flags, || {
            "all_flags_state() called before client has finished initializing! Using last known values from \
             feature store"
                .to_owned()
        });
        let gathered = match read {
            Ok(true) => self.gather_all(py),
            Ok(false) => {
                let message = "all_flags_state() called before client has finished initializing! Feature \
                               store unavailable - returning empty state";
                logging::log(py, LogLevel::Warn, message);
                return None;
            }
            Err(error) => Err(error),
        };
        match gathered {
            Ok(gathered) => {
                let known = self.all.load();
                if gathered.is_all_of(&known) {
                    return Some(known.clone());
                }
                let data = Arc::new(DataSet::new(gathered.flag_entries(), gathered.segment_entries()));
                self.all.store(data.clone());
                Some(data)
            }
            Err(error) => {
                self.failed(py, error, |error| format!("Unable to read flags for all_flag_state: {error}"));
                None
            }
        }
    }

    fn is_initialized(&self, py: Python<'_>) -> bool {
        let Some(_counted) = visits::enter() else { return false };
        self.kept.is_initialized(py).unwrap_or_else(|error| {
            interrupts::put_by(py, error);
            false
        })
    }
}

impl<T> Known<T> {
    /// What an item amounts to: what was made of it when it was last read, if it is still the same.
    fn made(
        &self,
        key: &str,
        item: &Bound<'_, PyAny>,
        make: impl FnOnce(&str, Value) -> serde_json::Result<Option<Arc<T>>>,
    ) -> PyResult<Arc<Made<T>>> {
        // Nothing under the lock runs Python code, so the thread that holds it is never made to wait.
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(known) = &known
            && items::is_same(item, &known.json)
        {
            return Ok(known.clone());
        }
        let json = items::json(item);
        if let Some(known) = known.filter(|known| known.json == json) {
            return Ok(known);
        }
        let live = make(key, json.clone())
            .map_err(|error| PyValueError::new_err(format!("the item makes no sense: {error}")))?;
        let made = Arc::new(Made { json, live });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outgrown = if all.len() >= MOST_ITEMS { std::mem::take(&mut *all) } else { HashMap::default() };
        all.insert(key.into(), made.clone());
        drop(all);
        drop(outgrown);
        Ok(made)
    }
}

impl Gathered {
    /// Whether a data set has just what was read, whatever else it has.
    fn is_in(&self, data: &DataSet) -> bool {
        self.flags.iter().all(|(key, made)| is_same(made.as_deref(), data.flag(key)))
            && self.segments.iter().all(|(key, made)| is_same(made.as_deref(), data.segment(key)))
    }

    /// As [`Gathered::is_in`], and no flag besides.
    fn is_all_of(&self, data: &DataSet) -> bool {
        let live = self.flags.iter().filter(|(_, made)| live(made.as_deref()).is_some());
        live.count() == data.flags().count() && self.is_in(data)
    }

    fn flag_entries(&self) -> impl Iterator<Item = Entry<PreparedFlag>> {
        self.flags.iter().map(|(key, made)| entry(key, made.as_deref()))
    }

    fn segment_entries(&self) -> impl Iterator<Item = Entry<PreparedSegment>> {
        self.segments.iter().map(|(key, made)| entry(key, made.as_deref()))
    }
}

fn live<T>(made: Option<&Made<T>>) -> Option<&Arc<T>> {
    made.and_then(|made| made.live.as_ref())
}

fn is_same<T>(made: Option<&Made<T>>, known: Option<&Arc<T>>) -> bool {
    match (live(made), known) {
        (Some(made), Some(known)) => Arc::ptr_eq(made, known),
        (made, known) => made.is_none() && known.is_none(),
    }
}

fn entry<T>(key: &str, made: Option<&Made<T>>) -> Entry<T> {
    match live(made) {
        Some(item) => Entry::Live(item.clone()),
        None => Entry::Tombstone { key: key.into(), version: 0 },
    }
}

fn prepared_flag(key: &str, json: Value) -> serde_json::Result<Option<Arc<PreparedFlag>>> {
    Ok(Entry::flag(key, serde_json::from_value::<Flag>(json)?).live().cloned())
}

fn prepared_segment(key: &str, json: Value) -> serde_json::Result<Option<Arc<PreparedSegment>>> {
    Ok(Entry::segment(key, serde_json::from_value::<Segment>(json)?).live().cloned())
}

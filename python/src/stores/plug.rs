//! Which stores a configuration has, and how the client core is given them.

use std::sync::Arc;
use std::time::Duration;

use flagstaff_sdk::{BigSegments, Caching, PersistentDataStore};
use pyo3::prelude::*;

use super::big_segments::PythonBigSegments;
use super::database::{BigSegmentDatabase, FlagDatabase};
use super::lookup::Lookup;
use super::python_store::{Kept, PythonStore};
use crate::seen::FlagLookup;
use crate::settings::duration;

/// How long a store written in Python may take where the client core waits for it: for the first flags to
/// be written, for the segments of a context. Such a store has time-outs of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a client keeps flags, besides its memory.
enum Store {
    /// In memory alone.
    None,
    Database {
        database: Py<FlagDatabase>,
        caching: Caching,
    },
    Python(Arc<Kept>),
}

impl Store {
    /// The store that a config names.
    fn of(config: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = config.py();
        if config.getattr("offline")?.is_truthy()? {
            return Ok(Store::None);
        }
        let module = py.import("ldclient.impl.native_stores")?;
        let store = module.call_method1("store_of", (config,))?;
        if store.is_none() {
            return Ok(Store::None);
        }
        let native = module.call_method1("database_behind", (&store,))?;
        if native.is_none() {
            return Ok(Store::Python(Kept::new(&store, config)));
        }
        let (database, caching): (Bound<'_, FlagDatabase>, Bound<'_, PyAny>) = native.extract()?;
        let caching = match caching.getattr("expiration")?.extract::<f64>()? {
            seconds if seconds > 0.0 => Caching::For(duration(seconds)),
            _ => Caching::Off,
        };
        Ok(Store::Database { database: database.unbind(), caching })
    }
}

/// What the client core is given to keep flags in, if there is anything.
pub(crate) fn data_store(config: &Bound<'_, PyAny>) -> PyResult<Option<PersistentDataStore>> {
    let store = match Store::of(config)? {
        Store::None => return Ok(None),
        Store::Database { database, caching } => {
            PersistentDataStore::shared(database.get().shared()).caching(caching)
        }
        Store::Python(kept) => {
            // Listeners evaluate with what is written there.
            let store =
                PersistentDataStore::shared(Arc::new(PythonStore(kept))).timeout(PATIENCE).written_first();
            if memory_counts(config)? {
                store
            } else {
                // The core only writes it. What it evaluates for itself, for listeners, is in memory.
                store.caching(Caching::Forever)
            }
        }
    };
    Ok(Some(if config.getattr("_reads_store_only")?.is_truthy()? { store.read_only() } else { store }))
}

/// Whether a store written in Python is read by the client core, until the first flags have come: that is
/// what a data system does with any store.
fn memory_counts(config: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(!config.getattr("datasystem_config")?.is_none() && !config.getattr("use_ldd")?.is_truthy()?)
}

/// What evaluations read flags with, if it is not the client core that does.
pub(crate) fn lookup(
    config: &Bound<'_, PyAny>,
    core: &flagstaff_sdk::Client,
) -> PyResult<Option<Box<dyn FlagLookup>>> {
    Ok(match Store::of(config)? {
        Store::Python(kept) if !core.is_offline() && !memory_counts(config)? => {
            Some(Box::new(Lookup::new(kept, core.clone())))
        }
        _ => None,
    })
}

/// What the client core is given to ask for big segments, if there is anything.
pub(crate) fn big_segments(config: &Bound<'_, PyAny>) -> PyResult<Option<BigSegments>> {
    let settings = config.getattr("big_segments")?;
    let store = settings.getattr("store")?;
    if store.is_none() {
        return Ok(None);
    }
    let native = config
        .py()
        .import("ldclient.impl.native_stores")?
        .call_method1("big_segment_database_behind", (&store,))?;
    let asked = match native.cast::<BigSegmentDatabase>() {
        Ok(database) => BigSegments::shared(database.get().shared()),
        Err(_) => BigSegments::new(PythonBigSegments(store.unbind())).timeout(PATIENCE),
    };
    let seconds = |name: &str| Ok::<_, PyErr>(duration(settings.getattr(name)?.extract::<f64>()?));
    Ok(Some(
        asked
            .context_cache_size(settings.getattr("context_cache_size")?.extract()?)
            .context_cache_time(seconds("context_cache_time")?)
            .status_poll_interval(seconds("status_poll_interval")?.max(Duration::from_millis(1)))
            .stale_after(seconds("stale_after")?),
    ))
}

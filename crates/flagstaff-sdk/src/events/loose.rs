//! Counts of what has no flag to keep them with: flags that do not exist.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flagstaff_eval::Value;
use foldhash::{HashMap, HashMapExt};

/// So many unknown keys are counted by name, the others under [`OTHERS`]: keys made up at run time
/// must not fill the memory.
const MOST_KEYS: usize = 1_000;
/// Stands for all unknown keys beyond those.
const OTHERS: &str = "$other-unknown-flags";

/// Counts by flag key. Callers hold a fork guard.
#[derive(Default)]
pub(super) struct LooseCounts {
    flags: Mutex<HashMap<Box<str>, LooseFlag>>,
}

/// The counts of one flag key.
pub(super) struct LooseFlag {
    pub(super) default: Value,
    pub(super) kinds: BTreeSet<String>,
    pub(super) counts: Vec<LooseCount>,
}

pub(super) struct LooseCount {
    /// None if there is no such flag.
    pub(super) version: Option<u64>,
    pub(super) variation: Option<usize>,
    pub(super) value: Value,
    pub(super) count: u64,
}

impl LooseCounts {
    pub(super) fn count(
        &self,
        flag_key: &str,
        version: Option<u64>,
        variation: Option<usize>,
        value: &Value,
        default: &Value,
        kinds: Vec<String>,
    ) {
        let mut flags = self.lock();
        let by_name = version.is_some() || flags.len() < MOST_KEYS || flags.contains_key(flag_key);
        let flag_key = if by_name { flag_key } else { OTHERS };
        if !flags.contains_key(flag_key) {
            let new = LooseFlag { default: default.clone(), kinds: BTreeSet::new(), counts: Vec::new() };
            flags.insert(flag_key.into(), new);
        }
        let Some(flag) = flags.get_mut(flag_key) else { return };
        flag.kinds.extend(kinds);
        match flag.counts.iter_mut().find(|known| known.version == version && known.variation == variation) {
            Some(known) => known.count += 1,
            None => flag.counts.push(LooseCount { version, variation, value: value.clone(), count: 1 }),
        }
    }

    /// Takes all counts out.
    pub(super) fn take(&self) -> HashMap<Box<str>, LooseFlag> {
        std::mem::replace(&mut *self.lock(), HashMap::new())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, LooseFlag>> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The data set that is in force now, read by many and changed by one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::{DataSet, Entry};
use crate::prepared::{PreparedFlag, PreparedSegment};

/// The data set in force. Reading is one atomic load and never waits; a change swaps in the next.
///
/// Data sets that are no longer in force are freed by whoever changes, never by a reader, so that
/// no evaluation pays for freeing thousands of flags.
#[derive(Debug, Default)]
pub struct SharedDataSet {
    current: ArcSwap<DataSet>,
    /// Locked while changing.
    retired: Retired,
}

/// Data sets that are no longer in force, but that some reader still has.
#[derive(Clone, Debug, Default)]
pub struct Retired(Arc<Mutex<Vec<Arc<DataSet>>>>);

impl SharedDataSet {
    /// Starts with this data set.
    pub fn new(data: DataSet) -> Self {
        Self { current: ArcSwap::from_pointee(data), retired: Retired::default() }
    }

    /// The data set in force, for the length of one call. Do not keep it across a callback: take
    /// [`SharedDataSet::snapshot`] there.
    #[inline]
    pub fn load(&self) -> Guard<Arc<DataSet>> {
        self.current.load()
    }

    /// The data set in force, to keep.
    pub fn snapshot(&self) -> Arc<DataSet> {
        self.current.load_full()
    }

    /// Replaces everything, whatever the versions.
    pub fn replace(&self, data: DataSet) {
        self.change(|_| Some(data));
    }

    /// Puts in a flag; false if the version known already is as high.
    pub fn upsert_flag(&self, entry: Entry<PreparedFlag>) -> bool {
        self.change(|data| data.with_flag(entry))
    }

    /// Puts in a segment; false if the version known already is as high.
    pub fn upsert_segment(&self, entry: Entry<PreparedSegment>) -> bool {
        self.change(|data| data.with_segment(entry))
    }

    /// Swaps in what `next` makes of the data set in force; false if it makes nothing of it.
    pub fn change(&self, next: impl FnOnce(&DataSet) -> Option<DataSet>) -> bool {
        self.change_and_see(next, |_, _| {})
    }

    /// As [`SharedDataSet::change`]. If there is a change, `see` is shown the data sets before and
    /// after it, while no other change can be made; it must not make one itself. Whoever keeps the
    /// first calls [`Retired::free`] once it has let go of it.
    pub fn change_and_see(
        &self,
        next: impl FnOnce(&DataSet) -> Option<DataSet>,
        see: impl FnOnce(&Arc<DataSet>, &Arc<DataSet>),
    ) -> bool {
        let mut retired = self.retired.lock();
        let Some(data) = next(&self.current.load()) else {
            return false;
        };
        let after = Arc::new(data);
        let before = self.current.swap(after.clone());
        see(&before, &after);
        retired.push(before);
        free(retired);
        true
    }

    /// The data sets that wait to be freed.
    pub fn retired(&self) -> Retired {
        self.retired.clone()
    }
}

impl Retired {
    /// Frees those that nobody has any more. Each change of the data set does so too.
    pub fn free(&self) {
        free(self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<DataSet>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn free(mut retired: MutexGuard<'_, Vec<Arc<DataSet>>>) {
    let free = retired.extract_if(.., |old| Arc::strong_count(old) == 1).collect::<Vec<_>>();
    // Freed after the lock is given back.
    drop(retired);
    drop(free);
}

//! What belongs to one process. A child made by `fork` starts over: the threads of its parent are not in it,
//! and its copies of their locks may be held for ever. So it leaves its copy alone, and never drops it either.

use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// A value of which each process has its own.
pub(crate) struct PerProcess<T>(ArcSwapOption<Own<T>>);

/// The value of one process.
pub(crate) struct Own<T> {
    process: u32,
    value: T,
}

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(ArcSwapOption::const_empty())
    }

    /// The value of this process.
    pub(crate) fn get(&self) -> Arc<Own<T>> {
        let process = std::process::id();
        loop {
            let current = self.0.load_full();
            if let Some(own) = current.as_ref().filter(|own| own.process == process) {
                return Arc::clone(own);
            }
            self.0.compare_and_swap(&current, Some(Arc::new(Own { process, value: T::default() })));
            // The parent's: whoever waits there must not be told here.
            mem::forget(current);
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        if let Some(own) = self.0.swap(None).filter(|own| !own.is_of_this_process()) {
            mem::forget(own);
        }
    }
}

impl<T> Own<T> {
    /// False in a child that still has its parent's.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.process == std::process::id()
    }
}

impl<T> Deref for Own<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

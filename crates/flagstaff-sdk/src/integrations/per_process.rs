//! What belongs to one process: a forked child makes its own, and leaves its parent's alone.

use std::mem;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use crate::fork;

/// Connections and threads, of which a child has only useless copies.
pub(super) struct PerProcess<T> {
    own: Mutex<Option<(u32, Arc<T>)>>,
}

impl<T> PerProcess<T> {
    pub(super) const fn new() -> Self {
        Self { own: Mutex::new(None) }
    }

    /// What this process has, made now if it has nothing yet. `make` runs while the process cannot
    /// fork: it neither waits for the network nor takes a lock of the client's.
    pub(super) fn get<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        fork::watch();
        let _unforked = fork::guard();
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, parents)) = own.take_if(|(process, _)| *process != process::id()) {
            // Dropping it would say goodbye to the database on the parent's behalf, and may wait for
            // threads that are not there.
            mem::forget(parents);
        }
        if let Some((_, kept)) = &*own {
            return Ok(kept.clone());
        }
        let made = Arc::new(make()?);
        *own = Some((process::id(), made.clone()));
        Ok(made)
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let own = self.own.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, parents)) = own.take_if(|(process, _)| *process != process::id()) {
            mem::forget(parents);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn one_process_makes_it_once() {
        let cell = PerProcess::new();
        let first = cell.get(|| Ok::<_, Infallible>(1)).unwrap();
        let second = cell.get(|| Ok::<_, Infallible>(2)).unwrap();
        assert_eq!((*first, *second), (1, 1));
    }

    #[test]
    fn what_could_not_be_made_is_made_next_time() {
        let cell = PerProcess::new();
        assert_eq!(cell.get(|| Err("not now")).unwrap_err(), "not now");
        assert_eq!(*cell.get(|| Ok::<_, Infallible>(2)).unwrap(), 2);
    }

    #[test]
    fn what_another_process_made_is_neither_used_nor_dropped() {
        struct Loud;
        impl Drop for Loud {
            fn drop(&mut self) {
                panic!("the parent's was dropped");
            }
        }
        let of_parent = || PerProcess { own: Mutex::new(Some((0, Arc::new(Some(Loud))))) };
        let used = of_parent();
        assert!(used.get(|| Ok::<_, Infallible>(None)).unwrap().is_none());
        drop(used);
        drop(of_parent());
    }
}

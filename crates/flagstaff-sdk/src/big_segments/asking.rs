//! What one evaluation asks a database of big segments for.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flagstaff_eval::BigSegmentsStatus;
use flagstaff_eval::big_segments as eval;
use flagstaff_eval::evaluate_with_big_segments;

use super::manager::{Manager, Members};
use crate::context::EventContext;
use crate::shared::Shared;

/// Asks, and waits, on the caller's thread: for one time-out at most, however many contexts and flags
/// there are. A context whose question failed is not asked for again.
pub(crate) struct Asking<'m> {
    manager: &'m Arc<Manager>,
    /// When the first question was asked.
    since: Cell<Option<Instant>>,
    failed: RefCell<Vec<Box<str>>>,
}

impl<'m> Asking<'m> {
    #[inline]
    pub(crate) fn new(manager: &'m Arc<Manager>) -> Self {
        Self { manager, since: Cell::new(None), failed: RefCell::new(Vec::new()) }
    }

    /// How long may still be waited.
    fn patience(&self) -> Duration {
        let since = self.since.get().unwrap_or_else(Instant::now);
        self.since.set(Some(since));
        self.manager.timeout().saturating_sub(since.elapsed())
    }
}

impl eval::BigSegments for Asking<'_> {
    fn membership(&self, context_key: &str) -> (Members, BigSegmentsStatus) {
        if self.failed.borrow().iter().any(|failed| **failed == *context_key) {
            return (None, BigSegmentsStatus::StoreError);
        }
        let answer = self.manager.membership_within(context_key, self.patience());
        if answer.1 == BigSegmentsStatus::StoreError {
            self.failed.borrow_mut().push(context_key.into());
        }
        answer
    }
}

/// What an evaluation will ask for, asked beforehand by async code.
pub(crate) struct Gathered {
    manager: Arc<Manager>,
    known: RefCell<Vec<(Box<str>, Members, BigSegmentsStatus)>>,
    /// What was asked for and is not known; none once all was gathered.
    missed: RefCell<Option<Vec<Box<str>>>>,
}

impl Gathered {
    /// Finds out what the evaluation of a flag asks for, and asks; for one time-out at most. None if
    /// there is no database.
    pub(crate) async fn for_flag<C>(shared: &Arc<Shared>, flag_key: &str, context: &C) -> Option<Self>
    where
        C: EventContext + ?Sized,
    {
        Self::gather(shared, |asked| {
            let data = shared.data.load();
            if let Some(flag) = data.flag(flag_key) {
                evaluate_with_big_segments(&data, Some(asked), flag, context, &mut |_| {});
            }
        })
        .await
    }

    /// As [`Gathered::for_flag`], for all flags.
    pub(crate) async fn for_all_flags<C>(shared: &Arc<Shared>, context: &C) -> Option<Self>
    where
        C: EventContext + ?Sized,
    {
        Self::gather(shared, |asked| {
            let data = shared.data.snapshot();
            for flag in data.flags() {
                evaluate_with_big_segments(&data, Some(asked), flag, context, &mut |_| {});
            }
        })
        .await
    }

    /// `evaluate` is run until it asks for nothing that is not known.
    async fn gather(shared: &Arc<Shared>, evaluate: impl Fn(&dyn eval::BigSegments)) -> Option<Self> {
        let manager = shared.big_segments.clone()?;
        let mut gathered =
            Self { manager, known: RefCell::default(), missed: RefCell::new(Some(Vec::new())) };
        let mut late = None;
        loop {
            evaluate(&gathered);
            let missed = std::mem::take(gathered.missed.get_mut().get_or_insert_default());
            if missed.is_empty() {
                *gathered.missed.get_mut() = None;
                return Some(gathered);
            }
            let late = late.get_or_insert_with(|| shared.after(gathered.manager.timeout()));
            for key in missed {
                let (members, status) = gathered.manager.fetch(&key, late).await;
                gathered.known.get_mut().push((key, members, status));
            }
        }
    }
}

impl eval::BigSegments for Gathered {
    fn membership(&self, context_key: &str) -> (Members, BigSegmentsStatus) {
        let known = self.known.borrow().iter().find(|known| *known.0 == *context_key).cloned();
        if let Some((_, members, status)) = known {
            return (members, status);
        }
        let cached = self.manager.membership_if_cached(context_key);
        if let Some((members, status)) = cached {
            self.known.borrow_mut().push((context_key.into(), members.clone(), status));
            return (members, status);
        }
        match &mut *self.missed.borrow_mut() {
            Some(missed) => {
                missed.push(context_key.into());
                (None, BigSegmentsStatus::StoreError)
            }
            // Flags have changed since: rather a wait than a wrong value.
            None => self.manager.membership_within(context_key, self.manager.timeout()),
        }
    }
}

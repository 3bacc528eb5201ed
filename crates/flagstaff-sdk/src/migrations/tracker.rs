//! What is noted of one step of a migration, until it is reported.

use std::sync::Arc;
use std::time::Duration;

use flagstaff_eval::Context;
use flagstaff_wire::migration::{
    ByOrigin, Consistency, MigrationOpEvent, Operation, Origin, StageEvaluation,
};

use super::Stage;
use crate::clock::now_ms;
use crate::events::drawn;
use crate::value::VariationDetail;

/// Takes down what a program does at a stage: comes from
/// [`Client::migration_variation`](crate::Client::migration_variation), and goes to
/// [`Client::track_migration_op`](crate::Client::track_migration_op).
///
/// ```
/// # use flagstaff_sdk::{Client, Config, Context};
/// # use flagstaff_sdk::migrations::{Operation, Origin, Stage};
/// # let client = Client::start(Config::new("").offline(true))?;
/// # let context = Context::from_key("user-1")?;
/// let (stage, mut tracker) = client.migration_variation("orders-to-database", &context, Stage::Off);
/// tracker.operation(Operation::Read);
/// if stage == Stage::Off {
///     tracker.invoked(Origin::Old);
/// }
/// client.track_migration_op(tracker);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MigrationOpTracker {
    flag_key: String,
    flag_version: Option<u64>,
    context: Arc<Context>,
    default_stage: Stage,
    detail: VariationDetail<Stage>,
    sampling_ratio: i64,
    check_ratio: i64,
    operation: Option<Operation>,
    invoked: ByOrigin<bool>,
    consistent: Option<bool>,
    latency: ByOrigin<Option<Duration>>,
    error: ByOrigin<bool>,
}

/// Why a step is not reported: what was noted of it does not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Untracked {
    /// It is not said what was done.
    #[error("the operation, read or write, is not set")]
    NoOperation,
    /// Nothing was done.
    #[error("no origin was invoked")]
    NothingInvoked,
    /// The flag's key is empty.
    #[error("the flag key is empty")]
    NoFlagKey,
    /// Something was measured of an origin that was not called.
    #[error("{what} of the {origin} origin was noted, but it was not invoked")]
    NotInvoked {
        /// `the latency` or `an error`.
        what: &'static str,
        /// Which one.
        origin: Origin,
    },
    /// Both are said to agree, or not, but one of them was not called.
    #[error("consistency was noted, but the {origin} origin was not invoked")]
    NothingToCompare {
        /// Which one.
        origin: Origin,
    },
}

/// What the flag says of its own reports: how many of them are made.
pub(super) struct Ratios {
    pub(super) sampling: i64,
    pub(super) check: i64,
}

impl MigrationOpTracker {
    pub(super) fn new(
        flag_key: &str,
        flag_version: Option<u64>,
        context: Arc<Context>,
        default_stage: Stage,
        detail: VariationDetail<Stage>,
        ratios: Ratios,
    ) -> Self {
        Self {
            flag_key: flag_key.to_owned(),
            flag_version,
            context,
            default_stage,
            detail,
            sampling_ratio: ratios.sampling,
            check_ratio: ratios.check,
            operation: None,
            invoked: ByOrigin::default(),
            consistent: None,
            latency: ByOrigin::default(),
            error: ByOrigin::default(),
        }
    }

    /// The stage, which of the flag's variations it is, and why.
    pub fn detail(&self) -> &VariationDetail<Stage> {
        &self.detail
    }

    /// Notes what is done.
    pub fn operation(&mut self, operation: Operation) -> &mut Self {
        self.operation = Some(operation);
        self
    }

    /// Notes that an origin was called.
    pub fn invoked(&mut self, origin: Origin) -> &mut Self {
        *self.invoked.of_mut(origin) = true;
        self
    }

    /// Notes how long an origin took, whether it failed or not.
    pub fn latency(&mut self, origin: Origin, latency: Duration) -> &mut Self {
        *self.latency.of_mut(origin) = Some(latency);
        self
    }

    /// Notes that an origin failed.
    pub fn error(&mut self, origin: Origin) -> &mut Self {
        *self.error.of_mut(origin) = true;
        self
    }

    /// Notes whether both origins gave the same. Of the reads of a migration the flag's check ratio
    /// says how many are looked at: `compare` is called for those alone.
    pub fn consistent(&mut self, compare: impl FnOnce() -> bool) -> &mut Self {
        self.check(|| Some(compare()))
    }

    /// As [`MigrationOpTracker::consistent`], for a comparison that may fail.
    pub(super) fn check(&mut self, compare: impl FnOnce() -> Option<bool>) -> &mut Self {
        if drawn(self.check_ratio) {
            self.consistent = compare();
        }
        self
    }

    pub(super) fn flag_key(&self) -> &str {
        &self.flag_key
    }

    /// The report.
    pub(super) fn event(self) -> Result<MigrationOpEvent, Untracked> {
        let operation = self.operation.ok_or(Untracked::NoOperation)?;
        if self.flag_key.is_empty() {
            return Err(Untracked::NoFlagKey);
        }
        if !self.invoked.old && !self.invoked.new {
            return Err(Untracked::NothingInvoked);
        }
        for origin in [Origin::Old, Origin::New] {
            if *self.invoked.of(origin) {
                continue;
            }
            if self.latency.of(origin).is_some() {
                return Err(Untracked::NotInvoked { what: "the latency", origin });
            }
            if *self.error.of(origin) {
                return Err(Untracked::NotInvoked { what: "an error", origin });
            }
            if self.consistent.is_some() {
                return Err(Untracked::NothingToCompare { origin });
            }
        }
        let check_ratio = self.check_ratio;
        Ok(MigrationOpEvent {
            creation_date_ms: now_ms(),
            operation,
            context: self.context,
            evaluation: StageEvaluation {
                key: self.flag_key,
                version: self.flag_version,
                variation: self.detail.variation_index,
                value: self.detail.value.as_str(),
                default: self.default_stage.as_str(),
                reason: self.detail.reason,
            },
            invoked: self.invoked,
            consistency: self.consistent.map(|consistent| Consistency { consistent, check_ratio }),
            latency: self.latency,
            error: self.error,
            sampling_ratio: self.sampling_ratio,
        })
    }
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::ReasonKind;

    use super::*;

    fn tracker(flag_key: &str, check: i64) -> MigrationOpTracker {
        let reason = ReasonKind::Fallthrough.into();
        let detail = VariationDetail { value: Stage::Live, variation_index: Some(3), reason };
        let context = Arc::new(Context::from_key("u").unwrap());
        MigrationOpTracker::new(flag_key, Some(7), context, Stage::Off, detail, Ratios { sampling: 1, check })
    }

    /// What becomes of a read in which the old origin alone was called, and of what else is noted.
    fn check(expected: Result<(), Untracked>, note: impl FnOnce(&mut MigrationOpTracker)) {
        let mut tracker = tracker("m", 1);
        tracker.operation(Operation::Read).invoked(Origin::Old);
        note(&mut tracker);
        assert_eq!(tracker.event().map(|_| ()), expected);
    }

    #[test]
    fn what_does_not_add_up_is_not_reported() {
        let (old, new) = (Origin::Old, Origin::New);
        let ms = Duration::from_millis(1);
        check(Ok(()), |tracker| {
            tracker.latency(old, ms).error(old);
        });
        check(Ok(()), |tracker| {
            tracker.invoked(new).consistent(|| false);
        });
        let not_invoked = |what| Err(Untracked::NotInvoked { what, origin: new });
        check(not_invoked("the latency"), |tracker| {
            tracker.latency(new, ms);
        });
        check(not_invoked("an error"), |tracker| {
            tracker.error(new);
        });
        check(Err(Untracked::NothingToCompare { origin: new }), |tracker| {
            tracker.consistent(|| true);
        });
        check(Err(Untracked::NoOperation), |tracker| tracker.operation = None);
        check(Err(Untracked::NothingInvoked), |tracker| tracker.invoked.old = false);
        check(Err(Untracked::NoFlagKey), |tracker| tracker.flag_key.clear());
    }

    #[test]
    fn consistency_is_looked_at_as_often_as_the_flag_says() {
        let looked_at = |ratio: i64| {
            (0..2_000).filter(|_| tracker("m", ratio).consistent(|| true).consistent == Some(true)).count()
        };
        assert_eq!((looked_at(0), looked_at(-1), looked_at(1)), (0, 0, 2_000));
        // 200 are expected, with a standard deviation of 13.
        assert!((100..300).contains(&looked_at(10)));
    }
}

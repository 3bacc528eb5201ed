//! Calls a function of the program's, takes the time, and notes what came of it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use flagstaff_wire::migration::{Operation, Origin};

use super::migrator::Comparison;
use super::stage::Plan;
use super::{ExecutionOrder, Failure, MigrationOpTracker, OperationResult, Stage};
use crate::callbacks::contained;
use crate::client::Client;
use crate::context::EventContext;
use crate::log::Log;

/// What all migrators have.
pub(super) struct Settings {
    pub(super) client: Client,
    pub(super) order: ExecutionOrder,
    pub(super) track_latency: bool,
    pub(super) track_errors: bool,
}

/// What came of one call, and how long it took.
pub(super) struct Measured<T, E> {
    pub(super) outcome: OperationResult<T, E>,
    latency: Duration,
}

impl Settings {
    /// Asks for the stage: what is to be called, and what takes it down.
    pub(super) fn begin<C: EventContext + ?Sized>(
        &self,
        key: &str,
        context: &C,
        default_stage: Stage,
        operation: Operation,
    ) -> (Plan, MigrationOpTracker) {
        let (stage, tracker) = self.client.migration_variation(key, context, default_stage);
        planned(stage, tracker, operation)
    }

    /// As [`Settings::begin`], without a thread that waits.
    pub(super) async fn begin_async<C: EventContext + ?Sized>(
        &self,
        key: &str,
        context: &C,
        default_stage: Stage,
        operation: Operation,
    ) -> (Plan, MigrationOpTracker) {
        let (stage, tracker) = self.client.migration_variation_async(key, context, default_stage).await;
        planned(stage, tracker, operation)
    }

    pub(super) fn log(&self) -> &Log {
        &self.client.shared().log
    }

    pub(super) fn note<T, E>(&self, tracker: &mut MigrationOpTracker, measured: &Measured<T, E>) {
        let origin = measured.outcome.origin;
        tracker.invoked(origin);
        if self.track_latency {
            tracker.latency(origin, measured.latency);
        }
        if self.track_errors && !measured.outcome.is_success() {
            tracker.error(origin);
        }
    }

    /// Reports a read, and gives what is believed.
    pub(super) fn finish_read<T, E>(
        &self,
        mut tracker: MigrationOpTracker,
        believed: Measured<T, E>,
        other: Option<Measured<T, E>>,
        comparison: Option<&Comparison<T>>,
    ) -> OperationResult<T, E> {
        self.note(&mut tracker, &believed);
        if let Some(other) = other {
            self.note(&mut tracker, &other);
            if let (Some(same), Ok(a), Ok(b)) = (comparison, &believed.outcome.result, &other.outcome.result)
            {
                let (old, new) = if believed.outcome.origin == Origin::Old { (a, b) } else { (b, a) };
                tracker.check(|| contained(self.log(), "the comparison of a migration", || same(old, new)));
            }
        }
        self.client.track_migration_op(tracker);
        believed.outcome
    }
}

fn planned(
    stage: Stage,
    mut tracker: MigrationOpTracker,
    operation: Operation,
) -> (Plan, MigrationOpTracker) {
    tracker.operation(operation);
    let plan = match operation {
        Operation::Read => stage.reads(),
        Operation::Write => stage.writes(),
    };
    (plan, tracker)
}

/// Whether the origin that is not believed is read first.
pub(super) fn other_first() -> bool {
    getrandom::u32().unwrap_or(0) & 1 == 1
}

fn function_of(origin: Origin) -> &'static str {
    match origin {
        Origin::Old => "the function for the old origin of a migration",
        Origin::New => "the function for the new origin of a migration",
    }
}

/// Calls a function; a panic is a failure like any other.
pub(super) fn measured<T, E>(
    log: &Log,
    origin: Origin,
    call: impl FnOnce() -> Result<T, E>,
) -> Measured<T, E> {
    let started = Instant::now();
    let result = contained(log, function_of(origin), call);
    Measured::new(origin, started, result)
}

/// As [`measured`], for an asynchronous function.
pub(super) async fn measured_async<T, E, F>(
    log: &Log,
    origin: Origin,
    call: impl FnOnce() -> F,
) -> Measured<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    let what = function_of(origin);
    let Some(future) = contained(log, what, call) else { return Measured::new(origin, started, None) };
    let mut future = pin!(future);
    let result = poll_fn(|task| match contained(log, what, || future.as_mut().poll(task)) {
        Some(Poll::Ready(result)) => Poll::Ready(Some(result)),
        Some(Poll::Pending) => Poll::Pending,
        None => Poll::Ready(None),
    });
    let result = result.await;
    Measured::new(origin, started, result)
}

impl<T, E> Measured<T, E> {
    fn new(origin: Origin, started: Instant, result: Option<Result<T, E>>) -> Self {
        let result = match result {
            Some(result) => result.map_err(Failure::Failed),
            None => Err(Failure::Panicked),
        };
        Self { outcome: OperationResult { origin, result }, latency: started.elapsed() }
    }
}

//! Reads and writes by the stage of a flag, with asynchronous functions, on any executor.
//!
//! Nothing is spawned: both origins are read at once by the task that reads.

use std::future::Future;
use std::pin::Pin;

use flagstaff_wire::migration::{ByOrigin, Operation, Origin};

use super::measured::{Measured, measured_async, other_first};
use super::migrator::{Comparison, Migrator};
use super::{ExecutionOrder, OperationResult, Stage, WriteResult};
use crate::context::EventContext;

pub(super) type AsyncFunction<P, T, E> = Box<dyn Fn(P) -> Answer<T, E> + Send + Sync>;
pub(super) type Answer<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Asynchronous functions that read: given a `P`, they give a `T` or fail with an `E`.
pub struct AsyncReads<P, T, E> {
    pub(super) functions: ByOrigin<AsyncFunction<P, T, E>>,
    pub(super) comparison: Option<Comparison<T>>,
}

/// Asynchronous functions that write: given a `P`, they give a `T` or fail with an `E`.
pub struct AsyncWrites<P, T, E> {
    pub(super) functions: ByOrigin<AsyncFunction<P, T, E>>,
}

impl<P: Clone, T, E, W> Migrator<AsyncReads<P, T, E>, W> {
    /// Reads what the stage says, and gives what the origin gave that is believed. Both are read
    /// even if one fails. A function that panics has failed. If the future is dropped on the way, the
    /// read is not reported.
    pub async fn read<C>(
        &self,
        key: &str,
        context: &C,
        default_stage: Stage,
        payload: P,
    ) -> OperationResult<T, E>
    where
        C: EventContext + ?Sized,
    {
        let (plan, tracker) = self.settings.begin_async(key, context, default_stage, Operation::Read).await;
        let (believed, other) = match plan {
            (believed, None) => (self.read_from(believed, payload).await, None),
            (believed, Some(other)) => {
                let (believed, other) = self.read_both(believed, other, payload).await;
                (believed, Some(other))
            }
        };
        self.settings.finish_read(tracker, believed, other, self.reads.comparison.as_ref())
    }

    async fn read_from(&self, origin: Origin, payload: P) -> Measured<T, E> {
        let read = self.reads.functions.of(origin);
        measured_async(self.settings.log(), origin, || read(payload)).await
    }

    async fn read_both(
        &self,
        believed: Origin,
        other: Origin,
        payload: P,
    ) -> (Measured<T, E>, Measured<T, E>) {
        let believed = self.read_from(believed, payload.clone());
        let other = self.read_from(other, payload);
        match self.settings.order {
            ExecutionOrder::Random if other_first() => {
                let other = other.await;
                (believed.await, other)
            }
            ExecutionOrder::Serial | ExecutionOrder::Random => (believed.await, other.await),
            // The macro needs no runtime.
            ExecutionOrder::Concurrent => tokio::join!(believed, other),
        }
    }
}

impl<R, P: Clone, T, E> Migrator<R, AsyncWrites<P, T, E>> {
    /// Writes what the stage says: first to the origin that is believed, and then, if that went well,
    /// to the other. A function that panics has failed. If the future is dropped on the way, the
    /// write is not reported.
    pub async fn write<C>(
        &self,
        key: &str,
        context: &C,
        default_stage: Stage,
        payload: P,
    ) -> WriteResult<T, E>
    where
        C: EventContext + ?Sized,
    {
        let (plan, mut tracker) =
            self.settings.begin_async(key, context, default_stage, Operation::Write).await;
        let first = self.write_to(plan.0, payload.clone()).await;
        self.settings.note(&mut tracker, &first);
        let mut nonauthoritative = None;
        if let Some(other) = plan.1.filter(|_| first.outcome.is_success()) {
            let second = self.write_to(other, payload).await;
            self.settings.note(&mut tracker, &second);
            nonauthoritative = Some(second.outcome);
        }
        self.settings.client.track_migration_op(tracker);
        WriteResult { authoritative: first.outcome, nonauthoritative }
    }

    async fn write_to(&self, origin: Origin, payload: P) -> Measured<T, E> {
        let write = self.writes.functions.of(origin);
        measured_async(self.settings.log(), origin, || write(payload)).await
    }
}

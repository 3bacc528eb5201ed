//! Reads and writes by the stage of a flag.

use std::thread;

use flagstaff_wire::migration::{ByOrigin, Operation, Origin};

use super::measured::{Measured, Settings, measured, other_first};
use super::{ExecutionOrder, MigratorBuilder, OperationResult, Stage, WriteResult};
use crate::client::Client;
use crate::context::EventContext;
use crate::log::{Log, LogLevel};

pub(super) type Function<P, T, E> = Box<dyn Fn(&P) -> Result<T, E> + Send + Sync>;
pub(super) type Comparison<T> = Box<dyn Fn(&T, &T) -> bool + Send + Sync>;

/// Reads and writes two systems by the stage of a flag: see the [module](super).
///
/// `R` is what it reads with, [`Reads`] or [`AsyncReads`](super::AsyncReads), and `W` what it writes
/// with, [`Writes`] or [`AsyncWrites`](super::AsyncWrites); `()` for nothing. Share it by reference or
/// in an [`Arc`](std::sync::Arc).
pub struct Migrator<R = (), W = ()> {
    pub(super) settings: Settings,
    pub(super) reads: R,
    pub(super) writes: W,
}

/// Functions that read: given a `&P`, they give a `T` or fail with an `E`.
pub struct Reads<P: ?Sized, T, E> {
    pub(super) functions: ByOrigin<Function<P, T, E>>,
    pub(super) comparison: Option<Comparison<T>>,
}

/// Functions that write: given a `&P`, they give a `T` or fail with an `E`.
pub struct Writes<P: ?Sized, T, E> {
    pub(super) functions: ByOrigin<Function<P, T, E>>,
}

impl Migrator {
    /// Begins to put a migrator together, which asks this client.
    pub fn builder(client: &Client) -> MigratorBuilder {
        MigratorBuilder::new(client)
    }
}

impl<P: ?Sized + Sync, T: Send, E: Send, W> Migrator<Reads<P, T, E>, W> {
    /// Reads what the stage says, and gives what the origin gave that is believed. Both are read
    /// even if one fails. A function that panics has failed.
    pub fn read<C>(&self, key: &str, context: &C, default_stage: Stage, payload: &P) -> OperationResult<T, E>
    where
        C: EventContext + ?Sized,
    {
        let (plan, tracker) = self.settings.begin(key, context, default_stage, Operation::Read);
        let (believed, other) = match plan {
            (believed, None) => (self.read_from(believed, payload), None),
            (believed, Some(other)) => {
                let (believed, other) = self.read_both(believed, other, payload);
                (believed, Some(other))
            }
        };
        self.settings.finish_read(tracker, believed, other, self.reads.comparison.as_ref())
    }

    fn read_from(&self, origin: Origin, payload: &P) -> Measured<T, E> {
        self.reads.read_from(self.settings.log(), origin, payload)
    }

    fn read_both(&self, believed: Origin, other: Origin, payload: &P) -> (Measured<T, E>, Measured<T, E>) {
        match self.settings.order {
            ExecutionOrder::Random if other_first() => {
                let other = self.read_from(other, payload);
                (self.read_from(believed, payload), other)
            }
            ExecutionOrder::Serial | ExecutionOrder::Random => {
                (self.read_from(believed, payload), self.read_from(other, payload))
            }
            ExecutionOrder::Concurrent => self.read_at_once(believed, other, payload),
        }
    }

    fn read_at_once(&self, believed: Origin, other: Origin, payload: &P) -> (Measured<T, E>, Measured<T, E>) {
        let (log, reads) = (self.settings.log(), &self.reads);
        thread::scope(|scope| {
            let read_other = || reads.read_from(log, other, payload);
            let thread = thread::Builder::new().name("flagstaff-migration".to_owned());
            let reading = thread.spawn_scoped(scope, read_other);
            if let Err(error) = &reading {
                log.once(
                    LogLevel::Warn,
                    format_args!(
                        "no thread could be started to read both origins of a migration at once, \
                         they are read one after the other: {error}"
                    ),
                );
            }
            let believed = reads.read_from(log, believed, payload);
            // What the function does is contained; should the thread end otherwise, the origin is asked here.
            let other = reading.ok().and_then(|reading| reading.join().ok()).unwrap_or_else(read_other);
            (believed, other)
        })
    }
}

impl<P: ?Sized, T, E> Reads<P, T, E> {
    fn read_from(&self, log: &Log, origin: Origin, payload: &P) -> Measured<T, E> {
        let read = self.functions.of(origin);
        measured(log, origin, || read(payload))
    }
}

impl<R, P: ?Sized, T, E> Migrator<R, Writes<P, T, E>> {
    /// Writes what the stage says: first to the origin that is believed, and then, if that went well,
    /// to the other. A function that panics has failed.
    pub fn write<C>(&self, key: &str, context: &C, default_stage: Stage, payload: &P) -> WriteResult<T, E>
    where
        C: EventContext + ?Sized,
    {
        let (plan, mut tracker) = self.settings.begin(key, context, default_stage, Operation::Write);
        let mut write_to = |origin: Origin| {
            let write = self.writes.functions.of(origin);
            let written = measured(self.settings.log(), origin, || write(payload));
            self.settings.note(&mut tracker, &written);
            written.outcome
        };
        let authoritative = write_to(plan.0);
        let nonauthoritative = plan.1.filter(|_| authoritative.is_success()).map(write_to);
        self.settings.client.track_migration_op(tracker);
        WriteResult { authoritative, nonauthoritative }
    }
}

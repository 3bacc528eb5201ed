//! How a migrator is put together: its functions, and what is measured of them.

use std::future::Future;

use flagstaff_wire::migration::ByOrigin;

use super::asynchronous::{AsyncFunction, AsyncReads, AsyncWrites};
use super::measured::Settings;
use super::migrator::{Comparison, Function, Migrator, Reads, Writes};
use crate::client::Client;

/// In which order two origins are read. Writes have an order of their own: the origin that is
/// believed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExecutionOrder {
    /// One after the other, the one that is believed first.
    Serial,
    /// One after the other, either one first.
    Random,
    /// Both at once.
    #[default]
    Concurrent,
}

/// Puts a [`Migrator`] together. `R` and `W` are what it reads and writes with, `()` for nothing yet:
/// a migrator that was given no functions to write with has no `write`.
#[must_use]
pub struct MigratorBuilder<R = (), W = ()> {
    settings: Settings,
    reads: R,
    writes: W,
}

impl MigratorBuilder {
    pub(super) fn new(client: &Client) -> Self {
        let settings = Settings {
            client: client.clone(),
            order: ExecutionOrder::default(),
            track_latency: true,
            track_errors: true,
        };
        Self { settings, reads: (), writes: () }
    }
}

impl<R, W> MigratorBuilder<R, W> {
    /// In which order two origins are read. Default: both at once.
    pub fn read_execution_order(mut self, order: ExecutionOrder) -> Self {
        self.settings.order = order;
        self
    }

    /// Whether it is reported how long the origins take. Default true.
    pub fn track_latency(mut self, track: bool) -> Self {
        self.settings.track_latency = track;
        self
    }

    /// Whether it is reported which origins fail. Default true.
    pub fn track_errors(mut self, track: bool) -> Self {
        self.settings.track_errors = track;
        self
    }

    /// The functions that read. Both are given the same payload, by reference: what is to be read.
    ///
    /// When both origins are read at once, the one that is not believed is read on a thread that is
    /// started for it.
    pub fn read<P: ?Sized, T, E>(
        self,
        old: impl Fn(&P) -> Result<T, E> + Send + Sync + 'static,
        new: impl Fn(&P) -> Result<T, E> + Send + Sync + 'static,
    ) -> MigratorBuilder<Reads<P, T, E>, W> {
        let functions: ByOrigin<Function<P, T, E>> = ByOrigin { old: Box::new(old), new: Box::new(new) };
        self.reading(Reads { functions, comparison: None })
    }

    /// As [`MigratorBuilder::read`], with asynchronous functions, for any executor. Each is given the
    /// payload, a clone of it.
    pub fn read_async<P, T, E, O, N>(
        self,
        old: impl Fn(P) -> O + Send + Sync + 'static,
        new: impl Fn(P) -> N + Send + Sync + 'static,
    ) -> MigratorBuilder<AsyncReads<P, T, E>, W>
    where
        O: Future<Output = Result<T, E>> + Send + 'static,
        N: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.reading(AsyncReads { functions: boxed(old, new), comparison: None })
    }

    /// The functions that write. Both are given the same payload, by reference: what is to be written.
    pub fn write<P: ?Sized, T, E>(
        self,
        old: impl Fn(&P) -> Result<T, E> + Send + Sync + 'static,
        new: impl Fn(&P) -> Result<T, E> + Send + Sync + 'static,
    ) -> MigratorBuilder<R, Writes<P, T, E>> {
        let functions: ByOrigin<Function<P, T, E>> = ByOrigin { old: Box::new(old), new: Box::new(new) };
        self.writing(Writes { functions })
    }

    /// As [`MigratorBuilder::write`], with asynchronous functions, for any executor. Each is given the
    /// payload, a clone of it.
    pub fn write_async<P, T, E, O, N>(
        self,
        old: impl Fn(P) -> O + Send + Sync + 'static,
        new: impl Fn(P) -> N + Send + Sync + 'static,
    ) -> MigratorBuilder<R, AsyncWrites<P, T, E>>
    where
        O: Future<Output = Result<T, E>> + Send + 'static,
        N: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.writing(AsyncWrites { functions: boxed(old, new) })
    }

    /// The migrator.
    pub fn build(self) -> Migrator<R, W> {
        Migrator { settings: self.settings, reads: self.reads, writes: self.writes }
    }

    fn reading<R2>(self, reads: R2) -> MigratorBuilder<R2, W> {
        MigratorBuilder { settings: self.settings, reads, writes: self.writes }
    }

    fn writing<W2>(self, writes: W2) -> MigratorBuilder<R, W2> {
        MigratorBuilder { settings: self.settings, reads: self.reads, writes }
    }
}

impl<P: ?Sized, T, E, W> MigratorBuilder<Reads<P, T, E>, W> {
    /// Compares what the old and the new origin gave, when both were read: true if it is the same.
    /// How many reads are compared is the flag's to say.
    pub fn compare(mut self, same: impl Fn(&T, &T) -> bool + Send + Sync + 'static) -> Self {
        self.reads.comparison = Some(Box::new(same) as Comparison<T>);
        self
    }
}

impl<P, T, E, W> MigratorBuilder<AsyncReads<P, T, E>, W> {
    /// Compares what the old and the new origin gave, when both were read: true if it is the same.
    /// How many reads are compared is the flag's to say.
    pub fn compare(mut self, same: impl Fn(&T, &T) -> bool + Send + Sync + 'static) -> Self {
        self.reads.comparison = Some(Box::new(same) as Comparison<T>);
        self
    }
}

fn boxed<P, T, E, O, N>(
    old: impl Fn(P) -> O + Send + Sync + 'static,
    new: impl Fn(P) -> N + Send + Sync + 'static,
) -> ByOrigin<AsyncFunction<P, T, E>>
where
    O: Future<Output = Result<T, E>> + Send + 'static,
    N: Future<Output = Result<T, E>> + Send + 'static,
{
    ByOrigin {
        old: Box::new(move |payload| Box::pin(old(payload))),
        new: Box::new(move |payload| Box::pin(new(payload))),
    }
}

//! What is held, and how the source of the moment is doing: what sources and the conductor share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flagstaff_eval::DataSet;
use flagstaff_eval::model::FlagData;
use flagstaff_wire::fdv2::{ChangeSet, Goodbye, Outcome, Protocol};

use super::options::Conditions;
use super::receive;
use crate::data_source::{DataSourceError, DataSourceState, Failure};
use crate::fork;
use crate::http::Http;
use crate::log::LogLevel;
use crate::shared::Shared;

/// One client's data system at work.
pub(super) struct Held {
    pub(super) shared: Arc<Shared>,
    pub(super) http: Arc<Http>,
    /// How long a source may take to bring its first data.
    pub(super) patience: Duration,
    inner: Mutex<Inner>,
}

struct Inner {
    /// What the data that is held is called; none before there is any that can be up to date.
    selector: Option<String>,
    /// Whether any data was put in force or in use.
    has_data: bool,
    /// Whether the data in force came from a source that can say whether it is up to date.
    is_current: bool,
    /// How the source of the moment is doing, and since when: INITIALIZING until it has brought data.
    state: DataSourceState,
    since: Instant,
}

/// What the conductor is to do about the source of the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    Stay,
    Next,
    First,
}

/// How far data is to be trusted that an outcome brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An initializer: up to date only if it has a selector.
    Initializer,
    /// A synchronizer, which keeps it up to date.
    Synchronizer,
}

/// What an outcome was.
#[derive(Debug)]
pub(super) enum Taken {
    /// Data, or word that the data is up to date.
    Data,
    /// Nothing that changes the data.
    Nothing,
    /// The service takes its leave.
    Goodbye(Goodbye),
}

impl Held {
    pub(super) fn new(shared: Arc<Shared>, http: Arc<Http>, patience: Duration) -> Self {
        let state = DataSourceState::Initializing;
        // A database is to have everything, and not only what changed since a snapshot.
        let snapshot = shared.snapshot.as_ref().filter(|_| shared.backing.is_none());
        let selector = snapshot.and_then(|snapshot| snapshot.selector());
        let is_current = selector.is_some();
        let inner = Inner { selector, has_data: false, is_current, state, since: Instant::now() };
        Self { shared, http, patience, inner: Mutex::new(inner) }
    }

    /// What to ask with.
    pub(super) fn selector(&self) -> Option<String> {
        let _unforked = fork::guard();
        self.lock().selector.clone()
    }

    /// Whether any data was received, up to date or not.
    pub(super) fn has_data(&self) -> bool {
        let _unforked = fork::guard();
        self.lock().has_data
    }

    fn is_current(&self) -> bool {
        let _unforked = fork::guard();
        self.lock().is_current
    }

    /// The data is another source's from now on: ask for everything next time.
    pub(super) fn forget_selector(&self) {
        self.keep(None);
        let _unforked = fork::guard();
        let mut inner = self.lock();
        (inner.selector, inner.is_current) = (None, false);
    }

    /// Has a snapshot say what its data is called.
    fn keep(&self, selector: Option<String>) {
        if let Some(snapshot) = &self.shared.snapshot {
            snapshot.set_selector(&self.shared, selector);
        }
    }

    /// A source begins.
    pub(super) fn begins(&self) {
        self.enter(DataSourceState::Initializing);
    }

    /// A new connection's state machine.
    pub(super) fn protocol(&self) -> Protocol {
        Protocol::default().keeping_json(self.keeps_json())
    }

    /// Whether something writes items on as they came.
    pub(super) fn keeps_json(&self) -> bool {
        receive::keeps_json(&self.shared)
    }

    /// Does what an outcome asks for.
    pub(super) async fn take(&self, outcome: Outcome, origin: Origin) -> Taken {
        match outcome {
            Outcome::Transferred(changes) => {
                self.transferred(changes, origin).await;
                Taken::Data
            }
            Outcome::UpToDate => {
                // Without data there is nothing that could be.
                if !self.is_current() {
                    return Taken::Nothing;
                }
                self.shared.received_everything();
                self.enter(DataSourceState::Valid);
                Taken::Data
            }
            Outcome::Abandoned { reason } => {
                let line = format_args!("the service gave up a transfer of flags: {reason}");
                self.shared.log.write(LogLevel::Info, line);
                Taken::Nothing
            }
            Outcome::Goodbye(goodbye) => {
                if !goodbye.silent {
                    let line = format_args!("the service closes the connection: {}", goodbye.reason);
                    self.shared.log.write(LogLevel::Info, line);
                }
                Taken::Goodbye(goodbye)
            }
        }
    }

    async fn transferred(&self, changes: ChangeSet, origin: Origin) {
        let selector = changes.selector.clone();
        let is_current = selector.is_some() || origin == Origin::Synchronizer;
        if is_current {
            receive::put_in_force(&self.shared, changes).await;
        } else {
            receive::put_in_use(&self.shared, |data| changes.applied_to(data));
        }
        self.keep(selector.clone());
        let _unforked = fork::guard();
        let mut inner = self.lock();
        // Only now: what is not in force must not be asked on from.
        inner.selector = selector;
        inner.has_data = true;
        inner.is_current = is_current;
        if is_current {
            inner.enter(DataSourceState::Valid);
        }
    }

    /// Takes what stood in files: nobody knows how old it is.
    pub(super) fn take_file_data(&self, data: FlagData) {
        // What a snapshot knows came from the service once.
        if !self.shared.is_from_snapshot() {
            receive::put_in_use(&self.shared, |_| DataSet::from_model(data));
        }
        let _unforked = fork::guard();
        self.lock().has_data = true;
    }

    /// The source of the moment failed, and tries again. `hopeless` releases whoever waits.
    pub(super) fn failed(&self, error: DataSourceError, hopeless: bool) {
        self.shared.status.failed(error, hopeless);
        let _unforked = fork::guard();
        let mut inner = self.lock();
        if inner.state == DataSourceState::Valid {
            inner.enter(DataSourceState::Interrupted);
        }
    }

    /// What to do about the source of the moment, which `is_first` of the list.
    pub(super) fn advice(&self, conditions: &Conditions, is_first: bool) -> Advice {
        let (state, time) = {
            let _unforked = fork::guard();
            let inner = self.lock();
            (inner.state, inner.since.elapsed())
        };
        advice(state, time, conditions, is_first)
    }

    fn enter(&self, state: DataSourceState) {
        let _unforked = fork::guard();
        self.lock().enter(state);
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn enter(&mut self, state: DataSourceState) {
        // A source that begins counts anew, also after another that had not got further.
        if self.state != state || state == DataSourceState::Initializing {
            self.state = state;
            self.since = Instant::now();
        }
    }
}

fn advice(state: DataSourceState, time: Duration, conditions: &Conditions, is_first: bool) -> Advice {
    match state {
        DataSourceState::Initializing if time > conditions.initializing => Advice::Next,
        DataSourceState::Interrupted if time > conditions.interrupted => Advice::Next,
        DataSourceState::Valid if time > conditions.recovered && !is_first => Advice::First,
        _ => Advice::Stay,
    }
}

/// Whether the service's answer was a status that will not pass by itself: that ends a source.
pub(super) fn ends_source(failure: &Failure) -> bool {
    failure.extended && failure.error.status_code.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_left_for_the_next_when_it_brings_nothing_and_for_the_first_when_all_is_well() {
        use DataSourceState::{Initializing, Interrupted, Off, Valid};
        let seconds = Duration::from_secs;
        for (state, time, is_first, expected) in [
            (Initializing, 10, true, Advice::Stay),
            (Initializing, 11, true, Advice::Next),
            (Initializing, 11, false, Advice::Next),
            (Interrupted, 60, true, Advice::Stay),
            (Interrupted, 61, true, Advice::Next),
            (Interrupted, 61, false, Advice::Next),
            (Valid, 301, true, Advice::Stay),
            (Valid, 300, false, Advice::Stay),
            (Valid, 301, false, Advice::First),
            (Off, 1000, false, Advice::Stay),
        ] {
            let found = advice(state, seconds(time), &Conditions::default(), is_first);
            assert_eq!(found, expected, "{state:?} for {time} s, first: {is_first}");
        }
    }
}

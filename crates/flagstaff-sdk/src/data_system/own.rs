//! A source of the program's own among those of second-generation delivery: implement [`TransferSource`].
//!
//! | What happens | What is done |
//! |---|---|
//! | it is the source's turn | `run` is called, on a thread of its own |
//! | it brings a transfer | that is put in force before the source goes on |
//! | it says that it is interrupted | INTERRUPTED; after a while another synchronizer takes over |
//! | it says that it is of no use any more, ends, or panics | a synchronizer is given up |
//! | it asks for first-generation delivery | the FDv1 fallback takes the place of all |
//! | another takes over | `stop` is called, on another thread |
//! | the client is closed | the same; it is waited for as long as closing may take |

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use flagstaff_eval::Entry;
use flagstaff_eval::model::{Flag, FlagData, Segment};
use flagstaff_wire::fdv2::{Change, ChangeSet, ChangedItem, Outcome, Protocol, ProtocolError, read_poll};
use serde::Serialize;
use tokio::sync::mpsc;

use super::answer::Directive;
use super::conductor::End;
use super::held::{Held, Origin};
use crate::callbacks::contained;
use crate::data_source::{DataSourceError, DataSourceErrorKind};
use crate::fork;
use crate::log::LogLevel;
use crate::shared::Shared;
use crate::wait::Slot;

/// Where a program takes flags from itself, as one source of a [`DataSystem`](crate::DataSystem): see
/// [`Initializer::own`](crate::Initializer::own) and [`Synchronizer::own`](crate::Synchronizer::own).
/// Implement it freely. For a program whose only source is its own, [`DataSource`](crate::DataSource) is
/// simpler.
///
/// ```
/// use flagstaff_sdk::{Config, DataSystem, Initializer, StreamingSource, TransferSource, Transfers};
///
/// struct FromMyRegistry;
///
/// impl TransferSource for FromMyRegistry {
///     fn run(&self, transfers: Transfers) {
///         let json = br#"{"events":[
///             {"event":"server-intent","data":{"payloads":[{"id":"p","target":1,"intentCode":"xfer-full"}]}},
///             {"event":"payload-transferred","data":{"state":"","version":1}}
///         ]}"#;
///         transfers.take_json(json).expect("these are messages of second-generation delivery");
///     }
/// }
///
/// let system = DataSystem::custom()
///     .initializer(Initializer::own(FromMyRegistry))
///     .synchronizer(StreamingSource::new());
/// let config = Config::new("sdk-demo-production").data_system(system);
/// ```
pub trait TransferSource: Send + Sync + 'static {
    /// What it is, for log lines.
    fn name(&self) -> &str {
        "a source of the program's own"
    }

    /// Brings flags. The thread is the source's own until this returns; or it starts something else, hands
    /// that `transfers`, and returns at once. The source has ended when `transfers` and all its clones are
    /// gone, or with [`Transfers::end`]: an initializer once it has brought what it has, a synchronizer after [`Transfers::is_stopped`].
    fn run(&self, transfers: Transfers);

    /// Another source has taken over, or the client was closed: [`TransferSource::run`] should return.
    fn stop(&self) {}
}

/// A [`TransferSource`] in its place in the order.
#[derive(Clone)]
pub struct OwnSource(pub(super) Arc<dyn TransferSource>);

impl fmt::Debug for OwnSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("OwnSource").field(&self.0.name()).finish()
    }
}

/// How a [`TransferSource`] tells a client of flags.
///
/// What it is told is in force when its methods return. Once the source is stopped they do nothing. Clones
/// tell the same client.
#[derive(Clone)]
pub struct Transfers {
    sender: mpsc::Sender<Told>,
    stopped: Arc<Slot<()>>,
    keep_json: bool,
    /// What the data that is held is called.
    selector: Arc<Mutex<Option<String>>>,
}

/// What a source has to say, and whoever waits until it was heard: told by being dropped.
struct Told(Said, std::sync::mpsc::SyncSender<()>);

enum Said {
    Outcome(Outcome),
    Failed(DataSourceError),
    Off(DataSourceError),
    FallBack,
    Ended,
}

impl Transfers {
    /// What the data that is held is called: what has changed since is enough. None if everything is asked
    /// for.
    pub fn selector(&self) -> Option<String> {
        self.selector.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes messages of second-generation delivery, as a poll is answered with:
    /// `{"events":[{"event":…,"data":…},…]}`. A selector that is empty is none.
    ///
    /// # Errors
    /// If that is not what it is. Nothing of it counts then.
    pub fn take_json(&self, json: &[u8]) -> Result<(), BadTransfer> {
        let outcomes = read_poll(json, Protocol::default().keeping_json(self.keep_json))?;
        for outcome in outcomes {
            if let Outcome::Transferred(changes) = &outcome {
                self.name_data(changes.selector.clone());
            }
            self.say(Said::Outcome(outcome));
        }
        Ok(())
    }

    /// Replaces everything, as one transfer that nobody can ask on from. The key under which an item stands
    /// counts.
    pub fn replace(&self, data: FlagData) {
        let segments = data.segments.into_iter().map(|(key, segment)| {
            let segment = Segment { key: key.clone(), ..segment };
            let json = self.kept(&segment);
            Change { item: ChangedItem::Segment(Entry::segment(&key, segment)), json }
        });
        let flags = data.flags.into_iter().map(|(key, flag)| {
            let flag = Flag { key: key.clone(), ..flag };
            let json = self.kept(&flag);
            Change { item: ChangedItem::Flag(Entry::flag(&key, flag)), json }
        });
        let changes = segments.chain(flags).collect();
        self.name_data(None);
        self.say(Said::Outcome(Outcome::Transferred(ChangeSet { is_full: true, changes, selector: None })));
    }

    /// Something went wrong, and the source goes on trying. Flags stay in use.
    pub fn interrupted(&self, kind: DataSourceErrorKind, message: &str) {
        self.say(Said::Failed(DataSourceError::new(kind, message.to_owned())));
    }

    /// Something went wrong that will not pass by itself: a synchronizer is given up.
    pub fn off(&self, kind: DataSourceErrorKind, message: &str) {
        self.say(Said::Off(DataSourceError::new(kind, message.to_owned())));
    }

    /// First-generation delivery is to be used from now on.
    pub fn fall_back(&self) {
        self.say(Said::FallBack);
    }

    /// There is nothing more to come: the same as letting go of all clones, for whoever cannot tell when that
    /// is.
    pub fn end(&self) {
        self.say(Said::Ended);
    }

    /// Whether another source has taken over, or the client was closed.
    pub fn is_stopped(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the source is stopped, for `timeout` at most. Gives whether it was.
    pub fn wait_until_stopped(&self, timeout: Duration) -> bool {
        self.is_stopped() || self.stopped.copying().wait(timeout).is_some() || self.is_stopped()
    }

    fn name_data(&self, selector: Option<String>) {
        *self.selector.lock().unwrap_or_else(PoisonError::into_inner) = selector;
    }

    /// The JSON of an item, if something writes it on. What was made from JSON can be written as JSON.
    fn kept(&self, item: &impl Serialize) -> Option<Arc<str>> {
        if self.keep_json { serde_json::to_string(item).ok().map(Arc::from) } else { None }
    }

    fn say(&self, said: Said) {
        let (heard, hearing) = std::sync::mpsc::sync_channel(0);
        // Nobody listens to a source that is stopped; then both ends are gone at once.
        if self.sender.blocking_send(Told(said, heard)).is_ok() {
            let _: Result<(), _> = hearing.recv();
        }
    }
}

impl fmt::Debug for Transfers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transfers").field("stopped", &self.is_stopped()).finish_non_exhaustive()
    }
}

/// Something is not a message of second-generation delivery.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BadTransfer(#[from] ProtocolError);

/// Asks an initializer: until it has brought data that is up to date, or has nothing more to say.
pub(super) async fn ask_once(held: &Held, source: &OwnSource) -> Option<Directive> {
    held.shared.log.write(LogLevel::Info, format_args!("asking {} for the first flags", source.0.name()));
    let mut turn = Turn::begin(held, source);
    while let Some(Told(said, heard)) = turn.receiver.recv().await {
        match said {
            Said::Outcome(outcome) => {
                held.take(outcome, Origin::Initializer).await;
            }
            Said::Failed(error) | Said::Off(error) => {
                let line = format_args!("asking for the first flags failed: {}", error.message);
                held.shared.log.write(LogLevel::Warn, line);
                held.failed(error, false);
            }
            Said::FallBack => return Some(Directive { time: None }),
            Said::Ended => break,
        }
        drop(heard);
        if held.selector().is_some() {
            break;
        }
    }
    None
}

/// Runs a synchronizer until it ends.
pub(super) async fn run(held: &Held, source: &OwnSource) -> End {
    held.shared.log.write(LogLevel::Info, format_args!("flags come from {}", source.0.name()));
    let mut turn = Turn::begin(held, source);
    while let Some(Told(said, heard)) = turn.receiver.recv().await {
        match said {
            Said::Outcome(outcome) => {
                held.take(outcome, Origin::Synchronizer).await;
            }
            Said::Failed(error) => {
                let line = format_args!("{} is interrupted: {}", source.0.name(), error.message);
                held.shared.log.write(LogLevel::Warn, line);
                held.failed(error, false);
            }
            Said::Off(error) => return End::Off(error),
            Said::FallBack => return End::Fallback(Directive { time: None }),
            Said::Ended => break,
        }
        drop(heard);
    }
    End::Off(DataSourceError::new(DataSourceErrorKind::Unknown, format!("{} has ended", source.0.name())))
}

/// A source whose turn it is, until this is dropped.
struct Turn {
    receiver: mpsc::Receiver<Told>,
    source: OwnSource,
    stopped: Arc<Slot<()>>,
    shared: Arc<Shared>,
}

/// The source that was stopped last, and whether it has been: closing waits for that.
#[derive(Default)]
pub(crate) struct LastStop(Mutex<Option<Arc<Slot<()>>>>);

impl LastStop {
    fn begin(&self) -> Arc<Slot<()>> {
        let slot = Slot::new();
        let _unforked = fork::guard();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot.clone());
        slot
    }

    /// In a child process: the parent's is not waited for. The caller holds a fork guard.
    pub(crate) fn leave_parent(&self) {
        std::mem::forget(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Waits for it, until the deadline.
    pub(crate) fn wait(&self, deadline: Instant) {
        let slot = {
            let _unforked = fork::guard();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        if let Some(slot) = slot {
            slot.taking().wait(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

impl Turn {
    fn begin(held: &Held, source: &OwnSource) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        let (log, stopped) = (held.shared.log.clone(), Slot::new());
        let transfers = Transfers {
            sender,
            stopped: stopped.clone(),
            keep_json: held.keeps_json(),
            selector: Arc::new(Mutex::new(held.selector())),
        };
        let (running, for_thread) = (source.0.clone(), log.clone());
        let spawned = thread::Builder::new().name("flagstaff-source".to_owned()).spawn(move || {
            contained(&for_thread, WHAT, || running.run(transfers));
            // A source's end may take a while, too.
            contained(&for_thread, WHAT, || drop(running));
        });
        if let Err(error) = spawned {
            // The sender is gone with the thread: the source has ended.
            log.write(LogLevel::Error, format_args!("no thread could be started for {WHAT}: {error}"));
        }
        Self { receiver, source: source.clone(), stopped, shared: held.shared.clone() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.receiver.close();
        self.stopped.set(Some(()));
        let (source, log) = (self.source.0.clone(), self.shared.log.clone());
        let done = self.shared.last_stop.begin();
        let for_thread = done.clone();
        // Not on the client's thread, which has the next source to see to.
        let spawned = thread::Builder::new().name("flagstaff-source".to_owned()).spawn(move || {
            contained(&log, WHAT, || source.stop());
            contained(&log, WHAT, || drop(source));
            for_thread.set(Some(()));
        });
        if let Err(error) = spawned {
            done.set(Some(()));
            self.shared
                .log
                .write(LogLevel::Error, format_args!("no thread could be started to stop {WHAT}: {error}"));
        }
    }
}

/// Whose code it is, for the log.
const WHAT: &str = "a source of flags";

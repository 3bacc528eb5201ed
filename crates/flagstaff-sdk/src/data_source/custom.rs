//! Flags from a source of the program's own: implement [`DataSource`] for it.
//!
//! | What happens | What is done |
//! |---|---|
//! | the client starts, or is first used in a child process | `start` is called, on a thread of its own |
//! | the source replaces everything | the client is initialized; VALID |
//! | the source says that it is interrupted | INTERRUPTED, or still INITIALIZING; flags stay in use |
//! | the source says that it is hopeless, or panics | the same, and whoever waits for the first flags is released |
//! | the client is closed | `stop` is called, on another thread; it is waited for as long as closing may take |

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use flagstaff_eval::model::{Flag, FlagData, Segment};
use flagstaff_eval::{DataSet, Entry};
use flagstaff_wire::full_data::{FullData, ItemTexts, read_json};
use flagstaff_wire::stream::ItemKind;
use serde_json::value::RawValue;

use super::receive::{Items, receive_all_waiting, receive_newer};
use super::turn::Turn;
use super::{DataSourceError, DataSourceErrorKind};
use crate::callbacks::contained;
use crate::client::start_in_child;
use crate::config::Config;
use crate::data_store::StoredItem;
use crate::log::LogLevel;
use crate::shared::Shared;
use crate::wait::Slot;

/// Where a program takes flags from itself: see [`Config::data_source`]. Implement it freely.
///
/// [`FileDataSource`](crate::FileDataSource) and [`TestData`](crate::TestData) are two of them.
///
/// ```
/// use std::time::Duration;
/// use flagstaff_sdk::{DataSource, DataSourceErrorKind, DataSourceUpdates};
///
/// struct FromMyRegistry;
///
/// impl DataSource for FromMyRegistry {
///     fn start(&self, updates: DataSourceUpdates) {
///         loop {
///             let json = br#"{"flags":{},"segments":{}}"#;
///             if let Err(error) = updates.replace_json(json) {
///                 updates.interrupted(DataSourceErrorKind::InvalidData, &error.to_string());
///             }
///             if updates.wait_until_stopped(Duration::from_secs(60)) {
///                 return;
///             }
///         }
///     }
/// }
/// ```
pub trait DataSource: Send + Sync + 'static {
    /// What it is, for log lines.
    fn name(&self) -> &str {
        "a data source of the program's own"
    }

    /// Begins to bring flags. The thread is the source's own until this returns, so it may stay as long
    /// as it likes, until [`DataSourceUpdates::is_stopped`]; or it starts something else and returns at
    /// once. A panic in it is logged, and a failure for good.
    ///
    /// Called once for each client, and again in a child process, where the threads of the parent are
    /// gone: `updates` is what a client is told by.
    fn start(&self, updates: DataSourceUpdates);

    /// The client of `updates` was closed. [`DataSourceUpdates::is_stopped`] has become true before.
    fn stop(&self, updates: &DataSourceUpdates) {
        let _ = updates;
    }
}

impl<T: DataSource + ?Sized> DataSource for Arc<T> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn start(&self, updates: DataSourceUpdates) {
        (**self).start(updates);
    }

    fn stop(&self, updates: &DataSourceUpdates) {
        (**self).stop(updates);
    }
}

impl Config {
    /// Takes flags from this source instead of a service. Events are sent as ever, unless
    /// [`Config::send_events`] is off.
    pub fn data_source(mut self, source: impl DataSource) -> Self {
        self.data_source = Some(Arc::new(source));
        self
    }
}

/// How a [`DataSource`] tells a client of flags. Clones tell the same client; they do not keep it alive.
///
/// What one of its methods puts in is in force when it returns. Calls from several threads are made one
/// after the other. After the client was closed they do nothing.
#[derive(Clone)]
pub struct DataSourceUpdates {
    shared: Weak<Shared>,
    state: Arc<State>,
}

struct State {
    /// Full once the client was closed.
    stopped: Arc<Slot<()>>,
    turn: Turn,
}

impl DataSourceUpdates {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let state = State { stopped: Slot::new(), turn: Turn::default() };
        Self { shared: Arc::downgrade(shared), state: Arc::new(state) }
    }

    /// Replaces everything, whatever the versions: the client has a full data set, and all is well. The
    /// key under which an item stands counts.
    pub fn replace(&self, data: FlagData) {
        self.tell(|shared| {
            let texts = if shared.texts.is_some() { texts(&data) } else { Vec::new() };
            receive_all_waiting(shared, DataSet::from_model(data), texts);
        });
    }

    /// As [`DataSourceUpdates::replace`], from `{"flags":{KEY:…},"segments":{KEY:…}}`.
    ///
    /// # Errors
    /// If that is not what it is. Nothing is changed then.
    pub fn replace_json(&self, json: &[u8]) -> Result<(), BadFlags> {
        let data: FullData = read_json(json)?;
        let texts: ItemTexts<'_> = read_json(json)?;
        self.tell(|shared| {
            let texts = if shared.texts.is_some() { StoredItem::all(&texts.0, &data.0) } else { Vec::new() };
            receive_all_waiting(shared, data.0, texts);
        });
        Ok(())
    }

    /// Puts in a flag, if its version is higher than that of the one which is there, or was deleted. It
    /// may be a tombstone.
    pub fn upsert_flag(&self, flag: Flag) {
        self.upsert(FlagData { flags: vec![(flag.key.clone(), flag)], segments: Vec::new() });
    }

    /// Puts in a segment, as [`DataSourceUpdates::upsert_flag`] does a flag.
    pub fn upsert_segment(&self, segment: Segment) {
        self.upsert(FlagData { flags: Vec::new(), segments: vec![(segment.key.clone(), segment)] });
    }

    /// Puts in a flag or segment from its JSON, as [`DataSourceUpdates::upsert_flag`] does. `key` counts.
    ///
    /// # Errors
    /// If the JSON is not that of such an item. Nothing is changed then.
    pub fn upsert_json(&self, kind: ItemKind, key: &str, json: &[u8]) -> Result<(), BadFlags> {
        let mut items = Items::default();
        let version = match kind {
            ItemKind::Flag => {
                let flag: Flag = read_json(json)?;
                items.flags.push(Entry::flag(key, flag));
                items.flags[0].version()
            }
            ItemKind::Segment => {
                let segment: Segment = read_json(json)?;
                items.segments.push(Entry::segment(key, segment));
                items.segments[0].version()
            }
        };
        let text: &RawValue = read_json(json)?;
        self.tell(|shared| {
            if shared.texts.is_some() {
                // As it came, with what this version does not know.
                items.texts.push(StoredItem { kind, key: key.into(), version, json: text.get().into() });
            }
            receive_newer(shared, items);
        });
        Ok(())
    }

    /// Deletes a flag or segment, unless a version as high as this is there already. The version stays,
    /// so that older ones that come late stay dead.
    pub fn delete(&self, kind: ItemKind, key: &str, version: u64) {
        self.tell(|shared| receive_newer(shared, Items::deleted(shared, kind, key, version)));
    }

    /// All is well again, and the flags that were brought before are those of now.
    pub fn valid(&self) {
        self.tell(|shared| {
            if shared.has_received() {
                shared.status.refreshed();
            }
        });
    }

    /// Something went wrong, and the source goes on trying. Flags stay in use. The message stands in
    /// the status, in words and without secrets; the source writes its own log lines.
    pub fn interrupted(&self, kind: DataSourceErrorKind, message: &str) {
        self.tell(|shared| shared.status.failed(DataSourceError::new(kind, message.to_owned()), false));
    }

    /// Something went wrong that will not pass by itself: as [`DataSourceUpdates::interrupted`], and
    /// whoever waits for the first flags is told that waiting is of no use. The source may still find
    /// flags some day.
    pub fn hopeless(&self, kind: DataSourceErrorKind, message: &str) {
        self.tell(|shared| shared.status.failed(DataSourceError::new(kind, message.to_owned()), true));
    }

    /// Whether the client was closed, or is gone.
    pub fn is_stopped(&self) -> bool {
        self.shared.upgrade().is_none_or(|shared| shared.is_closed())
    }

    /// Waits until the client is closed, for `timeout` at most. Gives whether it was.
    pub fn wait_until_stopped(&self, timeout: Duration) -> bool {
        self.is_stopped() || self.state.stopped.copying().wait(timeout).is_some() || self.is_stopped()
    }

    /// Whether both tell the same client.
    pub fn tells_the_same(&self, other: &Self) -> bool {
        self.shared.ptr_eq(&other.shared)
    }

    /// Writes a line into the client's log.
    pub(super) fn log(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.log.write(level, line);
        }
    }

    /// Puts in each item that is newer than what is there.
    pub(super) fn upsert(&self, data: FlagData) {
        self.tell(|shared| {
            let texts = if shared.texts.is_some() { texts(&data) } else { Vec::new() };
            let flags = data.flags.into_iter().map(|(key, flag)| Entry::flag(&key, flag)).collect();
            let segments =
                data.segments.into_iter().map(|(key, segment)| Entry::segment(&key, segment)).collect();
            receive_newer(shared, Items { flags, segments, texts });
        });
    }

    /// The client, as long as there is one.
    pub(super) fn client(&self) -> Option<Arc<Shared>> {
        self.shared.upgrade()
    }

    /// Tells the client something, if it is there to be told.
    pub(super) fn tell(&self, tell: impl FnOnce(&Arc<Shared>)) {
        let Some(shared) = self.shared.upgrade() else { return };
        if shared.is_inherited() {
            // The program has told a source of the parent's something in this process.
            start_in_child(&shared);
        }
        if shared.is_closed() {
            return;
        }
        let _turn = self.state.turn.take();
        tell(&shared);
    }
}

impl fmt::Debug for DataSourceUpdates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DataSourceUpdates").field("stopped", &self.is_stopped()).finish()
    }
}

/// JSON is not that of flags.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BadFlags(#[from] serde_json::Error);

/// The JSON of each item, each with the key under which it stands.
fn texts(data: &FlagData) -> Vec<StoredItem> {
    // What was made from JSON, or could be, can be written as JSON.
    let segments = data.segments.iter().filter_map(|(key, segment)| {
        let (version, kind) = (segment.version, ItemKind::Segment);
        let json = serde_json::to_string(&Segment { key: key.clone(), ..segment.clone() }).ok()?;
        Some(StoredItem { kind, key: key.as_str().into(), version, json: json.into() })
    });
    let flags = data.flags.iter().filter_map(|(key, flag)| {
        let (version, kind) = (flag.version, ItemKind::Flag);
        let json = serde_json::to_string(&Flag { key: key.clone(), ..flag.clone() }).ok()?;
        Some(StoredItem { kind, key: key.as_str().into(), version, json: json.into() })
    });
    segments.chain(flags).collect()
}

/// Runs a source for as long as the client lives.
pub(super) async fn run(shared: &Arc<Shared>, source: Arc<dyn DataSource>) {
    /// However this ends, the source hears of it.
    struct Stops(DataSourceUpdates);
    impl Drop for Stops {
        fn drop(&mut self) {
            self.0.state.stopped.set(Some(()));
        }
    }
    let updates = DataSourceUpdates::new(shared);
    let stops = Stops(updates.clone());
    let log = shared.log.clone();
    let started = thread::Builder::new().name("flagstaff-source".to_owned()).spawn(move || {
        if contained(&log, WHAT, || source.start(updates.clone())).is_none() {
            updates.hopeless(DataSourceErrorKind::Unknown, "the data source panicked");
        }
        // A source's end may take a while, too.
        contained(&log, WHAT, || drop(source));
    });
    if let Err(error) = started {
        let message = format!("no thread could be started for the data source: {error}");
        shared.log.write(LogLevel::Error, format_args!("{message}"));
        stops.0.hopeless(DataSourceErrorKind::Unknown, &message);
    }
    std::future::pending().await
}

/// Tells the source of a client that is closed, and waits for it until the deadline.
pub(crate) fn stop(shared: &Arc<Shared>, deadline: Instant) {
    let Some(source) = shared.config.data_source.clone() else { return };
    let updates = DataSourceUpdates::new(shared);
    updates.state.stopped.set(Some(()));
    let stopped = Slot::new();
    let (waiting, log) = (stopped.taking(), shared.log.clone());
    // Not one of the workers: they drop what has not begun when nobody waits for it any more.
    let started = thread::Builder::new().name("flagstaff-source".to_owned()).spawn(move || {
        contained(&log, WHAT, || source.stop(&updates));
        contained(&log, WHAT, || drop(source));
        stopped.set(Some(()));
    });
    match started {
        Ok(_) => {
            waiting.wait(deadline.saturating_duration_since(Instant::now()));
        }
        Err(error) => shared.log.write(
            LogLevel::Error,
            format_args!("no thread could be started to stop the data source: {error}"),
        ),
    }
}

/// Whose code it is, for the log.
const WHAT: &str = "the data source";

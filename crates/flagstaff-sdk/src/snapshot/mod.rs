//! The last known flags in a file, so that a program starts with them while the service is away.
//!
//! | What happens | What is done |
//! |---|---|
//! | the client starts, and there is a snapshot of its environment | it is in force at once; the status says `Cached` |
//! | it is damaged, of another environment or version, or cannot be read | a log line; the client starts without |
//! | the first full data set was received | a snapshot is written |
//! | anything changes later | a snapshot is written a few seconds after |
//! | the client is closed | what was not written is |
//! | it cannot be written | a log line, and another try at the next change |
//!
//! A snapshot is written beside the old one and put in its place whole: of two processes that write the
//! same file the last one wins. Writing is done on a thread that is there only while there is something
//! to write; neither evaluations nor the client's own thread wait for it.
//!
//! Whoever waits for the client is released by a snapshot at once: a program that starts while the
//! service is away is meant to serve the flags it served yesterday. The status tells.

mod file;
mod format;

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use self::format::{Header, Origin, Snapshot};
use crate::clock::now_ms;
use crate::config::Config;
use crate::data_source::{DataAvailability, Turn};
use crate::data_store::by_key;
use crate::fork;
use crate::log::LogLevel;
use crate::shared::Shared;

impl Config {
    /// Keeps the last known flags in this file, and starts with them: evaluations are answered from it
    /// before the service has been reached, and [`Client::wait_until_ready`] does not wait. Until flags
    /// are received, [`DataSourceStatus::data_availability`] is [`Cached`](crate::DataAvailability::Cached).
    ///
    /// The file is readable by its owner alone. It is of one environment and payload filter: another
    /// client does not use it, but writes its own in its place. Its folder must exist.
    ///
    /// [`Client::wait_until_ready`]: crate::Client::wait_until_ready
    /// [`DataSourceStatus::data_availability`]: crate::DataSourceStatus::data_availability
    pub fn snapshot_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.snapshot_file = Some(path.into());
        self
    }

    /// How long after a change the snapshot is written, so that many changes are written once. Default 5 s.
    pub fn snapshot_delay(mut self, delay: Duration) -> Self {
        self.snapshot_delay = delay;
        self
    }
}

/// The snapshot file of a client.
pub(crate) struct Snapshots {
    path: PathBuf,
    of: Origin,
    delay: Duration,
    /// Whoever writes has its turn: what is newer is written later.
    turn: Turn,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// What second-generation delivery calls the data.
    selector: Option<String>,
    /// Something is not written yet.
    changed: bool,
    /// The thread that is about to write, which is woken by being dropped.
    writer: Option<Sender<()>>,
    ended: bool,
    has_written: bool,
    /// The last attempt failed.
    failing: bool,
}

impl Snapshots {
    /// None if the client is to have none: it receives nothing that could be kept.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let path = config.snapshot_file.clone().filter(|_| !config.offline && !config.daemon_mode)?;
        Some(Self {
            path,
            of: Origin::of(config),
            delay: config.snapshot_delay,
            turn: Turn::default(),
            inner: Mutex::default(),
        })
    }

    /// Puts the snapshot in force, if there is one that can be used. Called once, before anything is
    /// received.
    pub(crate) fn load(&self, shared: &Shared) {
        let began = Instant::now();
        let bytes = match file::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let path = self.path.display();
                shared.log.write(LogLevel::Info, format_args!("there is no snapshot `{path}` yet"));
                return;
            }
            Err(error) => return self.ignored(shared, &error),
        };
        let Snapshot { header, data, texts } = match format::read(&bytes, &self.of) {
            Ok(snapshot) => snapshot,
            Err(error) => return self.ignored(shared, &error),
        };
        let count = texts.len();
        let observed = shared.config.observer.as_ref().map(|observer| (observer, texts.clone()));
        if let (Some((observer, _)), Some(id)) = (&observed, &header.environment_id) {
            observer.environment(id);
        }
        let mut texts = by_key(texts);
        shared.change_data(|_| {
            if let Some((observer, items)) = observed {
                observer.everything(&data, &items, DataAvailability::Cached);
            }
            if let Some(kept) = &shared.texts {
                kept.swap(&mut texts);
            }
            Some(data)
        });
        if let Some(id) = &header.environment_id {
            shared.environment_id.set(id);
        }
        {
            let _unforked = fork::guard();
            // With first-generation delivery, and other sources, it would not stand for what they bring.
            self.lock().selector = header.selector.filter(|_| shared.config.asks_by_selector());
        }
        shared.found_snapshot();
        let age = Duration::from_millis(now_ms().saturating_sub(header.written_at));
        let (path, took) = (self.path.display(), began.elapsed());
        shared.log.write(
            LogLevel::Info,
            format_args!(
                "{count} flags and segments of {age:.0?} ago were read from snapshot `{path}` in {took:.1?}"
            ),
        );
    }

    /// What the data is called from now on; it is in force already.
    pub(crate) fn set_selector(&self, shared: &Arc<Shared>, selector: Option<String>) {
        let is_new = {
            let _unforked = fork::guard();
            let known = &mut self.lock().selector;
            mem::replace(known, selector.clone()) != selector
        };
        if is_new && selector.is_some() {
            self.changed(shared);
        }
    }

    pub(crate) fn selector(&self) -> Option<String> {
        let _unforked = fork::guard();
        self.lock().selector.clone()
    }

    /// What is in force has changed: it is written, at once if nothing was before.
    pub(crate) fn changed(&self, shared: &Arc<Shared>) {
        let started = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            inner.changed = true;
            if inner.ended || inner.writer.is_some() {
                return;
            }
            let delay = if inner.has_written { self.delay } else { Duration::ZERO };
            start(shared, delay).map(|writer| inner.writer = Some(writer))
        };
        if let Err(error) = started {
            // Closing writes it all the same.
            shared.log.once(
                LogLevel::Error,
                format_args!("no thread could be started to write a snapshot: {error}"),
            );
        }
    }

    /// Writes what was not written yet, and waits for who is writing.
    pub(crate) fn close(&self, shared: &Shared) {
        {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            inner.ended = true;
            inner.writer = None;
        }
        self.write(shared);
    }

    /// In a child process, which writes what it receives itself. The caller holds a fork guard.
    pub(crate) fn leave_parent(&self) {
        let mut inner = self.lock();
        mem::forget(inner.writer.take());
        inner.changed = false;
    }

    fn write(&self, shared: &Shared) {
        let _turn = self.turn.take();
        let (selector, was_failing) = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            if !mem::take(&mut inner.changed) {
                return;
            }
            inner.has_written = true;
            // Taken before the items are: it may be older than they are, never newer.
            (inner.selector.clone(), inner.failing)
        };
        let Some(texts) = &shared.texts else { return };
        let items = texts.in_order(&shared.data.snapshot());
        let mut header = Header::new(self.of.clone(), now_ms());
        header.environment_id = shared.environment_id.get().map(|id| id.to_string());
        header.selector = selector;
        let written = file::write(&self.path, |to| format::write(to, &header, &items));
        let path = self.path.display();
        match &written {
            Ok(()) if was_failing => {
                shared.log.write(LogLevel::Info, format_args!("snapshot `{path}` is written again"));
            }
            Err(error) if !was_failing => {
                let line =
                    format_args!("snapshot `{path}` cannot be written, the client goes on without: {error}");
                shared.log.write(LogLevel::Error, line);
            }
            _ => {}
        }
        let _unforked = fork::guard();
        self.lock().failing = written.is_err();
    }

    fn ignored(&self, shared: &Shared, why: &dyn std::fmt::Display) {
        let path = self.path.display();
        shared.log.write(LogLevel::Warn, format_args!("snapshot `{path}` is not used: {why}"));
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread that writes once, after `delay`. It ends without writing if what is given is dropped.
fn start(shared: &Arc<Shared>, delay: Duration) -> io::Result<Sender<()>> {
    let (writer, dropped) = channel::<()>();
    let shared = Arc::downgrade(shared);
    thread::Builder::new().name("flagstaff-snap".to_owned()).spawn(move || {
        if dropped.recv_timeout(delay) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        let Some(shared) = shared.upgrade() else { return };
        let Some(snapshots) = &shared.snapshot else { return };
        {
            // What changes from now on is for another thread.
            let _unforked = fork::guard();
            let mut inner = snapshots.lock();
            if inner.ended {
                return;
            }
            inner.writer = None;
        }
        snapshots.write(&shared);
    })?;
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use flagstaff_wire::stream::ItemKind;

    use super::*;
    use crate::data_store::StoredItem;

    #[test]
    fn evaluations_take_the_short_way_from_a_snapshot() {
        let path = std::env::temp_dir().join(format!("flagstaff-snapshot-{}", std::process::id()));
        let config = Config::new("sdk-key").snapshot_file(&path);
        let json = r#"{"key":"f","version":1}"#.into();
        let item = StoredItem { kind: ItemKind::Flag, key: "f".into(), version: 1, json };
        let header = Header::new(Origin::of(&config), now_ms());
        file::write(&path, |to| format::write(to, &header, &[item])).unwrap();
        let shared = Shared::new(config, None);
        let snapshot = shared.snapshot.as_ref().unwrap();
        assert!(!shared.answers());
        snapshot.load(&shared);
        assert!(shared.answers() && shared.is_from_snapshot() && !shared.has_received());
        assert!(shared.data.load().flag("f").is_some());
        std::fs::remove_file(path).unwrap();
    }
}

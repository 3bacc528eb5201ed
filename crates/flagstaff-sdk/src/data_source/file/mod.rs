//! Flags from files: for tests, demonstrations, and programs without a service.
//!
//! Source: the protocol's *File data source*. Only the files are read that the program names, and no
//! others whatever stands in them; a link is followed, as `Kubernetes` mounts files by links.
//!
//! | What happens | What is done |
//! |---|---|
//! | all files can be read | they replace everything; VALID |
//! | one cannot, or a key stands twice | nothing is changed; INVALID_DATA, a log line; whoever waits for the first flags is released |
//! | a file changes, with `auto_update` | all are read again, once none has changed for a moment |
//!
//! | File | What it is about |
//! |---|---|
//! | `document` | JSON and YAML as they stand in a file, bounded |
//! | `read` | the flags and segments in one file, or in several |
//! | `versions` | versions that rise when an item changes |
//! | `watch` | whether a file has changed |

mod document;
mod read;
mod versions;
mod watch;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flagstaff_eval::model::FlagData;

pub use document::FlagsDocument;
pub use read::{FlagsFileError, read_flags_document, read_flags_file};

pub(crate) use self::read::read_file;
use self::read::{FileError, read_files};
use self::versions::Versions;
use self::watch::{Stamp, stamps};
use super::DataSourceErrorKind;
use super::custom::{DataSource, DataSourceUpdates};
use crate::data_system::{TransferSource, Transfers};
use crate::fork;
use crate::log::LogLevel;

/// A file that changed is read once it has not changed for so long: it may not be complete yet.
const SETTLED: Duration = Duration::from_millis(50);
/// After so many changes in a row it is read all the same.
const MOST_CHANGES: usize = 100;

/// Takes flags from files: see [`Config::data_source`](crate::Config::data_source).
///
/// Each file is JSON, or YAML if the crate's feature `yaml` is on, with any of
///
/// ```json
/// {"flags":      {"checkout": {"on": true, "variations": ["a", "b"], "fallthrough": {"variation": 0}}},
///  "flagValues": {"new-menu": true, "rows": 20},
///  "segments":   {"beta": {"included": ["user-1"]}}}
/// ```
///
/// `flags` and `segments` are as a service would send them, `flagValues` serve one value to everybody. A
/// missing `key` is the one under which an item stands, a missing `version` is 1. When an item changes
/// and its version does not rise, it is taken to be one more than it was, so that listeners are told.
///
/// If any file cannot be read, nothing changes: flags stay as they were. Only the files named here are
/// read, nothing that they name in turn.
///
/// ```
/// use flagstaff_sdk::{Client, Config, FileDataSource};
///
/// let files = FileDataSource::new(["flags.json"]).auto_update(true);
/// let client = Client::start(Config::new("sdk-any").data_source(files).send_events(false))?;
/// # client.close();
/// # Ok::<(), flagstaff_sdk::ConfigError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct FileDataSource {
    paths: Vec<PathBuf>,
    auto_update: bool,
    poll_interval: Duration,
    duplicate_keys: DuplicateKeys,
    /// What was read before, so that versions rise.
    versions: Mutex<Versions>,
}

/// What is done if a key stands in the files twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// Nothing is read: it is a mistake.
    #[default]
    Fail,
    /// The first one counts.
    Ignore,
}

impl FileDataSource {
    /// Reads these files, in this order.
    pub fn new<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self {
            paths: paths.into_iter().map(Into::into).collect(),
            auto_update: false,
            poll_interval: Duration::from_secs(1),
            duplicate_keys: DuplicateKeys::Fail,
            versions: Mutex::default(),
        }
    }

    /// Whether the files are read again when one of them changes. Default false.
    pub fn auto_update(mut self, auto_update: bool) -> Self {
        self.auto_update = auto_update;
        self
    }

    /// How often is looked whether a file has changed. Default 1 s.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// What is done if a flag or a segment stands in the files twice. Default [`DuplicateKeys::Fail`].
    pub fn duplicate_keys(mut self, duplicate_keys: DuplicateKeys) -> Self {
        self.duplicate_keys = duplicate_keys;
        self
    }

    /// Reads all files, and puts them in force if all is well.
    fn load(&self, updates: &DataSourceUpdates) {
        match self.read() {
            Ok(data) => {
                let (flags, segments) = (data.flags.len(), data.segments.len());
                updates.replace(data);
                updates.log(
                    LogLevel::Info,
                    format_args!("{flags} flags and {segments} segments were read from files"),
                );
            }
            Err(error) => {
                let again = if self.auto_update { ", until it changes" } else { "" };
                let line = format_args!("flags were not read from files, nothing changes{again}: {error}");
                updates.log(LogLevel::Error, line);
                updates.hopeless(DataSourceErrorKind::InvalidData, &error.to_string());
            }
        }
    }

    /// Reads all files; if they cannot be, says in words why.
    pub(crate) fn read_once(&self) -> Result<FlagData, String> {
        self.read().map_err(|error| error.to_string())
    }

    fn read(&self) -> Result<FlagData, FileError> {
        let items = read_files(&self.paths, self.duplicate_keys)?;
        let _unforked = fork::guard();
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(versions.settle(items))
    }

    /// Waits until no file has changed for a moment; none if the client was closed meanwhile.
    fn settled(
        &self,
        wait_until_stopped: impl Fn(Duration) -> bool,
        mut now: Vec<Option<Stamp>>,
    ) -> Option<Vec<Option<Stamp>>> {
        for _ in 0..MOST_CHANGES {
            if wait_until_stopped(SETTLED.min(self.poll_interval)) {
                return None;
            }
            let later = stamps(&self.paths);
            if later == now {
                break;
            }
            now = later;
        }
        Some(now)
    }
}

impl DataSource for FileDataSource {
    fn name(&self) -> &str {
        "files"
    }

    fn start(&self, updates: DataSourceUpdates) {
        // Taken before the files are read: a change meanwhile is a change.
        let mut known = stamps(&self.paths);
        self.load(&updates);
        while self.auto_update && !updates.wait_until_stopped(self.poll_interval) {
            let now = stamps(&self.paths);
            if now == known {
                continue;
            }
            let wait = |time| updates.wait_until_stopped(time);
            let Some(settled) = self.settled(wait, now) else { return };
            known = settled;
            self.load(&updates);
        }
    }
}

/// As a synchronizer of a data system, the files are read again when they change.
impl TransferSource for FileDataSource {
    fn name(&self) -> &str {
        "files"
    }

    fn run(&self, transfers: Transfers) {
        let transfer = || match self.read_once() {
            Ok(data) => transfers.replace(data),
            Err(message) => transfers.interrupted(DataSourceErrorKind::InvalidData, &message),
        };
        let mut known = stamps(&self.paths);
        transfer();
        while !transfers.wait_until_stopped(self.poll_interval) {
            let now = stamps(&self.paths);
            if now == known {
                continue;
            }
            let Some(settled) = self.settled(|time| transfers.wait_until_stopped(time), now) else { return };
            known = settled;
            transfer();
        }
    }
}

//! Serving what is in an archive, and what is in the one that takes its place.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flagstaff_sdk::{DataSource, DataSourceErrorKind, DataSourceUpdates};
use flagstaff_service::error::chain;

use super::{ArchiveError, Contents, read};
use crate::SharedRelay;
use crate::config;
use crate::served::Served;

/// The environments of an archive, as they are served.
#[derive(Debug)]
pub(crate) struct Archived {
    path: PathBuf,
    served: Served,
    sources: HashMap<String, Arc<Source>>,
    /// The file that was looked at last, whatever came of it.
    seen: Option<Mark>,
    is_damaged: bool,
}

/// What tells a file from the one that was there before.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The flags of one environment.
struct Source {
    now: Mutex<Now>,
}

struct Now {
    data_id: String,
    data: Bytes,
    /// Whoever is told of other ones.
    told: Option<DataSourceUpdates>,
}

impl Archived {
    /// Reads an archive for the first time.
    ///
    /// # Errors
    /// If there is anything wrong with it.
    pub(crate) fn open(path: &Path, served: Served) -> Result<Self, ArchiveError> {
        // First: should it be replaced meanwhile, it is read again.
        let seen = Mark::of(path);
        let mut archived =
            Self { path: path.to_owned(), served, sources: HashMap::new(), seen, is_damaged: false };
        archived.take(read(path)?);
        Ok(archived)
    }

    /// What is served.
    pub(crate) fn environments(&self) -> Vec<config::Environment> {
        self.served.environments()
    }

    /// Serves whatever takes the archive's place, until the process stops.
    pub(crate) async fn follow(mut self, relay: SharedRelay, poll: Duration) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(poll) => {}
                () = relay.serving.stopping.cancelled() => return,
            }
            let looked = tokio::task::spawn_blocking(move || {
                let is_other = self.look();
                (self, is_other)
            });
            let is_other;
            (self, is_other) = match looked.await {
                Ok(looked) => looked,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            if is_other {
                relay.serve(self.environments()).await;
            }
        }
    }

    /// Takes over another file, if there is one that is whole. Says so if not, once.
    fn look(&mut self) -> bool {
        let mark = Mark::of(&self.path);
        if mark == self.seen {
            return false;
        }
        self.seen = mark;
        match read(&self.path) {
            Ok(contents) => {
                tracing::info!("the archive `{}` is another, it is served", self.path.display());
                self.is_damaged = false;
                self.take(contents);
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_damaged, true) {
                    tracing::error!(error = %chain(&error), "what was in the archive before is served on");
                }
                false
            }
        }
    }

    fn take(&mut self, contents: Contents) {
        self.sources.retain(|id, _| contents.contains_key(id));
        let mut environments = Vec::new();
        for (id, archived) in contents {
            match self.sources.get(&id) {
                Some(source) => source.replace(archived.data_id, archived.data),
                None => {
                    let source = Source::new(archived.data_id, archived.data);
                    self.sources.insert(id, Arc::new(source));
                }
            }
            environments.push(archived.environment);
        }
        let sources = &self.sources;
        self.served.replace_all(environments, |id| {
            sources.get(id).map(|source| source.clone() as Arc<dyn DataSource>)
        });
    }
}

impl Mark {
    /// None if there is no file.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

impl Source {
    fn new(data_id: String, data: Bytes) -> Self {
        Self { now: Mutex::new(Now { data_id, data, told: None }) }
    }

    /// From now on there are these; the same ones are not brought again.
    fn replace(&self, data_id: String, data: Bytes) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.data_id == data_id {
            return;
        }
        (now.data_id, now.data) = (data_id, data);
        now.bring();
    }
}

impl Now {
    fn bring(&self) {
        let Some(updates) = &self.told else { return };
        if let Err(error) = updates.replace_json(&self.data) {
            // It was read when the archive was.
            updates.interrupted(DataSourceErrorKind::InvalidData, &error.to_string());
        }
    }
}

impl DataSource for Source {
    fn name(&self) -> &str {
        "an offline archive"
    }

    fn start(&self, updates: DataSourceUpdates) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.told = Some(updates);
        now.bring();
    }

    fn stop(&self, updates: &DataSourceUpdates) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been started again since, for another.
        if now.told.as_ref().is_some_and(|told| told.tells_the_same(updates)) {
            now.told = None;
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Source").finish_non_exhaustive()
    }
}

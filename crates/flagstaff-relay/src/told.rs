//! Who tells a relay what to serve beside what it was started with.

use std::path::Path;

use crate::SharedRelay;
use crate::archive::Archived;
use crate::auto_config::{self, ConfigurationStatus, Listener};
use crate::config::{Config, Environment, OfflineArchive};
use crate::relay::StartError;
use crate::served::Served;

/// Who tells a relay what to serve.
#[derive(Debug, Default)]
pub(crate) struct Told {
    auto: Option<(auto_config::Told, Listener)>,
    archive: Option<(Archived, OfflineArchive)>,
}

impl Told {
    /// Looks at what is known at the start.
    ///
    /// # Errors
    /// If something is not as it must be on this side.
    pub(crate) fn open(config: &Config) -> Result<(Self, Option<ConfigurationStatus>), StartError> {
        let served = || Served::by(config.template.clone());
        let mut told = Self::default();
        if let Some(archive) = &config.offline_archive {
            told.archive = Some((Archived::open(&archive.file, served())?, archive.clone()));
        }
        let mut status = None;
        if let Some(auto) = &config.auto_config {
            let listener = Listener::new(&config.upstream, auto)?;
            let folder = config.data.as_deref().map(Path::new);
            let (known, of_it) = auto_config::Told::open(folder, &config.upstream, auto, served());
            told.auto = Some((known, listener));
            status = Some(of_it);
        }
        Ok((told, status))
    }

    /// What is served at the start.
    pub(crate) fn environments(&self) -> Vec<Environment> {
        let auto = self.auto.iter().flat_map(|(told, _)| told.environments());
        let archived = self.archive.iter().flat_map(|(archived, _)| archived.environments());
        auto.chain(archived).collect()
    }

    /// Serves what is told from now on, until the process stops.
    pub(crate) fn follow(self, relay: &SharedRelay) {
        let tasks = &relay.serving.tasks;
        if let Some((told, listener)) = self.auto {
            tasks.spawn(told.follow(relay.clone(), listener));
        }
        if let Some((archived, OfflineArchive { poll, .. })) = self.archive {
            tasks.spawn(archived.follow(relay.clone(), poll));
        }
    }
}

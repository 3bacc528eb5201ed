//! What a relay was told last, in a file, so that it can start while upstream is away.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flagstaff_service::auth::secret;
use flagstaff_service::error::chain;
use flagstaff_wire::relay::Configuration;
use serde::{Deserialize, Serialize};

use super::AutoConfig;
use crate::config::Upstream;

/// No environment has this name in the folder: `~` stands for nothing in theirs.
const FILE: &str = "~configuration.json";

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// By whom it was said, and to whom: what another said does not count.
    said_by: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contents {
    said_by: String,
    #[serde(flatten)]
    configuration: Configuration,
}

impl Kept {
    pub(super) fn new(folder: &Path, upstream: &Upstream, auto: &AutoConfig) -> Self {
        let said_by = secret::hash(&format!("{} {}", upstream.stream.trim_end_matches('/'), auto.key));
        Self { path: folder.join(FILE), said_by }
    }

    /// What was said last, if that is known.
    pub(super) fn read(&self) -> Option<Configuration> {
        let read = std::fs::read(&self.path).and_then(|text| Ok(serde_json::from_slice::<Contents>(&text)?));
        match read {
            Ok(contents) => (contents.said_by == self.said_by).then_some(contents.configuration),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%error, "what was to be served last, in `{path}`, cannot be read; waiting for upstream to say it");
                None
            }
        }
    }

    /// Keeps what was said.
    pub(super) async fn write(&self, configuration: &Configuration) {
        let contents = Contents { said_by: self.said_by.clone(), configuration: configuration.clone() };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&path, &contents)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = written {
            let path = self.path.display();
            tracing::error!(error = %chain(&error), "could not keep what is to be served in `{path}`; it is served, but would not be after a restart while upstream is away");
        }
    }
}

/// In one step, so that there is always one whole file. It holds SDK keys: nobody else may read it.
fn replace(path: &Path, contents: &Contents) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(contents)?)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

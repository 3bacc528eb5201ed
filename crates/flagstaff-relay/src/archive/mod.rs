//! Environments in a file: served without an upstream, and written where there is one.
//!
//! Source: the protocol's *Offline archive*. A `.tar`, compressed or not, holds for each environment
//! `ENVID.json`, which says what it is, and `ENVID-data.json`, its flags and segments; and `checksum.md5` over
//! all of them.
//!
//! Nothing in it becomes a file of this machine: it is read into memory, within a limit, and whatever is not a
//! plain file at the top is refused.

mod fetch;
mod follow;
mod read;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use flagstaff_wire::relay::RelayedEnvironment;
use md5::{Digest as _, Md5};

pub use fetch::{FetchError, fetch};
pub(crate) use follow::Archived;
pub use read::read;
pub use write::write;

/// What is in an archive is never more, unpacked.
pub const LARGEST: u64 = 200 * 1024 * 1024;

const CHECKSUM: &str = "checksum.md5";
const JSON: &str = ".json";
const DATA: &str = "-data.json";

/// What is in an archive, by the environments' IDs.
pub type Contents = BTreeMap<String, ArchivedData>;

/// An environment in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedData {
    /// What it is.
    pub environment: RelayedEnvironment,
    /// Changes whenever its flags or segments do.
    pub data_id: String,
    /// `{"flags":{…},"segments":{…}}`.
    pub data: Bytes,
}

/// Why an archive cannot be read, or written. Nothing of it is taken over then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file is not there, or it is not one.
    #[error("could not read the archive `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("could not write the archive `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is something in it that is no plain file at its top.
    #[error("the archive `{}` holds `{name}`, which is not a plain file at its top; only these are taken", path.display())]
    Strange {
        /// The file.
        path: PathBuf,
        /// What is in there.
        name: String,
    },
    /// It is a bomb, or not meant for a relay.
    #[error("the archive `{}` holds more than {LARGEST} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It was not written to its end, or it was changed.
    #[error("the archive `{}` is damaged: {problem}; it may not have been copied to its end", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file in it is not what it should be.
    #[error("`{name}` in the archive `{}` cannot be understood", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The file in it.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// The checksum over files, which come in the order of their names.
fn checksum<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut digest = Md5::new();
    files.into_iter().for_each(|file| digest.update(file));
    digest.finalize().into()
}

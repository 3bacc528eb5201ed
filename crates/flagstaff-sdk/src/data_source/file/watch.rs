//! Whether a file has changed: by what its folder knows of it, without reading it.

use std::fs::{self, Metadata};
use std::path::PathBuf;
use std::time::SystemTime;

/// What a folder knows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    unix: UnixStamp,
}

/// A file that was put in another's place with its length and time of change is still another one; and
/// the time at which its folder last knew something new of it cannot be set back.
#[cfg(unix)]
#[derive(Clone, Debug, PartialEq, Eq)]
struct UnixStamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

/// Of each file, none if there is none.
pub(super) fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))).collect()
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            unix: UnixStamp {
                device: metadata.dev(),
                inode: metadata.ino(),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            },
        }
    }
}

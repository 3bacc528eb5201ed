//! A file that is read whole, and replaced whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::data_source::read_file;

/// What another process was writing when it was killed is of no use after so long.
const ABANDONED: Duration = Duration::from_secs(3600);

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_file(path)
}

/// Writes beside the file, and puts what was written in its place once it is on disk. Whoever reads
/// finds the old file or the new one, whole.
pub(super) fn write(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let beside = Beside::new(path)?;
    beside.remove_abandoned();
    let file = open(&beside.path)?;
    let written = (|| {
        let mut to = BufWriter::new(file);
        content(&mut to)?;
        to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&beside.path, path)
    })();
    if written.is_err() {
        // The first error is the one to be told of.
        let _ = fs::remove_file(&beside.path);
    }
    written
}

/// For the owner alone: flags may tell of what is not out yet.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// Where a file is written before it is put in its place: in the same folder, under a name that no other
/// process or client has.
struct Beside {
    folder: PathBuf,
    prefix: OsString,
    path: PathBuf,
}

const SUFFIX: &str = ".tmp";

impl Beside {
    fn new(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("it is not the name of a file"))?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let mut own = prefix.clone();
        own.push(format!("{:016x}{SUFFIX}", getrandom::u64().map_err(io::Error::other)?));
        Ok(Self { path: folder.join(own), folder, prefix })
    }

    /// Removes what processes left behind that were killed while they wrote.
    fn remove_abandoned(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let (name, prefix) = (name.as_encoded_bytes(), self.prefix.as_encoded_bytes());
            if !name.starts_with(prefix) || !name.ends_with(SUFFIX.as_bytes()) {
                continue;
            }
            let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
            if let Ok(Ok(age)) = age
                && age > ABANDONED
            {
                // Somebody else may have removed it.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

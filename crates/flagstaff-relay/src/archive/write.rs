//! Writing an archive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flagstaff_wire::relay::ArchivedEnvironment;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::{ArchiveError, CHECKSUM, Contents, DATA, JSON, LARGEST, checksum};

/// What an environment takes up beside its flags is less.
const FRAME: u64 = 16 * 1024;

/// Writes an archive, which takes the place of one that is there in one step. It holds SDK keys, so nobody
/// else may read it. It is compressed if its name ends in `.gz` or `.tgz`.
///
/// # Errors
/// If it cannot be written, or could not be read again. What was there stays as it was.
pub fn write(path: &Path, contents: &Contents) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Write { path: path.to_owned(), source };
    let data: u64 = contents.values().map(|archived| archived.data.len() as u64).sum();
    if data > LARGEST.saturating_sub(contents.len() as u64 * FRAME) {
        return Err(ArchiveError::TooLarge { path: path.to_owned() });
    }
    let mut files = Vec::new();
    for (id, archived) in contents {
        let (env, data_id) = (archived.environment.clone(), archived.data_id.clone());
        let about = serde_json::to_vec(&ArchivedEnvironment { env, data_id });
        files.push((format!("{id}{JSON}"), about.map_err(|error| failed(error.into()))?));
        files.push((format!("{id}{DATA}"), archived.data.to_vec()));
    }
    files.sort();
    let sum = checksum(files.iter().map(|(_, file)| file.as_slice()));
    files.push((CHECKSUM.to_owned(), sum.to_vec()));
    let temporary = temporary(path);
    let written = pack(&temporary, is_compressed(path), &files).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        // What is left of it is of no use; that it cannot be removed adds nothing to why it was not written.
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}

fn pack(path: &Path, compress: bool, files: &[(String, Vec<u8>)]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let file = if compress {
        put(GzEncoder::new(file, Compression::default()), files)?.finish()?
    } else {
        put(file, files)?
    };
    File::sync_all(&file)
}

fn put<W: Write>(into: W, files: &[(String, Vec<u8>)]) -> io::Result<W> {
    let mut archive = Builder::new(into);
    for (name, contents) in files {
        let mut header = Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o600);
        // The same contents make the same archive.
        header.set_mtime(0);
        archive.append_data(&mut header, name, contents.as_slice())?;
    }
    archive.into_inner()
}

/// Beside it, so that it can take its place.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz" || extension == "tgz")
}

//! Reading an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Component, Path};

use bytes::Bytes;
use flagstaff_wire::full_data::{FullData, read_json};
use flagstaff_wire::relay::ArchivedEnvironment;
use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::{ArchiveError, ArchivedData, CHECKSUM, Contents, DATA, JSON, LARGEST, checksum};

/// What is in an archive. It is checked whole before anything of it counts.
///
/// # Errors
/// If there is anything wrong with it.
pub fn read(path: &Path) -> Result<Contents, ArchiveError> {
    let mut files = unpack(path)?;
    let damaged = |problem: String| ArchiveError::Damaged { path: path.to_owned(), problem };
    let said = files.remove(CHECKSUM).ok_or_else(|| damaged(format!("there is no `{CHECKSUM}` in it")))?;
    if said != checksum(files.values().map(Vec::as_slice)) {
        return Err(damaged("its checksum is another".to_owned()));
    }
    let mut contents = Contents::new();
    let names: Vec<String> = files.keys().cloned().collect();
    for name in &names {
        let Some(id) = name.strip_suffix(JSON).filter(|id| files.contains_key(&format!("{id}{DATA}"))) else {
            continue;
        };
        let bad = |name: &str, source| {
            let (path, name) = (path.to_owned(), name.to_owned());
            ArchiveError::Json { path, name, source }
        };
        let about: ArchivedEnvironment = read_json(&files[name]).map_err(|error| bad(name, error))?;
        if about.env.id != id {
            return Err(damaged(format!(
                "`{name}` is about the environment `{}`",
                about.env.id.escape_debug()
            )));
        }
        let data_name = format!("{id}{DATA}");
        let data = files.remove(&data_name).unwrap_or_default();
        read_json::<FullData>(&data).map_err(|error| bad(&data_name, error))?;
        let ArchivedEnvironment { env: environment, data_id } = about;
        contents.insert(id.to_owned(), ArchivedData { environment, data_id, data: Bytes::from(data) });
        files.remove(name);
    }
    if let Some(alone) = files.keys().find(|name| name.ends_with(JSON)) {
        return Err(damaged(format!("`{}` is there without its other half", alone.escape_debug())));
    }
    Ok(contents)
}

/// The files in it, by name.
fn unpack(path: &Path) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
    let failed = |source: io::Error| match source.kind() {
        // Whoever reads the archive says so, and the system of a file that is gone.
        io::ErrorKind::Other
        | io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof => {
            ArchiveError::Damaged { path: path.to_owned(), problem: source.to_string() }
        }
        io::ErrorKind::FileTooLarge => ArchiveError::TooLarge { path: path.to_owned() },
        _ => ArchiveError::Read { path: path.to_owned(), source },
    };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let is_gzip = file.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
    let unpacked: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    // What frames the files counts as well: a bomb may consist of that. It is little, where there is no bomb.
    let mut archive = Archive::new(Limited { inner: unpacked, left: LARGEST });
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let kind = entry.header().entry_type();
        let shown = String::from_utf8_lossy(&entry.path_bytes()).escape_debug().to_string();
        let strange = || ArchiveError::Strange { path: path.to_owned(), name: shown.clone() };
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let name = name_at_top(&entry.path().map_err(failed)?);
        match (kind, name) {
            // The folder that was packed.
            (EntryType::Directory, Some(None)) => continue,
            (EntryType::Regular | EntryType::Continuous, Some(Some(name))) => {
                // A header may claim anything: room is made for what comes.
                let mut contents = Vec::new();
                entry.read_to_end(&mut contents).map_err(failed)?;
                if contents.len() as u64 != entry.size() {
                    let problem = format!("`{shown}` ends early");
                    return Err(ArchiveError::Damaged { path: path.to_owned(), problem });
                }
                if files.insert(name, contents).is_some() {
                    let problem = format!("`{shown}` is in it twice");
                    return Err(ArchiveError::Damaged { path: path.to_owned(), problem });
                }
            }
            _ => return Err(strange()),
        }
    }
    Ok(files)
}

/// Reads so much, and fails then.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

/// The name of a file at the top; an inner none is the top itself, none is elsewhere.
fn name_at_top(path: &Path) -> Option<Option<String>> {
    let mut parts = path.components().filter(|part| *part != Component::CurDir);
    match (parts.next(), parts.next()) {
        (None, _) => Some(None),
        (Some(Component::Normal(name)), None) => name.to_str().map(|name| Some(name.to_owned())),
        _ => None,
    }
}

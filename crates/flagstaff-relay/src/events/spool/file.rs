//! One file of payloads. It is this process's for as long as it is held.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flagstaff_service::now_ms;
use uuid::Uuid;

use super::record::{self, Entry, Record};
use super::{EXTENSION, files_in};

/// One file of payloads.
#[derive(Debug)]
pub(super) struct SpoolFile {
    path: PathBuf,
    file: File,
    size: u64,
    /// The numbers of those that are not settled.
    waiting: HashSet<u64>,
    /// Something could not be written: what stands behind that would not be read.
    is_broken: bool,
}

impl SpoolFile {
    /// Makes one, and waits until it is there to stay. `place` tells it from others of the same moment.
    pub(super) fn create(folder: &Path, place: u64) -> io::Result<Self> {
        make(folder)?;
        loop {
            let path = folder.join(format!("{:015}-{place:020}-{}.{EXTENSION}", now_ms(), Uuid::new_v4()));
            let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path)?;
            // Another process that starts just now may hold it for a moment, and remove it.
            if is_ours(&file)? && file.metadata()?.nlink() > 0 {
                File::open(folder)?.sync_all()?;
                return Ok(Self { path, file, size: 0, waiting: HashSet::new(), is_broken: false });
            }
        }
    }

    /// Those in a folder that no process holds, the oldest first.
    pub(super) fn left_in(folder: &Path) -> io::Result<Vec<Self>> {
        let mut left = Vec::new();
        for path in files_in(folder)? {
            let file = match OpenOptions::new().read(true).append(true).open(&path) {
                Ok(file) => file,
                // Its process has just settled all of it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if is_ours(&file)? {
                let size = file.metadata()?.len();
                let mut one = Self { path, file, size, waiting: HashSet::new(), is_broken: true };
                for entry in one.read()? {
                    match entry {
                        Entry::Payload(number, _) => _ = one.waiting.insert(number),
                        Entry::Settled(number) => _ = one.waiting.remove(&number),
                    }
                }
                left.push(one);
            }
        }
        Ok(left)
    }

    /// How large it is.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it has this payload, and it is not settled.
    pub(super) fn holds(&self, number: u64) -> bool {
        self.waiting.contains(&number)
    }

    /// Whether there is nothing in it that somebody waits for.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Writes payloads and waits for the disk. After an error none of them is in it, as far as the disk allows.
    pub(super) fn append<'r>(&mut self, records: impl Iterator<Item = (u64, &'r Record)>) -> io::Result<()> {
        let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
        for (number, record) in records {
            record.write(number, &mut bytes);
            numbers.push(number);
        }
        if let Err(error) = self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            // What cannot be taken back is sent, and counts once by its id.
            self.is_broken = true;
            return match self.file.set_len(self.size) {
                Ok(()) => Err(error),
                Err(second) => Err(io::Error::new(error.kind(), format!("{error}, and then: {second}"))),
            };
        }
        self.size += bytes.len() as u64;
        self.waiting.extend(numbers);
        Ok(())
    }

    /// Notes that a payload is settled, without waiting for the disk.
    pub(super) fn settle(&mut self, number: u64) -> io::Result<()> {
        self.waiting.remove(&number);
        if self.is_broken {
            return Ok(());
        }
        let mut bytes = Vec::new();
        record::write_settled(number, &mut bytes);
        let written = self.file.write_all(&bytes);
        match &written {
            Ok(()) => self.size += bytes.len() as u64,
            Err(_) => self.is_broken = true,
        }
        written
    }

    /// The payloads that are not settled, in the order in which they came.
    pub(super) fn waiting(&self) -> io::Result<Vec<(u64, Record)>> {
        let waiting = self.read()?.into_iter().filter_map(|entry| match entry {
            Entry::Payload(number, record) if self.holds(number) => Some((number, record)),
            _ => None,
        });
        Ok(waiting.collect())
    }

    /// Removes it.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    fn read(&self) -> io::Result<Vec<Entry>> {
        Ok(record::read(&fs::read(&self.path)?))
    }
}

/// Makes the folder, if it is not there. What is in it is nobody else's business.
fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all()),
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes a file, if nobody has it.
fn is_ours(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

//! Payloads that were taken, on disk until upstream has them: a relay that is killed has lost none.
//!
//! Each is written and synced before its sender is told 202, several at once if several wait. What was settled is
//! noted in the same file, without waiting for the disk: at worst a payload is sent twice, and counts once by its
//! id. A file whose payloads are all settled goes.
//!
//! A process writes files of its own, which it locks. At its start it takes over those that nobody holds any more.

mod file;
mod record;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

pub(super) use record::Record;

use super::rarely::Rarely;
use file::SpoolFile;

/// A file that is larger gets no more payloads.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;
/// All files together are not much larger: what the oldest one still holds moves on.
const MOST_ON_DISK: u64 = 256 * 1024 * 1024;
/// So much is written at once.
const MOST_AT_ONCE: usize = 4 * 1024 * 1024;

/// Payloads on disk.
#[derive(Debug)]
pub(super) struct Spool {
    jobs: Mutex<Option<Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Payloads that were left behind, by their numbers, if they have one.
pub(super) type Left = Vec<(Option<u64>, Record)>;

/// Called with a payload's number once it is on disk, or with why it is not. On the writer's thread.
pub(super) type Then = Box<dyn FnOnce(io::Result<u64>) + Send>;

enum Job {
    Keep(Record, Then),
    Settled(u64),
}

impl Spool {
    /// Opens the folder. Gives the payloads that others left there, by their new numbers. What is wrong with the
    /// folder is said, and in the way of nothing else: it may be well again before a payload comes.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Left)> {
        let mut files = Files::new(folder, LARGEST_FILE, MOST_ON_DISK);
        let left = files.take_over();
        let (jobs, taken) = mpsc::channel();
        let writer = std::thread::Builder::new().name("flagstaff-events".to_owned());
        let writer = writer.spawn(move || Writer { files, said: Rarely::default() }.run(&taken))?;
        Ok((Self { jobs: Mutex::new(Some(jobs)), writer: Mutex::new(Some(writer)) }, left))
    }

    /// Keeps a payload.
    pub(super) fn keep(&self, record: Record, then: Then) {
        if let Err(Job::Keep(_, then)) = self.ask(Job::Keep(record, then)) {
            then(Err(io::Error::other("the relay is stopping")));
        }
    }

    /// Upstream has it, or never will.
    pub(super) fn settled(&self, number: u64) {
        // Nobody is left to note it: then it is sent again, and counts once.
        let _ = self.ask(Job::Settled(number));
    }

    /// Writes what is to be written; takes nothing any more.
    pub(super) fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer of events ended badly");
        }
    }

    fn ask(&self, job: Job) -> Result<(), Job> {
        match &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(jobs) => jobs.send(job).map_err(|mpsc::SendError(job)| job),
            None => Err(job),
        }
    }
}

/// Writes what comes, on a thread of its own.
struct Writer {
    files: Files,
    said: Rarely,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let (mut records, mut settled, mut size) = (Vec::new(), Vec::new(), 0);
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Keep(record, then) => {
                        size += record.body.len();
                        records.push((record, then));
                    }
                    Job::Settled(number) => settled.push(number),
                }
                next = if size < MOST_AT_ONCE { jobs.try_recv().ok() } else { None };
            }
            self.keep(records);
            for number in settled {
                let done = self.files.settled(number);
                self.say(done, "what became of an event payload could not be noted; it may be sent again");
            }
            let moved = self.files.move_on();
            self.say(moved, "event payloads could not be moved to another file");
        }
        self.files.close();
    }

    fn keep(&mut self, records: Vec<(Record, Then)>) {
        if records.is_empty() {
            return;
        }
        let (records, then): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        match self.files.append(&records) {
            Ok(first) => (first..).zip(then).for_each(|(number, then)| then(Ok(number))),
            Err(error) => {
                for then in then {
                    then(Err(io::Error::new(error.kind(), error.to_string())));
                }
                self.say(Err(error), "events could not be kept on disk, their senders are told to try again");
            }
        }
    }

    fn say(&self, done: io::Result<()>, what: &str) {
        if let Err(error) = done
            && self.said.count(1).is_some()
        {
            tracing::error!(folder = %self.files.folder.display(), "{what}: {error}");
        }
    }
}

/// The files of this process.
struct Files {
    folder: PathBuf,
    /// The next payload's number.
    next: u64,
    /// In the order in which they were made.
    all: BTreeMap<u64, SpoolFile>,
    /// How many there ever were.
    made: u64,
    /// The one that payloads are written to.
    active: Option<u64>,
    largest_file: u64,
    most_on_disk: u64,
}

impl Files {
    fn new(folder: &Path, largest_file: u64, most_on_disk: u64) -> Self {
        let (folder, all) = (folder.to_owned(), BTreeMap::new());
        Self { folder, next: 0, all, made: 0, active: None, largest_file, most_on_disk }
    }

    /// Writes payloads, which have the numbers from the one on that is given, and waits for the disk.
    fn append(&mut self, records: &[Record]) -> io::Result<u64> {
        let first = self.next;
        self.next += records.len() as u64;
        let numbered = || (first..).zip(records);
        let place = self.active_file()?;
        let file = self.all.get_mut(&place).expect("the active file is one of all");
        if let Err(error) = file.append(numbered()) {
            // After a failed sync nobody knows what is on disk: this file gets nothing any more.
            self.active = None;
            self.remove_if_settled(place)?;
            return Err(error);
        }
        Ok(first)
    }

    /// Notes that a payload is settled.
    fn settled(&mut self, number: u64) -> io::Result<()> {
        let holder = self.all.iter_mut().rev().find(|(_, file)| file.holds(number));
        let Some((&place, file)) = holder else { return Ok(()) };
        let noted = file.settle(number);
        if self.active != Some(place) {
            self.remove_if_settled(place)?;
        }
        noted
    }

    /// The file that payloads are written to: not one that is too large.
    fn active_file(&mut self) -> io::Result<u64> {
        if let Some(place) = self.active {
            if self.all.get(&place).is_some_and(|file| file.size() < self.largest_file) {
                return Ok(place);
            }
            self.active = None;
            self.remove_if_settled(place)?;
        }
        let place = self.made;
        self.made += 1;
        self.all.insert(place, SpoolFile::create(&self.folder, place)?);
        self.active = Some(place);
        Ok(place)
    }

    fn remove_if_settled(&mut self, place: u64) -> io::Result<()> {
        match self.all.get(&place) {
            Some(file) if file.is_settled() => {
                let file = self.all.remove(&place);
                file.map_or(Ok(()), SpoolFile::remove)
            }
            _ => Ok(()),
        }
    }

    /// A few payloads that nobody takes must not keep large files: if there are too many, what the oldest one
    /// still holds moves to the active one.
    fn move_on(&mut self) -> io::Result<()> {
        if self.all.values().map(SpoolFile::size).sum::<u64>() <= self.most_on_disk {
            return Ok(());
        }
        let oldest = self.all.keys().copied().find(|place| self.active != Some(*place));
        let Some(oldest) = oldest else { return Ok(()) };
        let waiting = self.all[&oldest].waiting()?;
        let place = self.active_file()?;
        let file = self.all.get_mut(&place).expect("the active file is one of all");
        if let Err(error) = file.append(waiting.iter().map(|(number, record)| (*number, record))) {
            self.active = None;
            return Err(error);
        }
        self.all.remove(&oldest).map_or(Ok(()), SpoolFile::remove)
    }

    /// Takes over what others left behind. Payloads without a number are in their files all the same, and are sent
    /// again after the next start.
    fn take_over(&mut self) -> Left {
        let (left, records) = match left_in(&self.folder) {
            Ok(left) => left,
            Err(error) => {
                tracing::error!(folder = %self.folder.display(), "what was kept of events before the start cannot be read: {error}");
                return Vec::new();
            }
        };
        if records.is_empty() {
            remove_all(left);
            return Vec::new();
        }
        match self.append(&records) {
            Ok(first) => {
                remove_all(left);
                (first..).map(Some).zip(records).collect()
            }
            Err(error) => {
                tracing::error!(folder = %self.folder.display(), "what was kept of events before the start is sent, also after the next: {error}");
                records.into_iter().map(|record| (None, record)).collect()
            }
        }
    }

    /// Leaves only files that hold something.
    fn close(mut self) {
        self.active = None;
        for place in self.all.keys().copied().collect::<Vec<_>>() {
            if let Err(error) = self.remove_if_settled(place) {
                tracing::warn!(%error, "could not remove a file of events that are all settled");
            }
        }
    }
}

/// The files that others left, and the payloads in them.
fn left_in(folder: &Path) -> io::Result<(Vec<SpoolFile>, Vec<Record>)> {
    let left = SpoolFile::left_in(folder)?;
    let (mut records, mut known) = (Vec::new(), HashSet::new());
    for file in &left {
        let waiting = file.waiting()?.into_iter().map(|(_, record)| record);
        // One that was moved when its process was killed can be in two files.
        records.extend(waiting.filter(|record| known.insert(record.identity())));
    }
    Ok((left, records))
}

fn remove_all(files: Vec<SpoolFile>) {
    for file in files {
        if let Err(error) = file.remove() {
            tracing::error!("could not remove a file of events, which may be sent again: {error}");
        }
    }
}

/// What of a folder's names is a file of payloads.
const EXTENSION: &str = "events";

fn is_spool_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

/// The files of a folder, if it is there, by name, which is by age.
fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    paths.retain(|path| is_spool_file(path));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};
    use bytes::Bytes;
    use flagstaff_service::live_environment::Audience;
    use flagstaff_wire::headers;
    use uuid::Uuid;

    use super::*;
    use crate::events::{Kind, Payload};

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("flagstaff-spool-{}", Uuid::new_v4()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn files(&self) -> Vec<PathBuf> {
            files_in(&self.0).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // A folder that is left over harms nobody.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn record(id: u64) -> Record {
        let mut headers = HeaderMap::new();
        headers.insert(headers::PAYLOAD_ID, HeaderValue::from(id));
        let body = Bytes::from(vec![b'x'; 100]);
        let payload = Payload { audience: Audience::Server, kind: Kind::Events, headers, body, count: 1 };
        Record::of("one", &payload)
    }

    fn ids(records: &[(Option<u64>, Record)]) -> Vec<u64> {
        let id = |record: &Record| record.payload().unwrap().headers[headers::PAYLOAD_ID].clone();
        records.iter().map(|(_, record)| id(record).to_str().unwrap().parse().unwrap()).collect()
    }

    /// What the next process finds. That the one before was killed is seen in nothing but its locks.
    fn found(folder: &Folder) -> Vec<u64> {
        ids(&Files::new(&folder.0, 1_000, 4_000).take_over())
    }

    #[test]
    fn what_is_not_settled_is_found_again_and_again() {
        let folder = Folder::new();
        let mut files = Files::new(&folder.0, 1_000, 40_000);
        assert!(files.take_over().is_empty());
        for id in 0..30 {
            assert_eq!(files.append(&[record(id)]).unwrap(), id);
        }
        assert!(folder.files().len() > 3, "{:?}", folder.files());
        for settled in (0..30).filter(|id| id % 7 != 3) {
            files.settled(settled).unwrap();
        }
        assert!(found(&folder).is_empty(), "they are this process's");
        drop(files);
        assert_eq!(found(&folder), [3, 10, 17, 24]);
        assert_eq!(found(&folder), [3, 10, 17, 24], "whoever took them over was killed");
    }

    #[test]
    fn a_file_whose_payloads_are_settled_goes() {
        let folder = Folder::new();
        let mut files = Files::new(&folder.0, 1_000, 40_000);
        for id in 0..30 {
            files.append(&[record(id)]).unwrap();
        }
        (0..30).for_each(|number| files.settled(number).unwrap());
        assert_eq!(folder.files().len(), 1, "the one that is written to");
        files.close();
        assert!(folder.files().is_empty());
    }

    #[test]
    fn a_few_that_nobody_takes_do_not_keep_large_files() {
        let folder = Folder::new();
        let mut files = Files::new(&folder.0, 1_000, 4_000);
        let mut on_disk = 0;
        for id in 0..300 {
            files.append(&[record(id)]).unwrap();
            // One of each file is never taken.
            if id % 50 > 0 {
                files.settled(id).unwrap();
            }
            files.move_on().unwrap();
            on_disk = on_disk.max(files.all.values().map(SpoolFile::size).sum());
        }
        assert!(on_disk < 6_000, "{on_disk} bytes");
        drop(files);
        let mut left = found(&folder);
        left.sort_unstable();
        assert_eq!(left, [0, 50, 100, 150, 200, 250]);
    }

    #[test]
    fn what_is_in_two_files_is_taken_over_once_and_what_is_cut_off_is_not() {
        let folder = Folder::new();
        let mut files = Files::new(&folder.0, 1, 40_000);
        for id in [1, 2, 1, 3] {
            files.append(&[record(id)]).unwrap();
        }
        drop(files);
        let last = folder.files().pop().unwrap();
        let whole = fs::read(&last).unwrap();
        fs::write(&last, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(found(&folder), [1, 2]);
    }

    #[test]
    fn while_nothing_can_be_written_nothing_is_taken_and_then_it_goes_on() {
        let folder = Folder::new();
        let mut files = Files::new(&folder.0, 1, 40_000);
        files.append(&[record(1)]).unwrap();
        let aside = folder.0.with_extension("aside");
        fs::rename(&folder.0, &aside).unwrap();
        fs::write(&folder.0, "in the way").unwrap();
        assert!(files.append(&[record(2)]).is_err());
        fs::remove_file(&folder.0).unwrap();
        fs::rename(&aside, &folder.0).unwrap();
        let number = files.append(&[record(3)]).unwrap();
        files.settled(number).unwrap();
        drop(files);
        assert_eq!(found(&folder), [1]);
    }

    #[test]
    fn payloads_larger_than_a_file_have_files_of_their_own() {
        let folder = Folder::new();
        let mut files = Files::new(&folder.0, 1, 1);
        for id in 0..4 {
            assert_eq!(files.append(&[record(id)]).unwrap(), id);
            files.move_on().unwrap();
        }
        (0..4).for_each(|number| files.settled(number).unwrap());
        files.close();
        assert!(folder.files().is_empty(), "none was forgotten");
    }
}

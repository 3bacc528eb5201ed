//! Reading from a database what an evaluation needs, before it is evaluated from memory.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use flagstaff_eval::model::{Flag, Segment};
use flagstaff_eval::{DataSet, Entry};
use flagstaff_wire::stream::ItemKind;
use foldhash::HashSet;

use super::backing::Backing;
use super::persistent::{PersistentStore, StoreError, StoredItem};
use crate::log::LogLevel;
use crate::shared::Shared;
use crate::wait::Waiting;

/// An item and its text, none if it is not there.
type Read = (ItemKind, Arc<str>, Option<Arc<str>>);

/// Memory may lack what was asked for: the database could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Backing {
    /// Reads what the evaluation of a flag needs, as far as it was not read lately.
    pub(crate) fn read_flag(&self, shared: &Arc<Shared>, flag_key: &str) -> Result<(), Unreadable> {
        let deadline = Instant::now() + self.timeout();
        let mut steps = Steps::new(self, flag_key);
        while let Some(step) = steps.next(shared)? {
            let left = deadline.saturating_duration_since(Instant::now());
            steps.taken(shared, step.wait(left))?;
        }
        Ok(())
    }

    /// As [`Backing::read_flag`], on any executor.
    pub(crate) async fn read_flag_async(
        &self,
        shared: &Arc<Shared>,
        flag_key: &str,
    ) -> Result<(), Unreadable> {
        let mut late = shared.after(self.timeout());
        let mut steps = Steps::new(self, flag_key);
        while let Some(step) = steps.next(shared)? {
            let answer = unless_late(step, &mut late).await;
            steps.taken(shared, answer)?;
        }
        Ok(())
    }

    /// Reads all flags and segments, unless they were read lately.
    pub(crate) fn read_all(&self, shared: &Arc<Shared>) -> Result<(), Unreadable> {
        match self.begin_all(shared)? {
            Some(reading) => self.end_all(shared, reading.wait(self.timeout())),
            None => Ok(()),
        }
    }

    /// As [`Backing::read_all`], on any executor.
    pub(crate) async fn read_all_async(&self, shared: &Arc<Shared>) -> Result<(), Unreadable> {
        match self.begin_all(shared)? {
            Some(reading) => {
                let mut late = shared.after(self.timeout());
                let answer = unless_late(reading, &mut late).await;
                self.end_all(shared, answer)
            }
            None => Ok(()),
        }
    }

    /// Whether the database is to be asked at all; if not, memory is what there is.
    fn may_ask(&self) -> Result<bool, Unreadable> {
        if self.memory_is_enough() || self.keeper.is_behind() {
            return Ok(false);
        }
        if self.is_available() { Ok(true) } else { Err(Unreadable) }
    }

    fn begin_all(&self, shared: &Arc<Shared>) -> Result<Option<Waiting<Answer>>, Unreadable> {
        let kinds = [ItemKind::Segment, ItemKind::Flag];
        if kinds.iter().all(|kind| self.fresh.all_fresh(*kind)) || !self.may_ask()? {
            return Ok(None);
        }
        let store = self.store();
        let data = shared.data.snapshot();
        let was_initialized = self.is_initialized();
        Ok(Some(self.readers.run("the database of flags", move || {
            let mut items: Vec<Read> = Vec::new();
            for kind in kinds {
                let all = store.all(kind)?;
                items.extend(all.into_iter().map(|(key, text)| (kind, key.into(), Some(text))));
            }
            let present: HashSet<(ItemKind, &str)> =
                items.iter().map(|(kind, key, _)| (*kind, &**key)).collect();
            let flags = data.flags().map(|flag| (ItemKind::Flag, flag.key()));
            let segments = data.segments().map(|segment| (ItemKind::Segment, segment.key()));
            let gone: Vec<Read> = flags
                .chain(segments)
                .filter(|item| !present.contains(item))
                .map(|(kind, key)| (kind, key.into(), None))
                .collect();
            let mark = mark(&*store, was_initialized, !gone.is_empty())?;
            items.extend(gone);
            Ok(Answered { items, mark })
        })))
    }

    fn end_all(&self, shared: &Arc<Shared>, answer: Option<Answer>) -> Result<(), Unreadable> {
        let answered = self.understand(shared, answer)?;
        let of_kind = |wanted: ItemKind| {
            answered.items.iter().filter(move |(kind, ..)| *kind == wanted).map(|(_, key, _)| key)
        };
        self.fresh.read_all(ItemKind::Segment, of_kind(ItemKind::Segment));
        self.fresh.read_all(ItemKind::Flag, of_kind(ItemKind::Flag));
        self.take_in(shared, answered)
    }

    /// What the database said; none means that it said nothing in time.
    fn understand(&self, shared: &Arc<Shared>, answer: Option<Answer>) -> Result<Answered, Unreadable> {
        let answer = answer.unwrap_or_else(|| {
            Err(StoreError::new(format_args!("there was no answer for {:?}", self.timeout())))
        });
        answer.map_err(|error| {
            self.failed(shared, &error);
            Unreadable
        })
    }

    /// Puts what was read in memory.
    fn take_in(&self, shared: &Arc<Shared>, answered: Answered) -> Result<(), Unreadable> {
        let Answered { mut items, mark } = answered;
        match mark {
            Mark::There => {
                self.seen_initialized();
                self.found_filled(shared);
            }
            Mark::Missing if shared.is_from_snapshot() => {
                // What a snapshot knows is better than nothing.
                items.retain(|(.., text)| text.is_some());
            }
            Mark::Missing | Mark::Unknown => {}
            Mark::Gone => {
                // What is gone stays in memory.
                items.retain(|(.., text)| text.is_some());
                self.emptied(shared);
            }
        }
        let has_items = items.iter().any(|(.., text)| text.is_some());
        take_over(shared, self, items).map_err(|error| {
            // The database is there; it is one item that nobody can read.
            shared.log.once(LogLevel::Error, format_args!("{}: {error}", self.store_name()));
            Unreadable
        })?;
        if has_items && !shared.has_received() {
            shared.status.cached();
        }
        Ok(())
    }
}

/// What the database said.
struct Answered {
    items: Vec<Read>,
    mark: Mark,
}

type Answer = Result<Answered, StoreError>;

/// The mark that says the database holds a full data set.
enum Mark {
    There,
    /// It was there before: the database was emptied.
    Gone,
    /// It never was.
    Missing,
    /// There was no reason to look.
    Unknown,
}

/// Looks for the mark, if there is a reason to: it was not seen yet, or something is gone.
fn mark(store: &dyn PersistentStore, was_initialized: bool, is_gone: bool) -> Result<Mark, StoreError> {
    if was_initialized && !is_gone {
        return Ok(Mark::Unknown);
    }
    Ok(match (store.is_initialized()?, was_initialized) {
        (true, _) => Mark::There,
        (false, true) => Mark::Gone,
        (false, false) => Mark::Missing,
    })
}

/// The steps of reading what one flag needs: itself, then what it names, then what that names.
struct Steps<'s> {
    backing: &'s Backing,
    flag_key: &'s str,
    /// What was read in earlier steps: with caching off it would not count as fresh.
    done: HashSet<(ItemKind, Arc<str>)>,
    /// What is read in this step, to be marked as no longer under way.
    claimed: Vec<(ItemKind, Arc<str>)>,
}

impl<'s> Steps<'s> {
    fn new(backing: &'s Backing, flag_key: &'s str) -> Self {
        Self { backing, flag_key, done: HashSet::default(), claimed: Vec::new() }
    }

    /// Begins the next step; none if there is nothing left to read.
    fn next(&mut self, shared: &Arc<Shared>) -> Result<Option<Waiting<Answer>>, Unreadable> {
        let backing = self.backing;
        let data = shared.data.snapshot();
        let needed = self.needed(&data);
        if needed.is_empty() || !backing.may_ask()? {
            return Ok(None);
        }
        // Somebody else is reading what is stale: memory will do meanwhile.
        let mut items = Vec::new();
        for (kind, key) in needed {
            let is_first = backing.fresh.begin(kind, &key);
            if is_first {
                self.claimed.push((kind, key.clone()));
            }
            if is_first || !is_live(&data, kind, &key) {
                items.push((kind, key));
            } else {
                self.done.insert((kind, key));
            }
        }
        if items.is_empty() {
            return self.next(shared);
        }
        let store = backing.store();
        let was_initialized = backing.is_initialized();
        Ok(Some(backing.readers.run("the database of flags", move || {
            let mut read: Vec<Read> = Vec::with_capacity(items.len());
            let mut is_gone = false;
            for (kind, key) in items {
                let text = store.get(kind, &key)?;
                is_gone |= text.is_none() && is_live(&data, kind, &key);
                read.push((kind, key, text));
            }
            let mark = mark(&*store, was_initialized, is_gone)?;
            Ok(Answered { items: read, mark })
        })))
    }

    /// A step was taken; none means that nothing came of it in time.
    fn taken(&mut self, shared: &Arc<Shared>, answer: Option<Answer>) -> Result<(), Unreadable> {
        let backing = self.backing;
        let answered = backing.understand(shared, answer)?;
        for (kind, key, _) in &answered.items {
            backing.fresh.read(*kind, key);
            self.done.insert((*kind, key.clone()));
        }
        let taken = backing.take_in(shared, answered);
        self.release();
        taken
    }

    /// What is neither fresh nor read in this evaluation: the flag, its prerequisites, the segments of
    /// both, the segments of those.
    fn needed(&self, data: &DataSet) -> Vec<(ItemKind, Arc<str>)> {
        let mut needed = Vec::new();
        let mut seen: HashSet<(ItemKind, &str)> = HashSet::default();
        let mut open = vec![(ItemKind::Flag, self.flag_key)];
        while let Some((kind, key)) = open.pop() {
            if !seen.insert((kind, key)) {
                continue;
            }
            match kind {
                ItemKind::Flag => {
                    if let Some(flag) = data.flag(key) {
                        open.extend(flag.prerequisites().map(|key| (ItemKind::Flag, key)));
                        open.extend(flag.segments().map(|key| (ItemKind::Segment, key)));
                    }
                }
                ItemKind::Segment => {
                    if let Some(segment) = data.segment(key) {
                        open.extend(segment.segments().map(|key| (ItemKind::Segment, key)));
                    }
                }
            }
            if !self.backing.fresh.is_fresh(kind, key) {
                let item = (kind, Arc::from(key));
                if !self.done.contains(&item) {
                    needed.push(item);
                }
            }
        }
        needed
    }

    fn release(&mut self) {
        self.claimed.drain(..).for_each(|(kind, key)| self.backing.fresh.end(kind, &key));
    }
}

/// Also if nobody waits any more: async code may give up in the middle.
impl Drop for Steps<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Puts what was read in memory. If a full data set was received only what is newer counts; else the
/// database is where flags come from, and what it no longer has is gone.
pub(super) fn take_over(shared: &Arc<Shared>, backing: &Backing, items: Vec<Read>) -> Result<(), StoreError> {
    let received = backing.has_everything();
    let (mut flags, mut segments) = (Vec::new(), Vec::new());
    let mut failed = Ok(());
    for (kind, key, text) in items {
        let Some(text) = text else {
            if !received && is_live(&shared.data.load(), kind, &key) {
                shared.forget_text(kind, &key);
                match kind {
                    ItemKind::Flag => flags.push(Entry::tombstone(&key, 0)),
                    ItemKind::Segment => segments.push(Entry::tombstone(&key, 0)),
                }
            }
            continue;
        };
        if shared.is_known_text(kind, &key, &text) {
            continue;
        }
        let version = match kind {
            ItemKind::Flag => parsed::<Flag>(kind, &key, &text).map(|flag| {
                let entry = Entry::flag(&key, flag);
                let version = entry.version();
                flags.push(entry);
                version
            }),
            ItemKind::Segment => parsed::<Segment>(kind, &key, &text).map(|segment| {
                let entry = Entry::segment(&key, segment);
                let version = entry.version();
                segments.push(entry);
                version
            }),
        };
        match version {
            Ok(version) => shared.know_text(StoredItem { kind, key, version, json: text }, received),
            Err(error) => failed = Err(error),
        }
    }
    if !flags.is_empty() || !segments.is_empty() {
        shared.change_data(|data| {
            if received {
                flags.retain(|flag| data.flag_version(flag.key()).is_none_or(|known| known < flag.version()));
                segments.retain(|segment| {
                    data.segment_version(segment.key()).is_none_or(|known| known < segment.version())
                });
            }
            Some(data.with_all(flags, segments))
        });
    }
    failed
}

fn parsed<T: serde::de::DeserializeOwned>(kind: ItemKind, key: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| {
        let kind = match kind {
            ItemKind::Flag => "flag",
            ItemKind::Segment => "segment",
        };
        StoreError::because(format_args!("{kind} `{key}` in the database cannot be read"), error)
    })
}

fn is_live(data: &DataSet, kind: ItemKind, key: &str) -> bool {
    match kind {
        ItemKind::Flag => data.flag(key).is_some(),
        ItemKind::Segment => data.segment(key).is_some(),
    }
}

/// What comes first: the answer, or that it is late.
async fn unless_late<T>(mut answer: Waiting<T>, late: &mut Waiting<()>) -> Option<T> {
    std::future::poll_fn(|task| {
        if let Poll::Ready(answer) = std::pin::Pin::new(&mut answer).poll(task) {
            return Poll::Ready(answer);
        }
        std::pin::Pin::new(&mut *late).poll(task).map(|_| None)
    })
    .await
}

//! Reading from a database what an evaluation needs, before it is evaluated from memory.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use flagstaff_eval::model::{Flag, Segment};
use flagstaff_eval::{DataSet, Entry};
use flagstaff_wire::stream::ItemKind;
use foldhash::HashSet;

use super::backing::Backing;
use super::freshness::Begun;
use super::persistent::{PersistentStore, StoreError, StoredItem};
use crate::data_source::receive::is_newer;
use crate::log::LogLevel;
use crate::shared::Shared;
use crate::wait::{Waiting, wait_for};

/// How soon somebody who asks whether an evaluation would read begins it.
const BEGINS_WITHIN: Duration = Duration::from_millis(100);

/// An item and its text, none if it is not there.
type Read = (ItemKind, Arc<str>, Option<Arc<str>>);

/// Memory may lack what was asked for: the database could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Backing {
    /// Reads what the evaluation of a flag needs, as far as it was not read lately.
    pub(crate) fn read_flag(&self, shared: &Arc<Shared>, flag_key: &str) -> Result<(), Unreadable> {
        let deadline = Instant::now() + self.timeout();
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut steps = Steps::new(self, flag_key);
        while let Some(step) = steps.next(shared)? {
            match step {
                Step::Read(reading) => steps.taken(shared, reading.wait(left()))?,
                Step::Join(item, other) => steps.joined(shared, item, wait_for(other, left()))?,
            }
        }
        Ok(())
    }

    /// As [`Backing::read_flag`], on any executor.
    pub(crate) async fn read_flag_async(
        &self,
        shared: &Arc<Shared>,
        flag_key: &str,
    ) -> Result<(), Unreadable> {
        // A timer is worth its price only if there is something to wait for.
        let mut late = None;
        let mut steps = Steps::new(self, flag_key);
        while let Some(step) = steps.next(shared)? {
            let late = late.get_or_insert_with(|| shared.after(self.timeout()));
            match step {
                Step::Read(reading) => {
                    let answer = unless_late(reading, late).await.flatten();
                    steps.taken(shared, answer)?;
                }
                Step::Join(item, other) => {
                    let outcome = unless_late(other, late).await;
                    steps.joined(shared, item, outcome)?;
                }
            }
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
                let answer = unless_late(reading, &mut late).await.flatten();
                self.end_all(shared, answer)
            }
            None => Ok(()),
        }
    }

    /// Whether the evaluation of a flag, begun within [`BEGINS_WITHIN`], would read anything.
    pub(crate) fn would_read(&self, shared: &Shared, flag_key: &str) -> bool {
        let is_fresh = |kind, key: &str| self.fresh.is_fresh_for(kind, key, BEGINS_WITHIN);
        self.may_ask() == Ok(true)
            && !Steps::new(self, flag_key).needed(&shared.data.snapshot(), is_fresh).is_empty()
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
        let age = self.age();
        if kinds.iter().all(|kind| self.fresh.all_fresh(*kind)) || !self.may_ask()? {
            return Ok(None);
        }
        let store = self.store();
        let data = shared.data.snapshot();
        let was_initialized = self.is_initialized();
        Ok(Some(self.readers.run("the database of flags", move || {
            let read = || {
                let mut items: Vec<Read> = Vec::new();
                for kind in kinds {
                    let all = store.all(kind)?;
                    items.extend(all.into_iter().map(|(key, text)| (kind, key.into(), Some(text))));
                }
                let gone = gone_from(&items, &data);
                Ok::<_, StoreError>((items, gone))
            };
            let (mut items, mut gone) = read()?;
            let mark = mark(&*store, was_initialized, !gone.is_empty())?;
            if !gone.is_empty() && matches!(mark, Mark::There) {
                // As where one flag is read.
                (items, gone) = read()?;
            }
            items.extend(gone);
            Ok(Answered { items, mark, age })
        })))
    }

    fn end_all(&self, shared: &Arc<Shared>, answer: Option<Answer>) -> Result<(), Unreadable> {
        let answered = self.understand(shared, answer)?;
        self.take_in(shared, answered, true)
    }

    /// What the database said; none means that it said nothing in time.
    fn understand(&self, shared: &Arc<Shared>, answer: Option<Answer>) -> Result<Answered, Unreadable> {
        let answer = answer.unwrap_or_else(|| {
            Err(StoreError::new(format_args!("there was no answer for {:?}", self.timeout())))
        });
        answer.map_err(|error| {
            // Once the client is closed nobody is asked any more, which is no outage.
            if !shared.is_closed() {
                self.failed(shared, &error);
            }
            Unreadable
        })
    }

    /// Puts what was read in memory, `all` there is or some; it then counts as fresh, and no sooner.
    fn take_in(&self, shared: &Arc<Shared>, answered: Answered, all: bool) -> Result<(), Unreadable> {
        let Answered { mut items, mark, age } = answered;
        let read: Vec<(ItemKind, Arc<str>)> =
            items.iter().map(|(kind, key, _)| (*kind, key.clone())).collect();
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
        let TakenOver { is_outdated, bad } = take_over(shared, self, items, age);
        if is_outdated {
            // A full data set has come meanwhile: memory has all there is.
            return Ok(());
        }
        let is_bad = |item: &(ItemKind, Arc<str>)| bad.as_ref().is_some_and(|bad| bad.items.contains(item));
        let good = || read.iter().filter(|item| !is_bad(item));
        if all {
            for wanted in [ItemKind::Segment, ItemKind::Flag] {
                let of_kind = good().filter(|(kind, _)| *kind == wanted);
                self.fresh.read_all(wanted, of_kind.map(|(_, key)| key));
            }
        } else {
            good().for_each(|(kind, key)| self.fresh.read(*kind, key));
        }
        if has_items && !shared.has_received() {
            shared.status.cached();
        }
        bad.map_or(Ok(()), |bad| {
            // The database is there; it is one item that nobody can read.
            shared.log.once(LogLevel::Error, format_args!("{}: {}", self.store_name(), bad.error));
            Err(Unreadable)
        })
    }
}

/// What the database said.
struct Answered {
    items: Vec<Read>,
    mark: Mark,
    /// The age of the database when it was decided to ask.
    age: u64,
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

/// What is in memory and not among these.
fn gone_from(items: &[Read], data: &DataSet) -> Vec<Read> {
    let present: HashSet<(ItemKind, &str)> = items.iter().map(|(kind, key, _)| (*kind, &**key)).collect();
    let flags = data.flags().map(|flag| (ItemKind::Flag, flag.key()));
    let segments = data.segments().map(|segment| (ItemKind::Segment, segment.key()));
    let gone = flags.chain(segments).filter(|item| !present.contains(item));
    gone.map(|(kind, key)| (kind, key.into(), None)).collect()
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

/// What is to be waited for.
enum Step {
    Read(Waiting<Answer>),
    /// Another caller reads an item that this one needs, and memory has none.
    Join((ItemKind, Arc<str>), Waiting<bool>),
}

impl<'s> Steps<'s> {
    fn new(backing: &'s Backing, flag_key: &'s str) -> Self {
        Self { backing, flag_key, done: HashSet::default(), claimed: Vec::new() }
    }

    /// Begins the next step; none if there is nothing left to read.
    fn next(&mut self, shared: &Arc<Shared>) -> Result<Option<Step>, Unreadable> {
        let backing = self.backing;
        loop {
            let age = backing.age();
            let data = shared.data.snapshot();
            let needed = self.needed(&data, |kind, key| backing.fresh.is_fresh(kind, key));
            if needed.is_empty() || !backing.may_ask()? {
                return Ok(None);
            }
            let mut other = None;
            for (kind, key) in needed {
                match backing.fresh.begin(kind, &key) {
                    Begun::Here => self.claimed.push((kind, key)),
                    // Somebody else is reading what is stale: memory will do meanwhile.
                    Begun::Elsewhere(_) if is_live(&data, kind, &key) => drop(self.done.insert((kind, key))),
                    Begun::Elsewhere(waiting) => other = Some(Step::Join((kind, key), waiting)),
                }
            }
            if !self.claimed.is_empty() {
                return Ok(Some(Step::Read(self.read(data, age))));
            }
            if other.is_some() {
                return Ok(other);
            }
        }
    }

    /// Asks for what was claimed.
    fn read(&self, data: Arc<DataSet>, age: u64) -> Waiting<Answer> {
        let backing = self.backing;
        let items = self.claimed.clone();
        let store = backing.store();
        let was_initialized = backing.is_initialized();
        backing.readers.run("the database of flags", move || {
            let mut read: Vec<Read> = Vec::with_capacity(items.len());
            let mut is_gone = false;
            for (kind, key) in items {
                let text = store.get(kind, &key)?;
                is_gone |= text.is_none() && is_live(&data, kind, &key);
                read.push((kind, key, text));
            }
            let mark = mark(&*store, was_initialized, is_gone)?;
            if is_gone && matches!(mark, Mark::There) {
                // It may have been emptied before the first question, and filled before the second.
                // What is missing beside the mark is gone.
                for (kind, key, text) in read.iter_mut().filter(|(.., text)| text.is_none()) {
                    *text = store.get(*kind, key)?;
                }
            }
            Ok(Answered { items: read, mark, age })
        })
    }

    /// A step was taken; none means that nothing came of it in time.
    fn taken(&mut self, shared: &Arc<Shared>, answer: Option<Answer>) -> Result<(), Unreadable> {
        let answered = self.backing.understand(shared, answer)?;
        self.backing.take_in(shared, answered, false)?;
        self.done.extend(self.claimed.iter().cloned());
        self.release(true);
        Ok(())
    }

    /// Another caller's step is over, or not in time. If nothing came of it, this one tries itself.
    fn joined(
        &mut self,
        shared: &Arc<Shared>,
        item: (ItemKind, Arc<str>),
        outcome: Option<Option<bool>>,
    ) -> Result<(), Unreadable> {
        match outcome {
            None => self.backing.understand(shared, None).map(drop),
            Some(Some(true)) => {
                self.done.insert(item);
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    /// What is neither fresh nor read in this evaluation: the flag, its prerequisites, the segments of
    /// both, the segments of those.
    fn needed(&self, data: &DataSet, is_fresh: impl Fn(ItemKind, &str) -> bool) -> Vec<(ItemKind, Arc<str>)> {
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
            if !is_fresh(kind, key) {
                let item = (kind, Arc::from(key));
                if !self.done.contains(&item) {
                    needed.push(item);
                }
            }
        }
        needed
    }

    fn release(&mut self, read: bool) {
        self.claimed.drain(..).for_each(|(kind, key)| self.backing.fresh.end(kind, &key, read));
    }
}

/// Also if nobody waits any more: async code may give up in the middle.
impl Drop for Steps<'_> {
    fn drop(&mut self) {
        self.release(false);
    }
}

/// What came of putting in memory what was read.
pub(super) struct TakenOver {
    /// A full data set was received since it was read: none of it counts.
    pub(super) is_outdated: bool,
    pub(super) bad: Option<Bad>,
}

/// Items that cannot be read, and why the last of them cannot.
pub(super) struct Bad {
    items: HashSet<(ItemKind, Arc<str>)>,
    pub(super) error: StoreError,
}

/// Puts in memory what was read when the database was of this age. If a full data set was received only
/// what is newer counts; else the database is where flags come from, and what it no longer has is gone.
pub(super) fn take_over(shared: &Shared, backing: &Backing, items: Vec<Read>, age: u64) -> TakenOver {
    let (mut flags, mut segments) = (Vec::new(), Vec::new());
    let (mut texts, mut gone) = (Vec::new(), Vec::new());
    let mut bad: Option<Bad> = None;
    for (kind, key, text) in items {
        let Some(text) = text else {
            gone.push((kind, key));
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
            Ok(version) => texts.push(StoredItem { kind, key, version, json: text }),
            Err(error) => {
                let mut items = bad.take().map(|bad| bad.items).unwrap_or_default();
                items.insert((kind, key));
                bad = Some(Bad { items, error });
            }
        }
    }
    let mut is_outdated = backing.age() != age;
    if is_outdated || (texts.is_empty() && gone.is_empty()) {
        return TakenOver { is_outdated, bad };
    }
    shared.change_data(|data| {
        // Now nothing else can change: what is decided here holds.
        is_outdated = backing.age() != age;
        if is_outdated {
            return None;
        }
        let received = backing.has_everything();
        if received {
            flags.retain(|flag| is_newer(data.flag_version(flag.key()), flag.version()));
            segments.retain(|segment| is_newer(data.segment_version(segment.key()), segment.version()));
        } else {
            for (kind, key) in gone.iter().filter(|(kind, key)| is_live(data, *kind, key)) {
                if let Some(kept) = &shared.texts {
                    kept.forget(*kind, key);
                }
                match kind {
                    ItemKind::Flag => flags.push(Entry::tombstone(key, 0)),
                    ItemKind::Segment => segments.push(Entry::tombstone(key, 0)),
                }
            }
        }
        if let Some(kept) = &shared.texts {
            texts.drain(..).for_each(|text| kept.put(text, received));
        }
        (!flags.is_empty() || !segments.is_empty()).then(|| data.with_all(flags, segments))
    });
    TakenOver { is_outdated, bad }
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

/// What comes first: the answer, or that it is late, which is none.
async fn unless_late<T>(mut answer: Waiting<T>, late: &mut Waiting<()>) -> Option<Option<T>> {
    std::future::poll_fn(|task| {
        if let Poll::Ready(answer) = std::pin::Pin::new(&mut answer).poll(task) {
            return Poll::Ready(Some(answer));
        }
        std::pin::Pin::new(&mut *late).poll(task).map(|_| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::data_source::receive::{Items, receive_newer};
    use crate::data_store::{Caching, PersistentDataStore, StoredItem};

    /// A database that nobody asks.
    struct Unasked;

    impl PersistentStore for Unasked {
        fn name(&self) -> &str {
            "Unasked"
        }
        fn init(&self, _: &[StoredItem]) -> Result<(), StoreError> {
            Ok(())
        }
        fn get(&self, _: ItemKind, _: &str) -> Result<Option<Arc<str>>, StoreError> {
            Ok(None)
        }
        fn all(&self, _: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError> {
            Ok(Vec::new())
        }
        fn upsert(&self, _: &StoredItem) -> Result<bool, StoreError> {
            Ok(true)
        }
        fn is_initialized(&self) -> Result<bool, StoreError> {
            Ok(true)
        }
    }

    fn shared() -> Arc<Shared> {
        let store = PersistentDataStore::new(Unasked).caching(Caching::Forever).read_only();
        Arc::new(Shared::new(Config::new("sdk-key").data_store(store), None))
    }

    fn text(version: u64) -> Arc<str> {
        format!(r#"{{"key":"f","version":{version}}}"#).into()
    }

    fn read(version: u64) -> Vec<Read> {
        vec![(ItemKind::Flag, "f".into(), Some(text(version)))]
    }

    fn received(version: u64) -> (DataSet, Vec<StoredItem>) {
        let json = text(version);
        let flag: Flag = serde_json::from_str(&json).unwrap();
        let data = DataSet::default().with_all(vec![Entry::flag("f", flag)], Vec::new());
        (data, vec![StoredItem { kind: ItemKind::Flag, key: "f".into(), version, json }])
    }

    fn is_in_force(shared: &Shared, version: u64) -> bool {
        shared.data.load().flag_version("f") == Some(version)
            && shared.is_known_text(ItemKind::Flag, &"f".into(), &text(version))
    }

    #[test]
    fn what_was_read_before_a_full_data_set_came_does_not_count_whatever_its_version() {
        let shared = shared();
        let backing = shared.backing.as_ref().unwrap();
        let age = backing.age();
        assert!(!take_over(&shared, backing, read(5), age).is_outdated);
        assert!(is_in_force(&shared, 5), "until then the database counts");
        let (data, texts) = received(3);
        crate::data_source::receive::receive_all_waiting(&shared, data, texts);
        assert!(take_over(&shared, backing, read(5), age).is_outdated);
        assert!(is_in_force(&shared, 3));
        assert!(!take_over(&shared, backing, read(5), backing.age()).is_outdated);
        assert!(is_in_force(&shared, 5), "somebody has written it since");
    }

    #[test]
    fn what_is_read_while_a_full_data_set_comes_in_never_takes_its_place() {
        for _ in 0..300 {
            let shared = shared();
            let backing = shared.backing.as_ref().unwrap();
            std::thread::scope(|scope| {
                let (age, reader) = (backing.age(), &shared);
                scope.spawn(move || {
                    for version in 1..20 {
                        take_over(reader, backing, read(version), age);
                    }
                });
                let (data, texts) = received(30);
                crate::data_source::receive::receive_all_waiting(&shared, data, texts);
            });
            assert!(is_in_force(&shared, 30));
        }
    }

    #[test]
    fn a_text_is_that_of_the_item_in_force_whoever_writes_at_the_same_time() {
        let shared = shared();
        let backing = shared.backing.as_ref().unwrap();
        let versions = 1..=2_000;
        std::thread::scope(|scope| {
            for step in [1, 3] {
                let (shared, versions) = (&shared, versions.clone());
                scope.spawn(move || {
                    for version in versions.step_by(step) {
                        take_over(shared, backing, read(version), backing.age());
                    }
                });
            }
        });
        let version = shared.data.load().flag_version("f").unwrap();
        assert!(is_in_force(&shared, version), "version {version} has another text");

        let (data, texts) = received(version);
        crate::data_source::receive::receive_all_waiting(&shared, data, texts);
        std::thread::scope(|scope| {
            let (shared, versions) = (&shared, version..version + 2_000);
            let again = versions.clone();
            scope.spawn(move || {
                for version in again {
                    take_over(shared, backing, read(version), backing.age());
                }
            });
            for version in versions {
                let (flag, texts) = (serde_json::from_str(&text(version)).unwrap(), received(version).1);
                let flags = vec![Entry::flag("f", flag)];
                receive_newer(shared, Items { flags, texts, ..Items::default() });
            }
        });
        assert!(is_in_force(&shared, version + 1_999));
    }

    #[test]
    fn of_those_who_want_an_item_at_once_one_reads_and_the_others_hear_of_it() {
        let shared = shared();
        let fresh = &shared.backing.as_ref().unwrap().fresh;
        let key: Arc<str> = "f".into();
        for outcome in [true, false] {
            assert!(matches!(fresh.begin(ItemKind::Flag, &key), Begun::Here));
            let Begun::Elsewhere(other) = fresh.begin(ItemKind::Flag, &key) else {
                panic!("it is under way")
            };
            fresh.end(ItemKind::Flag, &key, outcome);
            assert_eq!(other.wait(Duration::from_secs(30)), Some(outcome));
        }
    }
}

//! Counts of one version of a flag, kept with the flag, and when they were made.
//!
//! The first count attaches counters to the flag and enters the flag in a list. From then on a count
//! is one addition to a cell that the thread shares with few others. Sending takes the counts out by
//! swapping in zeros, so none that is made meanwhile is lost. A version that no data set holds any
//! more leaves the list once its last counts are taken.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use flagstaff_eval::{ContextRead, PreparedFlag, Value};

/// Cells of so many bytes never share a cache line, nor the one the processor fetches beside it.
const LINE: usize = 128;
const CELLS: usize = LINE / 8;
/// More threads than this share cells.
const MOST_SHARDS: usize = 16;

/// Set in a mask when the default of the first evaluation is noted.
const DEFAULT_NOTED: u64 = 1 << 63;
/// Set in a mask of kinds when one has no bit of its own. Never counts as noted.
const MORE_KINDS: u64 = 1 << 62;
const KINDS_WITH_A_BIT: usize = 62;

#[derive(Default)]
#[repr(align(128))]
struct Line([AtomicU64; CELLS]);

/// The counters of all flags of one client.
pub(super) struct Counters {
    /// Tells this client's counters from those of another that was given the same flag.
    owner: u64,
    shards: usize,
    stamps: Box<[Line]>,
    flags: Mutex<Vec<Arc<PreparedFlag>>>,
}

/// The counts of one version of a flag, since they were last sent.
pub(super) struct FlagCounts {
    pub(super) flag: Arc<PreparedFlag>,
    pub(super) default: Value,
    pub(super) kinds: BTreeSet<String>,
    /// The variation index, none for the default, and how often.
    pub(super) counts: Vec<(Option<usize>, u64)>,
}

/// What was counted since it was last sent, and when.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) flags: Vec<FlagCounts>,
    /// The first and the last evaluation, Unix milliseconds; none if there was none.
    pub(super) span: Option<(u64, u64)>,
}

/// What is attached to a flag.
struct Attached {
    owner: u64,
    /// Kinds, and whether the default, were noted since the counts were last sent.
    noted: AtomicU64,
    notes: Mutex<Notes>,
    lines_per_shard: usize,
    lines: Box<[Line]>,
}

/// What is said of all counts of the flag together.
#[derive(Default)]
struct Notes {
    default: Option<Value>,
    more_kinds: BTreeSet<String>,
    /// What was said last, for counts that were made while it was being sent.
    last_default: Value,
    last_kinds: BTreeSet<String>,
}

/// Places in a line of stamps.
const FIRST: usize = 0;
const LAST: usize = 1;
const DEDUPLICATED: usize = 2;

impl Counters {
    pub(super) fn new() -> Self {
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = processors.next_power_of_two().min(MOST_SHARDS);
        Self {
            owner: CLIENTS.fetch_add(1, Ordering::Relaxed),
            shards,
            stamps: (0..shards).map(|_| Line::default()).collect(),
            flags: Mutex::default(),
        }
    }

    /// Notes when something was counted.
    #[inline]
    pub(super) fn stamp(&self, shard: usize, now_ms: u64) {
        let stamps = &self.stamps[shard & (self.shards - 1)].0;
        if stamps[FIRST].load(Ordering::Relaxed) == 0 {
            stamps[FIRST].store(now_ms, Ordering::Relaxed);
        }
        stamps[LAST].store(now_ms, Ordering::Relaxed);
    }

    /// Counts a context that was not reported because it had been.
    #[inline]
    pub(super) fn deduplicated(&self, shard: usize) {
        self.stamps[shard & (self.shards - 1)].0[DEDUPLICATED].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an evaluation, if the flag has counters and nothing is new about it; else false.
    #[inline]
    pub(super) fn count(
        &self,
        flag: &PreparedFlag,
        variation: Option<usize>,
        kinds: u64,
        shard: usize,
    ) -> bool {
        let Some(attached) = self.attached(flag) else { return false };
        let needed = kinds | DEFAULT_NOTED;
        if attached.noted.load(Ordering::Relaxed) & needed != needed {
            return false;
        }
        attached.add(shard & (self.shards - 1), cell(flag, variation));
        true
    }

    /// As [`Counters::count`], and makes it so that it can be counted: attaches counters, notes
    /// default and kinds. False if the flag's counters are another client's. The caller holds a fork
    /// guard.
    pub(super) fn note_and_count(
        &self,
        flag: &Arc<PreparedFlag>,
        variation: Option<usize>,
        default: &Value,
        kinds: u64,
        more_kinds: &[String],
        shard: usize,
    ) -> bool {
        if flag.attachment().get().is_none() {
            let attached: Arc<dyn Any + Send + Sync> =
                Arc::new(Attached::new(self.owner, flag.variations().len() + 1, self.shards));
            if flag.attachment().set(attached).is_ok() {
                self.lock().push(flag.clone());
            }
        }
        let Some(attached) = self.attached(flag) else { return false };
        attached.note(default, kinds, more_kinds);
        attached.add(shard & (self.shards - 1), cell(flag, variation));
        true
    }

    /// How many contexts were not reported because they had been, since this was last asked.
    pub(super) fn take_deduplicated(&self) -> u64 {
        self.stamps.iter().map(|line| line.0[DEDUPLICATED].swap(0, Ordering::Relaxed)).sum()
    }

    /// Takes all counts out. The caller holds a fork guard.
    pub(super) fn take(&self) -> Taken {
        let listed = std::mem::take(&mut *self.lock());
        let mut kept = Vec::with_capacity(listed.len());
        let mut flags = Vec::new();
        for flag in listed {
            // Nobody but this list holds the version: nobody can count it any more.
            let gone = Arc::strong_count(&flag) == 1;
            fence(Ordering::Acquire);
            let counts = self.attached(&flag).and_then(|attached| attached.take(&flag, self.shards));
            if !gone {
                kept.push(flag.clone());
            }
            if let Some((default, kinds, counts)) = counts {
                flags.push(FlagCounts { flag, default, kinds, counts });
            }
        }
        self.lock().append(&mut kept);
        let mut span: Option<(u64, u64)> = None;
        for line in &self.stamps {
            let (first, last) =
                (line.0[FIRST].swap(0, Ordering::Relaxed), line.0[LAST].load(Ordering::Relaxed));
            if first != 0 {
                let (least, greatest) = span.unwrap_or((first, last));
                span = Some((least.min(first), greatest.max(last.max(first))));
            }
        }
        Taken { flags, span }
    }

    #[inline]
    fn attached<'f>(&self, flag: &'f PreparedFlag) -> Option<&'f Attached> {
        let attached = flag.attachment().get()?.downcast_ref::<Attached>()?;
        (attached.owner == self.owner).then_some(attached)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<PreparedFlag>>> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The default is counted behind the variations.
#[inline]
fn cell(flag: &PreparedFlag, variation: Option<usize>) -> usize {
    variation.unwrap_or(flag.variations().len())
}

impl Attached {
    fn new(owner: u64, cells: usize, shards: usize) -> Self {
        let lines_per_shard = cells.div_ceil(CELLS);
        Self {
            owner,
            noted: AtomicU64::new(0),
            notes: Mutex::default(),
            lines_per_shard,
            lines: (0..shards * lines_per_shard).map(|_| Line::default()).collect(),
        }
    }

    #[inline]
    fn add(&self, shard: usize, cell: usize) {
        let line = shard * self.lines_per_shard + cell / CELLS;
        self.lines[line].0[cell % CELLS].fetch_add(1, Ordering::Relaxed);
    }

    fn note(&self, default: &Value, kinds: u64, more_kinds: &[String]) {
        let mut notes = self.notes();
        if notes.default.is_none() {
            notes.default = Some(default.clone());
        }
        notes.more_kinds.extend(more_kinds.iter().cloned());
        self.noted.fetch_or(DEFAULT_NOTED | (kinds & !MORE_KINDS), Ordering::Relaxed);
    }

    #[expect(clippy::type_complexity, reason = "taken apart at the one place where it is called")]
    fn take(
        &self,
        flag: &PreparedFlag,
        shards: usize,
    ) -> Option<(Value, BTreeSet<String>, Vec<(Option<usize>, u64)>)> {
        let mut notes = self.notes();
        let noted = self.noted.swap(0, Ordering::Relaxed);
        if let Some(default) = notes.default.take() {
            notes.last_default = default;
            notes.last_kinds = kinds_in(noted).chain(std::mem::take(&mut notes.more_kinds)).collect();
        }
        let variations = flag.variations().len();
        let counts: Vec<(Option<usize>, u64)> = (0..=variations)
            .filter_map(|cell| {
                let count: u64 = (0..shards)
                    .map(|shard| &self.lines[shard * self.lines_per_shard + cell / CELLS].0[cell % CELLS])
                    .map(|cell| cell.swap(0, Ordering::Relaxed))
                    .sum();
                (count > 0).then_some(((cell < variations).then_some(cell), count))
            })
            .collect();
        (!counts.is_empty()).then(|| (notes.last_default.clone(), notes.last_kinds.clone(), counts))
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which cells the thread counts in.
#[inline]
pub(super) fn shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let own = SHARD.get();
    if own != usize::MAX {
        return own;
    }
    let own = THREADS.fetch_add(1, Ordering::Relaxed) % MOST_SHARDS;
    SHARD.set(own);
    own
}

/// Kinds that were met, in the order in which they were: each has the bit of its place.
static KINDS: [OnceLock<Box<str>>; KINDS_WITH_A_BIT] = [const { OnceLock::new() }; KINDS_WITH_A_BIT];

/// The kinds of a context as bits.
#[inline]
pub(super) fn kinds_mask<C: ContextRead + ?Sized>(context: &C) -> u64 {
    let mut mask = 0;
    context.any_kind(&mut |kind| {
        mask |= kind_bit(kind);
        false
    });
    mask
}

/// Whether some kind has no bit, and must be noted by name.
pub(super) fn has_more_kinds(mask: u64) -> bool {
    mask & MORE_KINDS != 0
}

#[inline]
fn kind_bit(kind: &str) -> u64 {
    for (place, known) in KINDS.iter().enumerate() {
        match known.get() {
            Some(known) if **known == *kind => return 1 << place,
            Some(_) => {}
            None => return new_kind_bit(kind),
        }
    }
    MORE_KINDS
}

#[cold]
fn new_kind_bit(kind: &str) -> u64 {
    // A fork while another thread fills a place would leave it half filled.
    let _unforked = crate::fork::guard();
    for (place, known) in KINDS.iter().enumerate() {
        if **known.get_or_init(|| kind.into()) == *kind {
            return 1 << place;
        }
    }
    MORE_KINDS
}

fn kinds_in(mask: u64) -> impl Iterator<Item = String> {
    KINDS
        .iter()
        .enumerate()
        .filter(move |(place, _)| mask & (1 << place) != 0)
        .filter_map(|(_, kind)| Some(kind.get()?.to_string()))
}

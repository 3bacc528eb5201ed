//! One environment as it is now: its data set, what SDKs are sent, and its subscribers.
//!
//! In the service a [`Follower`] follows the change log. A commit of this process wakes it at once, a poll is
//! the net; so one node and many behave alike. Nothing else changes a live environment there. A relay keeps
//! its own up to date from upstream.

mod follow;
mod image;
mod subject;
mod table;
mod transfer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use flagstaff_eval::{DataSet, Entry, SharedDataSet, model};
use flagstaff_wire::stream::{
    ItemKind as WireKind, write_delete, write_delete_at, write_patch, write_patch_at,
};
use serde_json::value::RawValue;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub use follow::{Follower, follow};
pub use image::{Image, Packed};
pub use subject::{Audience, Subject};
pub use table::LiveEnvironments;
pub use transfer::Transfer;

use crate::store::EnvironmentId;
use crate::store::change_log::ItemKind;
use crate::store::environment::Environment;
use crate::store::project::Project;

/// How many changes a subscriber may be behind before it is cut.
pub const MOST_BEHIND: usize = 128;

/// One environment as it is now.
#[derive(Debug)]
pub struct LiveEnvironment {
    id: EnvironmentId,
    about: ArcSwap<About>,
    data: SharedDataSet,
    state: Mutex<State>,
    changes: broadcast::Sender<Change>,
    loaded_at: i64,
    /// For each audience: cancelled when what its subscribers came with stops counting.
    admitted: [ArcSwap<CancellationToken>; 3],
}

/// An environment's names, keys and settings.
#[derive(Clone, Debug)]
pub struct About {
    /// Its project.
    pub project: Project,
    /// Itself.
    pub environment: Environment,
}

#[derive(Debug)]
struct State {
    sequence: u64,
    /// What it was at first: deletions before that are not known.
    loaded_sequence: u64,
    flags: BTreeMap<Arc<str>, Item>,
    segments: BTreeMap<Arc<str>, Item>,
    /// Made when somebody first asks after a change.
    image: Option<Arc<Image>>,
}

/// An item as it is sent.
#[derive(Clone, Debug)]
struct Item {
    version: u64,
    json: Bytes,
}

/// A change as it is sent to each subscriber: made once, shared by all.
#[derive(Clone, Debug)]
pub struct Change {
    /// For a stream of flags and segments.
    pub all: Bytes,
    /// For a stream of flags alone; none if a segment changed.
    pub flags: Option<Bytes>,
    /// For a stream of second-generation delivery.
    pub transferred: Bytes,
    /// For those who are sent values.
    pub subject: Arc<Subject>,
}

/// What the store says about one item at one moment.
#[derive(Debug)]
pub enum Update {
    /// A flag is so now.
    Flag(Box<model::Flag>),
    /// A segment is so now.
    Segment(Box<model::Segment>),
    /// An item is gone.
    Deleted {
        /// What it was.
        kind: ItemKind,
        /// Its key.
        key: String,
        /// The version of the deletion.
        version: u64,
    },
}

impl Update {
    fn item(&self) -> (ItemKind, &str) {
        match self {
            Self::Flag(flag) => (ItemKind::Flag, &flag.key),
            Self::Segment(segment) => (ItemKind::Segment, &segment.key),
            Self::Deleted { kind, key, .. } => (*kind, key),
        }
    }
}

impl LiveEnvironment {
    /// It begins with these.
    pub fn new(about: About, flags: Vec<model::Flag>, segments: Vec<model::Segment>) -> Self {
        let state = State {
            sequence: about.environment.sequence,
            loaded_sequence: about.environment.sequence,
            flags: flags
                .iter()
                .map(|flag| (flag.key.as_str().into(), Item::new(flag.version, flag)))
                .collect(),
            segments: segments
                .iter()
                .map(|segment| (segment.key.as_str().into(), Item::new(segment.version, segment)))
                .collect(),
            image: None,
        };
        let data = DataSet::new(
            flags.into_iter().map(|flag| Entry::flag(&flag.key.clone(), flag)),
            segments.into_iter().map(|segment| Entry::segment(&segment.key.clone(), segment)),
        );
        Self {
            id: about.environment.id,
            about: ArcSwap::from_pointee(about),
            data: SharedDataSet::new(data),
            state: Mutex::new(state),
            changes: broadcast::Sender::new(MOST_BEHIND),
            loaded_at: crate::now_ms(),
            admitted: Default::default(),
        }
    }

    /// Its id in the store: what everything counted is filed under.
    pub fn id(&self) -> EnvironmentId {
        self.id
    }

    /// Its names, keys and settings.
    pub fn about(&self) -> Arc<About> {
        self.about.load_full()
    }

    /// Its flags and segments, ready for evaluation.
    pub fn data(&self) -> &SharedDataSet {
        &self.data
    }

    /// How many changes there have been.
    pub fn sequence(&self) -> u64 {
        self.state().sequence
    }

    /// Since when it is loaded, in Unix milliseconds.
    pub fn loaded_at(&self) -> i64 {
        self.loaded_at
    }

    /// Cancelled when what this audience is let in by now stops counting: its key was replaced, browsers
    /// have to prove more than before, or the environment is gone.
    pub(crate) fn revoked(&self, audience: Audience) -> CancellationToken {
        CancellationToken::clone(&self.admitted[audience as usize].load())
    }

    /// Takes over new names, keys and settings. Gives those who are to be [sent away](Self::send_away) as
    /// soon as nobody gets in by the old ones any more.
    #[must_use]
    fn describe(&self, about: About) -> Vec<Audience> {
        let about = Arc::new(about);
        let old = self.about.swap(about.clone());
        let (old, new) = (&old.environment, &about.environment);
        let other_sdk_key = old.sdk_key != new.sdk_key;
        let other_proof = new.secure_mode && (other_sdk_key || !old.secure_mode);
        let sent_away = [
            (Audience::Server, other_sdk_key),
            (Audience::Mobile, old.mobile_key != new.mobile_key),
            (Audience::Browser, other_proof),
        ];
        sent_away.into_iter().filter_map(|(audience, goes)| goes.then_some(audience)).collect()
    }

    /// Sends everybody of this audience away who is here now.
    fn send_away(&self, audience: Audience) {
        self.admitted[audience as usize].swap(Arc::default()).cancel();
    }

    /// How many subscribers there are.
    pub fn subscribers(&self) -> usize {
        self.changes.receiver_count()
    }

    /// What is sent now.
    pub fn image(&self) -> Arc<Image> {
        self.image_of(&mut self.state())
    }

    /// What is sent now, and every change after it: nothing falls between the two.
    pub fn subscribe(&self) -> (Arc<Image>, broadcast::Receiver<Change>) {
        let mut state = self.state();
        (self.image_of(&mut state), self.changes.subscribe())
    }

    /// What values are made from, as of which sequence number. Waits for a change that is under way.
    pub fn evaluable(&self) -> (u64, Arc<DataSet>) {
        let state = self.state();
        (state.sequence, self.data.snapshot())
    }

    /// How many flags it has.
    pub fn flag_count(&self) -> usize {
        self.state().flags.len()
    }

    /// Every change from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn image_of(&self, state: &mut State) -> Arc<Image> {
        let lineage = &self.about.load().environment.lineage;
        let image = state.image.get_or_insert_with(|| {
            Arc::new(Image::new(lineage, state.sequence, &state.flags, &state.segments))
        });
        image.clone()
    }

    /// Takes over updates in their order. A repeated or older one changes nothing.
    pub fn apply(&self, updates: Vec<Update>, sequence: u64) {
        let mut state = self.state();
        for update in updates {
            if let Some(change) = self.apply_one(&mut state, update) {
                // Fails only when nobody listens.
                let _ = self.changes.send(change);
            }
        }
        state.sequence = state.sequence.max(sequence);
        state.image = None;
    }

    fn apply_one(&self, state: &mut State, update: Update) -> Option<Change> {
        let (kind, key) = update.item();
        let subject = Subject::new(kind, key, &self.data.load());
        let lineage = &self.about.load().environment.lineage;
        match update {
            Update::Flag(flag) => {
                let (key, item) = (Arc::<str>::from(flag.key.as_str()), Item::new(flag.version, &*flag));
                if !self.data.upsert_flag(Entry::flag(&key, *flag)) {
                    return None;
                }
                let change = Change::patch(ItemKind::Flag, &key, &item, lineage, subject);
                state.flags.insert(key, item);
                Some(change)
            }
            Update::Segment(segment) => {
                let (key, item) =
                    (Arc::<str>::from(segment.key.as_str()), Item::new(segment.version, &*segment));
                if !self.data.upsert_segment(Entry::segment(&key, *segment)) {
                    return None;
                }
                let change = Change::patch(ItemKind::Segment, &key, &item, lineage, subject);
                state.segments.insert(key, item);
                Some(change)
            }
            Update::Deleted { kind, key, version } => {
                let gone = match kind {
                    ItemKind::Flag => self.data.upsert_flag(Entry::tombstone(&key, version)),
                    ItemKind::Segment => self.data.upsert_segment(Entry::tombstone(&key, version)),
                };
                match kind {
                    ItemKind::Flag => state.flags.remove(key.as_str()),
                    ItemKind::Segment => state.segments.remove(key.as_str()),
                };
                gone.then(|| Change::delete(kind, &key, version, lineage, subject))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Item {
    fn new(version: u64, item: &impl serde::Serialize) -> Self {
        let json = serde_json::to_vec(item)
            .unwrap_or_else(|error| unreachable!("flags and segments have JSON: {error}"));
        Self { version, json: json.into() }
    }
}

impl Change {
    fn patch(kind: ItemKind, key: &str, item: &Item, lineage: &str, subject: Subject) -> Self {
        // Checked JSON of our own: taken over as it is, not read again.
        let json =
            String::from_utf8(item.json.to_vec()).ok().and_then(|json| RawValue::from_string(json).ok());
        let json = json.unwrap_or_else(|| unreachable!("an item is JSON"));
        Self {
            all: message(|out| write_patch(out, kind.on_the_wire(), key, &json)),
            flags: (kind == ItemKind::Flag)
                .then(|| message(|out| write_patch_at(out, &format!("/{key}"), &json))),
            transferred: Self::transferred(lineage, kind, key, item.version, Some(&item.json)),
            subject: Arc::new(subject),
        }
    }

    fn delete(kind: ItemKind, key: &str, version: u64, lineage: &str, subject: Subject) -> Self {
        Self {
            all: message(|out| write_delete(out, kind.on_the_wire(), key, version)),
            flags: (kind == ItemKind::Flag)
                .then(|| message(|out| write_delete_at(out, &format!("/{key}"), version))),
            transferred: Self::transferred(lineage, kind, key, version, None),
            subject: Arc::new(subject),
        }
    }
}

fn message(write: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>) -> Bytes {
    let mut out = Vec::new();
    write(&mut out).unwrap_or_else(|error| unreachable!("what is written is JSON already: {error}"));
    out.into()
}

impl ItemKind {
    fn on_the_wire(self) -> WireKind {
        match self {
            ItemKind::Flag => WireKind::Flag,
            ItemKind::Segment => WireKind::Segment,
        }
    }
}

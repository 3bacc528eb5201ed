//! One environment as it is now: its data set, what SDKs are sent, and its subscribers.
//!
//! In the service a [`Follower`] follows the change log. A commit of this process wakes it at once, a poll is
//! the net; so one node and many behave alike. Nothing else changes a live environment there. A relay keeps
//! its own up to date from upstream.

mod admission;
mod change;
mod filtered;
mod follow;
mod goals;
mod heard;
mod image;
mod looks;
mod members;
mod moment;
mod receive;
mod standing;
mod state;
mod subject;
mod table;
mod transfer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use flagstaff_eval::{DataSet, Entry, SharedDataSet, model};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub(crate) use admission::expire_keys;
pub use change::Change;
pub use filtered::FlagTags;
pub use follow::{Follower, follow};
pub use goals::Goals;
pub use heard::Heard;
pub use image::{Image, Packed};
pub use members::{Asked as AskedMembers, KnownMembers, Members, MembersChanged};
pub use moment::Moment;
pub use receive::Received;
pub use standing::Standing;
pub use subject::{Audience, Subject};
pub use table::LiveEnvironments;
pub(crate) use transfer::selector;
pub use transfer::{Held, Transfer};

use admission::{Admissions, Leaving};
use change::Changed;
use filtered::Parts;
use goals::SharedGoals;
use members::BigSegments;
use moment::Moments;
use state::{Deleted, Item, State};

use crate::config::Origin;
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
    news: broadcast::Sender<News>,
    big_segments: BigSegments,
    goals: SharedGoals,
    loaded_at: i64,
    /// What upstream calls it, in a relay that is not told by its configuration.
    upstream_id: ArcSwapOption<String>,
    admitted: Admissions,
    /// Which part of an environment this is; the whole, if that says nothing.
    part: Part,
    /// Its own parts. Locked after `state`.
    parts: Mutex<Parts>,
}

/// What tells a part of an environment from the whole.
#[derive(Debug, Default)]
struct Part {
    /// In tags: the filter, at its version.
    mark: String,
    /// In selectors: that and this very object.
    instance: String,
}

/// An environment's names, keys and settings.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Its project.
    pub project: Project,
    /// Itself.
    pub environment: Environment,
    /// What pages may do with it.
    pub pages: Pages,
}

/// What pages may do with an environment, beyond or instead of what holds for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pages {
    /// Those whose pages may read what they ask for; none: as for all.
    pub origins: Vec<Origin>,
    /// Headers that they may send, too.
    pub headers: Vec<String>,
}

/// What subscribers are told.
#[derive(Clone, Debug)]
pub enum News {
    /// Something changed.
    Change(Change),
    /// Everything is to be sent anew: what was sent before does not count any more, or nothing was.
    Everything,
}

/// Nothing is known of the environment yet. That passes: nobody may be told that it does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Service not initialized")]
pub struct NotInitialized;

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
        let flag_items = flags.iter().map(|flag| (flag.key.as_str().into(), Item::new(flag.version, flag)));
        let segment_items =
            segments.iter().map(|segment| (segment.key.as_str().into(), Item::new(segment.version, segment)));
        let state = State {
            is_initialized: true,
            flags: flag_items.collect(),
            segments: segment_items.collect(),
            ..State::nothing_at(about.environment.sequence.into())
        };
        let data = DataSet::new(
            flags.into_iter().map(|flag| Entry::flag(&flag.key.clone(), flag)),
            segments.into_iter().map(|segment| Entry::segment(&segment.key.clone(), segment)),
        );
        Self::of(Arc::new(about), Part::default(), SharedDataSet::new(data), state)
    }

    /// The same, where the last change had this stamp.
    #[must_use]
    pub fn stamped(self, stamp: u64) -> Self {
        let mut state = self.state();
        let sequence = state.moments.now().sequence;
        state.moments = Moments::since(Moment { sequence, stamp });
        drop(state);
        self
    }

    fn of(about: Arc<About>, part: Part, data: SharedDataSet, state: State) -> Self {
        Self {
            id: about.environment.id,
            about: ArcSwap::new(about),
            data,
            state: Mutex::new(state),
            news: broadcast::Sender::new(MOST_BEHIND),
            big_segments: BigSegments::default(),
            goals: SharedGoals::default(),
            loaded_at: crate::now_ms(),
            upstream_id: ArcSwapOption::empty(),
            admitted: Admissions::default(),
            part,
            parts: Mutex::default(),
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

    /// Whose versions these are: fit for tags, the same in every process.
    pub fn lineage(&self) -> String {
        format!("{}{}", self.about.load().environment.lineage, self.part.mark)
    }

    /// Whose selectors these are, in second-generation delivery.
    fn payload_id(&self) -> String {
        format!("{}{}", self.about.load().environment.lineage, self.part.instance)
    }

    /// Its flags and segments, ready for evaluation.
    pub fn data(&self) -> &SharedDataSet {
        &self.data
    }

    /// How many changes there have been.
    pub fn sequence(&self) -> u64 {
        self.moment().sequence
    }

    /// Which change was the last.
    pub fn moment(&self) -> Moment {
        self.state().moments.now()
    }

    /// The id by which SDKs know it, if that is known: its client-side ID, or what upstream calls it.
    pub fn public_id(&self) -> Option<String> {
        let own = self.about.load().environment.client_side_id.clone();
        if own.is_empty() { self.upstream_id.load_full().map(|id| String::clone(&id)) } else { Some(own) }
    }

    /// Since when it is loaded, in Unix milliseconds.
    pub fn loaded_at(&self) -> i64 {
        self.loaded_at
    }

    /// Cancelled when what this audience is let in by now stops counting: its key was replaced, browsers
    /// have to prove more than before, or the environment is gone.
    pub(crate) fn revoked(&self, audience: Audience) -> CancellationToken {
        self.admitted.of(audience)
    }

    /// Sends everybody of this audience away who is here now.
    fn send_away(&self, audience: Audience) {
        self.admitted.end(audience);
        self.for_each_part(|part| part.send_away(audience));
    }

    /// How many subscribers there are, those of its parts among them.
    pub fn subscribers(&self) -> usize {
        let mut count = self.news.receiver_count();
        self.for_each_part(|part| count += part.subscribers());
        count
    }

    /// Whether there ever was anything to be served.
    pub fn is_initialized(&self) -> bool {
        self.state().is_initialized
    }

    /// What is sent now.
    ///
    /// # Errors
    /// If there is nothing yet.
    pub fn image(&self) -> Result<Arc<Image>, NotInitialized> {
        self.image_of(&mut self.state())
    }

    /// What is sent now, and all news after it: nothing falls between the two. Where there is nothing yet, the
    /// first news is that there is.
    pub fn subscribe(&self) -> (Option<Arc<Image>>, broadcast::Receiver<News>) {
        let mut state = self.state();
        (self.image_of(&mut state).ok(), self.news.subscribe())
    }

    /// What values are made from, as of which moment. Waits for a change that is under way.
    ///
    /// # Errors
    /// If there is nothing yet.
    pub fn evaluable(&self) -> Result<(Moment, Arc<DataSet>), NotInitialized> {
        self.evaluable_in(&self.state())
    }

    fn evaluable_in(&self, state: &State) -> Result<(Moment, Arc<DataSet>), NotInitialized> {
        if state.is_initialized {
            Ok((state.moments.now(), self.data.snapshot()))
        } else {
            Err(NotInitialized)
        }
    }

    /// How many flags it has.
    pub fn flag_count(&self) -> usize {
        self.state().flags.len()
    }

    /// All news from now on.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    fn image_of(&self, state: &mut State) -> Result<Arc<Image>, NotInitialized> {
        if !state.is_initialized {
            return Err(NotInitialized);
        }
        let image = state.image.get_or_insert_with(|| {
            Arc::new(Image::new(&self.lineage(), state.moments.now(), &state.flags, &state.segments))
        });
        Ok(image.clone())
    }

    fn tell(&self, news: News) {
        // Fails only when nobody listens.
        let _ = self.news.send(news);
    }

    /// Takes over updates in their order. A repeated or older one changes nothing.
    /// `passed` are the moments that it went through meanwhile, and `tags`, where there are filters, those of the
    /// flags among the updates.
    pub fn apply(&self, updates: Vec<Update>, tags: FlagTags, passed: &[Moment]) {
        let mut state = self.state();
        let items = updates.iter().map(Update::item).map(|(kind, key)| (kind, Arc::from(key))).collect();
        let touched = self.touched(items, tags);
        // More than a subscriber may be behind would cut them all, however quick they are.
        let all_at_once = updates.len() >= MOST_BEHIND;
        for update in updates {
            let change = self.apply_one(&mut state, update, passed);
            if let Some(change) = change.filter(|_| !all_at_once) {
                self.tell(News::Change(change));
            }
        }
        passed.iter().for_each(|moment| state.pass(*moment));
        state.image = None;
        if all_at_once {
            self.tell(News::Everything);
        }
        if let Some(touched) = touched {
            self.lead_parts(&state, &touched);
        }
    }

    fn apply_one(&self, state: &mut State, update: Update, passed: &[Moment]) -> Option<Change> {
        let (kind, key) = update.item();
        let subject = Subject::new([(kind, key)], &self.data.load());
        let changed = match update {
            Update::Flag(flag) => {
                let (key, item) = (Arc::<str>::from(flag.key.as_str()), Item::new(flag.version, &*flag));
                if !self.data.upsert_flag(Entry::flag(&key, *flag)) {
                    return None;
                }
                let (version, json) = (item.version, Some(item.json.clone()));
                state.put(kind, &key, item);
                Changed { kind, key, version, json }
            }
            Update::Segment(segment) => {
                let (key, item) =
                    (Arc::<str>::from(segment.key.as_str()), Item::new(segment.version, &*segment));
                if !self.data.upsert_segment(Entry::segment(&key, *segment)) {
                    return None;
                }
                let (version, json) = (item.version, Some(item.json.clone()));
                state.put(kind, &key, item);
                Changed { kind, key, version, json }
            }
            Update::Deleted { kind, key, version } => {
                let gone = match kind {
                    ItemKind::Flag => self.data.upsert_flag(Entry::tombstone(&key, version)),
                    ItemKind::Segment => self.data.upsert_segment(Entry::tombstone(&key, version)),
                };
                if !gone {
                    return None;
                }
                let key = Arc::<str>::from(key);
                state.delete(kind, &key, Deleted { version, sequence: version });
                Changed { kind, key, version, json: None }
            }
        };
        // In the service a version is the number of a change.
        let known = passed.binary_search_by_key(&changed.version, |moment| moment.sequence);
        let moment = known.map_or(changed.version.into(), |place| passed[place]);
        Some(Change::of(std::slice::from_ref(&changed), &self.payload_id(), moment, subject))
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

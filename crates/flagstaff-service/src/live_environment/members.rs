//! Who is in an environment's big segments, for evaluations that are made here.
//!
//! Evaluations do not wait, so whatever one may ask is asked beforehand: see
//! [`LiveEnvironment::known_members`].

use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flagstaff_eval::big_segments::{self as eval, Membership};
use flagstaff_eval::{BigSegmentsStatus, Context, DataSet};
use flagstaff_wire::big_segments::ContextHash;
use sha2::{Digest as _, Sha256};
use tokio::sync::broadcast;

use super::{LiveEnvironment, Moment};

/// Of so many contexts it is remembered that nobody could say who they are; of more, that there are many.
const MOST_UNANSWERED: usize = 20_000;

/// How many announcements of changes a listener may be behind before it has to take it that it is concerned.
const MOST_BEHIND: usize = 64;

/// Says who is in big segments: the service's database, or one that a relay fills.
pub trait Members: std::fmt::Debug + Send + Sync {
    /// What is known of the context with this key.
    fn of<'a>(&'a self, context_key: &'a str) -> Asked<'a>;
}

/// What is known of a context, once it is; none if there is nothing, or with `STORE_ERROR` if it cannot be
/// said.
pub type Asked<'a> = Pin<Box<dyn Future<Output = (Option<Arc<Membership>>, BigSegmentsStatus)> + Send + 'a>>;

/// Members of big segments changed.
#[derive(Clone, Debug)]
pub enum MembersChanged {
    /// For these contexts.
    These(Arc<HashSet<ContextHash>>),
    /// For so many that they are not named.
    Many,
}

impl MembersChanged {
    /// Whether one of these contexts is concerned.
    pub fn concerns(&self, contexts: &[ContextHash]) -> bool {
        match self {
            Self::These(changed) => contexts.iter().any(|context| changed.contains(context)),
            Self::Many => true,
        }
    }
}

/// Big segments of an environment, or of a part of it.
#[derive(Debug, Default)]
pub(super) struct BigSegments {
    /// The same for the whole and its parts.
    shared: Arc<Shared>,
    /// The kinds of contexts that they are of, at which moment of the environment.
    kinds: Mutex<Option<(Moment, Kinds)>>,
}

type Kinds = Arc<[Box<str>]>;

#[derive(Debug)]
struct Shared {
    members: Option<Arc<dyn Members>>,
    changed: broadcast::Sender<MembersChanged>,
    /// Of whom it could not be said where they are members. Values that were evaluated without are to be again.
    unanswered: Mutex<HashSet<ContextHash>>,
}

impl Shared {
    fn new(members: Option<Arc<dyn Members>>) -> Self {
        Self { members, changed: broadcast::Sender::new(MOST_BEHIND), unanswered: Mutex::default() }
    }

    fn unanswered(&self) -> MutexGuard<'_, HashSet<ContextHash>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_unanswered(&self, context_key: &str) {
        let mut unanswered = self.unanswered();
        if unanswered.len() < MOST_UNANSWERED {
            unanswered.insert(ContextHash::of(context_key));
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new(None)
    }
}

impl BigSegments {
    /// Looked up once for each moment.
    fn kinds(&self, moment: Moment, data: &DataSet) -> Kinds {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kinds {
            Some((known, kinds)) if *known == moment => kinds.clone(),
            _ => {
                let found: BTreeSet<&str> =
                    data.segments().filter_map(|segment| segment.big_kind()).collect();
                let found: Kinds = found.into_iter().map(Box::from).collect();
                *kinds = Some((moment, found.clone()));
                found
            }
        }
    }
}

/// What evaluations for one context have to know of big segments.
#[derive(Clone, Debug, Default)]
pub struct KnownMembers(Option<Vec<Answer>>);

#[derive(Clone, Debug)]
struct Answer {
    context_key: Box<str>,
    membership: Option<Arc<Membership>>,
    status: BigSegmentsStatus,
}

impl KnownMembers {
    /// For the evaluator; none if nobody can be asked.
    pub fn to_ask(&self) -> Option<&dyn eval::BigSegments> {
        self.0.as_ref().map(|_| self as &dyn eval::BigSegments)
    }

    /// Tells what is known from anything else that could be: the values that come of it have it in their
    /// ETag. Empty if nothing was asked.
    pub fn tag(&self) -> String {
        let Some(answers) = &self.0 else { return String::new() };
        let mut sum = Sha256::new();
        for answer in answers {
            let mut references: Vec<_> =
                answer.membership.iter().flat_map(|membership| membership.iter()).collect();
            references.sort_unstable();
            sum.update(format!("{:?} {references:?} {:?}\n", answer.context_key, answer.status));
        }
        sum.finalize()[..8].iter().fold("-".to_owned(), |tag, byte| tag + &format!("{byte:02x}"))
    }
}

impl eval::BigSegments for KnownMembers {
    fn membership(&self, context_key: &str) -> (Option<Arc<Membership>>, BigSegmentsStatus) {
        let answers = self.0.iter().flatten();
        let mut answers = answers.filter(|answer| *answer.context_key == *context_key);
        let answer = answers.next().map(|answer| (answer.membership.clone(), answer.status));
        // All keys of the context that matter were asked for, so that there is one.
        answer.unwrap_or((None, BigSegmentsStatus::StoreError))
    }
}

impl LiveEnvironment {
    /// The same, where it can be asked who is in big segments.
    #[must_use]
    pub fn with_members(mut self, members: Arc<dyn Members>) -> Self {
        self.big_segments.shared = Arc::new(Shared::new(Some(members)));
        self
    }

    /// The same, as a part of `whole`, whose big segments it has.
    #[must_use]
    pub(super) fn with_members_of(mut self, whole: &Self) -> Self {
        self.big_segments.shared = whole.big_segments.shared.clone();
        self
    }

    /// What evaluations for this context in this data, which is of this moment, have to know.
    pub async fn known_members(&self, moment: Moment, data: &DataSet, context: &Context) -> KnownMembers {
        let here = &self.big_segments;
        let Some(members) = here.shared.members.as_ref() else {
            return KnownMembers::default();
        };
        let kinds = here.kinds(moment, data);
        if kinds.is_empty() {
            return KnownMembers::default();
        }
        let mut answers: Vec<Answer> = Vec::new();
        // However many kinds somebody claims to be of, those are asked for that may matter.
        for member in
            context.members().iter().filter(|member| kinds.iter().any(|kind| **kind == *member.kind()))
        {
            let key = member.key();
            if answers.iter().any(|answer| *answer.context_key == *key) {
                continue;
            }
            let (membership, status) = members.of(key).await;
            if status == BigSegmentsStatus::StoreError {
                here.shared.note_unanswered(key);
            }
            answers.push(Answer { context_key: key.into(), membership, status });
        }
        KnownMembers(Some(answers))
    }

    /// Who can be asked about members can answer again, it seems: has whatever was evaluated without an answer be
    /// evaluated again.
    pub fn ask_members_again(&self) {
        let unanswered = std::mem::take(&mut *self.big_segments.shared.unanswered());
        match unanswered.len() {
            0 => {}
            MOST_UNANSWERED.. => self.tell_members_changed(MembersChanged::Many),
            _ => self.tell_members_changed(MembersChanged::These(Arc::new(unanswered))),
        }
    }

    /// Each change of members from now on.
    pub fn members_changes(&self) -> broadcast::Receiver<MembersChanged> {
        self.big_segments.shared.changed.subscribe()
    }

    /// Whether somebody wants to know of changes of members.
    pub fn has_members_listeners(&self) -> bool {
        self.big_segments.shared.changed.receiver_count() > 0
    }

    /// Tells of a change of members. Whoever is asked about them knows of it already.
    pub fn tell_members_changed(&self, changed: MembersChanged) {
        // Fails only when nobody listens.
        let _ = self.big_segments.shared.changed.send(changed);
    }
}

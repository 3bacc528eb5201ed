//! A flag made ready.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::clause::{Clause, assign_slots};
use super::keys::KeyMap;
use super::rollout::Rollout;
use crate::detail::{Reason, ReasonKind};
use crate::model::{self, ClientSideAvailability, KeyList};

/// A flag made ready for evaluation.
#[derive(Debug)]
pub struct PreparedFlag {
    key: Box<str>,
    version: u64,
    pub(crate) on: bool,
    track_events: bool,
    track_events_fallthrough: bool,
    exclude_from_summaries: bool,
    availability: ClientSideAvailability,
    pub(crate) off_variation: Option<u32>,
    pub(crate) variations: Box<[Value]>,
    pub(crate) fallthrough: Serve,
    pub(crate) targets: Box<[Targets]>,
    pub(crate) prerequisites: Box<[Prerequisite]>,
    pub(crate) rules: Box<[Rule]>,
    debug_events_until_date: Option<i64>,
    sampling_ratio: i64,
    check_ratio: i64,
    is_migration: bool,
    attachment: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// What is served.
#[derive(Debug)]
pub(crate) enum Serve {
    Variation(u32),
    Rollout(Box<Rollout>),
    /// Neither a variation nor a rollout.
    Nothing,
}

/// A flag that must serve a given variation first.
#[derive(Debug)]
pub(crate) struct Prerequisite {
    pub(crate) key: Box<str>,
    pub(crate) variation: u32,
}

/// Keys of one kind that get a variation by name. Neighbouring lists of one kind are one map: the
/// order between them decides only for a key that stands in several, and there the first counts.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) kind: Box<str>,
    pub(crate) keys: KeyMap<u32>,
}

/// Clauses that must all match, and what is served then.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: Box<str>,
    pub(crate) clauses: Box<[Clause]>,
    pub(crate) serve: Serve,
    track_events: bool,
}

/// A variation index; one that cannot exist becomes one that no flag has.
pub(super) fn index(index: i64) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl PreparedFlag {
    /// Makes a flag ready. `key` is the key under which it is addressed, which may differ from the
    /// one inside.
    pub fn new(key: &str, flag: model::Flag) -> Self {
        Self::of(key, flag)
    }

    /// As [`PreparedFlag::new`], whatever its lists of keys are.
    pub(crate) fn of<K: KeyList>(key: &str, flag: model::FlagOf<K>) -> Self {
        let availability = flag.availability();
        let targets = targets(&flag.targets, &flag.context_targets);
        // The hash prefix is the flag's own key: what is addressed under another name keeps its buckets.
        let own_key = if flag.key.is_empty() { key } else { &flag.key };
        let salt = &flag.salt;
        let rules = flag.rules.into_iter().map(|rule| Rule {
            id: rule.id.into(),
            clauses: rule.clauses.into_iter().map(Clause::new).collect(),
            serve: Serve::new(rule.variation, rule.rollout, own_key, salt),
            track_events: rule.track_events,
        });
        let mut rules: Box<[Rule]> = rules.collect();
        assign_slots(rules.iter_mut().flat_map(|rule| &mut rule.clauses));
        let prerequisites = flag
            .prerequisites
            .into_iter()
            .map(|other| Prerequisite { key: other.key.into(), variation: index(other.variation) });
        Self {
            key: key.into(),
            version: flag.version,
            on: flag.on,
            track_events: flag.track_events,
            track_events_fallthrough: flag.track_events_fallthrough,
            exclude_from_summaries: flag.exclude_from_summaries,
            availability,
            off_variation: flag.off_variation.map(index),
            variations: flag.variations.into(),
            fallthrough: Serve::new(flag.fallthrough.variation, flag.fallthrough.rollout, own_key, salt),
            targets,
            prerequisites: prerequisites.collect(),
            rules,
            debug_events_until_date: flag.debug_events_until_date,
            sampling_ratio: flag.sampling_ratio.unwrap_or(1),
            check_ratio: flag.migration.and_then(|migration| migration.check_ratio).unwrap_or(1),
            is_migration: flag.migration.is_some(),
            attachment: OnceLock::new(),
        }
    }

    /// The key under which the flag is addressed.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Rises on each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether targeting is in force.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// The values this flag can serve.
    pub fn variations(&self) -> &[Value] {
        &self.variations
    }

    /// Which client-side SDKs see the flag.
    pub fn availability(&self) -> ClientSideAvailability {
        self.availability
    }

    /// Whether each evaluation is reported by an event of its own.
    pub fn track_events(&self) -> bool {
        self.track_events
    }

    /// Whether evaluations are left out of summaries.
    pub fn exclude_from_summaries(&self) -> bool {
        self.exclude_from_summaries
    }

    /// Debug events are sent until then, Unix milliseconds.
    pub fn debug_events_until_date(&self) -> Option<i64> {
        self.debug_events_until_date
    }

    /// One in so many feature, debug and migration events is sent; 0 or less means none.
    pub fn sampling_ratio(&self) -> i64 {
        self.sampling_ratio
    }

    /// One in so many reads of a migration is checked for consistency; 0 or less means none.
    pub fn check_ratio(&self) -> i64 {
        self.check_ratio
    }

    /// Whether the flag steers a migration.
    pub fn is_migration(&self) -> bool {
        self.is_migration
    }

    /// The keys of its prerequisites, in order.
    pub fn prerequisites(&self) -> impl Iterator<Item = &str> {
        self.prerequisites.iter().map(|prerequisite| &*prerequisite.key)
    }

    /// The keys of the segments its rules name, with repetitions.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.clauses().flat_map(segment_keys)
    }

    /// Regular expressions in its rules that the engine does not know, and that so never match.
    pub fn unsupported_patterns(&self) -> impl Iterator<Item = &str> {
        self.clauses().flat_map(Clause::unsupported_patterns)
    }

    /// Whether an evaluation that ended with `reason` is reported by an event of its own, with its
    /// reason, whatever the flag says otherwise: an experiment, of either generation.
    #[inline]
    pub fn is_experiment(&self, reason: &Reason<'_>) -> bool {
        reason.in_experiment
            || match &reason.kind {
                ReasonKind::Fallthrough => self.track_events_fallthrough,
                ReasonKind::RuleMatch { index, .. } => {
                    self.rules.get(*index).is_some_and(|rule| rule.track_events)
                }
                _ => false,
            }
    }

    /// What the holder of the flag keeps with this very version of it, made at first use: counters,
    /// say. The evaluator does not look at it.
    #[inline]
    pub fn attachment(&self) -> &OnceLock<Arc<dyn Any + Send + Sync>> {
        &self.attachment
    }

    fn clauses(&self) -> impl Iterator<Item = &Clause> {
        self.rules.iter().flat_map(|rule| &rule.clauses)
    }
}

impl Serve {
    fn new(variation: Option<i64>, rollout: Option<model::Rollout>, flag_key: &str, salt: &str) -> Self {
        match (variation, rollout) {
            (Some(variation), _) => Serve::Variation(index(variation)),
            (None, Some(rollout)) => Serve::Rollout(Box::new(Rollout::new(rollout, flag_key, salt))),
            (None, None) => Serve::Nothing,
        }
    }
}

pub(super) fn segment_keys(clause: &Clause) -> impl Iterator<Item = &str> {
    let keys: &[Box<str>] = match clause {
        Clause::Segments { keys, .. } => keys,
        _ => &[],
    };
    keys.iter().map(|key| &**key)
}

/// The order in which lists of targets are looked at: that of `context_targets` if there are any,
/// where an entry of kind `user` without keys stands for the list of users with its variation.
fn targets<K: KeyList>(users: &[model::TargetOf<K>], contexts: &[model::TargetOf<K>]) -> Box<[Targets]> {
    // The kind, the target that says the variation, and the keys.
    let in_order: Vec<(&str, &model::TargetOf<K>, &K)> = if contexts.is_empty() {
        users.iter().map(|target| ("user", target, &target.values)).collect()
    } else {
        contexts
            .iter()
            .map(|target| {
                let kind = target.context_kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("user");
                let stands_for_users = kind == "user" && target.values.is_empty();
                let listed = users.iter().find(|user| stands_for_users && user.variation == target.variation);
                (kind, target, &listed.unwrap_or(target).values)
            })
            .collect()
    };
    in_order
        .chunk_by(|(kind, ..), (next, ..)| kind == next)
        .map(|lists| {
            let keys = lists.iter().flat_map(|(_, target, keys)| {
                let variation = index(target.variation);
                keys.keys().map(move |key| (key, variation))
            });
            Targets { kind: lists[0].0.into(), keys: KeyMap::new(keys) }
        })
        .filter(|targets| !targets.keys.is_empty())
        .collect()
}

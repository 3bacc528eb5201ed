//! A segment made ready.

use super::clause::{Clause, assign_slots};
use super::keys::KeySet;
use super::kind_or_user;
use super::rollout::Bucketing;
use crate::model::{self, KeyList};

/// A segment made ready for evaluation.
#[derive(Debug)]
pub struct PreparedSegment {
    key: Box<str>,
    version: u64,
    pub(crate) included: Box<[SegmentKeys]>,
    pub(crate) excluded: Box<[SegmentKeys]>,
    pub(crate) rules: Box<[SegmentRule]>,
    pub(crate) big: Option<BigSegment>,
}

/// Keys of one kind.
#[derive(Debug)]
pub(crate) struct SegmentKeys {
    pub(crate) kind: Box<str>,
    pub(crate) keys: KeySet,
}

/// Clauses that must all match, and the share of contexts that is in then.
#[derive(Debug)]
pub(crate) struct SegmentRule {
    pub(crate) clauses: Box<[Clause]>,
    pub(crate) share: Option<WeightedShare>,
}

/// A share of contexts.
#[derive(Debug)]
pub(crate) struct WeightedShare {
    pub(crate) bucketing: Bucketing,
    pub(crate) end: f32,
}

/// Where the keys of a segment live that is too large to stream.
#[derive(Debug)]
pub(crate) struct BigSegment {
    pub(crate) kind: Box<str>,
    /// `key.g3`; none if the segment has not been synchronised.
    pub(crate) reference: Option<Box<str>>,
}

impl PreparedSegment {
    /// Makes a segment ready. `key` is the key under which it is addressed.
    pub fn new(key: &str, segment: model::Segment) -> Self {
        Self::of(key, segment)
    }

    /// As [`PreparedSegment::new`], whatever its lists of keys are.
    pub(crate) fn of<K: KeyList>(key: &str, segment: model::SegmentOf<K>) -> Self {
        let own_key = if segment.key.is_empty() { key } else { &segment.key };
        let salt = &segment.salt;
        let rules = segment.rules.into_iter().map(|rule| SegmentRule {
            share: rule.weight.map(|weight| WeightedShare {
                bucketing: Bucketing::new(
                    rule.rollout_context_kind,
                    rule.bucket_by.as_deref(),
                    format!("{own_key}.{salt}."),
                ),
                end: weight as f32 / 100_000.0,
            }),
            clauses: rule.clauses.into_iter().map(Clause::new).collect(),
        });
        let mut rules: Box<[SegmentRule]> = rules.collect();
        assign_slots(rules.iter_mut().flat_map(|rule| &mut rule.clauses));
        let big = segment.unbounded.then(|| BigSegment {
            kind: kind_or_user(segment.unbounded_context_kind),
            reference: segment.generation.map(|generation| format!("{own_key}.g{generation}").into()),
        });
        Self {
            key: key.into(),
            version: segment.version,
            included: key_lists(&segment.included, segment.included_contexts),
            excluded: key_lists(&segment.excluded, segment.excluded_contexts),
            rules,
            big,
        }
    }

    /// The key under which the segment is addressed.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Rises on each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether its members are asked of a store outside.
    pub fn is_big(&self) -> bool {
        self.big.is_some()
    }

    /// The kind of contexts whose keys are asked for in a store outside; none if that is not asked.
    pub fn big_kind(&self) -> Option<&str> {
        self.big.as_ref().map(|big| &*big.kind)
    }

    /// The keys of the segments its rules name, with repetitions.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().flat_map(|rule| &rule.clauses).flat_map(super::flag::segment_keys)
    }

    /// Regular expressions in its rules that the engine does not know, and that so never match.
    pub fn unsupported_patterns(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().flat_map(|rule| &rule.clauses).flat_map(Clause::unsupported_patterns)
    }
}

fn key_lists<K: KeyList>(users: &K, contexts: Vec<model::SegmentTargetOf<K>>) -> Box<[SegmentKeys]> {
    let users = SegmentKeys { kind: "user".into(), keys: KeySet::of(users.keys()) };
    let contexts = contexts.into_iter().map(|list| SegmentKeys {
        kind: kind_or_user(list.context_kind),
        keys: KeySet::of(list.values.keys()),
    });
    std::iter::once(users).chain(contexts).filter(|list| !list.keys.is_empty()).collect()
}

//! A named set of contexts.

use serde::{Deserialize, Serialize};

use super::{Clause, Keys, read};

read::from_objects_only!(Segment, SegmentToPrepare, SegmentTarget, SegmentTargetToPrepare, SegmentRule);
read::written_as_derived!(Segment, SegmentTarget, SegmentRule);

/// A named set of contexts, by key and by rule.
pub type Segment = SegmentOf<Vec<String>>;

/// A segment that is read only to be made ready for evaluation.
pub type SegmentToPrepare = SegmentOf<Keys>;

/// A named set of contexts, with lists of keys of the type `K`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    remote = "Self",
    rename_all = "camelCase",
    bound(
        serialize = "K: Serialize, SegmentTargetOf<K>: Serialize",
        deserialize = "K: Default + Deserialize<'de>, SegmentTargetOf<K>: Deserialize<'de>"
    )
)]
pub struct SegmentOf<K> {
    /// The segment's stable name.
    #[serde(default, deserialize_with = "read::or_default")]
    pub key: String,
    /// Rises on each change; decides every upsert.
    #[serde(default, deserialize_with = "read::version")]
    pub version: u64,
    /// Keys of kind `user` that are in.
    #[serde(default, deserialize_with = "read::or_default")]
    pub included: K,
    /// Keys of kind `user` that are out, unless included.
    #[serde(default, deserialize_with = "read::or_default")]
    pub excluded: K,
    /// Keys of other kinds that are in.
    #[serde(default, deserialize_with = "read::or_default")]
    pub included_contexts: Vec<SegmentTargetOf<K>>,
    /// Keys of other kinds that are out, unless included.
    #[serde(default, deserialize_with = "read::or_default")]
    pub excluded_contexts: Vec<SegmentTargetOf<K>>,
    /// Any match puts a context in.
    #[serde(default, deserialize_with = "read::or_default")]
    pub rules: Vec<SegmentRule>,
    /// What keys are hashed with in a rule's rollout.
    #[serde(default, deserialize_with = "read::or_default")]
    pub salt: String,
    /// Whether this is a big segment: its keys live in an external store.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub unbounded: bool,
    /// The kind whose key is looked up in that store; `user` when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbounded_context_kind: Option<String>,
    /// Which filling of the store counts; none on a big segment means it is not synchronised.
    #[serde(default, deserialize_with = "read::optional_integer")]
    pub generation: Option<i64>,
    /// Whether this is a tombstone.
    #[serde(default, deserialize_with = "read::or_default")]
    pub deleted: bool,
}

/// Keys of one kind.
pub type SegmentTarget = SegmentTargetOf<Vec<String>>;

type SegmentTargetToPrepare = SegmentTargetOf<Keys>;

/// Keys of one kind, in a list of the type `K`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase", bound(deserialize = "K: Default + Deserialize<'de>"))]
pub struct SegmentTargetOf<K> {
    /// The kind of the keys; `user` when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_kind: Option<String>,
    /// The keys.
    #[serde(default, deserialize_with = "read::or_default")]
    pub values: K,
}

/// Clauses joined by AND that put a context, or a share of contexts, in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct SegmentRule {
    /// The rule's stable name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// All must match; none means that everything matches.
    #[serde(default, deserialize_with = "read::or_default")]
    pub clauses: Vec<Clause>,
    /// The share that is in, in thousandths of a percent; none means all.
    #[serde(default, deserialize_with = "read::optional_integer", skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// The attribute that is hashed; `key` when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_by: Option<String>,
    /// The kind whose member is placed in a bucket; `user` when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_context_kind: Option<String>,
}

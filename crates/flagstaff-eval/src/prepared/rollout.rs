//! A rollout made ready: shares added up, hash prefix joined, attribute split.

use super::{kind_or_user, reference_beside_kind};
use crate::context::AttributeRef;
use crate::model::{self, RolloutKind};

/// How a context is placed: whose attribute is hashed with what.
#[derive(Debug)]
pub(crate) struct Bucketing {
    pub(crate) kind: Box<str>,
    /// None means the key.
    pub(crate) attribute: Option<AttributeRef>,
    /// `seed.` or `key.salt.`
    pub(crate) prefix: Box<str>,
    /// Whether a legacy user's `secondary` is hashed too.
    pub(crate) with_secondary: bool,
}

impl Bucketing {
    pub(super) fn new(kind: Option<String>, bucket_by: Option<&str>, prefix: String) -> Self {
        let attribute = bucket_by
            .filter(|name| !name.is_empty())
            .map(|name| reference_beside_kind(kind.as_deref(), name))
            .filter(|reference| !reference.is_name("key"));
        Self { kind: kind_or_user(kind), attribute, prefix: prefix.into(), with_secondary: true }
    }
}

/// A split of contexts over variations.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) bucketing: Bucketing,
    pub(crate) is_experiment: bool,
    pub(crate) shares: Box<[Share]>,
}

/// One variation's share.
#[derive(Debug)]
pub(crate) struct Share {
    /// The share ends below this fraction. Added up in single precision in the order of the list, as
    /// other SDKs do, so that a context at a boundary falls on the same side.
    pub(crate) end: f32,
    pub(crate) variation: u32,
    pub(crate) untracked: bool,
}

impl Rollout {
    pub(super) fn new(rollout: model::Rollout, flag_key: &str, salt: &str) -> Self {
        let prefix = match rollout.seed {
            Some(seed) => format!("{seed}."),
            None => format!("{flag_key}.{salt}."),
        };
        let is_experiment = rollout.kind == RolloutKind::Experiment;
        let bucket_by = rollout.bucket_by.as_deref().filter(|_| !is_experiment);
        let mut bucketing = Bucketing::new(rollout.context_kind, bucket_by, prefix);
        bucketing.with_secondary = !is_experiment;
        let mut end = 0.0;
        let shares = rollout.variations.into_iter().map(|share| {
            end += share.weight as f32 / 100_000.0;
            Share { end, variation: super::flag::index(share.variation), untracked: share.untracked }
        });
        let shares = shares.collect();
        Self { bucketing, is_experiment, shares }
    }
}

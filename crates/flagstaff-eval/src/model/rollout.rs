//! A split of contexts over variations.

use serde::{Deserialize, Serialize};

use super::read;

read::from_objects_only!(Rollout, WeightedVariation);
read::written_as_derived!(Rollout, WeightedVariation);

/// A share of contexts per variation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct Rollout {
    /// Plain, or measured by an experiment.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "RolloutKind::is_plain")]
    pub kind: RolloutKind,
    /// The kind whose member is placed in a bucket; `user` when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_kind: Option<String>,
    /// The shares, in the order in which they fill the range.
    #[serde(default, deserialize_with = "read::or_default")]
    pub variations: Vec<WeightedVariation>,
    /// The attribute that is hashed; `key` when absent or empty. Experiments always hash the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_by: Option<String>,
    /// Replaces flag key and salt in the hash.
    #[serde(default, deserialize_with = "read::optional_integer", skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
}

/// Whether a rollout is measured. An unknown kind counts as plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RolloutKind {
    /// Measured by an experiment.
    Experiment,
    /// Plain.
    #[default]
    #[serde(other)]
    Rollout,
}

impl RolloutKind {
    fn is_plain(&self) -> bool {
        *self == RolloutKind::Rollout
    }
}

/// One share of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct WeightedVariation {
    /// The variation index, from 0.
    #[serde(default, deserialize_with = "read::integer")]
    pub variation: i64,
    /// Thousandths of a percent: 100,000 is everyone. Signed, as the field sends negative ones.
    #[serde(default, deserialize_with = "read::integer")]
    pub weight: i64,
    /// Whether contexts of this share are left out of the experiment.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub untracked: bool,
}

//! The JSON shapes, as they travel and rest. Source: the flag protocol's data model.
//!
//! Reading is lenient: unknown properties are ignored, absent and null are equal, missing lists are
//! empty. A wrong JSON type for a known property is an error. Structural faults of a well-typed flag
//! (a bad index, no variations) are found only by evaluation.
//!
//! Writing is canonical: what every reader in the field accepts, also those that refuse a message
//! in which a list is missing.

mod clause;
mod data;
mod flag;
mod keys;
mod read;
mod rollout;
mod segment;

pub use clause::{Clause, Operator};
pub use data::FlagData;
pub use flag::{
    ClientSideAvailability, Flag, FlagOf, FlagRule, FlagToPrepare, Migration, Prerequisite, Target, TargetOf,
    VariationOrRollout,
};
pub(crate) use keys::KeyList;
pub use keys::Keys;
pub use rollout::{Rollout, RolloutKind, WeightedVariation};
pub use segment::{Segment, SegmentOf, SegmentRule, SegmentTarget, SegmentTargetOf, SegmentToPrepare};

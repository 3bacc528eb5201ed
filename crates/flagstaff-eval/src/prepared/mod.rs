//! Flags and segments made ready for evaluation. Preparing happens once, when an item arrives, so
//! that an evaluation neither parses nor allocates.

mod clause;
mod date;
mod flag;
mod keys;
mod pattern;
mod rollout;
mod segment;
mod semver;

pub(crate) use clause::{Attribute, Clause, Test};
pub use flag::PreparedFlag;
pub(crate) use flag::Serve;
pub(crate) use rollout::{Bucketing, Rollout};
pub use segment::PreparedSegment;
pub(crate) use segment::{BigSegment, SegmentKeys, SegmentRule};

use crate::context::AttributeRef;

/// `user` when absent or empty.
fn kind_or_user(kind: Option<String>) -> Box<str> {
    kind.filter(|kind| !kind.is_empty()).map_or_else(|| "user".into(), String::into_boxed_str)
}

/// A reference if a kind stands beside it, else a plain name: so flags of the time before contexts
/// keep their meaning.
fn reference_beside_kind(kind: Option<&str>, attribute: &str) -> AttributeRef {
    match kind {
        Some(kind) if !kind.is_empty() => AttributeRef::new(attribute),
        _ => AttributeRef::literal(attribute),
    }
}

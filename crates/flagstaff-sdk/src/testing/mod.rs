//! Checks for what a program can plug in of its own, to be called from its tests.
//!
//! They stand in this crate and not in one for tests alone, because what they check are its traits:
//! turn the feature `testing` on under `[dev-dependencies]`.

mod big_segment_store;
mod persistent_store;

pub use big_segment_store::{BigSegmentWriter, check_big_segment_store};
pub use persistent_store::check_persistent_store;

/// A prefix that no other run has used, so that a database need not be emptied.
fn fresh_prefix() -> String {
    format!("check-{}", uuid::Uuid::new_v4().simple())
}

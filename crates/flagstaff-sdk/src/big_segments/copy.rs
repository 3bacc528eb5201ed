//! What a database must offer to be filled with big segments, as a relay does it.

use std::time::SystemTime;

use flagstaff_wire::big_segments::Patch;

use super::store::BigSegmentStore;
use crate::data_store::StoreError;

/// A database that a relay copies the members of big segments to.
///
/// It knows up to where it has them: its cursor. Several relays may fill one database at the same time: a patch
/// is written only where the cursor is as its writer believes.
pub trait BigSegmentCopy: BigSegmentStore {
    /// Up to where it has the members; empty if it has none, or was emptied.
    ///
    /// # Errors
    /// If the database does not answer.
    fn cursor(&self) -> Result<String, StoreError>;

    /// Writes a patch, and its version as the cursor, if the cursor is `expected` until then. If it was written
    /// in part only, the cursor stays, and the same patch can be written again.
    ///
    /// # Errors
    /// If the database does not answer, or refuses.
    fn apply(&self, patch: &Patch, expected: &str) -> Result<Applied, StoreError>;

    /// Writes that the members were up to date at this time.
    ///
    /// # Errors
    /// If the database does not answer, or refuses.
    fn set_last_up_to_date(&self, time: SystemTime) -> Result<(), StoreError>;
}

/// What became of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is written.
    Written,
    /// It is not: the cursor is this one.
    CursorIs(String),
}

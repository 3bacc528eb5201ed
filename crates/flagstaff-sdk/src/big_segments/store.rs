//! What a database must offer to hold big segments: implement this for one of your own.

use std::time::SystemTime;

use flagstaff_eval::big_segments::Membership;

use crate::data_store::StoreError;

/// A database that holds the members of big segments. Something else writes it: a relay.
///
/// Every method is called on a thread that may be kept waiting, never on one of the program's own, and
/// may be called on several at once. A call that takes longer than the time-out of
/// [`BigSegments`](crate::BigSegments) is not waited for, but keeps its thread until it returns, and there
/// are eight at most. A store needs time-outs of its own for connecting and for each answer, of a few
/// seconds, as those of this crate have: with all threads kept for ever nobody would be asked any more.
/// After a fork the child process calls the same object: connections
/// are to be opened anew where the process is another ([`std::process::id`]).
pub trait BigSegmentStore: Send + Sync + 'static {
    /// When the members were last known to be up to date; none if they never were.
    ///
    /// # Errors
    /// If the database does not answer.
    fn last_up_to_date(&self) -> Result<Option<SystemTime>, StoreError>;

    /// The segments of one context; none if there is nothing of it. `context_hash` is the standard
    /// base64 of the SHA-256 of the context's key.
    ///
    /// # Errors
    /// If the database does not answer.
    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError>;
}

//! Segments too large to stream: who is in them is asked of a database.

mod store;

pub use store::BigSegmentStore;

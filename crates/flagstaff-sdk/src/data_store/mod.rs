//! Where flags rest: in memory, and in a database if the program has one.

mod persistent;

pub use persistent::{PersistentStore, StoreError, StoredItem, version_in};

//! What a database must offer to hold flags: implement this for one of your own.

use std::fmt;
use std::sync::Arc;

use flagstaff_wire::stream::ItemKind;

/// A database that holds the flags and segments of an environment, for one process or for many.
///
/// Every method is called on a thread that may be kept waiting, never on one of the program's own, and
/// may be called on several at once. A call that takes longer than the time-out of
/// [`PersistentDataStore`](crate::PersistentDataStore) is not waited for, but keeps its thread until it
/// returns: of those that read there are eight at most, and one that writes. A store needs time-outs of
/// its own for connecting and for each answer, of a few seconds, as those of this crate have: if it never
/// returned, the client would go on from memory and never ask it again. After a fork the child
/// process calls the same object: connections are to be opened anew where the process is another
/// ([`std::process::id`]).
///
/// The layouts of Redis, Consul and DynamoDB, which other SDKs share, are in the features of those names.
pub trait PersistentStore: Send + Sync + 'static {
    /// The kind of database in one word, for logs and the diagnostic report: `Redis`.
    fn name(&self) -> &str;

    /// Replaces everything. Items stand in the order in which they are to be written: segments first,
    /// then flags, each after the flags it needs. The mark that says the store is initialized comes last.
    ///
    /// # Errors
    /// If the database does not take it. One item that is too large for it is no error: it is logged
    /// and left out.
    fn init(&self, items: &[StoredItem]) -> Result<(), StoreError>;

    /// One item, tombstones included.
    ///
    /// # Errors
    /// If the database does not answer, or not with an item.
    fn get(&self, kind: ItemKind, key: &str) -> Result<Option<Arc<str>>, StoreError>;

    /// Every item of a kind, key and JSON, tombstones included.
    ///
    /// # Errors
    /// If the database does not answer, or not with items.
    fn all(&self, kind: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError>;

    /// Writes an item or tombstone, unless the one that is there has as high a version or a higher
    /// one. Gives whether it was written. Other processes may write at the same time.
    ///
    /// # Errors
    /// If the database does not take it.
    fn upsert(&self, item: &StoredItem) -> Result<bool, StoreError>;

    /// Whether the mark is there that [`PersistentStore::init`] leaves.
    ///
    /// # Errors
    /// If the database does not answer.
    fn is_initialized(&self) -> Result<bool, StoreError>;

    /// Whether the database answers. Asked twice a second while it did not.
    fn is_available(&self) -> bool {
        self.is_initialized().is_ok()
    }

    /// How many items were left out because they are too large for the database.
    fn items_left_out(&self) -> u64 {
        0
    }
}

/// An item as a database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredItem {
    /// Flag or segment.
    pub kind: ItemKind,
    /// The key under which it is addressed.
    pub key: Arc<str>,
    /// Rises on each change.
    pub version: u64,
    /// The JSON of the item, as it came, or of its tombstone: `{"key":…,"version":…,"deleted":true}`.
    pub json: Arc<str>,
}

/// A database did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// What went wrong, in one sentence without secrets.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), source: None }
    }

    /// What was attempted, and why it failed.
    pub fn because(
        attempted: impl fmt::Display,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = source.into();
        Self { message: format!("{attempted}: {source}"), source: Some(source) }
    }
}

/// The version that the JSON of an item states; what a versioned write compares.
///
/// # Errors
/// If it is no JSON object with a `version` that is a number, or without one.
pub fn version_in(json: &str) -> Result<u64, StoreError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        #[serde(default)]
        version: Option<f64>,
    }
    let item: Versioned = serde_json::from_str(json)
        .map_err(|error| StoreError::because("an item in the database cannot be read", error))?;
    Ok(item.version.unwrap_or_default() as u64)
}

//! How the database of flags is doing.

use crate::client::Client;
use crate::status_provider::StatusProvider;

/// How the database of flags is doing: see [`Client::data_store_status`](crate::Client::data_store_status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataStoreStatus {
    /// Whether it answered when it was last asked. Without a database, true.
    pub available: bool,
    /// Whether what is in memory is known to be more than the database has: it was emptied, or could
    /// not be written. The client serves what it has in memory, and writes it back if it can.
    pub stale: bool,
}

impl DataStoreStatus {
    pub(crate) const GOOD: Self = Self { available: true, stale: false };
}

impl Client {
    /// How the database of flags is doing, to ask and to listen to.
    pub fn data_store_status_provider(&self) -> StatusProvider<'_, DataStoreStatus> {
        StatusProvider::new(self, &self.shared().store_listeners, Client::data_store_status)
    }
}

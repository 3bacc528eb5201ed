//! Flags that are put into a client beside its data source, or by a source that says for itself how it is
//! doing: what SDKs of other languages need for stores that a program fills and reads itself.
//!
//! | What is done | Whether there are flags | What the status says |
//! |---|---|---|
//! | [`DataSourceUpdates::replace_json`] | yes, received | VALID |
//! | [`DataSourceUpdates::put_in_json`] | yes, received | nothing new |
//! | [`DataSourceUpdates::remind_of_json`] | yes, but whoever waits goes on waiting for newer ones | nothing new |
//! | [`DataSourceUpdates::update_status`] | | what it is told |

use std::sync::Arc;
use std::time::SystemTime;

use flagstaff_wire::full_data::{FullData, ItemTexts, read_json};
use flagstaff_wire::stream::ItemKind;

use super::receive::{put_in_force_waiting, remind};
use super::{BadFlags, DataSourceError, DataSourceErrorKind, DataSourceState, DataSourceUpdates};
use crate::client::Client;
use crate::config::Config;
use crate::data_store::{StoredItem, Texts};

impl Config {
    /// Keeps the JSON of each flag and segment as it came, so that [`Client::kept_items`] can give it. Costs
    /// as much memory as the flags took on the wire.
    pub fn keep_items(mut self, keep: bool) -> Self {
        self.keep_items = keep;
        self
    }
}

impl Client {
    /// The flags and segments that there are, as they came: see [`Config::keep_items`]. They can be read
    /// as long as somebody keeps this, whatever becomes of the client.
    pub fn kept_items(&self) -> Option<KeptItems> {
        self.shared().texts.clone().map(KeptItems)
    }
}

/// The flags and segments of a client, as they came.
#[derive(Clone)]
pub struct KeptItems(Arc<Texts>);

impl KeptItems {
    /// An item, which may be a tombstone.
    pub fn item(&self, kind: ItemKind, key: &str) -> Option<StoredItem> {
        self.0.item(kind, key)
    }

    /// All items of a kind, tombstones included, in no particular order.
    pub fn items(&self, kind: ItemKind) -> Vec<StoredItem> {
        self.0.items(kind)
    }
}

impl std::fmt::Debug for KeptItems {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeptItems").finish_non_exhaustive()
    }
}

impl DataSourceUpdates {
    /// As [`DataSourceUpdates::replace_json`], but the status stays what it is.
    ///
    /// # Errors
    /// If that is not JSON of flags and segments. Nothing is changed then.
    pub fn put_in_json(&self, json: &[u8]) -> Result<(), BadFlags> {
        let data: FullData = read_json(json)?;
        let texts: ItemTexts<'_> = read_json(json)?;
        self.tell(|shared| {
            let texts = if shared.texts.is_some() { StoredItem::all(&texts.0, &data.0) } else { Vec::new() };
            put_in_force_waiting(shared, data.0, texts);
            shared.has_everything();
            shared.status.look_again();
        });
        Ok(())
    }

    /// Flags that were known before the client was there: they are evaluated, unless there are others by
    /// now, but whoever waits for the first flags goes on waiting. The status stays what it is.
    ///
    /// # Errors
    /// If that is not JSON of flags and segments. Nothing is changed then.
    pub fn remind_of_json(&self, json: &[u8]) -> Result<(), BadFlags> {
        let data: FullData = read_json(json)?;
        let texts: ItemTexts<'_> = read_json(json)?;
        self.tell(|shared| {
            let texts = if shared.texts.is_some() { StoredItem::all(&texts.0, &data.0) } else { Vec::new() };
            remind(shared, data.0, texts);
        });
        Ok(())
    }

    /// Whether there is a full data set: received, put in, or known before.
    pub fn has_everything(&self) -> bool {
        self.client().is_some_and(|shared| shared.is_initialized())
    }

    /// Says how receiving is going, in so many words: which state it is, and what went wrong if something
    /// did (of what kind, with which HTTP status, what is said of it, and when). Before the first VALID,
    /// INTERRUPTED is still INITIALIZING; OFF is for good.
    pub fn update_status(
        &self,
        state: DataSourceState,
        error: Option<(DataSourceErrorKind, Option<u16>, String, SystemTime)>,
    ) {
        let error = error.map(|(kind, status_code, message, time)| DataSourceError {
            kind,
            status_code,
            message,
            time,
        });
        self.tell(|shared| shared.status.told(state, error));
    }
}

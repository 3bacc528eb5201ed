//! Second-generation delivery, FDv2: flags and segments as whole transfers, each put in force at once
//! or not at all, and resumed where the last one ended.
//!
//! Source: the protocol's *FDv2*. The same events travel over a stream and in the body of a poll:
//!
//! | Event | What it says |
//! |---|---|
//! | `server-intent` | what follows: everything, changes, or nothing because all is up to date |
//! | `put-object`, `delete-object` | one item of the transfer |
//! | `payload-transferred` | the transfer is complete; its state is the selector to resume from |
//! | `error` | forget what came of the transfer |
//! | `goodbye` | the service is about to close the connection |
//! | `heart-beat`, anything else | nothing |
//!
//! [`Protocol`] is the state machine of one connection or one poll, [`StreamReader`] and [`read_poll`]
//! feed it; [`Event`] with [`write_event`] and [`write_poll`] is the service's side.

mod event;
mod protocol;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use flagstaff_eval::{DataSet, Entry, PreparedFlag, PreparedSegment};

pub use event::{Event, Intent, write_event, write_poll};
pub use protocol::{Protocol, ProtocolError};
pub use read::{Outcomes, StreamReader, read_poll};

/// What the first payload of a `server-intent` announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntentCode {
    /// Everything there is: what is not in the transfer is gone.
    TransferFull,
    /// What has changed since the selector that was asked with.
    TransferChanges,
    /// Nothing: what the selector stands for is up to date.
    None,
}

impl IntentCode {
    /// The wire spelling, `xfer-full`.
    pub fn as_str(self) -> &'static str {
        match self {
            IntentCode::TransferFull => "xfer-full",
            IntentCode::TransferChanges => "xfer-changes",
            IntentCode::None => "none",
        }
    }

    /// The code with this wire spelling.
    pub fn read(code: &str) -> Option<Self> {
        [IntentCode::TransferFull, IntentCode::TransferChanges, IntentCode::None]
            .into_iter()
            .find(|known| known.as_str() == code)
    }
}

/// What an event led to, for whoever holds the data.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// What is held already is up to date.
    UpToDate,
    /// A transfer is complete: to be put in force in one step.
    Transferred(ChangeSet),
    /// The service gave up a transfer; the connection stays open.
    Abandoned {
        /// Why, in the service's words.
        reason: String,
    },
    /// The service is about to close the connection: to be opened again.
    Goodbye(Goodbye),
}

/// The items of one complete transfer.
#[derive(Clone, Debug)]
pub struct ChangeSet {
    /// Whether this is everything there is, in place of whatever was there. If not, these are changes
    /// to it, and they count whatever the versions: their order is right.
    pub is_full: bool,
    /// The items, in the order in which they came. Of two with one key the later counts.
    pub changes: Vec<Change>,
    /// What to ask with next time; none if the service named nothing, so that what is held cannot be
    /// told to be up to date.
    pub selector: Option<String>,
}

/// One item of a transfer.
#[derive(Clone, Debug)]
pub struct Change {
    /// The item, made ready, or the tombstone of a deleted one.
    pub item: ChangedItem,
    /// The JSON of the item as it came, if the protocol was told to keep it; none for a deleted one.
    pub json: Option<Arc<str>>,
}

/// A flag or segment, or what is left of it.
#[derive(Clone, Debug)]
pub enum ChangedItem {
    /// A flag.
    Flag(Entry<PreparedFlag>),
    /// A segment.
    Segment(Entry<PreparedSegment>),
}

/// The service takes its leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goodbye {
    /// Why, in the service's words.
    pub reason: String,
    /// Whether it is not worth a log line.
    pub silent: bool,
    /// Whether something went badly wrong.
    pub catastrophe: bool,
    /// Asks for first-generation delivery, for so many seconds. A draft that few services know.
    pub protocol_fallback_ttl: Option<i64>,
}

impl ChangeSet {
    /// What `data` becomes with these changes: the next data set, to be swapped in whole.
    #[must_use]
    pub fn applied_to(&self, data: &DataSet) -> DataSet {
        let flags = self.changes.iter().filter_map(|change| match &change.item {
            ChangedItem::Flag(entry) => Some(entry.clone()),
            ChangedItem::Segment(_) => None,
        });
        let segments = self.changes.iter().filter_map(|change| match &change.item {
            ChangedItem::Segment(entry) => Some(entry.clone()),
            ChangedItem::Flag(_) => None,
        });
        if self.is_full { DataSet::new(flags, segments) } else { data.with_all(flags, segments) }
    }
}

impl ChangedItem {
    /// The key under which the item is addressed.
    pub fn key(&self) -> &str {
        match self {
            ChangedItem::Flag(entry) => entry.key(),
            ChangedItem::Segment(entry) => entry.key(),
        }
    }

    /// The version of the item or of its deletion.
    pub fn version(&self) -> u64 {
        match self {
            ChangedItem::Flag(entry) => entry.version(),
            ChangedItem::Segment(entry) => entry.version(),
        }
    }
}

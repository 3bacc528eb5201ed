//! The state machine of one connection, or of one poll.
//!
//! | Event | What is done |
//! |---|---|
//! | `server-intent` | begins a transfer, or says that there is nothing to transfer |
//! | `server-intent` without payloads | passed over; nothing is announced any more |
//! | `put-object`, `delete-object` | kept until the transfer is complete; of an unknown kind, passed over |
//! | `payload-transferred` | gives the change set; the next one needs no new intent, it has changes |
//! | `payload-transferred` that nothing announced | an error |
//! | `error` | forgets what was kept |
//! | `goodbye` | forgets what was kept; the connection is to be opened again |
//! | data that cannot be read, an unknown intent | an error: the connection is to be dropped |
//! | anything else | passed over |

use std::borrow::Cow;
use std::sync::Arc;

use flagstaff_eval::Entry;
use flagstaff_eval::model::{Flag, Segment};
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::value::RawValue;

use super::event::kind_name;
use super::{Change, ChangeSet, ChangedItem, Goodbye, IntentCode, Outcome};
use crate::full_data::read_object as object;
use crate::sse::DEFAULT_LIMIT;
use crate::stream::{BadMessage, ItemKind, whole_version};

/// The connection cannot be trusted any more: it is to be dropped and opened again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The data of an event is not JSON, or JSON of another shape.
    #[error(transparent)]
    BadMessage(#[from] BadMessage),
    /// A `server-intent` announced what this version does not know.
    #[error("a `server-intent` announces `{code}`, which is neither `xfer-full`, `xfer-changes` nor `none`")]
    UnknownIntent {
        /// What it announced.
        code: String,
    },
    /// A transfer ended that had not begun.
    #[error("a payload was transferred that no `server-intent` announced")]
    Unannounced,
    /// A transfer, or one event of it, is longer than any honest one.
    #[error("a transfer is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

/// Puts the events of one connection, or of one poll, together to transfers.
#[derive(Debug)]
pub struct Protocol {
    keep_json: bool,
    limit: usize,
    state: State,
    /// The items of the transfer so far, and how long their messages were.
    changes: Vec<Change>,
    length: usize,
}

/// What the next `payload-transferred` completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unannounced,
    Full,
    Changes,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            keep_json: false,
            limit: DEFAULT_LIMIT,
            state: State::Unannounced,
            changes: Vec::new(),
            length: 0,
        }
    }
}

impl Protocol {
    /// Keeps the JSON of each item beside what is made of it, for a store.
    #[must_use]
    pub fn keeping_json(mut self, keep: bool) -> Self {
        self.keep_json = keep;
        self
    }

    /// Refuses transfers of more than `limit` bytes.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Takes the next event. None if it leads to nothing yet.
    ///
    /// # Errors
    /// If the connection cannot be trusted any more. What had come of the transfer is forgotten.
    pub fn take(&mut self, event: &str, data: &[u8]) -> Result<Option<Outcome>, ProtocolError> {
        let taken = self.take_known(event, data);
        if taken.is_err() {
            self.begin(State::Unannounced);
        }
        taken
    }

    fn take_known(&mut self, event: &str, data: &[u8]) -> Result<Option<Outcome>, ProtocolError> {
        let bad = |source| BadMessage { event: event.to_owned(), source };
        match event {
            "server-intent" => match read_intent(data).map_err(bad)? {
                None => self.begin(State::Unannounced),
                Some(code) => match IntentCode::read(&code) {
                    Some(IntentCode::TransferFull) => self.begin(State::Full),
                    Some(IntentCode::TransferChanges) => self.begin(State::Changes),
                    Some(IntentCode::None) => {
                        self.begin(State::Changes);
                        return Ok(Some(Outcome::UpToDate));
                    }
                    None => return Err(ProtocolError::UnknownIntent { code: code.into_owned() }),
                },
            },
            "put-object" => {
                let change = read_put(data, self.keep_json).map_err(bad)?;
                self.keep(change, data.len())?;
            }
            "delete-object" => {
                let change = read_delete(data).map_err(bad)?;
                self.keep(change, data.len())?;
            }
            "payload-transferred" => return self.transferred(read_state(data).map_err(bad)?).map(Some),
            "error" => {
                let reason = read_reason(data).map_err(bad)?;
                self.begin(self.state);
                return Ok(Some(Outcome::Abandoned { reason }));
            }
            "goodbye" => {
                let goodbye = read_goodbye(data).map_err(bad)?;
                self.begin(State::Unannounced);
                return Ok(Some(Outcome::Goodbye(goodbye)));
            }
            _ => {}
        }
        Ok(None)
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.changes = Vec::new();
        self.length = 0;
    }

    fn keep(&mut self, change: Option<Change>, length: usize) -> Result<(), ProtocolError> {
        let Some(change) = change else { return Ok(()) };
        self.length += length;
        if self.length > self.limit {
            return Err(ProtocolError::TooLong { limit: self.limit });
        }
        self.changes.push(change);
        Ok(())
    }

    fn transferred(&mut self, selector: Option<String>) -> Result<Outcome, ProtocolError> {
        if self.state == State::Unannounced {
            return Err(ProtocolError::Unannounced);
        }
        let is_full = self.state == State::Full;
        let changes = std::mem::take(&mut self.changes);
        self.begin(State::Changes);
        Ok(Outcome::Transferred(ChangeSet { is_full, changes, selector }))
    }
}

/// The code of the first payload; none if there is no payload.
fn read_intent(data: &[u8]) -> Result<Option<Cow<'_, str>>, serde_json::Error> {
    #[derive(Deserialize)]
    struct ServerIntent<'a> {
        /// Only the first is looked into.
        #[serde(borrow)]
        payloads: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload<'a> {
        #[serde(borrow)]
        intent_code: Cow<'a, str>,
    }
    let intent: ServerIntent = object(data)?;
    let Some(first) = intent.payloads.first() else { return Ok(None) };
    Ok(Some(object::<Payload>(first.get().as_bytes())?.intent_code))
}

/// An item as it is announced, none of it looked into but the kind: what is of another kind is passed
/// over, whatever it looks like.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
}

impl Item<'_> {
    fn kind(&self) -> Option<ItemKind> {
        [ItemKind::Flag, ItemKind::Segment].into_iter().find(|kind| kind_name(*kind) == self.kind)
    }

    fn key(&self) -> Result<Cow<'_, str>, serde_json::Error> {
        /// Borrows where it can, which a bare `Cow` does not.
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        Ok(serde_json::from_str::<Text>(present("key", self.key)?)?.0)
    }

    fn version(&self) -> Result<u64, serde_json::Error> {
        whole_version(&mut serde_json::Deserializer::from_str(present("version", self.version)?))
    }
}

fn present<'a>(name: &str, value: Option<&'a RawValue>) -> Result<&'a str, serde_json::Error> {
    value.map(RawValue::get).ok_or_else(|| serde_json::Error::custom(format!("`{name}` is missing")))
}

fn read_put(data: &[u8], keep_json: bool) -> Result<Option<Change>, serde_json::Error> {
    let put: Item = object(data)?;
    let Some(kind) = put.kind() else { return Ok(None) };
    let (key, version) = (put.key()?, put.version()?);
    let json = present("object", put.object)?;
    // The item's own version is what evaluations are reported with.
    let (item, has_version) = match kind {
        ItemKind::Flag => {
            let mut flag: Flag = object(json.as_bytes())?;
            let has_version = flag.version != 0;
            flag.version = if has_version { flag.version } else { version };
            (ChangedItem::Flag(Entry::flag(&key, flag)), has_version)
        }
        ItemKind::Segment => {
            let mut segment: Segment = object(json.as_bytes())?;
            let has_version = segment.version != 0;
            segment.version = if has_version { segment.version } else { version };
            (ChangedItem::Segment(Entry::segment(&key, segment)), has_version)
        }
    };
    let json = match (keep_json, has_version) {
        (false, _) => None,
        (true, true) => Some(Arc::from(json)),
        // What this version does not know may be too odd to be written again, as half a character:
        // the item counts all the same, as it does where no JSON is kept.
        (true, false) => Some(with_version(json, version).unwrap_or_else(|_| json.into())),
    };
    Ok(Some(Change { item, json }))
}

/// A store goes by the version inside the item.
fn with_version(json: &str, version: u64) -> Result<Arc<str>, serde_json::Error> {
    let mut item: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json)?;
    item.insert("version".to_owned(), version.into());
    Ok(serde_json::to_string(&item)?.into())
}

fn read_delete(data: &[u8]) -> Result<Option<Change>, serde_json::Error> {
    let deleted: Item = object(data)?;
    let Some(kind) = deleted.kind() else { return Ok(None) };
    let (key, version) = (deleted.key()?, deleted.version()?);
    let item = match kind {
        ItemKind::Flag => ChangedItem::Flag(Entry::tombstone(&key, version)),
        ItemKind::Segment => ChangedItem::Segment(Entry::tombstone(&key, version)),
    };
    Ok(Some(Change { item, json: None }))
}

/// The selector; none if it is empty.
fn read_state(data: &[u8]) -> Result<Option<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Transferred {
        state: String,
    }
    Ok(Some(object::<Transferred>(data)?.state).filter(|state| !state.is_empty()))
}

/// The payload's id goes by three names and tells nothing: an SDK has one payload.
fn read_reason(data: &[u8]) -> Result<String, serde_json::Error> {
    #[derive(Deserialize)]
    struct Abandoned {
        #[serde(default)]
        reason: Option<String>,
    }
    Ok(object::<Abandoned>(data)?.reason.unwrap_or_default())
}

fn read_goodbye(data: &[u8]) -> Result<Goodbye, serde_json::Error> {
    #[derive(Deserialize)]
    struct Read {
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        silent: Option<bool>,
        #[serde(default)]
        catastrophe: Option<bool>,
        #[serde(default, rename = "protocolFallbackTTL")]
        protocol_fallback_ttl: Option<f64>,
    }
    let goodbye: Read = object(data)?;
    Ok(Goodbye {
        reason: goodbye.reason.unwrap_or_default(),
        silent: goodbye.silent.unwrap_or_default(),
        catastrophe: goodbye.catastrophe.unwrap_or_default(),
        // Saturates: whoever goes by it has a range of its own.
        protocol_fallback_ttl: goodbye.protocol_fallback_ttl.map(|seconds| seconds as i64),
    })
}

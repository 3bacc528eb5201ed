//! What a service writes: the same events for a stream and for the body of a poll.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Goodbye, IntentCode};
use crate::sse;
use crate::stream::ItemKind;

/// An event as a service writes it. Every field of the protocol is written, also those that only some
/// SDKs need. `T` is the form in which the service holds its items.
#[derive(Clone, Debug)]
pub enum Event<'a, T: ?Sized> {
    /// What follows. SDKs look at the first payload alone, and some take none at all for an error.
    ServerIntent(&'a [Intent<'a>]),
    /// A flag or segment.
    PutObject {
        /// What it is.
        kind: ItemKind,
        /// The key under which it is addressed.
        key: &'a str,
        /// Its version.
        version: u64,
        /// The item.
        object: &'a T,
    },
    /// A flag or segment was deleted.
    DeleteObject {
        /// What it was.
        kind: ItemKind,
        /// The key it had.
        key: &'a str,
        /// The version of the deletion.
        version: u64,
    },
    /// A flag's value for one context, for client-side SDKs.
    PutValue {
        /// The flag's key.
        key: &'a str,
        /// The environment's version.
        version: u64,
        /// The value, and all that an SDK has to know of it.
        object: &'a T,
    },
    /// The flag is not there any more, or not to be seen.
    DeleteValue {
        /// The key it had.
        key: &'a str,
        /// The environment's version.
        version: u64,
    },
    /// The transfer is complete.
    PayloadTransferred {
        /// The selector to resume from. SDKs do not look into it.
        state: &'a str,
        /// The version of the payload.
        version: u64,
    },
    /// The connection is alive.
    HeartBeat,
    /// What came of the transfer is to be forgotten.
    Error {
        /// The payload's id.
        payload_id: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// The service closes the connection right after this: not every SDK does.
    Goodbye(&'a Goodbye),
}

/// A payload that a `server-intent` announces.
#[derive(Clone, Debug)]
pub struct Intent<'a> {
    /// The payload's id.
    pub id: &'a str,
    /// The version that the transfer leads to.
    pub target: u64,
    /// What is transferred.
    pub code: IntentCode,
    /// Why: `payload-missing`, `cant-catchup`, `stale`, `up-to-date`, `initial`.
    pub reason: &'a str,
}

impl<T: ?Sized> Event<'_, T> {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Event::ServerIntent(_) => "server-intent",
            Event::PutObject { .. } | Event::PutValue { .. } => "put-object",
            Event::DeleteObject { .. } | Event::DeleteValue { .. } => "delete-object",
            Event::PayloadTransferred { .. } => "payload-transferred",
            Event::HeartBeat => "heart-beat",
            Event::Error { .. } => "error",
            Event::Goodbye(_) => "goodbye",
        }
    }
}

/// Appends an event to a stream.
///
/// # Errors
/// Only what serialising the item fails with.
pub fn write_event<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    event: &Event<'_, T>,
) -> Result<(), serde_json::Error> {
    sse::write_event(out, event.name(), &Data(event))
}

/// Appends the body of a poll's answer that has these events.
///
/// # Errors
/// Only what serialising an item fails with.
pub fn write_poll<'a, T: Serialize + ?Sized + 'a>(
    out: &mut Vec<u8>,
    events: impl IntoIterator<Item = Event<'a, T>>,
) -> Result<(), serde_json::Error> {
    #[derive(Serialize)]
    struct Named<'e, 'a, T: Serialize + ?Sized> {
        event: &'static str,
        data: Data<'e, 'a, T>,
    }
    out.extend_from_slice(b"{\"events\":[");
    for (index, event) in events.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, &Named { event: event.name(), data: Data(&event) })?;
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

/// The data of an event.
struct Data<'e, 'a, T: ?Sized>(&'e Event<'a, T>);

impl<T: Serialize + ?Sized> Serialize for Data<'_, '_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            Event::ServerIntent(payloads) => map.serialize_entry("payloads", payloads)?,
            Event::PutObject { kind, key, version, object } => {
                map.serialize_entry("version", version)?;
                map.serialize_entry("kind", kind_name(*kind))?;
                map.serialize_entry("key", key)?;
                map.serialize_entry("object", object)?;
            }
            Event::DeleteObject { kind, key, version } => {
                map.serialize_entry("version", version)?;
                map.serialize_entry("kind", kind_name(*kind))?;
                map.serialize_entry("key", key)?;
            }
            Event::PutValue { key, version, object } => {
                map.serialize_entry("version", version)?;
                map.serialize_entry("kind", VALUE)?;
                map.serialize_entry("key", key)?;
                map.serialize_entry("object", object)?;
            }
            Event::DeleteValue { key, version } => {
                map.serialize_entry("version", version)?;
                map.serialize_entry("kind", VALUE)?;
                map.serialize_entry("key", key)?;
            }
            Event::PayloadTransferred { state, version } => {
                map.serialize_entry("state", state)?;
                map.serialize_entry("version", version)?;
            }
            Event::HeartBeat => {}
            Event::Error { payload_id, reason } => {
                map.serialize_entry("payloadId", payload_id)?;
                map.serialize_entry("reason", reason)?;
            }
            Event::Goodbye(goodbye) => {
                map.serialize_entry("reason", &goodbye.reason)?;
                map.serialize_entry("silent", &goodbye.silent)?;
                map.serialize_entry("catastrophe", &goodbye.catastrophe)?;
                if let Some(seconds) = goodbye.protocol_fallback_ttl {
                    map.serialize_entry("protocolFallbackTTL", &seconds)?;
                }
            }
        }
        map.end()
    }
}

impl Serialize for Intent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("id", self.id)?;
        map.serialize_entry("target", &self.target)?;
        map.serialize_entry("intentCode", self.code.as_str())?;
        map.serialize_entry("reason", self.reason)?;
        map.end()
    }
}

/// What a value for one context is called.
const VALUE: &str = "flag-eval";

pub(super) fn kind_name(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Flag => "flag",
        ItemKind::Segment => "segment",
    }
}

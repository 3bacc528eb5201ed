//! A change as it is sent: made once, shared by all subscribers.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use flagstaff_wire::stream::{
    ItemKind as WireKind, write_delete, write_delete_at, write_patch, write_patch_at,
};
use serde_json::value::RawValue;

use super::{Moment, Subject};
use crate::store::change_log::ItemKind;

/// An item that changed.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    pub(super) kind: ItemKind,
    pub(super) key: Arc<str>,
    pub(super) version: u64,
    /// None if it is gone.
    pub(super) json: Option<Bytes>,
}

/// A change as it is sent to each subscriber: made once, shared by all.
#[derive(Clone, Debug)]
pub struct Change {
    /// For a stream of flags and segments.
    pub all: Bytes,
    /// For a stream of flags alone; none if only segments changed.
    pub flags: Option<Bytes>,
    /// For a stream of second-generation delivery.
    pub transferred: Bytes,
    /// Where whoever has had it is then.
    pub moment: Moment,
    /// For those who are sent values.
    pub subject: Arc<Subject>,
    /// When it was made.
    pub taken_over: Instant,
}

impl Change {
    /// What happened at once, and led to this moment.
    pub(super) fn of(changed: &[Changed], payload_id: &str, moment: Moment, subject: Subject) -> Self {
        let flags: Vec<_> = changed.iter().filter(|changed| changed.kind == ItemKind::Flag).collect();
        Self {
            all: message(|out| changed.iter().try_for_each(|changed| changed.write(out))),
            flags: (!flags.is_empty())
                .then(|| message(|out| flags.iter().try_for_each(|changed| changed.write_flag(out)))),
            transferred: Self::transferred(changed, payload_id, moment),
            moment,
            subject: Arc::new(subject),
            taken_over: Instant::now(),
        }
    }
}

impl Changed {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let kind = self.kind.on_the_wire();
        match self.raw() {
            Some(json) => write_patch(out, kind, &self.key, json),
            None => write_delete(out, kind, &self.key, self.version),
        }
    }

    /// For streams of flags alone.
    fn write_flag(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let path = format!("/{}", self.key);
        match self.raw() {
            Some(json) => write_patch_at(out, &path, json),
            None => write_delete_at(out, &path, self.version),
        }
    }

    /// Checked JSON of our own.
    fn raw(&self) -> Option<&RawValue> {
        let read = |json| {
            serde_json::from_slice(json).unwrap_or_else(|error| unreachable!("an item is JSON: {error}"))
        };
        self.json.as_deref().map(read)
    }
}

pub(super) fn message(write: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>) -> Bytes {
    let mut out = Vec::new();
    write(&mut out).unwrap_or_else(|error| unreachable!("what is written is JSON already: {error}"));
    out.into()
}

impl ItemKind {
    pub(super) fn on_the_wire(self) -> WireKind {
        match self {
            ItemKind::Flag => WireKind::Flag,
            ItemKind::Segment => WireKind::Segment,
        }
    }
}

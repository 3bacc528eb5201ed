//! Second-generation delivery: what brings whoever holds some version up to the one of now.
//!
//! An item's version is the environment's sequence number of its last change, so what changed after a number
//! is what has a greater version. Deletions are remembered from when the environment was loaded on; who holds
//! something older gets everything. Source: the protocol's *FDv2*.

use std::sync::Arc;

use bytes::Bytes;
use flagstaff_wire::fdv2::{Event, Intent, IntentCode, write_event, write_poll};
use flagstaff_wire::stream::ItemKind as WireKind;
use serde_json::value::RawValue;
use tokio::sync::broadcast::Receiver;

use super::change::message;
use super::{Change, Changed, Image, LiveEnvironment, Moment, News, NotInitialized, Packed, State};
use crate::store::change_log::ItemKind;

/// What brings a client up to date.
#[derive(Debug)]
pub struct Transfer {
    payload_id: String,
    moment: Moment,
    image: Arc<Image>,
    contents: Contents,
}

/// What a client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// What it was at this moment.
    At(Moment),
    /// Something of another environment, or of another time.
    Other,
}

#[derive(Debug)]
enum Contents {
    /// It is.
    Nothing,
    /// By these changes, in their order.
    Changes(Vec<Changed>),
    /// By everything.
    Everything(WhyEverything),
}

/// Why everything is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum WhyEverything {
    /// The client holds nothing.
    NothingHeld,
    /// What changed since what it holds is not known.
    CannotCatchUp,
}

impl LiveEnvironment {
    /// What somebody holds who says this; nobody holds anything before the first transfer.
    pub fn held(&self, basis: Option<&str>) -> Held {
        match basis {
            None => Held::Nothing,
            Some(basis) => moment_in(basis, &self.payload_id()).map_or(Held::Other, Held::At),
        }
    }

    /// What brings whoever holds this up to date.
    ///
    /// # Errors
    /// If there is nothing yet.
    pub fn transfer(&self, held: Held) -> Result<Transfer, NotInitialized> {
        self.transfer_in(&mut self.state(), held)
    }

    /// The same, and all news after it. Where there is nothing yet, the first news is that there is.
    pub fn subscribe_after_transfer(&self, held: Held) -> (Option<Transfer>, Receiver<News>) {
        let mut state = self.state();
        (self.transfer_in(&mut state, held).ok(), self.news.subscribe())
    }

    fn transfer_in(&self, state: &mut State, held: Held) -> Result<Transfer, NotInitialized> {
        let image = self.image_of(state)?;
        let moment = state.moments.now();
        let contents = match held {
            Held::Nothing => Contents::Everything(WhyEverything::NothingHeld),
            Held::At(held) if held == moment => Contents::Nothing,
            Held::At(held) if state.moments.contains(held) => {
                Contents::Changes(state.changes_since(held.sequence))
            }
            Held::At(_) | Held::Other => Contents::Everything(WhyEverything::CannotCatchUp),
        };
        Ok(Transfer { payload_id: self.payload_id(), moment, image, contents })
    }
}

impl State {
    /// In the order in which they happened.
    fn changes_since(&self, held: u64) -> Vec<Changed> {
        let put = |kind| {
            let newer = self.items(kind).iter().filter(|(_, item)| item.sequence > held);
            newer.map(move |(key, item)| {
                let json = Some(item.json.clone());
                (item.sequence, Changed { kind, key: key.clone(), version: item.version, json })
            })
        };
        let deleted = self.deleted.iter().filter(|(_, deleted)| deleted.sequence > held);
        let deleted = deleted.map(|((kind, key), deleted)| {
            let changed = Changed { kind: *kind, key: key.clone(), version: deleted.version, json: None };
            (deleted.sequence, changed)
        });
        let mut changes: Vec<_> = put(ItemKind::Flag).chain(put(ItemKind::Segment)).chain(deleted).collect();
        changes.sort_by_key(|(sequence, _)| *sequence);
        changes.into_iter().map(|(_, changed)| changed).collect()
    }
}

impl Transfer {
    /// Whether there is nothing to transfer.
    pub fn is_nothing(&self) -> bool {
        matches!(self.contents, Contents::Nothing)
    }

    /// Which moment it leads to.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Changes whenever what it leads to does; fit for an ETag once in quotes.
    pub fn tag(&self) -> &str {
        self.image.tag()
    }

    /// As a stream begins, if somebody was sent just that before.
    pub fn stream_if_written(&self) -> Option<Bytes> {
        let Contents::Everything(why) = &self.contents else { return None };
        self.image.transfer_stream_if_written(*why)
    }

    /// As the answer to a poll, if somebody was sent just that before.
    pub fn poll_if_written(&self) -> Option<Arc<Packed>> {
        let Contents::Everything(why) = &self.contents else { return None };
        self.image.transfer_poll_if_written(*why)
    }

    /// As a stream begins. The first call takes its time: off the async threads, for many flags.
    pub fn stream(&self) -> Bytes {
        if let Contents::Everything(why) = &self.contents {
            return self.image.transfer_stream(*why, || self.write_stream());
        }
        self.write_stream()
    }

    /// As the answer to a poll. The first call takes its time.
    pub fn poll(&self) -> Arc<Packed> {
        if let Contents::Everything(why) = &self.contents {
            return self.image.transfer_poll(*why, || self.write_poll());
        }
        self.write_poll()
    }

    fn write_stream(&self) -> Bytes {
        let mut out = Vec::new();
        self.with_events(|event| {
            write_event(&mut out, &event)
                .unwrap_or_else(|error| unreachable!("what is written is JSON already: {error}"));
        });
        out.into()
    }

    fn write_poll(&self) -> Arc<Packed> {
        // In one piece: a list has commas between its elements.
        let (mut out, mut first) = (b"{\"events\":[".to_vec(), true);
        self.with_events(|event| {
            let mut body = Vec::new();
            write_poll(&mut body, [event])
                .unwrap_or_else(|error| unreachable!("what is written is JSON already: {error}"));
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.extend_from_slice(&body[b"{\"events\":[".len()..body.len() - b"]}".len()]);
        });
        out.extend_from_slice(b"]}");
        Arc::new(Packed::new(out))
    }

    /// Hands each event on, in order.
    fn with_events(&self, mut write: impl FnMut(Event<'_, RawValue>)) {
        let (code, reason) = match &self.contents {
            Contents::Nothing => (IntentCode::None, "up-to-date"),
            Contents::Changes(_) => (IntentCode::TransferChanges, "stale"),
            Contents::Everything(WhyEverything::NothingHeld) => (IntentCode::TransferFull, "payload-missing"),
            Contents::Everything(WhyEverything::CannotCatchUp) => (IntentCode::TransferFull, "cant-catchup"),
        };
        let intent = Intent { id: &self.payload_id, target: self.moment.sequence, code, reason };
        write(Event::ServerIntent(&[intent]));
        match &self.contents {
            Contents::Nothing => return,
            Contents::Changes(changes) => {
                for Changed { kind, key, version, json } in changes {
                    write_item(kind.on_the_wire(), key, *version, json.as_ref(), &mut write);
                }
            }
            Contents::Everything(_) => {
                let (segments, flags) = (self.image.segments(), self.image.flags());
                for (kind, items) in [(WireKind::Segment, segments), (WireKind::Flag, flags)] {
                    for (key, item) in items {
                        write_item(kind, key, item.version, Some(&item.json), &mut write);
                    }
                }
            }
        }
        let state = selector(&self.payload_id, self.moment);
        write(Event::PayloadTransferred { state: &state, version: self.moment.sequence });
    }
}

impl Change {
    /// A change as second-generation delivery sends it, complete with the version it leads to. Changes come
    /// in the order of their versions.
    pub(super) fn transferred(changed: &[Changed], payload_id: &str, moment: Moment) -> Bytes {
        message(|out| {
            let mut result = Ok(());
            for Changed { kind, key, version, json } in changed {
                write_item(kind.on_the_wire(), key, *version, json.as_ref(), &mut |event| {
                    result =
                        std::mem::replace(&mut result, Ok(())).and_then(|()| write_event(&mut *out, &event));
                });
            }
            result?;
            let (state, version) = (selector(payload_id, moment), moment.sequence);
            write_event::<RawValue>(out, &Event::PayloadTransferred { state: &state, version })
        })
    }
}

fn write_item(
    kind: WireKind,
    key: &str,
    version: u64,
    json: Option<&Bytes>,
    write: &mut impl FnMut(Event<'_, RawValue>),
) {
    match json {
        None => write(Event::DeleteObject { kind, key, version }),
        Some(json) => {
            let object: &RawValue = serde_json::from_slice(json)
                .unwrap_or_else(|error| unreachable!("an item is JSON of our own: {error}"));
            write(Event::PutObject { kind, key, version, object });
        }
    }
}

/// By what a client says what it holds. Clients do not look into it.
pub(crate) fn selector(payload_id: &str, moment: Moment) -> String {
    format!("(p:{payload_id}:{moment})")
}

/// The moment that a selector of this payload names.
pub(crate) fn moment_in(selector: &str, payload_id: &str) -> Option<Moment> {
    let (own, moment) = selector.strip_prefix("(p:")?.strip_suffix(')')?.rsplit_once(':')?;
    if own == payload_id { moment.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_understood_for_its_own_payload_alone() {
        let moment = Moment { sequence: 53, stamp: 7 };
        let state = selector("a:b", moment);
        assert_eq!(moment_in(&state, "a:b"), Some(moment));
        for (state, payload_id) in
            [(&*state, "a"), ("(p:a:b:x)", "a:b"), ("", "a:b"), ("(p:53)", ""), ("53", "")]
        {
            assert_eq!(moment_in(state, payload_id), None, "{state}");
        }
    }
}

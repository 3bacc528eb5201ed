//! How a relay's environments keep up with upstream: with what was received there, as it was written.
//!
//! Items have upstream's versions, so what subscribers are sent must never depend on a version that is not
//! greater than one they have had: then everything is sent anew, which counts whatever the versions.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use flagstaff_eval::{DataSet, SharedDataSet};
use serde_json::Value;

use super::{
    About, Change, Changed, Deleted, Item, LiveEnvironment, MOST_BEHIND, Moment, Moments, News, Part, State,
    Subject,
};
use crate::store::change_log::ItemKind;

/// An item as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// What it is.
    pub kind: ItemKind,
    /// Its key.
    pub key: Arc<str>,
    /// Upstream's version of it, or of its deletion.
    pub version: u64,
    /// Its JSON, as it was written; none if it is deleted.
    pub json: Option<Bytes>,
}

/// What a received item is, beside what was sent before.
enum Step {
    /// It was sent already.
    Known,
    /// It can be sent as a change.
    Change,
    /// A change would not count, or not everywhere.
    Anew,
}

impl LiveEnvironment {
    /// One of which nothing is known yet. `part` tells it from the whole, if it is a part of an environment.
    pub fn awaiting(about: About, part: Option<&str>) -> Self {
        let mark = part.map(|part| format!("~{part}")).unwrap_or_default();
        let part = Part { instance: mark.clone(), mark };
        let state = State::nothing_at(about.environment.sequence.into());
        Self::of(Arc::new(about), part, SharedDataSet::new(DataSet::default()), state)
    }

    /// Upstream calls it by this id.
    pub fn is_called(&self, id: &str) {
        if self.upstream_id.load().as_ref().is_none_or(|known| **known != id) {
            self.upstream_id.store(Some(Arc::new(id.to_owned())));
        }
    }

    /// There are these items and no others. `data` is what they make together.
    ///
    /// Nothing is sent of what is known already. The rest is sent as changes if these count with everybody, and
    /// else everything is sent anew.
    pub fn receive_everything(&self, data: &DataSet, items: Vec<Received>) {
        let mut state = self.state();
        let mut changes = Vec::new();
        let mut anew = !state.is_initialized;
        for item in &items {
            match state.step(item) {
                Step::Known => {}
                Step::Change => changes.push(item.clone()),
                Step::Anew => anew = true,
            }
        }
        // Of what is not there any more the version of its deletion is not known.
        let there: HashSet<(ItemKind, &Arc<str>)> = items.iter().map(|item| (item.kind, &item.key)).collect();
        let known = [ItemKind::Flag, ItemKind::Segment]
            .into_iter()
            .flat_map(|kind| state.items(kind).keys().map(move |key| (kind, key)).collect::<Vec<_>>());
        anew |= known.into_iter().any(|known| !there.contains(&known));
        if anew {
            self.start_over(&mut state, data, items);
        } else {
            self.send(&mut state, data, changes);
        }
    }

    /// These items are others now. `data` is what all items make together.
    pub fn receive(&self, data: &DataSet, items: Vec<Received>) {
        let mut state = self.state();
        let mut changes = Vec::new();
        let mut anew = false;
        for item in items {
            match state.step(&item) {
                Step::Known => continue,
                Step::Change => {}
                Step::Anew => anew = true,
            }
            changes.push(item);
        }
        if !state.is_initialized {
            // Kept for when everything comes: this alone is not what the environment is.
            return;
        }
        if anew {
            for item in changes {
                state.take(item);
            }
            self.data.replace(data.clone());
            self.everything_is_new(&mut state);
        } else {
            self.send(&mut state, data, changes);
        }
    }

    /// Takes over what there is, and has it sent anew.
    fn start_over(&self, state: &mut State, data: &DataSet, items: Vec<Received>) {
        state.flags.clear();
        state.segments.clear();
        state.deleted.clear();
        for item in items {
            state.take(item);
        }
        state.is_initialized = true;
        self.data.replace(data.clone());
        self.everything_is_new(state);
    }

    fn everything_is_new(&self, state: &mut State) {
        // What was sent before is no basis to go on from.
        state.moments = Moments::since(state.next());
        state.image = None;
        self.tell(News::Everything);
    }

    /// Takes over changes, and has them sent; all at once if they are more than a subscriber may be behind.
    fn send(&self, state: &mut State, data: &DataSet, changes: Vec<Received>) {
        if changes.is_empty() {
            return;
        }
        let items = changes.iter().map(|item| (item.kind, &*item.key));
        let subject = Subject::new(items, &self.data.load());
        self.data.replace(data.clone());
        state.image = None;
        if changes.len() >= MOST_BEHIND {
            changes.into_iter().for_each(|item| state.take(item));
            return self.everything_is_new(state);
        }
        let moment = state.next();
        state.pass(moment);
        let changed: Vec<_> = changes.iter().map(Received::changed).collect();
        changes.into_iter().for_each(|item| state.take(item));
        self.tell(News::Change(Change::of(&changed, &self.payload_id(), moment, subject)));
    }
}

impl State {
    /// What a received item is, beside what was sent before.
    fn step(&self, item: &Received) -> Step {
        if let Some(known) = self.items(item.kind).get(&item.key) {
            return match &item.json {
                _ if known.version < item.version => Step::Change,
                Some(json) if known.version == item.version && is_same(&known.json, json) => Step::Known,
                _ => Step::Anew,
            };
        }
        match (self.deleted.get(&(item.kind, item.key.clone())), &item.json) {
            (None, Some(_)) => Step::Change,
            // Nobody was ever sent it, so nobody has to be told that it is gone; but an older version of it
            // may still come late, and must stay dead.
            (None, None) => Step::Change,
            (Some(known), None) if item.version <= known.version => Step::Known,
            (Some(known), _) if known.version < item.version => Step::Change,
            _ => Step::Anew,
        }
    }

    /// The moment after this one. There are no others with its number: a relay's lineage is of one process.
    fn next(&self) -> Moment {
        (self.moments.now().sequence + 1).into()
    }

    fn take(&mut self, item: Received) {
        let Received { kind, key, version, json } = item;
        let sequence = self.moments.now().sequence;
        match json {
            Some(json) => self.put(kind, &key, Item { version, sequence, json }),
            None => self.delete(kind, &key, Deleted { version, sequence }),
        }
    }
}

impl Received {
    fn changed(&self) -> Changed {
        Changed { kind: self.kind, key: self.key.clone(), version: self.version, json: self.json.clone() }
    }
}

/// Whether two texts say the same.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let read = |json| serde_json::from_slice::<Value>(json).ok();
    one == other || read(one).zip(read(other)).is_some_and(|(one, other)| one == other)
}

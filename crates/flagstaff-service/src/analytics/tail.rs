//! The newest events of each environment as they came in, for whoever watches: in memory, of this process alone,
//! and never more than a little. Nothing is read or taken apart until somebody looks.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flagstaff_wire::received::{ReceivedEvent, ReceivedMember, first_events};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Analytics;
use crate::store::EnvironmentId;

/// How many batches of an environment are held, and how many bytes of them.
const MOST_BATCHES: usize = 64;
const MOST_BYTES: usize = 256 * 1024;

/// Of a batch larger than this, so many bytes are held: the busiest program is to be seen, too, and not alone.
const LARGE: usize = MOST_BYTES / 8;

/// Of how many environments; those in which nothing happened for longest go first.
const MOST_ENVIRONMENTS: usize = 64;

/// The newest batches of each environment.
#[derive(Debug, Default)]
pub struct Tail(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    environments: HashMap<i64, VecDeque<Batch>>,
}

#[derive(Clone, Debug)]
struct Batch {
    number: u64,
    received_ms: i64,
    body: Bytes,
}

/// Where an event stands: the number of its batch, and its place in it. It says nothing to another process.
pub type EventPlace = (u64, usize);

/// An event as it came in.
#[derive(Clone, Debug)]
pub struct TailEvent {
    /// Where it stands.
    pub place: EventPlace,
    /// When it came.
    pub received_ms: i64,
    /// The whole of it; what is private was taken out if the sender had not done so.
    pub event: Map<String, Value>,
}

impl Tail {
    /// Holds a batch for a while, or the beginning of a large one.
    pub(super) fn note(&self, environment_id: i64, received_ms: i64, body: &Bytes) {
        let body = if body.len() > LARGE { &beginning(body) } else { body };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next;
        state.next += 1;
        let batches = state.environments.entry(environment_id).or_default();
        batches.push_back(Batch { number, received_ms, body: body.clone() });
        let mut bytes: usize = batches.iter().map(|batch| batch.body.len()).sum();
        while batches.len() > MOST_BATCHES || bytes > MOST_BYTES {
            bytes -= batches.pop_front().map_or(0, |batch| batch.body.len());
        }
        if state.environments.len() > MOST_ENVIRONMENTS {
            let newest = |batches: &VecDeque<Batch>| batches.back().map_or(0, |batch| batch.number);
            let quietest =
                state.environments.iter().min_by_key(|(_, batches)| newest(batches)).map(|(id, _)| *id);
            quietest.map(|id| state.environments.remove(&id));
        }
    }

    /// Forgets what came for an environment.
    pub(super) fn forget(&self, environment_id: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).environments.remove(&environment_id);
    }

    fn batches(&self, environment: EnvironmentId) -> Vec<Batch> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .environments
            .get(&environment.0)
            .map(|batches| batches.iter().cloned().collect())
            .unwrap_or_default()
    }
}

impl Analytics {
    /// The newest events of an environment that `wanted` wants, the newest first, `most` of them.
    pub fn newest_events(
        &self,
        environment: EnvironmentId,
        most: usize,
        wanted: impl Fn(&TailEvent) -> bool,
    ) -> Vec<TailEvent> {
        let batches = self.tail.batches(environment);
        let events = batches.iter().rev().flat_map(|batch| events_of(batch).into_iter().rev());
        events.filter(wanted).take(most).collect()
    }

    /// One of those, if it is still held.
    pub fn newest_event(&self, environment: EnvironmentId, place: EventPlace) -> Option<TailEvent> {
        let batch = self.tail.batches(environment).into_iter().find(|batch| batch.number == place.0)?;
        events_of(&batch).into_iter().find(|event| event.place == place)
    }
}

/// The first events of a large batch, as many as are held of it.
fn beginning(body: &[u8]) -> Bytes {
    let events: Vec<&str> = first_events(body, LARGE).into_iter().map(RawValue::get).collect();
    format!("[{}]", events.join(",")).into()
}

fn events_of(batch: &Batch) -> Vec<TailEvent> {
    // The door has seen that it is an array of objects.
    let raw: Vec<&RawValue> = serde_json::from_slice(&batch.body).unwrap_or_default();
    let read = |(index, raw): (usize, &&RawValue)| {
        let mut event: Map<String, Value> = serde_json::from_str(raw.get()).ok()?;
        take_out_private(&mut event, raw);
        Some(TailEvent { place: (batch.number, index), received_ms: batch.received_ms, event })
    };
    raw.iter().enumerate().filter_map(read).collect()
}

/// Shows contexts as they would be stored. What cannot be read as an event shows nobody at all.
fn take_out_private(event: &mut Map<String, Value>, raw: &RawValue) {
    use flagstaff_wire::received::About;

    if !event.contains_key("context") && !event.contains_key("user") {
        return;
    }
    let members = match serde_json::from_str::<ReceivedEvent<'_>>(raw.get()).map(|event| event.about) {
        Ok(About::Context(context)) => ReceivedMember::of_context(context),
        Ok(About::User(user)) => ReceivedMember::of_user(user).into_iter().collect(),
        _ => Vec::new(),
    };
    event.remove("context");
    event.remove("user");
    let shown = match <[ReceivedMember; 1]>::try_from(members) {
        Ok([member]) => shown(member, true),
        Err(members) => {
            let kinds = members.into_iter().map(|member| (member.kind.clone(), shown(member, false)));
            Value::Object(Map::from_iter([("kind".to_owned(), "multi".into())].into_iter().chain(kinds)))
        }
    };
    event.insert("context".to_owned(), shown);
}

fn shown(member: ReceivedMember, with_kind: bool) -> Value {
    let mut shown = Map::new();
    if with_kind {
        shown.insert("kind".to_owned(), member.kind.into());
    }
    shown.insert("key".to_owned(), member.key.into());
    if member.anonymous {
        shown.insert("anonymous".to_owned(), true.into());
    }
    shown.extend(member.attributes);
    if !member.redacted.is_empty() {
        shown.insert("_meta".to_owned(), json!({"redactedAttributes": member.redacted}));
    }
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(events: &Value) -> Batch {
        Batch { number: 7, received_ms: 1, body: events.to_string().into() }
    }

    #[test]
    fn what_is_private_is_not_shown_whether_or_not_the_sender_took_it_out() {
        let events = events_of(&batch(&json!([
            {"kind": "identify", "context": {"kind": "user", "key": "a", "name": "A", "secret": 1,
                "_meta": {"privateAttributes": ["secret"]}}},
            {"kind": "identify", "user": {"key": "b", "custom": {"secret": 1}, "privateAttrs": ["secret"]}},
            {"kind": "identify", "context": {"kind": "multi", "user": {"key": "c"},
                "org": {"key": "d", "secret": 1, "_meta": {"privateAttributes": ["secret"]}}}},
            {"kind": "identify", "context": {"secret": 1}},
        ])));
        let texts: Vec<String> =
            events.iter().map(|event| Value::Object(event.event.clone()).to_string()).collect();
        assert_eq!(events.len(), 4);
        assert_eq!(events[3].place, (7, 3));
        assert!(texts.iter().all(|text| !text.contains("\"secret\":1")), "{texts:#?}");
        assert!(
            texts[0].contains("\"redactedAttributes\":[\"secret\"]") && texts[0].contains("\"name\":\"A\"")
        );
        assert!(texts[2].contains("\"kind\":\"multi\"") && texts[2].contains("\"d\""), "{}", texts[2]);
    }

    #[test]
    fn of_a_large_batch_the_first_events_are_held() {
        let tail = Tail::default();
        let event = json!({"kind": "custom", "key": "bought", "contextKeys": {"user": "ada"}});
        let large = Value::from(vec![event; 20_000]).to_string();
        assert!(large.len() > MOST_BYTES);
        for _ in 0..2 {
            tail.note(1, 0, &Bytes::from(large.clone()));
        }
        let batches = tail.batches(EnvironmentId(1));
        assert_eq!(batches.len(), 2);
        for batch in batches {
            assert!(batch.body.len() <= LARGE + LARGE / 8, "{}", batch.body.len());
            assert!(events_of(&batch).len() > 100);
        }
    }

    #[test]
    fn little_is_held_however_much_comes() {
        let tail = Tail::default();
        for environment in 0..2 * MOST_ENVIRONMENTS as i64 {
            for _ in 0..2 * MOST_BATCHES {
                tail.note(environment, 0, &Bytes::from(vec![b' '; LARGE / 2]));
            }
        }
        let state = tail.0.lock().unwrap();
        assert_eq!(state.environments.len(), MOST_ENVIRONMENTS);
        assert!(state.environments.contains_key(&(2 * MOST_ENVIRONMENTS as i64 - 1)), "the newest is held");
        assert!(state.environments.values().all(|batches| batches.len() == 16));
    }
}

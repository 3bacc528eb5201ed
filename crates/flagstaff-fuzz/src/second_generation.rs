//! Second-generation delivery: pieces, whole streams and polls lead to the same outcomes, and a
//! transfer counts whole or not at all.

use std::collections::HashMap;

use flagstaff_eval::model::{Flag, Segment};
use flagstaff_eval::{DataSet, Value};
use flagstaff_wire::fdv2::{Change, ChangeSet, ChangedItem, Outcome, Protocol, StreamReader, read_poll};
use flagstaff_wire::sse::SseParser;
use serde_json::json;

use crate::flag;

/// The input is what a connection brings until it ends.
pub(crate) fn check(input: &[u8]) {
    let (outcomes, failed) = read_in_pieces(input, input.len().max(1), false);
    for size in [1, 3, 64] {
        let (again, failed_again) = read_in_pieces(input, size, true);
        assert_eq!((described(&again), failed_again), (described(&outcomes), failed), "in pieces of {size}");
        again.iter().for_each(kept_json_is_the_item);
    }
    same_by_poll(input, &outcomes, failed);
    apply(&outcomes);
}

/// The outcomes up to the first error, and whether there was one.
fn read_in_pieces(input: &[u8], size: usize, keep_json: bool) -> (Vec<Outcome>, bool) {
    let mut reader = StreamReader::new(SseParser::default(), Protocol::default().keeping_json(keep_json));
    let mut outcomes = Vec::new();
    for piece in input.chunks(size) {
        for outcome in reader.feed(piece).expect("no input is as long as the limit") {
            match outcome {
                Ok(outcome) => outcomes.push(outcome),
                Err(_) => return (outcomes, true),
            }
        }
    }
    (outcomes, false)
}

/// The same events in the body of a poll, if they can stand there.
fn same_by_poll(input: &[u8], outcomes: &[Outcome], failed: bool) {
    let mut events = Vec::new();
    SseParser::default().feed(input, &mut events).expect("no input is as long as the limit");
    let polled: Option<Vec<Value>> = events
        .iter()
        .map(|event| {
            // What no `Value` can hold as it stands is left to the stream.
            let data: Value = serde_json::from_slice(event.data()).ok()?;
            (data.to_string().as_bytes() == event.data())
                .then(|| json!({"event": event.name(), "data": data}))
        })
        .collect();
    let Some(polled) = polled else { return };
    match read_poll(json!({ "events": polled }).to_string().as_bytes(), Protocol::default()) {
        Ok(by_poll) => {
            assert!(!failed, "a poll takes what a stream does not");
            assert_eq!(described(&by_poll), described(outcomes));
        }
        Err(error) => assert!(failed, "a stream takes what a poll does not: {error}"),
    }
}

/// What of an outcome can be compared.
fn described(outcomes: &[Outcome]) -> Vec<String> {
    let item = |change: &Change| match &change.item {
        ChangedItem::Flag(entry) => {
            format!("flag {} {} {}", entry.key(), entry.version(), entry.live().is_some())
        }
        ChangedItem::Segment(entry) => {
            format!("segment {} {} {}", entry.key(), entry.version(), entry.live().is_some())
        }
    };
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Transferred(ChangeSet { is_full, changes, selector, .. }) => {
                format!("{is_full} {selector:?} {:?}", changes.iter().map(item).collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        })
        .collect()
}

fn kept_json_is_the_item(outcome: &Outcome) {
    let Outcome::Transferred(transfer) = outcome else { return };
    for change in &transfer.changes {
        let json = change.json.as_deref();
        let is_kept = match &change.item {
            ChangedItem::Flag(entry) if entry.live().is_some() => {
                json.is_some_and(|json| serde_json::from_str::<Flag>(json).is_ok())
            }
            ChangedItem::Segment(entry) if entry.live().is_some() => {
                json.is_some_and(|json| serde_json::from_str::<Segment>(json).is_ok())
            }
            _ => true,
        };
        assert!(is_kept, "`{}`: {json:?}", change.item.key());
    }
}

/// Puts each transfer in force: the last that came of each item is there, and nothing else.
fn apply(outcomes: &[Outcome]) {
    type Versions = HashMap<String, (u64, bool)>;
    let mut data = DataSet::default();
    let (mut flags, mut segments) = (Versions::new(), Versions::new());
    for outcome in outcomes {
        let Outcome::Transferred(transfer) = outcome else { continue };
        if transfer.is_full {
            flags.clear();
            segments.clear();
        }
        for change in &transfer.changes {
            let key = change.item.key().to_owned();
            match &change.item {
                ChangedItem::Flag(entry) => flags.insert(key, (entry.version(), entry.live().is_some())),
                ChangedItem::Segment(entry) => {
                    segments.insert(key, (entry.version(), entry.live().is_some()))
                }
            };
        }
        data = transfer.applied_to(&data);
        let found: Versions = data
            .flag_entries()
            .map(|entry| (entry.key().to_owned(), (entry.version(), entry.live().is_some())))
            .collect();
        assert_eq!(found, flags);
        let found: Versions = data
            .segment_entries()
            .map(|entry| (entry.key().to_owned(), (entry.version(), entry.live().is_some())))
            .collect();
        assert_eq!(found, segments);
    }
    flag::all_hold_together(&data);
}

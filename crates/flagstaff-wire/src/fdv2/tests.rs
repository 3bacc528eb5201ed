//! What each event does, what is refused, and that no cut of the network makes a difference.

use std::collections::BTreeMap;

use flagstaff_eval::DataSet;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::sse::SseParser;
use crate::stream::ItemKind;

/// What an outcome comes to, in one line.
fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::UpToDate => "up to date".to_owned(),
        Outcome::Transferred(set) => {
            let changes = set.changes.iter().map(|change| match &change.item {
                ChangedItem::Flag(entry) => {
                    let what = if entry.live().is_some() { "flag" } else { "no flag" };
                    format!(" {what} {}@{}", entry.key(), entry.version())
                }
                ChangedItem::Segment(entry) => {
                    let what = if entry.live().is_some() { "segment" } else { "no segment" };
                    format!(" {what} {}@{}", entry.key(), entry.version())
                }
            });
            let changes: String = changes.collect();
            let what = if set.is_full { "full" } else { "changes" };
            format!("{what}{changes} -> {}", set.selector.as_deref().unwrap_or("-"))
        }
        Outcome::Abandoned { reason } => format!("abandoned {reason}"),
        Outcome::Goodbye(goodbye) => format!("goodbye {}", goodbye.reason),
    }
}

/// Feeds lines of `event data`, and says what came of them; the last word is the error, if one came.
fn run(lines: &[&str]) -> Vec<String> {
    let mut protocol = Protocol::default();
    let mut found = Vec::new();
    for line in lines {
        let (event, data) = line.split_once(' ').unwrap_or((line, ""));
        match protocol.take(event, data.as_bytes()) {
            Ok(outcome) => found.extend(outcome.iter().map(told)),
            Err(error) => {
                found.push(match error {
                    ProtocolError::BadMessage(_) => "bad message".to_owned(),
                    other => other.to_string(),
                });
                return found;
            }
        }
    }
    found
}

const FULL: &str =
    r#"server-intent {"payloads":[{"id":"p","target":5,"intentCode":"xfer-full","reason":"x"}]}"#;
const CHANGES: &str = r#"server-intent {"payloads":[{"intentCode":"xfer-changes"}]}"#;
const NONE: &str =
    r#"server-intent {"payloads":[{"id":"p","target":5,"intentCode":"none","reason":"up-to-date"}]}"#;
const PUT: &str =
    r#"put-object {"version":1,"kind":"flag","key":"f","object":{"key":"f","version":1,"on":true}}"#;
const PUT_SEGMENT: &str =
    r#"put-object {"object":{"key":"s","version":2},"key":"s","kind":"segment","version":2}"#;
const DELETE: &str = r#"delete-object {"version":3,"kind":"flag","key":"f"}"#;
const DONE: &str = r#"payload-transferred {"state":"(p:p:5)","version":5}"#;

#[test]
fn a_full_transfer_is_given_once_it_is_complete() {
    assert_eq!(run(&[FULL, PUT, PUT_SEGMENT]), [""; 0]);
    assert_eq!(run(&[FULL, PUT, PUT_SEGMENT, DONE]), ["full flag f@1 segment s@2 -> (p:p:5)"]);
    assert_eq!(run(&[FULL, DONE]), ["full -> (p:p:5)"]);
}

#[test]
fn later_transfers_are_changes_and_need_no_new_intent() {
    assert_eq!(
        run(&[FULL, PUT, DONE, DELETE, DONE, PUT_SEGMENT, DONE]),
        ["full flag f@1 -> (p:p:5)", "changes no flag f@3 -> (p:p:5)", "changes segment s@2 -> (p:p:5)"]
    );
    assert_eq!(run(&[NONE, PUT, DONE]), ["up to date", "changes flag f@1 -> (p:p:5)"]);
    assert_eq!(run(&[CHANGES, PUT, DONE]), ["changes flag f@1 -> (p:p:5)"]);
}

#[test]
fn a_new_intent_begins_anew() {
    assert_eq!(run(&[FULL, PUT, CHANGES, PUT_SEGMENT, DONE]), ["changes segment s@2 -> (p:p:5)"]);
    assert_eq!(run(&[CHANGES, PUT, FULL, DONE]), ["full -> (p:p:5)"]);
    assert_eq!(run(&[CHANGES, PUT, NONE, DONE]), ["up to date", "changes -> (p:p:5)"]);
}

#[test]
fn an_error_forgets_what_came_and_keeps_the_intent() {
    for error in [
        r#"error {"payloadId":"p","reason":"sorry"}"#,
        r#"error {"payload_id":"p","reason":"sorry"}"#,
        r#"error {"id":"p","reason":"sorry","x":[]}"#,
    ] {
        assert_eq!(
            run(&[FULL, PUT, error, PUT_SEGMENT, DONE]),
            ["abandoned sorry", "full segment s@2 -> (p:p:5)"]
        );
    }
    assert_eq!(run(&["error {}", DONE]).last().unwrap(), &ProtocolError::Unannounced.to_string());
}

#[test]
fn a_goodbye_forgets_everything() {
    let goodbye = r#"goodbye {"reason":"restart","silent":true,"protocolFallbackTTL":90.0}"#;
    assert_eq!(
        run(&[FULL, PUT, goodbye, DONE]),
        ["goodbye restart", &ProtocolError::Unannounced.to_string()]
    );
    let mut protocol = Protocol::default();
    let Ok(Some(Outcome::Goodbye(read))) = protocol.take("goodbye", &goodbye.as_bytes()["goodbye ".len()..])
    else {
        panic!("no goodbye")
    };
    let expected = Goodbye {
        reason: "restart".to_owned(),
        silent: true,
        catastrophe: false,
        protocol_fallback_ttl: Some(90),
    };
    assert_eq!(read, expected);
    assert_eq!(run(&["goodbye {}"]), ["goodbye "]);
}

#[test]
fn what_is_not_known_is_passed_over() {
    for line in [
        "heart-beat {}",
        "heartbeat",
        "heart-beat not JSON",
        "new-thing {",
        "message 1",
        r#"put-object {"kind":"flag-eval","key":7}"#,
        r#"put-object {"version":1,"kind":"holdout","key":"h","object":[1]}"#,
        r#"delete-object {"kind":"holdout"}"#,
    ] {
        assert_eq!(run(&[FULL, PUT, line, DONE]), ["full flag f@1 -> (p:p:5)"], "{line}");
    }
}

#[test]
fn only_the_first_payload_counts_and_none_at_all_announces_nothing() {
    let two = r#"server-intent {"payloads":[{"intentCode":"none"},{"intentCode":7}]}"#;
    assert_eq!(run(&[two]), ["up to date"]);
    let nothing = r#"server-intent {"payloads":[]}"#;
    assert_eq!(run(&[nothing]), [""; 0]);
    assert_eq!(run(&[FULL, PUT, nothing, DONE]), [ProtocolError::Unannounced.to_string()]);
    assert_eq!(run(&[nothing, FULL, PUT, DONE]), ["full flag f@1 -> (p:p:5)"]);
}

#[test]
fn a_transfer_that_nothing_announced_is_an_error() {
    assert_eq!(run(&[DONE]), [ProtocolError::Unannounced.to_string()]);
    assert_eq!(run(&[PUT, DONE]), [ProtocolError::Unannounced.to_string()]);
    let unknown = r#"server-intent {"payloads":[{"intentCode":"xfer-some"}]}"#;
    let error = ProtocolError::UnknownIntent { code: "xfer-some".to_owned() };
    assert_eq!(run(&[unknown]), [error.to_string()]);
}

#[test]
fn what_is_known_must_be_right() {
    for line in [
        "server-intent",
        "server-intent {",
        "server-intent []",
        "server-intent {}",
        r#"server-intent {"payloads":{}}"#,
        r#"server-intent {"payloads":[{}]}"#,
        r#"server-intent {"payloads":[["xfer-full"]]}"#,
        r#"server-intent {"payloads":[{"intentCode":null}]}"#,
        r#"server-intent [[{"intentCode":"none"}]]"#,
        "put-object",
        "put-object 3",
        r#"put-object {"version":1,"key":"f","object":{}}"#,
        r#"put-object {"version":1,"kind":"flag","object":{}}"#,
        r#"put-object {"kind":"flag","key":"f","object":{}}"#,
        r#"put-object {"version":1,"kind":"flag","key":"f"}"#,
        r#"put-object {"version":1,"kind":"flag","key":"f","object":null}"#,
        r#"put-object {"version":1,"kind":"flag","key":"f","object":[]}"#,
        r#"put-object {"version":1,"kind":"flag","key":"f","object":{"on":"yes"}}"#,
        r#"put-object {"version":1,"kind":"segment","key":"f","object":{"rules":{}}}"#,
        r#"put-object {"version":"1","kind":"flag","key":"f","object":{}}"#,
        r#"put-object {"version":1.5,"kind":"flag","key":"f","object":{}}"#,
        r#"put-object {"version":-1,"kind":"flag","key":"f","object":{}}"#,
        r#"put-object {"version":1,"kind":"flag","key":7,"object":{}}"#,
        r#"put-object {"version":1,"kind":7,"key":"f","object":{}}"#,
        r#"delete-object {"kind":"flag","key":"f"}"#,
        r#"delete-object {"version":1,"kind":"flag"}"#,
        r#"delete-object {"version":1,"key":"f"}"#,
        r#"delete-object {"version":null,"kind":"flag","key":"f"}"#,
        "payload-transferred",
        "payload-transferred {}",
        r#"payload-transferred {"state":7}"#,
        r#"payload-transferred {"state":null,"version":1}"#,
        "error",
        r#"error {"reason":7}"#,
        "goodbye soon",
        r#"goodbye {"silent":"yes"}"#,
    ] {
        assert_eq!(run(&[FULL, PUT, line]), ["bad message"], "{line}");
    }
}

#[test]
fn after_an_error_nothing_is_left_of_a_transfer() {
    let mut protocol = Protocol::default();
    for line in [FULL, PUT] {
        let (event, data) = line.split_once(' ').unwrap();
        assert!(protocol.take(event, data.as_bytes()).unwrap().is_none());
    }
    protocol.take("put-object", b"{").unwrap_err();
    let error = protocol.take("payload-transferred", br#"{"state":"s"}"#).unwrap_err();
    assert!(matches!(error, ProtocolError::Unannounced), "{error}");
}

#[test]
fn a_transfer_without_a_state_has_no_selector() {
    assert_eq!(run(&[FULL, PUT, r#"payload-transferred {"state":""}"#]), ["full flag f@1 -> -"]);
}

#[test]
fn a_transfer_beyond_the_limit_is_an_error() {
    let (event, data) = PUT.split_once(' ').unwrap();
    let mut protocol = Protocol::default().with_limit(data.len() * 2);
    protocol.take(event, data.as_bytes()).unwrap();
    protocol.take(event, data.as_bytes()).unwrap();
    let error = protocol.take(event, data.as_bytes()).unwrap_err();
    assert!(matches!(error, ProtocolError::TooLong { .. }), "{error}");
    // What is forgotten does not count, and neither does what was transferred.
    let (intent, announced) = FULL.split_once(' ').unwrap();
    for _ in 0..5 {
        protocol.take(intent, announced.as_bytes()).unwrap();
        protocol.take(event, data.as_bytes()).unwrap();
        protocol.take("payload-transferred", br#"{"state":"s"}"#).unwrap();
    }
}

#[test]
fn the_key_outside_counts_and_the_version_inside_if_there_is_one() {
    let line = |object: &str| {
        format!(r#"put-object {{"version":7.0,"kind":"flag","key":"a\u00e4\"/","object":{object}}}"#)
    };
    for (object, version) in [
        (r#"{"key":"other","version":3}"#, 3),
        ("{}", 7),
        (r#"{"version":null}"#, 7),
        (r#"{"version":3,"deleted":true}"#, 3),
    ] {
        let what = if object.contains("deleted") { "no flag" } else { "flag" };
        let expected = format!("full {what} aä\"/@{version} -> (p:p:5)");
        assert_eq!(run(&[FULL, &line(object), DONE]), [expected], "{object}");
    }
}

#[test]
fn the_json_of_items_is_kept_if_it_is_asked_for() {
    let take = |keep: bool, object: &str| {
        let mut protocol = Protocol::default().keeping_json(keep);
        let data = format!(r#"{{"version":4,"kind":"segment","key":"s","object":{object}}}"#);
        let (intent, announced) = FULL.split_once(' ').unwrap();
        protocol.take(intent, announced.as_bytes()).unwrap();
        protocol.take("put-object", data.as_bytes()).unwrap();
        protocol.take("delete-object", br#"{"version":4,"kind":"flag","key":"f"}"#).unwrap();
        match protocol.take("payload-transferred", br#"{"state":"s","version":4}"#) {
            Ok(Some(Outcome::Transferred(set))) => {
                set.changes.into_iter().map(|change| change.json).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let object = r#"{"key":"s", "junk": [1e2], "version": 3}"#;
    assert_eq!(take(true, object), [Some(object.into()), None]);
    assert_eq!(take(false, object), [None, None]);
    // A store goes by the version inside, so there has to be one.
    assert_eq!(take(true, r#"{"key":"s"}"#)[0].as_deref(), Some(r#"{"key":"s","version":4}"#));
    // What cannot be written again, as half a character, is kept as it came.
    let half = r#"{"key":"s","x":"\ud800"}"#;
    assert_eq!(take(true, half)[0].as_deref(), Some(half));
}

#[test]
fn changes_are_put_in_force_whatever_the_versions() {
    let set = |lines: &[&str]| {
        let mut protocol = Protocol::default();
        let mut last = None;
        for line in lines {
            let (event, data) = line.split_once(' ').unwrap();
            last = protocol.take(event, data.as_bytes()).unwrap();
        }
        match last {
            Some(Outcome::Transferred(set)) => set,
            other => panic!("{other:?}"),
        }
    };
    let put = |key: &str, version: u64| {
        format!(r#"put-object {{"version":{version},"kind":"flag","key":"{key}","object":{{}}}}"#)
    };
    let before = set(&[FULL, &put("a", 9), &put("b", 9), PUT_SEGMENT, DONE]).applied_to(&DataSet::default());
    let lower = set(&[CHANGES, &put("a", 2), DELETE, DONE]).applied_to(&before);
    assert_eq!((lower.flag_version("a"), lower.flag_version("b")), (Some(2), Some(9)));
    assert!(lower.segment("s").is_some() && lower.flag("f").is_none());
    let full = set(&[FULL, &put("a", 1), DONE]).applied_to(&lower);
    assert_eq!(
        (full.flag_version("a"), full.flag_version("b"), full.flag_version("f")),
        (Some(1), None, None)
    );
    assert!(full.segment("s").is_none());
}

#[test]
fn a_poll_has_the_same_events() {
    let poll = |events: &str| {
        let body = format!(r#"{{"x":1,"events":[{events}]}}"#);
        read_poll(body.as_bytes(), Protocol::default())
            .map(|outcomes| outcomes.iter().map(told).collect::<Vec<_>>())
            .map_err(|error| error.to_string())
    };
    let event = |line: &str| {
        let (event, data) = line.split_once(' ').unwrap();
        format!(r#"{{"event":"{event}","data":{data}}}"#)
    };
    let all = [FULL, PUT, PUT_SEGMENT, DONE].map(event).join(",");
    assert_eq!(poll(&all).unwrap(), ["full flag f@1 segment s@2 -> (p:p:5)"]);
    assert_eq!(poll(&event(NONE)).unwrap(), ["up to date"]);
    assert_eq!(poll(r#"{"event":"heart-beat"}"#).unwrap(), [""; 0]);
    assert_eq!(poll("").unwrap(), [""; 0]);
    // Broken off: nothing of it counts.
    assert_eq!(poll(&[FULL, PUT].map(event).join(",")).unwrap(), [""; 0]);
    assert!(poll(&[FULL, PUT, DONE, "put-object {}"].map(event).join(",")).is_err());
    for body in [
        "",
        "{}",
        "[]",
        "[[]]",
        r#"{"events":null}"#,
        r#"{"events":[{"data":{}}]}"#,
        r#"{"events":[7]}"#,
        "\u{7f}",
    ] {
        assert!(read_poll(body.as_bytes(), Protocol::default()).is_err(), "{body:?}");
    }
    assert!(read_poll(b"{\"events\":[{\"event\":\"\xff\"}]}", Protocol::default()).is_err());
}

/// An event as a service has it.
type Owned = (&'static str, ItemKind, String, u64);

fn event<'a>(
    owned: &'a Owned,
    object: &'a Value,
    goodbye: &'a Goodbye,
    intents: &'a [Intent<'a>],
) -> Event<'a, Value> {
    let (name, kind, key, version) = owned;
    match *name {
        "put" => Event::PutObject { kind: *kind, key, version: *version, object },
        "delete" => Event::DeleteObject { kind: *kind, key, version: *version },
        "done" => Event::PayloadTransferred { state: key, version: *version },
        "error" => Event::Error { payload_id: "p", reason: key },
        "goodbye" => Event::Goodbye(goodbye),
        "beat" => Event::HeartBeat,
        _ => Event::ServerIntent(intents),
    }
}

#[test]
fn events_have_the_wire_form() {
    let written = |event: Event<Value>| {
        let mut out = Vec::new();
        write_event(&mut out, &event).unwrap();
        String::from_utf8(out).unwrap()
    };
    let flag = json!({"key": "f", "version": 12});
    let intent = Intent { id: "p1", target: 53, code: IntentCode::TransferFull, reason: "payload-missing" };
    let goodbye = Goodbye { reason: "bye".to_owned(), protocol_fallback_ttl: Some(60), ..Goodbye::default() };
    for (event, expected) in [
        (
            Event::ServerIntent(&[intent]),
            r#"{"payloads":[{"id":"p1","target":53,"intentCode":"xfer-full","reason":"payload-missing"}]}"#,
        ),
        (
            Event::PutObject { kind: ItemKind::Flag, key: "f", version: 12, object: &flag },
            r#"{"version":12,"kind":"flag","key":"f","object":{"key":"f","version":12}}"#,
        ),
        (
            Event::DeleteObject { kind: ItemKind::Segment, key: "s\n", version: 54 },
            r#"{"version":54,"kind":"segment","key":"s\n"}"#,
        ),
        (
            Event::PayloadTransferred { state: "(p:p1:54)", version: 54 },
            r#"{"state":"(p:p1:54)","version":54}"#,
        ),
        (Event::HeartBeat, "{}"),
        (Event::Error { payload_id: "p1", reason: "late" }, r#"{"payloadId":"p1","reason":"late"}"#),
        (
            Event::Goodbye(&goodbye),
            r#"{"reason":"bye","silent":false,"catastrophe":false,"protocolFallbackTTL":60}"#,
        ),
    ] {
        let name = event.name();
        assert_eq!(written(event), format!("event: {name}\ndata: {expected}\n\n"));
    }
}

/// Reads a stream in pieces of these sizes, over and over.
fn read_in_pieces(stream: &[u8], sizes: &[usize]) -> Vec<String> {
    let mut reader = StreamReader::new(SseParser::default(), Protocol::default());
    let mut found = Vec::new();
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        let (piece, later) = rest.split_at(rest.len().min(*size));
        for outcome in reader.feed(piece).unwrap() {
            match outcome {
                Ok(outcome) => found.push(told(&outcome)),
                Err(error) => {
                    found.push(error.to_string());
                    return found;
                }
            }
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    found
}

fn owned_events() -> impl Strategy<Value = Vec<Owned>> {
    let name = prop::sample::select(vec![
        "put", "put", "delete", "done", "error", "goodbye", "beat", "full", "changes", "none",
    ]);
    let kind = prop::sample::select(vec![ItemKind::Flag, ItemKind::Segment]);
    prop::collection::vec((name, kind, "[a-c\u{e4}\n\"]{1,2}", 1_u64..20), 0..30)
}

/// What a service means by its events: the state machine of the protocol, the plain way.
fn meant(events: &[Owned]) -> (BTreeMap<(bool, String), u64>, Option<String>) {
    let (mut data, mut selector) = (BTreeMap::new(), None);
    let (mut full, mut buffer) = (None, Vec::new());
    for (name, kind, key, version) in events {
        match *name {
            "put" | "delete" => {
                buffer.push((*name == "put", (*kind == ItemKind::Flag, key.clone()), *version))
            }
            "done" => {
                let Some(is_full) = full else { return (data, selector) };
                if is_full {
                    data.clear();
                }
                for (put, key, version) in buffer.drain(..) {
                    if put {
                        data.insert(key, version)
                    } else {
                        data.remove(&key)
                    };
                }
                (selector, full) = (Some(key.clone()), Some(false));
            }
            "beat" => {}
            "error" => buffer.clear(),
            "goodbye" => (full, buffer) = (None, Vec::new()),
            intent => (full, buffer) = (Some(intent == "full"), Vec::new()),
        }
    }
    (data, selector)
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was_meant(events in owned_events(), sizes in prop::collection::vec(1_usize..40, 1..8)) {
        let goodbye = Goodbye::default();
        let (mut stream, mut poll) = (Vec::new(), Vec::new());
        let objects: Vec<Value> =
            events.iter().map(|(_, _, key, version)| json!({"key": key, "version": version, "salt": "\r\n"})).collect();
        let intents: Vec<[Intent; 1]> = events
            .iter()
            .map(|(name, ..)| {
                let code = match *name {
                    "full" => IntentCode::TransferFull,
                    "changes" => IntentCode::TransferChanges,
                    _ => IntentCode::None,
                };
                [Intent { id: "p", target: 1, code, reason: "" }]
            })
            .collect();
        let borrowed = || events.iter().zip(&objects).zip(&intents).map(|((owned, object), intents)| event(owned, object, &goodbye, intents));
        for event in borrowed() {
            write_event(&mut stream, &event).unwrap();
        }
        write_poll(&mut poll, borrowed()).unwrap();

        let mut reader = StreamReader::default();
        let (mut data, mut selector) = (DataSet::default(), None);
        for outcome in reader.feed(&stream).unwrap() {
            match outcome {
                Ok(Outcome::Transferred(set)) => {
                    data = set.applied_to(&data);
                    selector = set.selector;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let mut found: BTreeMap<(bool, String), u64> =
            data.flags().map(|flag| ((true, flag.key().to_owned()), flag.version())).collect();
        found.extend(data.segments().map(|segment| ((false, segment.key().to_owned()), segment.version())));
        prop_assert_eq!((found, selector), meant(&events));

        // Neither does it matter where the network cuts, nor whether it is a stream or a poll.
        let whole = read_in_pieces(&stream, &[stream.len().max(1)]);
        prop_assert_eq!(&read_in_pieces(&stream, &sizes), &whole);
        match read_poll(&poll, Protocol::default()) {
            Ok(outcomes) => prop_assert_eq!(outcomes.iter().map(told).collect::<Vec<_>>(), whole),
            Err(error) => prop_assert_eq!(Some(&error.to_string()), whole.last()),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, name in "(server-intent|put-object|delete-object|payload-transferred|error|goodbye)") {
        // What it makes of them does not matter here.
        let _ = Protocol::default().keeping_json(true).take(&name, &bytes);
        let _ = read_poll(&bytes, Protocol::default());
        let _ = StreamReader::default().feed(&bytes).map(Iterator::count);
    }
}

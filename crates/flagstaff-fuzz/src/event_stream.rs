//! The stream: how the network cuts it makes no difference, events are what a plain reading of the
//! whole text says, and of each item the greatest version stays.

use std::collections::HashMap;

use flagstaff_eval::{DataSet, Entry, SharedDataSet};
use flagstaff_wire::sse::SseParser;
use flagstaff_wire::stream::{ItemKind, StreamMessage, item_texts};

use crate::flag;

/// What is left when a stream has been read.
#[derive(Debug, Default, PartialEq)]
struct Read {
    events: Vec<(String, Vec<u8>)>,
    last_id: Option<String>,
    retry_ms: Option<u64>,
}

/// The input is what a connection brings until it ends.
pub(crate) fn check(input: &[u8]) {
    let expected = plainly_read(input);
    for size in [1, 2, 3, 7, input.len().max(1)] {
        assert_eq!(read_in_pieces(input, size), expected, "in pieces of {size}");
    }
    apply(&expected.events);
}

fn read_in_pieces(input: &[u8], size: usize) -> Read {
    let mut parser = SseParser::default();
    let mut events = Vec::new();
    for piece in input.chunks(size) {
        parser.feed(piece, &mut events).expect("no input is as long as the limit");
    }
    Read {
        events: events.iter().map(|event| (event.name().to_owned(), event.data().to_owned())).collect(),
        last_id: parser.last_id().map(str::to_owned),
        retry_ms: parser.retry_ms(),
    }
}

/// Reads the whole text at once, line by line, as the standard for server-sent events words it.
fn plainly_read(input: &[u8]) -> Read {
    let mut read = Read::default();
    let mut name = String::new();
    let mut data: Option<Vec<u8>> = None;
    for line in lines(input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input)) {
        if line.is_empty() {
            let name = std::mem::take(&mut name);
            let name = if name.is_empty() { "message".to_owned() } else { name };
            read.events.extend(data.take().map(|data| (name, data)));
            continue;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || String::from_utf8_lossy(value).into_owned();
        match field {
            b"event" => name = text(),
            b"data" => match &mut data {
                Some(data) => data.extend([b"\n", value].concat()),
                None => data = Some(value.to_owned()),
            },
            b"id" if !value.contains(&0) => read.last_id = Some(text()).filter(|id| !id.is_empty()),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                read.retry_ms = text().parse().ok();
            }
            _ => {}
        }
    }
    read
}

/// The lines that have an end.
fn lines(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        lines.push(&rest[..end]);
        let after = if rest[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = &rest[after..];
    }
    lines
}

/// Puts everything in force up to the first message that cannot be read, as an SDK does.
fn apply(events: &[(String, Vec<u8>)]) {
    type Versions = HashMap<String, (u64, bool)>;
    let data = SharedDataSet::new(DataSet::default());
    let (mut flags, mut segments) = (Versions::new(), Versions::new());
    let newest = |known: &mut Versions, key: &str, version: u64, live: bool| {
        let is_newer = known.get(key).is_none_or(|(known, _)| version > *known);
        if is_newer {
            known.insert(key.to_owned(), (version, live));
        }
        is_newer
    };
    for (name, bytes) in events {
        let Ok(message) = StreamMessage::read(name, bytes) else { break };
        item_texts(name, bytes).expect("what can be read can be passed on");
        match message {
            Some(StreamMessage::Put(all)) => {
                let of = |entry: (&str, u64, bool)| (entry.0.to_owned(), (entry.1, entry.2));
                flags = all.flag_entries().map(|e| of((e.key(), e.version(), e.live().is_some()))).collect();
                segments =
                    all.segment_entries().map(|e| of((e.key(), e.version(), e.live().is_some()))).collect();
                data.replace(*all);
            }
            Some(StreamMessage::PatchFlag(key, flag)) => {
                let newer = newest(&mut flags, &key, flag.version, !flag.deleted);
                assert_eq!(data.upsert_flag(Entry::flag(&key, *flag)), newer, "flag `{key}`");
            }
            Some(StreamMessage::PatchSegment(key, segment)) => {
                let newer = newest(&mut segments, &key, segment.version, !segment.deleted);
                assert_eq!(data.upsert_segment(Entry::segment(&key, *segment)), newer, "segment `{key}`");
            }
            Some(StreamMessage::Delete { kind: ItemKind::Flag, key, version }) => {
                let newer = newest(&mut flags, &key, version, false);
                assert_eq!(data.upsert_flag(Entry::tombstone(&key, version)), newer, "flag `{key}`");
            }
            Some(StreamMessage::Delete { kind: ItemKind::Segment, key, version }) => {
                let newer = newest(&mut segments, &key, version, false);
                assert_eq!(data.upsert_segment(Entry::tombstone(&key, version)), newer, "segment `{key}`");
            }
            _ => {}
        }
    }
    let data = data.load();
    for (key, (version, live)) in &flags {
        assert_eq!(
            (data.flag_version(key), data.flag(key).is_some()),
            (Some(*version), *live),
            "flag `{key}`"
        );
    }
    for (key, (version, live)) in &segments {
        let found = (data.segment_version(key), data.segment(key).is_some());
        assert_eq!(found, (Some(*version), *live), "segment `{key}`");
    }
    assert_eq!((data.flag_entries().count(), data.segment_entries().count()), (flags.len(), segments.len()));
    flag::all_hold_together(&data);
}

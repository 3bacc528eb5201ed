//! What a payload looks like on disk.
//!
//! | Bytes | What |
//! |---|---|
//! | 1 | `P`, a payload, or `S`, one is settled |
//! | 4 | how many bytes follow the checksum |
//! | 4 | the checksum of the first byte and of these, CRC-32 |
//! | 8 | the payload's number |
//! | 4, and so many | of a payload: what is said of it, as JSON |
//! | the rest | of a payload: its body |
//!
//! Numbers are little-endian.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use flagstaff_service::live_environment::Audience;
use flagstaff_wire::headers;
use flate2::Crc;
use serde::{Deserialize, Serialize};

use crate::events::{Kind, Payload};

const PAYLOAD: u8 = b'P';
const SETTLED: u8 = b'S';
const HEAD: usize = 9;

/// A payload, and whose it is.
#[derive(Clone, Debug)]
pub(in crate::events) struct Record {
    /// The name of its environment.
    pub(in crate::events) environment: String,
    /// The payload without its body, as JSON.
    about: Vec<u8>,
    pub(in crate::events) body: Bytes,
}

#[derive(Serialize, Deserialize)]
struct About {
    environment: String,
    audience: Sender,
    kind: What,
    count: usize,
    headers: Vec<(String, String)>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sender {
    Server,
    Mobile,
    Browser,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Events,
    Diagnostic,
}

/// What a file says.
pub(super) enum Entry {
    Payload(u64, Record),
    Settled(u64),
}

impl Record {
    pub(in crate::events) fn of(environment: &str, payload: &Payload) -> Self {
        // Headers are bytes; each becomes the character of its number.
        let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        let headers = payload.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        let about = About {
            environment: environment.to_owned(),
            audience: match payload.audience {
                Audience::Server => Sender::Server,
                Audience::Mobile => Sender::Mobile,
                Audience::Browser => Sender::Browser,
            },
            kind: match payload.kind {
                Kind::Events => What::Events,
                Kind::Diagnostic => What::Diagnostic,
            },
            count: payload.count,
            headers: headers.collect(),
        };
        let about = serde_json::to_vec(&about).unwrap_or_else(|error| unreachable!("it has JSON: {error}"));
        Self { environment: environment.to_owned(), about, body: payload.body.clone() }
    }

    /// The payload; none if another version wrote it in a way that this one does not know.
    pub(in crate::events) fn payload(&self) -> Option<Payload> {
        let about: About = serde_json::from_slice(&self.about).ok()?;
        let value = |text: &str| {
            let bytes: Option<Vec<u8>> = text.chars().map(|character| u8::try_from(character).ok()).collect();
            HeaderValue::from_bytes(&bytes?).ok()
        };
        let mut headers = HeaderMap::new();
        for (name, text) in &about.headers {
            headers.insert(HeaderName::try_from(name).ok()?, value(text)?);
        }
        Some(Payload {
            audience: match about.audience {
                Sender::Server => Audience::Server,
                Sender::Mobile => Audience::Mobile,
                Sender::Browser => Audience::Browser,
            },
            kind: match about.kind {
                What::Events => Kind::Events,
                What::Diagnostic => Kind::Diagnostic,
            },
            headers,
            body: self.body.clone(),
            count: about.count,
        })
    }

    /// What two records of the same payload share, and no others: its id, if it has one.
    pub(super) fn identity(&self) -> (String, Vec<u8>) {
        let id = self.payload().and_then(|payload| payload.headers.get(headers::PAYLOAD_ID).cloned());
        let id = id.map_or_else(|| [&self.about[..], &self.body[..]].concat(), |id| id.as_bytes().to_owned());
        (self.environment.clone(), id)
    }

    /// Appends it, as a payload of this number.
    pub(super) fn write(&self, number: u64, out: &mut Vec<u8>) {
        let length = u32::try_from(self.about.len()).expect("headers are of a few KiB").to_le_bytes();
        write(PAYLOAD, &[&number.to_le_bytes(), &length, &self.about, &self.body], out);
    }
}

/// Appends that a payload is settled.
pub(super) fn write_settled(number: u64, out: &mut Vec<u8>) {
    write(SETTLED, &[&number.to_le_bytes()], out);
}

fn write(kind: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    let mut checksum = Crc::new();
    checksum.update(&[kind]);
    parts.iter().for_each(|part| checksum.update(part));
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length).expect("a body is of a few MiB");
    out.push(kind);
    out.extend(length.to_le_bytes());
    out.extend(checksum.sum().to_le_bytes());
    parts.iter().for_each(|part| out.extend(*part));
}

/// What a file says, up to where it says nothing that makes sense: its process was killed there.
pub(super) fn read(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((entry, rest)) = next(bytes) {
        entries.push(entry);
        bytes = rest;
    }
    entries
}

fn next(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let head = bytes.get(..HEAD)?;
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let length = usize::try_from(number(1)).ok()?;
    let contents = bytes[HEAD..].get(..length)?;
    let mut checksum = Crc::new();
    checksum.update(&head[..1]);
    checksum.update(contents);
    if checksum.sum() != number(5) {
        return None;
    }
    let (of, contents) = contents.split_first_chunk().map(|(of, rest)| (u64::from_le_bytes(*of), rest))?;
    let entry = match head[0] {
        SETTLED => Entry::Settled(of),
        PAYLOAD => Entry::Payload(of, record(contents)?),
        _ => return None,
    };
    Some((entry, &bytes[HEAD + length..]))
}

fn record(contents: &[u8]) -> Option<Record> {
    let (length, rest) = contents.split_first_chunk()?;
    let (about, body) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let environment = serde_json::from_slice::<About>(about).ok()?.environment;
    Some(Record { environment, about: about.to_owned(), body: Bytes::copy_from_slice(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(id: &str, body: &'static [u8]) -> Payload {
        let mut headers = HeaderMap::new();
        headers.insert(headers::PAYLOAD_ID, HeaderValue::try_from(id).unwrap());
        headers.insert("user-agent", HeaderValue::from_bytes(b"caf\xe9/1").unwrap());
        let body = Bytes::from_static(body);
        Payload { audience: Audience::Mobile, kind: Kind::Events, headers, body, count: 3 }
    }

    #[test]
    fn what_is_written_is_read_up_to_where_it_was_cut_off() {
        let mut bytes = Vec::new();
        let sent = payload("p1", b"\x00body");
        Record::of("one", &sent).write(7, &mut bytes);
        let first = bytes.len();
        write_settled(6, &mut bytes);
        let second = bytes.len();
        for length in 0..=bytes.len() {
            let entries = read(&bytes[..length]);
            assert_eq!(entries.len(), usize::from(length >= first) + usize::from(length >= second));
        }
        let entries = read(&bytes);
        let [Entry::Payload(7, record), Entry::Settled(6)] = &entries[..] else { panic!("two entries") };
        let read = record.payload().unwrap();
        assert_eq!((&*record.environment, &read.headers, &read.body), ("one", &sent.headers, &sent.body));
        assert_eq!((read.audience, read.kind, read.count), (Audience::Mobile, Kind::Events, 3));
    }

    #[test]
    fn whatever_bytes_are_there_nothing_is_made_up() {
        let mut bytes = Vec::new();
        Record::of("one", &payload("p1", b"body")).write(7, &mut bytes);
        for place in 0..bytes.len() {
            for flipped in [0x01, 0x55, PAYLOAD ^ SETTLED] {
                let mut other = bytes.clone();
                other[place] ^= flipped;
                assert!(read(&other).is_empty(), "byte {place}");
            }
        }
        assert!(read(&[PAYLOAD; 64]).is_empty());
    }

    #[test]
    fn a_payload_is_known_by_its_id() {
        let of = |id: &str, body| Record::of("one", &payload(id, body)).identity();
        assert_eq!(of("p1", b"a"), of("p1", b"b"));
        assert_ne!(of("p1", b"a"), of("p2", b"a"));
    }
}

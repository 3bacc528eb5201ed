//! Server-sent events: what an SDK reads from a stream, in whatever pieces the network delivers it,
//! and what a service writes.
//!
//! Source: the protocol's *SSE parsing*. Each byte is looked at once and copied once, also in an
//! event of many megabytes.

use serde::Serialize;

/// What a longer event than this is taken for: an attack, or a peer that is not a flag service.
pub const DEFAULT_LIMIT: usize = 256 << 20;

/// A buffer that grew beyond this is given back once its event is out.
const KEPT_CAPACITY: usize = 64 << 10;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct SseEvent {
    name: String,
    bytes: Vec<u8>,
    start: usize,
}

impl SseEvent {
    /// Its name; `message` if it has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data lines joined by LF, as they came: whoever reads them checks that they are UTF-8.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// The stream sent an event beyond the limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {limit} bytes")]
pub struct TooLong {
    /// The limit.
    pub limit: usize,
}

/// Reads events from the pieces of one connection.
#[derive(Debug)]
pub struct SseParser {
    limit: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The data so far begins at `start`; what stands before is the field name it came with.
    data: Vec<u8>,
    start: usize,
    has_data: bool,
    name: String,
    last_id: Option<String>,
    retry_ms: Option<u64>,
    /// The last byte was a CR: an LF now belongs to it.
    after_cr: bool,
    at_beginning: bool,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl SseParser {
    /// Refuses events of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            data: Vec::new(),
            start: 0,
            has_data: false,
            name: String::new(),
            last_id: None,
            retry_ms: None,
            after_cr: false,
            at_beginning: true,
        }
    }

    /// Begins with the id that the connection before ended with.
    pub fn resuming(last_id: Option<String>) -> Self {
        Self { last_id, ..Self::default() }
    }

    /// Takes the next piece and appends the events that it completes to `events`. What is still open
    /// when the connection ends is lost with it, as it should be.
    ///
    /// # Errors
    /// If an event is longer than the limit; the connection is of no use then.
    pub fn feed(&mut self, mut piece: &[u8], events: &mut Vec<SseEvent>) -> Result<(), TooLong> {
        while !piece.is_empty() {
            if std::mem::take(&mut self.after_cr) && piece[0] == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', piece);
            let in_line = end.unwrap_or(piece.len());
            if self.line.len() + self.data.len() + in_line > self.limit {
                return Err(TooLong { limit: self.limit });
            }
            self.line.extend_from_slice(&piece[..in_line]);
            let Some(end) = end else { break };
            self.after_cr = piece[end] == b'\r';
            piece = &piece[end + 1..];
            self.end_line(events);
        }
        Ok(())
    }

    /// How long the server wants its clients to wait before they come again.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// What to send as `Last-Event-ID` when coming again; none if the server took it back.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    fn end_line(&mut self, events: &mut Vec<SseEvent>) {
        if std::mem::take(&mut self.at_beginning) && self.line.starts_with(b"\xEF\xBB\xBF") {
            self.line.drain(..3);
        }
        if self.line.is_empty() {
            return self.dispatch(events);
        }
        let colon = memchr::memchr(b':', &self.line);
        let name_end = colon.unwrap_or(self.line.len());
        let value = match colon {
            Some(colon) if self.line.get(colon + 1) == Some(&b' ') => colon + 2,
            Some(colon) => colon + 1,
            None => self.line.len(),
        };
        match &self.line[..name_end] {
            b"data" if !self.has_data => {
                // The line becomes the data: megabytes are not copied again.
                std::mem::swap(&mut self.line, &mut self.data);
                self.start = value;
                self.has_data = true;
            }
            b"data" => {
                self.data.push(b'\n');
                self.data.extend_from_slice(&self.line[value..]);
            }
            b"event" => self.name = String::from_utf8_lossy(&self.line[value..]).into_owned(),
            b"id" if !self.line[value..].contains(&0) => {
                self.last_id = Some(String::from_utf8_lossy(&self.line[value..]).into_owned());
            }
            b"retry" => {
                let digits = &self.line[value..];
                if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
                    self.retry_ms = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                }
            }
            // A comment, or a field that is not known.
            _ => {}
        }
        self.line.clear();
        self.line.shrink_to(KEPT_CAPACITY);
    }

    fn dispatch(&mut self, events: &mut Vec<SseEvent>) {
        let name = std::mem::take(&mut self.name);
        if !std::mem::take(&mut self.has_data) {
            return;
        }
        events.push(SseEvent {
            name: if name.is_empty() { "message".to_owned() } else { name },
            bytes: std::mem::take(&mut self.data),
            start: std::mem::take(&mut self.start),
        });
    }
}

/// A comment that keeps the connection alive.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// Appends an event whose data is JSON.
///
/// # Errors
/// Only what serialising `data` fails with.
pub fn write_event<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    name: &str,
    data: &T,
) -> Result<(), serde_json::Error> {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let start = out.len();
    serde_json::to_writer(&mut *out, data)?;
    // JSON kept as it came in may be spread over lines; between its tokens a space means the same.
    let mut rest = &mut out[start..];
    while let Some(found) = memchr::memchr2(b'\n', b'\r', rest) {
        rest[found] = b' ';
        rest = &mut rest[found + 1..];
    }
    out.extend_from_slice(b"\n\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_in_pieces(text: &[u8], size: usize) -> Vec<(String, String)> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in text.chunks(size) {
            parser.feed(piece, &mut events).unwrap();
        }
        events
            .iter()
            .map(|event| (event.name().to_owned(), String::from_utf8_lossy(event.data()).into_owned()))
            .collect()
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        for size in [1, 2, 3, 7, text.len().max(1)] {
            let found = read_in_pieces(text.as_bytes(), size);
            let found: Vec<_> = found.iter().map(|(name, data)| (name.as_str(), data.as_str())).collect();
            assert_eq!(found, expected, "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn lines_end_with_lf_cr_or_both_wherever_they_are_split() {
        check("event: put\ndata: 1\n\n", &[("put", "1")]);
        check("event: put\rdata: 1\r\r", &[("put", "1")]);
        check("event: put\r\ndata: 1\r\n\r\ndata:2\r\n\r\n", &[("put", "1"), ("message", "2")]);
    }

    #[test]
    fn data_lines_are_joined_and_one_space_is_dropped() {
        check("data: a\ndata:  b\ndata\n\n", &[("message", "a\n b\n")]);
        check("data\n\n", &[("message", "")]);
        check("data: {\"ä\":\"€\"}\n\n", &[("message", "{\"ä\":\"€\"}")]);
    }

    #[test]
    fn what_has_no_data_or_no_end_is_no_event() {
        check("event: put\n\n", &[]);
        check("data: 1\n", &[]);
        check("data: 1", &[]);
        check("event: a\n\ndata: 1\n\n", &[("message", "1")]);
    }

    #[test]
    fn comments_unknown_fields_and_a_byte_order_mark_are_passed_over() {
        check("\u{feff}data: 1\n\n", &[("message", "1")]);
        check(":\n\n: hi\nother: x\ndata: 1\n\n", &[("message", "1")]);
        check("data: \u{feff}1\n\n", &[("message", "\u{feff}1")]);
    }

    #[test]
    fn id_and_retry_are_remembered() {
        let mut parser = SseParser::default();
        let mut feed = |text: &str| {
            parser.feed(text.as_bytes(), &mut Vec::new()).unwrap();
            (parser.last_id().map(str::to_owned), parser.retry_ms())
        };
        assert_eq!(feed("id: 7\nretry: 250\n"), (Some("7".to_owned()), Some(250)));
        assert_eq!(feed("id: a\0b\nretry: soon\n"), (Some("7".to_owned()), Some(250)));
        assert_eq!(feed("id\n"), (None, Some(250)));
    }

    #[test]
    fn an_event_beyond_the_limit_is_an_error() {
        let mut parser = SseParser::with_limit(10);
        assert_eq!(parser.feed(b"data: 1\n\ndata: 2\n\n", &mut Vec::new()), Ok(()));
        assert_eq!(parser.feed(b"data: 123456", &mut Vec::new()), Err(TooLong { limit: 10 }));
        // Neither do many short lines get past it.
        let mut parser = SseParser::with_limit(10);
        assert!(parser.feed(b"data:1\ndata:2\ndata:3\n", &mut Vec::new()).is_err());
    }

    #[test]
    fn a_large_event_in_small_pieces_is_whole() {
        let data = "x".repeat(3 << 20);
        let text = format!("event: put\ndata: {data}\n\n");
        assert_eq!(read_in_pieces(text.as_bytes(), 1000), [("put".to_owned(), data)]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut out = Vec::new();
        let spread: Box<serde_json::value::RawValue> = serde_json::from_str("{\n \"a\": 1\r\n}").unwrap();
        write_event(&mut out, "put", &spread).unwrap();
        out.extend_from_slice(HEARTBEAT);
        assert_eq!(read_in_pieces(&out, 5), [("put".to_owned(), "{  \"a\": 1  }".to_owned())]);
    }

    proptest::proptest! {
        #[test]
        fn where_the_network_cuts_makes_no_difference(
            text in "(event|data|id|retry|x|:|: |\\r|\\n|\\r\\n|\u{feff}|[a-z0-9]|\u{e4}){0,40}",
            cuts in proptest::collection::vec(1_usize..6, 1..20),
        ) {
            let whole = read_in_pieces(text.as_bytes(), text.len().max(1));
            let mut parser = SseParser::default();
            let mut events = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                let (piece, later) = rest.split_at(rest.len().min(*cut));
                parser.feed(piece, &mut events).unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let found: Vec<_> = events
                .iter()
                .map(|event| (event.name().to_owned(), String::from_utf8_lossy(event.data()).into_owned()))
                .collect();
            proptest::prop_assert_eq!(found, whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut events = Vec::new();
            // What it makes of them does not matter here.
            let _ = SseParser::with_limit(64).feed(&bytes, &mut events);
        }
    }
}

//! From bytes to outcomes: a stream in whatever pieces the network delivers it, and a poll at once.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Outcome, Protocol, ProtocolError};
use crate::full_data::read_object as object;
use crate::sse::{SseEvent, SseParser};
use crate::stream::BadMessage;

/// Reads one connection.
#[derive(Debug, Default)]
pub struct StreamReader {
    parser: SseParser,
    protocol: Protocol,
    events: Vec<SseEvent>,
}

impl StreamReader {
    /// A connection's reader. `protocol` is a new one: a transfer that a connection broke off is lost.
    pub fn new(parser: SseParser, protocol: Protocol) -> Self {
        Self { parser, protocol, events: Vec::new() }
    }

    /// Takes the next piece. The outcomes are worked out one by one as they are asked for, so that each
    /// can be put in force, and let go, before the next is made.
    ///
    /// # Errors
    /// If an event is too long; the connection is of no use then.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Outcomes<'_>, ProtocolError> {
        let fed = self.parser.feed(piece, &mut self.events);
        fed.map_err(|error| ProtocolError::TooLong { limit: error.limit })?;
        Ok(Outcomes { protocol: &mut self.protocol, events: self.events.drain(..) })
    }

    /// What the stream itself says: when to come again, and the id of its last event.
    pub fn parser(&self) -> &SseParser {
        &self.parser
    }
}

/// What the events of one piece lead to. After an error or a goodbye the connection is to be dropped.
#[derive(Debug)]
pub struct Outcomes<'r> {
    protocol: &'r mut Protocol,
    events: std::vec::Drain<'r, SseEvent>,
}

impl Iterator for Outcomes<'_> {
    type Item = Result<Outcome, ProtocolError>;

    fn next(&mut self) -> Option<Self::Item> {
        let protocol = &mut *self.protocol;
        self.events.find_map(|event| protocol.take(event.name(), event.data()).transpose())
    }
}

/// Reads the body of a poll: `{"events":[{"event":…,"data":…},…]}`. `protocol` is a new one.
///
/// # Errors
/// If it is not JSON, or JSON of another shape, or says what cannot be. Nothing of it counts then.
pub fn read_poll(body: &[u8], mut protocol: Protocol) -> Result<Vec<Outcome>, ProtocolError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        events: Vec<PolledEvent<'a>>,
    }
    #[derive(Deserialize)]
    struct PolledEvent<'a> {
        #[serde(borrow)]
        event: Cow<'a, str>,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    let body: Body = object(body).map_err(|source| BadMessage { event: "poll".to_owned(), source })?;
    let mut outcomes = Vec::new();
    for PolledEvent { event, data } in &body.events {
        let data = data.map_or("", RawValue::get);
        outcomes.extend(protocol.take(event, data.as_bytes())?);
    }
    Ok(outcomes)
}

//! What a service says in second-generation delivery, event by event.

use flagstaff_eval::Value;
use flagstaff_wire::fdv2::{Event, Goodbye, Intent, IntentCode, write_event, write_poll};
use flagstaff_wire::sse;
use flagstaff_wire::stream::ItemKind;
use serde_json::value::RawValue;

use crate::flags::FlagBuilder;

/// Events of second-generation delivery, for a stream or for the answer to a poll.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Fdv2Events {
    stream: Vec<u8>,
    poll: Vec<String>,
}

impl Fdv2Events {
    /// No events yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A complete transfer of everything: these flags.
    pub fn full(flags: impl IntoIterator<Item = FlagBuilder>, state: &str) -> Self {
        flags.into_iter().fold(Self::new().intent(IntentCode::TransferFull), Self::put).transferred(state)
    }

    /// A complete transfer of changes: these flags. It announces itself.
    pub fn changes(flags: impl IntoIterator<Item = FlagBuilder>, state: &str) -> Self {
        flags.into_iter().fold(Self::new().intent(IntentCode::TransferChanges), Self::put).transferred(state)
    }

    /// Says what follows.
    pub fn intent(self, code: IntentCode) -> Self {
        self.event(&Event::ServerIntent(&[Intent { id: "p", target: 1, code, reason: "test" }]))
    }

    /// A flag.
    ///
    /// # Panics
    /// If it has no version.
    pub fn put(self, flag: FlagBuilder) -> Self {
        let (key, object) = (flag.key().to_owned(), flag.build());
        let version = object["version"].as_u64().expect("a flag has a version");
        self.event(&Event::PutObject { kind: ItemKind::Flag, key: &key, version, object: &object })
    }

    /// A flag or segment in any form.
    pub fn put_object(self, kind: ItemKind, key: &str, version: u64, object: &Value) -> Self {
        self.event(&Event::PutObject { kind, key, version, object })
    }

    /// A flag was deleted.
    pub fn delete(self, key: &str, version: u64) -> Self {
        self.event(&Event::DeleteObject { kind: ItemKind::Flag, key, version })
    }

    /// The transfer is complete.
    pub fn transferred(self, state: &str) -> Self {
        self.event(&Event::PayloadTransferred { state, version: 1 })
    }

    /// The transfer is given up.
    pub fn error(self, reason: &str) -> Self {
        self.event(&Event::Error { payload_id: "p", reason })
    }

    /// The service takes its leave.
    pub fn goodbye(self, goodbye: &Goodbye) -> Self {
        self.event(&Event::Goodbye(goodbye))
    }

    /// An event of any name with any JSON.
    ///
    /// # Panics
    /// If `data` is not JSON: bytes that are not can be added to [`Fdv2Events::stream`].
    pub fn raw(mut self, name: &str, data: &str) -> Self {
        let json: &RawValue = serde_json::from_str(data).expect("the data is JSON");
        sse::write_event(&mut self.stream, name, json).expect("JSON can be written");
        self.poll.push(format!("{{\"event\":\"{name}\",\"data\":{data}}}"));
        self
    }

    /// These events and then those.
    pub fn then(mut self, later: Self) -> Self {
        self.stream.extend(later.stream);
        self.poll.extend(later.poll);
        self
    }

    /// The bytes of a stream.
    pub fn stream(&self) -> Vec<u8> {
        self.stream.clone()
    }

    /// The body of a poll's answer.
    pub fn poll(&self) -> String {
        format!("{{\"events\":[{}]}}", self.poll.join(","))
    }

    fn event(mut self, event: &Event<'_, Value>) -> Self {
        write_event(&mut self.stream, event).expect("JSON can be written");
        let mut body = Vec::new();
        write_poll(&mut body, [event.clone()]).expect("JSON can be written");
        let body = String::from_utf8(body).expect("JSON is UTF-8");
        let event = body.strip_prefix("{\"events\":[").and_then(|rest| rest.strip_suffix("]}"));
        self.poll.push(event.expect("a poll has a list of events").to_owned());
        self
    }
}

//! What an SDK reports of one step of a migration: the event `migration_op`.
//!
//! Source: the protocol's *Schema 4* and *Migrations*.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flagstaff_eval::{Context, Reason};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::redaction::{RedactedContext, Redaction};

/// The two systems of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The one that is left.
    Old,
    /// The one that is moved to.
    New,
}

/// What is done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Something is read.
    Read,
    /// Something is written.
    Write,
}

/// One value for each origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByOrigin<T> {
    /// For the old one.
    pub old: T,
    /// For the new one.
    pub new: T,
}

/// One step of a migration.
#[derive(Clone, Debug, PartialEq)]
pub struct MigrationOpEvent {
    /// When, Unix milliseconds.
    pub creation_date_ms: u64,
    /// What was done.
    pub operation: Operation,
    /// For whom.
    pub context: Arc<Context>,
    /// What decided how.
    pub evaluation: StageEvaluation,
    /// Which origins were called.
    pub invoked: ByOrigin<bool>,
    /// Whether both gave the same, if that was looked at.
    pub consistency: Option<Consistency>,
    /// How long they took, if that was measured.
    pub latency: ByOrigin<Option<Duration>>,
    /// Which of them failed.
    pub error: ByOrigin<bool>,
    /// One in so many is sent; 1 is not said.
    pub sampling_ratio: i64,
}

/// The evaluation of the flag that steers a migration.
#[derive(Clone, Debug, PartialEq)]
pub struct StageEvaluation {
    /// The flag's key.
    pub key: String,
    /// The flag's version; none if there is no such flag.
    pub version: Option<u64>,
    /// The variation index; none for the caller's default.
    pub variation: Option<usize>,
    /// The stage that was in force.
    pub value: &'static str,
    /// The caller's default.
    pub default: &'static str,
    /// Why.
    pub reason: Reason<'static>,
}

/// Whether both origins gave the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// Whether they did.
    pub consistent: bool,
    /// One in so many reads is looked at; 1 is not said.
    pub check_ratio: i64,
}

impl Origin {
    /// The wire spelling, `old` or `new`.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Old => "old",
            Origin::New => "new",
        }
    }
}

impl Operation {
    /// The wire spelling, `read` or `write`.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Write => "write",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl<T> ByOrigin<T> {
    /// The value for this origin.
    pub fn of(&self, origin: Origin) -> &T {
        match origin {
            Origin::Old => &self.old,
            Origin::New => &self.new,
        }
    }

    /// The value for this origin, to be changed.
    pub fn of_mut(&mut self, origin: Origin) -> &mut T {
        match origin {
            Origin::Old => &mut self.old,
            Origin::New => &mut self.new,
        }
    }
}

impl MigrationOpEvent {
    /// Writes all but the kind.
    pub(crate) fn write<M: SerializeMap>(&self, map: &mut M, redaction: &Redaction) -> Result<(), M::Error> {
        map.serialize_entry("creationDate", &self.creation_date_ms)?;
        map.serialize_entry("operation", self.operation.as_str())?;
        if self.sampling_ratio != 1 {
            map.serialize_entry("samplingRatio", &self.sampling_ratio)?;
        }
        let context = RedactedContext { context: &self.context, redaction, redact_anonymous: true };
        map.serialize_entry("context", &context)?;
        map.serialize_entry("evaluation", &self.evaluation)?;
        map.serialize_entry("measurements", &Measurements(self))
    }
}

impl Serialize for StageEvaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &self.key)?;
        if let Some(version) = self.version {
            map.serialize_entry("version", &version)?;
        }
        if let Some(variation) = self.variation {
            map.serialize_entry("variation", &variation)?;
        }
        map.serialize_entry("value", self.value)?;
        map.serialize_entry("default", self.default)?;
        map.serialize_entry("reason", &self.reason)?;
        map.end()
    }
}

/// The list of what was measured: what was not stays out.
struct Measurements<'e>(&'e MigrationOpEvent);

impl Serialize for Measurements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut list = serializer.serialize_seq(None)?;
        let truths =
            |of: ByOrigin<bool>| ByOrigin { old: of.old.then_some(true), new: of.new.then_some(true) };
        list.serialize_element(&Measurement { key: "invoked", values: truths(event.invoked) })?;
        if let Some(consistency) = event.consistency {
            list.serialize_element(&consistency)?;
        }
        let millis = |latency: Option<Duration>| latency.map(|latency| latency.as_secs_f64() * 1_000.0);
        let latency = ByOrigin { old: millis(event.latency.old), new: millis(event.latency.new) };
        if latency.old.or(latency.new).is_some() {
            list.serialize_element(&Measurement { key: "latency_ms", values: latency })?;
        }
        if event.error.old || event.error.new {
            list.serialize_element(&Measurement { key: "error", values: truths(event.error) })?;
        }
        list.end()
    }
}

/// Something that is said of each origin involved.
struct Measurement<T> {
    key: &'static str,
    values: ByOrigin<Option<T>>,
}

impl<T: Serialize> Serialize for Measurement<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("key", self.key)?;
        map.serialize_entry("values", &self.values)?;
        map.end()
    }
}

impl<T: Serialize> Serialize for ByOrigin<Option<T>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for origin in [Origin::Old, Origin::New] {
            if let Some(value) = self.of(origin) {
                map.serialize_entry(origin.as_str(), value)?;
            }
        }
        map.end()
    }
}

impl Serialize for Consistency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", "consistent")?;
        map.serialize_entry("value", &self.consistent)?;
        if self.check_ratio != 1 {
            map.serialize_entry("samplingRatio", &self.check_ratio)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::{ErrorKind, ReasonKind};
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{Batch, Event};

    fn written(event: MigrationOpEvent) -> Value {
        let batch = Batch { events: &[Event::MigrationOp(event)], redaction: &Redaction::default() };
        serde_json::to_value(batch).unwrap()
    }

    fn event() -> MigrationOpEvent {
        let context = json!({"kind": "user", "key": "u", "anonymous": true, "name": "U"});
        MigrationOpEvent {
            creation_date_ms: 1_700_000_000_000,
            operation: Operation::Read,
            context: Arc::new(Context::from_json(&context).unwrap()),
            evaluation: StageEvaluation {
                key: "m".to_owned(),
                version: Some(7),
                variation: Some(3),
                value: "live",
                default: "off",
                reason: ReasonKind::Fallthrough.into(),
            },
            invoked: ByOrigin { old: true, new: true },
            consistency: Some(Consistency { consistent: true, check_ratio: 10 }),
            latency: ByOrigin { old: Some(Duration::from_millis(12)), new: Some(Duration::from_micros(500)) },
            error: ByOrigin { old: false, new: true },
            sampling_ratio: 5,
        }
    }

    #[test]
    fn a_step_has_the_wire_form_and_an_anonymous_context_is_redacted_whole() {
        let context = json!({"kind": "user", "key": "u", "anonymous": true,
            "_meta": {"redactedAttributes": ["name"]}});
        assert_eq!(
            written(event()),
            json!([{"kind": "migration_op", "creationDate": 1_700_000_000_000_u64, "operation": "read",
                "samplingRatio": 5, "context": context,
                "evaluation": {"key": "m", "value": "live", "default": "off", "variation": 3, "version": 7,
                    "reason": {"kind": "FALLTHROUGH"}},
                "measurements": [{"key": "invoked", "values": {"old": true, "new": true}},
                    {"key": "consistent", "value": true, "samplingRatio": 10},
                    {"key": "latency_ms", "values": {"old": 12.0, "new": 0.5}},
                    {"key": "error", "values": {"new": true}}]}])
        );
    }

    #[test]
    fn what_was_not_measured_is_not_said() {
        let evaluation = StageEvaluation {
            version: None,
            variation: None,
            value: "off",
            reason: ErrorKind::FlagNotFound.into(),
            ..event().evaluation
        };
        let written = written(MigrationOpEvent {
            operation: Operation::Write,
            evaluation,
            invoked: ByOrigin { old: true, new: false },
            consistency: None,
            latency: ByOrigin::default(),
            error: ByOrigin::default(),
            sampling_ratio: 1,
            ..event()
        });
        assert_eq!(written[0]["measurements"], json!([{"key": "invoked", "values": {"old": true}}]));
        assert_eq!(
            written[0]["evaluation"],
            json!({"key": "m", "value": "off", "default": "off",
                "reason": {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}})
        );
        assert_eq!((&written[0]["operation"], written[0].get("samplingRatio")), (&json!("write"), None));
        let consistency = Consistency { consistent: false, check_ratio: 1 };
        assert_eq!(serde_json::to_value(consistency).unwrap(), json!({"key": "consistent", "value": false}));
    }
}

//! What an SDK reports of its evaluations: the event kinds of schema 4.
//!
//! Source: the protocol's *Schema 4*. Events are kept as they happened, with the whole context;
//! what is private is left out while [`Batch`] is written.

use std::sync::Arc;

use flagstaff_eval::{Context, Reason};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use crate::migration::MigrationOpEvent;
use crate::redaction::{RedactedContext, Redaction};
use crate::summary::Summary;

/// One event.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// One evaluation of a flag that is tracked or part of an experiment.
    Feature(FeatureEvent),
    /// One evaluation of a flag that is being debugged.
    Debug(FeatureEvent),
    /// A context that was not seen for a while.
    Index {
        /// When, Unix milliseconds.
        creation_date_ms: u64,
        /// The context.
        context: Arc<Context>,
    },
    /// A context that the program declared.
    Identify {
        /// When, Unix milliseconds.
        creation_date_ms: u64,
        /// The context.
        context: Arc<Context>,
    },
    /// A `track` call.
    Custom(CustomEvent),
    /// One step of a migration.
    MigrationOp(MigrationOpEvent),
    /// Counts of evaluations.
    Summary(Summary),
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureEvent {
    /// When, Unix milliseconds.
    pub creation_date_ms: u64,
    /// The flag's key.
    pub key: String,
    /// The flag's version; none if there is no such flag.
    pub version: Option<u64>,
    /// The variation index; none for the caller's default.
    pub variation: Option<usize>,
    /// The value the caller got.
    pub value: Value,
    /// The caller's default.
    pub default: Value,
    /// Why, if it is to be said.
    pub reason: Option<Reason<'static>>,
    /// The flag whose prerequisite this one is.
    pub prerequisite_of: Option<String>,
    /// One in so many is sent; 1 is not said.
    pub sampling_ratio: i64,
    /// For whom.
    pub context: Arc<Context>,
}

/// A `track` call.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomEvent {
    /// When, Unix milliseconds.
    pub creation_date_ms: u64,
    /// The event's key.
    pub key: String,
    /// What the program said with it; null is not said.
    pub data: Value,
    /// A number a metric can be made of.
    pub metric_value: Option<f64>,
    /// For whom.
    pub context: Arc<Context>,
}

/// Events as they are sent: a JSON array.
pub struct Batch<'a> {
    /// The events.
    pub events: &'a [Event],
    /// What of their contexts is left out.
    pub redaction: &'a Redaction,
}

impl Serialize for Batch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.events.len()))?;
        for event in self.events {
            sequence.serialize_element(&Redacted { event, redaction: self.redaction })?;
        }
        sequence.end()
    }
}

/// One event as it is sent.
struct Redacted<'a> {
    event: &'a Event,
    redaction: &'a Redaction,
}

impl Serialize for Redacted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.event {
            Event::Feature(event) => {
                map.serialize_entry("kind", "feature")?;
                self.write_evaluation(&mut map, event, true)?;
            }
            Event::Debug(event) => {
                map.serialize_entry("kind", "debug")?;
                self.write_evaluation(&mut map, event, false)?;
            }
            Event::Index { creation_date_ms, context } => {
                map.serialize_entry("kind", "index")?;
                map.serialize_entry("creationDate", creation_date_ms)?;
                self.write_context(&mut map, context, false)?;
            }
            Event::Identify { creation_date_ms, context } => {
                map.serialize_entry("kind", "identify")?;
                map.serialize_entry("creationDate", creation_date_ms)?;
                self.write_context(&mut map, context, false)?;
            }
            Event::Custom(event) => {
                map.serialize_entry("kind", "custom")?;
                map.serialize_entry("creationDate", &event.creation_date_ms)?;
                map.serialize_entry("key", &event.key)?;
                if !event.data.is_null() {
                    map.serialize_entry("data", &event.data)?;
                }
                if let Some(value) = event.metric_value {
                    map.serialize_entry("metricValue", &value)?;
                }
                self.write_context(&mut map, &event.context, true)?;
            }
            Event::MigrationOp(event) => {
                map.serialize_entry("kind", "migration_op")?;
                event.write(&mut map, self.redaction)?;
            }
            Event::Summary(summary) => {
                map.serialize_entry("kind", "summary")?;
                map.serialize_entry("startDate", &summary.start_date_ms)?;
                map.serialize_entry("endDate", &summary.end_date_ms)?;
                map.serialize_entry("features", &summary.features)?;
            }
        }
        map.end()
    }
}

impl Redacted<'_> {
    fn write_evaluation<M: SerializeMap>(
        &self,
        map: &mut M,
        event: &FeatureEvent,
        redact_anonymous: bool,
    ) -> Result<(), M::Error> {
        map.serialize_entry("creationDate", &event.creation_date_ms)?;
        map.serialize_entry("key", &event.key)?;
        if let Some(version) = event.version {
            map.serialize_entry("version", &version)?;
        }
        if let Some(variation) = event.variation {
            map.serialize_entry("variation", &variation)?;
        }
        map.serialize_entry("value", &event.value)?;
        map.serialize_entry("default", &event.default)?;
        if let Some(reason) = &event.reason {
            map.serialize_entry("reason", reason)?;
        }
        if let Some(flag_key) = &event.prerequisite_of {
            map.serialize_entry("prereqOf", flag_key)?;
        }
        if event.sampling_ratio != 1 {
            map.serialize_entry("samplingRatio", &event.sampling_ratio)?;
        }
        self.write_context(map, &event.context, redact_anonymous)
    }

    fn write_context<M: SerializeMap>(
        &self,
        map: &mut M,
        context: &Context,
        redact_anonymous: bool,
    ) -> Result<(), M::Error> {
        let redaction = self.redaction;
        map.serialize_entry("context", &RedactedContext { context, redaction, redact_anonymous })
    }
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::{AttributeRef, ReasonKind};
    use serde_json::json;

    use super::*;
    use crate::summary::{Counter, FlagSummary};

    fn context(json: Value) -> Arc<Context> {
        Arc::new(Context::from_json(&json).unwrap())
    }

    fn check(event: Event, expected: Value) {
        let redaction =
            Redaction { all_attributes_private: false, private_attributes: vec![AttributeRef::new("email")] };
        let batch = Batch { events: &[event], redaction: &redaction };
        assert_eq!(serde_json::to_value(batch).unwrap(), json!([expected]));
    }

    fn evaluation() -> FeatureEvent {
        FeatureEvent {
            creation_date_ms: 1_700_000_000_000,
            key: "f".to_owned(),
            version: Some(11),
            variation: Some(1),
            value: json!("b"),
            default: json!("x"),
            reason: Some(ReasonKind::Fallthrough.into()),
            prerequisite_of: Some("parent".to_owned()),
            sampling_ratio: 1,
            context: context(json!({"kind": "user", "key": "u", "email": "u@x", "anonymous": true, "a": 1})),
        }
    }

    #[test]
    fn feature_events_redact_an_anonymous_context_whole_and_debug_events_do_not() {
        let common = json!({"creationDate": 1_700_000_000_000_u64, "key": "f", "version": 11, "variation": 1,
            "value": "b", "default": "x", "reason": {"kind": "FALLTHROUGH"}, "prereqOf": "parent"});
        let with = |kind: &str, context: Value| {
            let mut event = common.clone();
            event["kind"] = json!(kind);
            event["context"] = context;
            event
        };
        check(
            Event::Feature(evaluation()),
            with(
                "feature",
                json!({"kind": "user", "key": "u", "anonymous": true,
                "_meta": {"redactedAttributes": ["a", "email"]}}),
            ),
        );
        check(
            Event::Debug(evaluation()),
            with(
                "debug",
                json!({"kind": "user", "key": "u", "anonymous": true, "a": 1,
                "_meta": {"redactedAttributes": ["email"]}}),
            ),
        );
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let event = FeatureEvent {
            version: None,
            variation: None,
            reason: None,
            prerequisite_of: None,
            sampling_ratio: 5,
            context: context(json!({"kind": "user", "key": "u"})),
            ..evaluation()
        };
        check(
            Event::Feature(event),
            json!({"kind": "feature", "creationDate": 1_700_000_000_000_u64, "key": "f", "value": "b",
                "default": "x", "samplingRatio": 5, "context": {"kind": "user", "key": "u"}}),
        );
    }

    #[test]
    fn custom_events_carry_data_and_metric_value_only_if_given() {
        let event = CustomEvent {
            creation_date_ms: 1,
            key: "purchase".to_owned(),
            data: json!({"sku": "a1"}),
            metric_value: Some(9.5),
            context: context(json!({"kind": "user", "key": "u"})),
        };
        let bare = CustomEvent { data: Value::Null, metric_value: None, ..event.clone() };
        check(
            Event::Custom(event),
            json!({"kind": "custom", "creationDate": 1, "key": "purchase", "data": {"sku": "a1"},
                "metricValue": 9.5, "context": {"kind": "user", "key": "u"}}),
        );
        check(
            Event::Custom(bare),
            json!({"kind": "custom", "creationDate": 1, "key": "purchase", "context": {"kind": "user", "key": "u"}}),
        );
    }

    #[test]
    fn summaries_have_the_wire_form() {
        let counters = vec![
            Counter { variation: Some(0), version: Some(11), unknown: false, value: json!("a"), count: 3 },
            Counter { variation: None, version: None, unknown: true, value: json!("x"), count: 1 },
        ];
        let flag = FlagSummary { default: json!("x"), context_kinds: ["user".to_owned()].into(), counters };
        let summary =
            Summary { start_date_ms: 1, end_date_ms: 2, features: [("flag-a".to_owned(), flag)].into() };
        check(
            Event::Summary(summary),
            json!({"kind": "summary", "startDate": 1, "endDate": 2, "features": {"flag-a": {
                "default": "x", "contextKinds": ["user"], "counters": [
                    {"variation": 0, "version": 11, "value": "a", "count": 3},
                    {"unknown": true, "value": "x", "count": 1}]}}}),
        );
    }
}

//! Evaluations in the traces of OpenTelemetry.
//!
//! Source of the attributes: OpenTelemetry's semantic conventions for feature flags, and for the
//! event's name, the variation index and `inExperiment` what other SDKs of the field send.

use std::borrow::Cow;

use flagstaff_eval::{ErrorKind, Reason, ReasonKind, Value};
use opentelemetry::trace::{Span, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, Key, KeyValue, global};

use super::{EvaluationSeriesContext, Hook, HookResult, SeriesData};
use crate::value::VariationDetail;

/// What the span events are called.
const EVENT: &str = "feature_flag";
/// Who evaluates, as tools for traces of this field know it.
const PROVIDER: &str = "LaunchDarkly";
/// Under which name the span goes from stage to stage.
const SPAN: &str = "span";
/// Whom spans are made by.
const TRACER: &str = "flagstaff-sdk";

/// Writes each evaluation into the current span of OpenTelemetry, as an event `feature_flag`.
///
/// ```
/// use std::sync::Arc;
/// use flagstaff_sdk::{Config, OtelHook};
///
/// let config = Config::new("sdk-demo-production").hook(Arc::new(OtelHook::new().include_value(true)));
/// ```
///
/// Where there is no current span, or it is not recorded, nothing is written, and hardly any time
/// is spent. With the crate `tracing-opentelemetry`, the current span is the one of `tracing`, as long
/// as its *context activation* is on, which is the default.
///
/// | Attribute | What it says |
/// |---|---|
/// | `feature_flag.key` | the flag's key |
/// | `feature_flag.provider.name` | `LaunchDarkly`, or [`OtelHook::provider_name`] |
/// | `feature_flag.context.id` | the context's [canonical key](crate::Context::canonical_key) |
/// | `feature_flag.result.reason` | `disabled`, `default`, `targeting_match`, `split` for an experiment, `prerequisite_failed`, `error` |
/// | `feature_flag.result.variationIndex` | which variation; absent for the caller's default |
/// | `feature_flag.result.reason.inExperiment` | true; absent otherwise |
/// | `feature_flag.result.value` | the value, if [asked for](OtelHook::include_value); lists and objects as JSON text |
/// | `feature_flag.set.id` | the environment's id, once it is known |
/// | `error.type` | `flag_not_found` and the like, if there was an error |
#[derive(Clone, Debug)]
#[must_use]
pub struct OtelHook {
    include_value: bool,
    add_spans: bool,
    environment_id: Option<String>,
    provider_name: Cow<'static, str>,
    attributes: Vec<KeyValue>,
}

impl OtelHook {
    /// With nothing but what costs little and gives nothing away.
    pub fn new() -> Self {
        Self {
            include_value: false,
            add_spans: false,
            environment_id: None,
            provider_name: PROVIDER.into(),
            attributes: Vec::new(),
        }
    }

    /// Whether the value is written too. Default false: values may be large, or nobody's business.
    pub fn include_value(mut self, include: bool) -> Self {
        self.include_value = include;
        self
    }

    /// Whether each evaluation gets a span of its own, `LDClient.variation` say, inside the current
    /// one, which has the event all the same. Default false. Experimental: what the spans look like
    /// may change.
    pub fn add_spans(mut self, add: bool) -> Self {
        self.add_spans = add;
        self
    }

    /// Says the environment's id, instead of waiting until the service has said it.
    pub fn environment_id(mut self, id: impl Into<String>) -> Self {
        self.environment_id = Some(id.into()).filter(|id| !id.is_empty());
        self
    }

    /// Says who evaluates. Default `LaunchDarkly`, by which tools know events of this kind.
    pub fn provider_name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.provider_name = name.into();
        self
    }

    /// Writes this attribute too, with each event and each span.
    pub fn attribute(mut self, key: impl Into<Key>, value: impl Into<opentelemetry::Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    fn event(&self, series: &EvaluationSeriesContext<'_>, detail: &VariationDetail<&Value>) -> Vec<KeyValue> {
        let mut attributes = self.question(series);
        attributes.push(KeyValue::new("feature_flag.result.reason", reason(&detail.reason)));
        if let Some(index) = detail.variation_index.and_then(|index| i64::try_from(index).ok()) {
            attributes.push(KeyValue::new("feature_flag.result.variationIndex", index));
        }
        if detail.reason.in_experiment {
            attributes.push(KeyValue::new("feature_flag.result.reason.inExperiment", true));
        }
        if self.include_value {
            attributes.push(KeyValue::new("feature_flag.result.value", value(detail.value)));
        }
        if let Some(id) = self.environment_id.as_deref().or(series.environment_id()) {
            attributes.push(KeyValue::new("feature_flag.set.id", id.to_owned()));
        }
        if let Some(kind) = detail.reason.error_kind() {
            attributes.push(KeyValue::new("error.type", error_type(kind)));
        }
        attributes
    }

    /// What is known before the answer.
    fn question(&self, series: &EvaluationSeriesContext<'_>) -> Vec<KeyValue> {
        let mut attributes = self.attributes.clone();
        attributes.extend([
            KeyValue::new("feature_flag.key", series.flag_key().to_owned()),
            KeyValue::new("feature_flag.provider.name", self.provider_name.clone()),
            KeyValue::new("feature_flag.context.id", series.context_key().into_owned()),
        ]);
        attributes
    }
}

impl Default for OtelHook {
    fn default() -> Self {
        Self::new()
    }
}

impl Hook for OtelHook {
    fn name(&self) -> &str {
        "OpenTelemetry"
    }

    fn before_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
    ) -> HookResult<SeriesData> {
        if !self.add_spans {
            return Ok(data);
        }
        // Asked for each time: the program may set its provider after the client was started.
        let tracer = global::tracer(TRACER);
        let span = tracer
            .span_builder(format!("LDClient.{}", series.method()))
            .with_kind(SpanKind::Internal)
            .with_attributes(self.question(series))
            .start_with_context(&tracer, &Context::current());
        // It is not made the current one: that could not be undone if the after-stage did not run.
        if !span.is_recording() {
            return Ok(data);
        }
        Ok(data.with(SPAN, Context::new().with_span(span)))
    }

    fn after_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
        detail: &VariationDetail<&Value>,
    ) -> HookResult<SeriesData> {
        if let Some(own) = data.get::<Context>(SPAN) {
            own.span().end();
        }
        let current = Context::current();
        let span = current.span();
        if span.is_recording() {
            span.add_event(EVENT, self.event(series, detail));
        }
        Ok(data)
    }
}

/// As OpenTelemetry spells reasons.
fn reason(reason: &Reason<'_>) -> &'static str {
    if reason.in_experiment {
        return "split";
    }
    match reason.kind {
        ReasonKind::Off => "disabled",
        ReasonKind::Fallthrough => "default",
        ReasonKind::TargetMatch | ReasonKind::RuleMatch { .. } => "targeting_match",
        ReasonKind::PrerequisiteFailed { .. } => "prerequisite_failed",
        ReasonKind::Error(_) => "error",
        _ => "unknown",
    }
}

/// As OpenTelemetry spells errors.
fn error_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ClientNotReady => "provider_not_ready",
        ErrorKind::FlagNotFound => "flag_not_found",
        ErrorKind::UserNotSpecified => "invalid_context",
        ErrorKind::MalformedFlag => "parse_error",
        ErrorKind::WrongType => "type_mismatch",
        _ => "general",
    }
}

fn value(value: &Value) -> opentelemetry::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(part)) => part.into(),
            (None, None) => number.to_string().into(),
        },
        Value::String(text) => text.clone().into(),
        other => other.to_string().into(),
    }
}

//! Evaluations in real spans, taken in by an exporter of OpenTelemetry's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use flagstaff_sdk::{Client, OtelHook};
use flagstaff_testkit::{Answer, FakeService, all_data, eventually, flag, user};
use opentelemetry::trace::{Event, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, Value, global};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use serde_json::json;

use crate::support::{config, started};

/// A provider of this test's own, and what it recorded.
fn tracing(sampler: Sampler) -> (SdkTracerProvider, InMemorySpanExporter) {
    let exporter = InMemorySpanExporter::default();
    let provider =
        SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).with_sampler(sampler).build();
    (provider, exporter)
}

/// What `call` left behind in the current span.
fn recorded(call: impl FnOnce()) -> SpanData {
    let (provider, exporter) = tracing(Sampler::AlwaysOn);
    provider.tracer("program").in_span("request", |_| call());
    let mut spans = exporter.get_finished_spans().unwrap();
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

fn map(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    let map: BTreeMap<_, _> =
        attributes.iter().map(|pair| (pair.key.to_string(), pair.value.clone())).collect();
    assert_eq!(map.len(), attributes.len(), "no attribute twice: {attributes:?}");
    map
}

fn expected<const N: usize>(attributes: [(&str, Value); N]) -> BTreeMap<String, Value> {
    attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn the_event(span: &SpanData) -> &Event {
    let [event] = &span.events.events[..] else { panic!("there is one event: {:?}", span.events) };
    assert_eq!(event.name, "feature_flag");
    event
}

fn hooked(service: &FakeService, hook: OtelHook) -> Client {
    started(config(service).hook(Arc::new(hook)))
}

#[test]
fn an_evaluation_is_an_event_of_the_current_span() {
    let service = FakeService::start([flag("f")]);
    let client = hooked(&service, OtelHook::new());
    let span = recorded(|| assert!(client.variation("f", &user("u"), false)));
    assert_eq!(span.name, "request");
    assert_eq!(
        map(&the_event(&span).attributes),
        expected([
            ("feature_flag.key", "f".into()),
            ("feature_flag.provider.name", "LaunchDarkly".into()),
            ("feature_flag.context.id", "u".into()),
            ("feature_flag.result.reason", "default".into()),
            ("feature_flag.result.variationIndex", 0.into()),
        ])
    );
}

#[test]
fn values_are_written_as_what_they_are_if_they_are_asked_for() {
    let values: [(serde_json::Value, Value); 7] = [
        (json!(true), true.into()),
        (json!(7), 7.into()),
        (json!(2.5), 2.5.into()),
        (json!(u64::MAX), (u64::MAX as f64).into()),
        (json!("blue"), "blue".into()),
        (json!({"a": [1]}), r#"{"a":[1]}"#.into()),
        (json!(null), "null".into()),
    ];
    let service = FakeService::start(
        values
            .iter()
            .enumerate()
            .map(|(index, (value, _))| flag(&format!("f{index}")).serving(value.clone())),
    );
    let client = hooked(&service, OtelHook::new().include_value(true));
    for (index, (value, written)) in values.iter().enumerate() {
        let span = recorded(|| {
            assert_eq!(client.variation(&format!("f{index}"), &user("u"), json!("default")), *value);
        });
        assert_eq!(map(&the_event(&span).attributes)["feature_flag.result.value"], *written);
    }
}

#[test]
fn reasons_and_errors_are_spelt_as_opentelemetry_spells_them() {
    let rule = json!([{"id": "r", "variation": 1, "clauses": [
        {"contextKind": "user", "attribute": "key", "op": "in", "values": ["u"]}]}]);
    let experiment = json!({"rollout": {"kind": "experiment",
        "variations": [{"variation": 0, "weight": 100_000}]}});
    let service = FakeService::start([
        flag("off").off(),
        flag("rule").with("rules", rule),
        flag("target").with("targets", json!([{"variation": 1, "values": ["u"]}])),
        flag("needs").with("prerequisites", json!([{"key": "off", "variation": 0}])),
        flag("experiment").with("fallthrough", experiment),
        flag("bad").with("variations", json!([])),
        flag("text").serving("blue"),
    ]);
    let client = hooked(&service, OtelHook::new());
    let check = |key: &str, reason: &str, error: Option<&str>| {
        let span = recorded(|| drop(client.variation_detail(key, &user("u"), true)));
        let attributes = map(&the_event(&span).attributes);
        assert_eq!(attributes["feature_flag.result.reason"], reason.to_owned().into(), "{key}");
        let error = error.map(|error| error.to_owned().into());
        assert_eq!(attributes.get("error.type"), error.as_ref(), "{key}");
        attributes
    };
    check("off", "disabled", None);
    check("rule", "targeting_match", None);
    check("target", "targeting_match", None);
    check("needs", "prerequisite_failed", None);
    let attributes = check("experiment", "split", None);
    assert_eq!(attributes["feature_flag.result.reason.inExperiment"], true.into());
    check("nope", "error", Some("flag_not_found"));
    check("bad", "error", Some("parse_error"));
    let attributes = check("text", "error", Some("type_mismatch"));
    assert!(!attributes.contains_key("feature_flag.result.variationIndex"));
    client.close();
    check("off", "error", Some("provider_not_ready"));
}

#[test]
fn the_environment_id_is_the_services_unless_it_is_set() {
    let service = FakeService::start([flag("f")]);
    let with_id = |id: &str| {
        let headers = vec![("X-LD-EnvID", id.to_owned())];
        Answer::Status(200, headers, all_data([flag("f")]).to_string())
    };
    let check = |hook: OtelHook, id: &str| {
        service.answer_next("/sdk/latest-all", with_id("env-1"));
        let client = started(config(&service).stream(false).hook(Arc::new(hook)));
        let span = recorded(|| assert!(client.variation("f", &user("u"), false)));
        assert_eq!(map(&the_event(&span).attributes)["feature_flag.set.id"], id.to_owned().into());
    };
    check(OtelHook::new(), "env-1");
    check(OtelHook::new().environment_id(""), "env-1");
    check(OtelHook::new().environment_id("mine"), "mine");
}

#[test]
fn attributes_of_the_programs_own_come_along() {
    let service = FakeService::start([flag("f")]);
    let hook = OtelHook::new().attribute("team", "shop").attribute("shard", 3).provider_name("Flagstaff");
    let client = hooked(&service, hook);
    let span = recorded(|| assert!(client.variation("f", &user("u"), false)));
    let attributes = map(&the_event(&span).attributes);
    assert_eq!(
        (&attributes["team"], &attributes["shard"], &attributes["feature_flag.provider.name"]),
        (&"shop".into(), &3.into(), &"Flagstaff".into())
    );
}

#[test]
fn without_a_span_that_is_recorded_nothing_is_written() {
    let service = FakeService::start([flag("f")]);
    let client = hooked(&service, OtelHook::new());
    assert!(!Context::current().has_active_span());
    assert!(client.variation("f", &user("u"), false));
    let (provider, exporter) = tracing(Sampler::AlwaysOff);
    provider.tracer("program").in_span("request", |_| assert!(client.variation("f", &user("u"), false)));
    assert!(exporter.get_finished_spans().unwrap().is_empty());
}

/// The provider of the whole program, which is all that hooks know of.
fn global_spans() -> InMemorySpanExporter {
    static EXPORTER: OnceLock<Mutex<InMemorySpanExporter>> = OnceLock::new();
    let exporter = EXPORTER.get_or_init(|| {
        let (provider, exporter) = tracing(Sampler::AlwaysOn);
        global::set_tracer_provider(provider);
        Mutex::new(exporter)
    });
    exporter.lock().unwrap().clone()
}

#[test]
fn each_evaluation_may_have_a_span_of_its_own_inside_the_current_one() {
    let exporter = global_spans();
    let service = FakeService::start([flag("f")]);
    let client = hooked(&service, OtelHook::new().add_spans(true).attribute("team", "shop"));
    global::tracer("program").in_span("request", |_| {
        assert!(client.variation("f", &user("u"), false));
        assert!(client.variation_detail("f", &user("u"), false).value);
    });
    let spans = eventually("the spans are exported", || {
        let spans = exporter.get_finished_spans().unwrap();
        (spans.len() == 3).then_some(spans)
    });
    let named = |name: &str| spans.iter().find(|span| span.name == name).expect(name);
    let request = named("request");
    assert_eq!(request.events.len(), 2, "the events are the program's");
    for name in ["LDClient.variation", "LDClient.variation_detail"] {
        let own = named(name);
        assert_eq!(own.parent_span_id, request.span_context.span_id(), "{name}");
        assert_eq!(own.span_context.trace_id(), request.span_context.trace_id(), "{name}");
        assert!(own.events.is_empty() && own.end_time >= own.start_time, "{name}");
        assert_eq!(
            map(&own.attributes),
            expected([
                ("feature_flag.key", "f".into()),
                ("feature_flag.provider.name", "LaunchDarkly".into()),
                ("feature_flag.context.id", "u".into()),
                ("team", "shop".into()),
            ]),
            "{name}"
        );
    }
}

//! The protocol's rules of what is reported, in detail: see *Events* there.

use std::time::{SystemTime, UNIX_EPOCH};

use flagstaff_sdk::{Context, Value};
use flagstaff_testkit::{FakeService, FlagBuilder, eventually, flag, user};
use serde_json::json;

use crate::events::{of_kind, reported};
use crate::support::{config, service_and_client, started};

fn in_ten_minutes() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64 + 600_000
}

fn anonymous(key: &str) -> Context {
    Context::builder(key).anonymous(true).name("Nobody").build().unwrap()
}

fn org(key: &str) -> Context {
    Context::builder(key).kind("org").name("Acme").build().unwrap()
}

fn both(a: Context, b: Context) -> Context {
    Context::multi_builder().add(a).add(b).build().unwrap()
}

#[test]
fn a_flag_may_be_tracked_and_debugged_at_once() {
    let (service, client) =
        service_and_client([flag("f").tracked().with("debugEventsUntilDate", in_ten_minutes())]);
    client.variation("f", &anonymous("a"), false);
    let events = reported(&client, &service);
    let (feature, debug) = (of_kind(&events, "feature"), of_kind(&events, "debug"));
    assert_eq!((feature.len(), debug.len()), (1, 1));
    // What is only mentioned is redacted; what is debugged is shown whole.
    assert_eq!(feature[0]["context"].get("name"), None);
    assert_eq!(debug[0]["context"]["name"], "Nobody");
}

#[test]
fn debugging_is_sampled_too() {
    let flag = flag("f").with("debugEventsUntilDate", in_ten_minutes()).with("samplingRatio", 0);
    let (service, client) = service_and_client([flag]);
    client.variation("f", &user("u"), false);
    assert!(of_kind(&reported(&client, &service), "debug").is_empty());
    assert_eq!(service.counted("f", &json!(true)), 1);
}

/// `top` needs this flag, called `base`, to serve its first variation.
fn prerequisite(base: FlagBuilder) -> (FakeService, flagstaff_sdk::Client) {
    let prerequisites = json!([{"key": "base", "variation": 0}]);
    service_and_client([flag("top").with("prerequisites", prerequisites), base])
}

#[test]
fn a_prerequisite_says_why_if_the_caller_asks_why() {
    let (service, client) = prerequisite(flag("base").tracked());
    client.variation("top", &user("u"), false);
    client.variation_detail("top", &user("u"), false);
    let reasons: Vec<Option<Value>> = of_kind(&reported(&client, &service), "feature")
        .iter()
        .map(|event| event.get("reason").cloned())
        .collect();
    assert_eq!(reasons, [None, Some(json!({"kind": "FALLTHROUGH"}))]);
}

#[test]
fn a_prerequisite_follows_its_own_settings() {
    let base = flag("base")
        .with("excludeFromSummaries", true)
        .with("debugEventsUntilDate", in_ten_minutes())
        .tracked()
        .with("samplingRatio", 0);
    let (service, client) = prerequisite(base);
    client.variation("top", &user("u"), false);
    let events = reported(&client, &service);
    assert!(of_kind(&events, "feature").is_empty() && of_kind(&events, "debug").is_empty());
    let features = of_kind(&events, "summary")[0]["features"].as_object().unwrap().clone();
    assert_eq!(features.keys().collect::<Vec<_>>(), ["top"]);

    let (service, client) = prerequisite(flag("base").with("debugEventsUntilDate", in_ten_minutes()));
    client.variation("top", &user("u"), false);
    let debug = of_kind(&reported(&client, &service), "debug");
    assert_eq!((debug.len(), &debug[0]["prereqOf"], &debug[0]["key"]), (1, &json!("top"), &json!("base")));
}

#[test]
fn a_prerequisite_that_is_off_is_reported_with_its_off_value_and_later_ones_not_at_all() {
    let prerequisites = json!([{"key": "base", "variation": 0}, {"key": "later", "variation": 0}]);
    let (service, client) = service_and_client([
        flag("top").with("prerequisites", prerequisites),
        flag("base").off().tracked(),
        flag("later").tracked(),
    ]);
    client.variation("top", &user("u"), true);
    let feature = of_kind(&reported(&client, &service), "feature");
    assert_eq!((feature.len(), &feature[0]["key"], &feature[0]["value"]), (1, &json!("base"), &json!(false)));
}

/// The full event of a flag that serves no value, and its counters.
fn check_without_value(flag: FlagBuilder, reason: Value) {
    let (service, client) = service_and_client([flag.version(7).tracked()]);
    client.variation_detail("f", &user("u"), "x");
    let events = reported(&client, &service);
    assert_eq!(
        of_kind(&events, "feature"),
        [json!({"kind": "feature", "key": "f", "version": 7, "value": "x", "default": "x", "reason": reason,
            "context": {"kind": "user", "key": "u"}})]
    );
    assert_eq!(
        of_kind(&events, "summary")[0]["features"]["f"]["counters"],
        json!([{"version": 7, "value": "x", "count": 1}])
    );
}

#[test]
fn a_flag_without_a_value_is_reported_with_its_version_and_the_default() {
    let error = |kind: &str| json!({"kind": "ERROR", "errorKind": kind});
    check_without_value(flag("f").serving(true), error("WRONG_TYPE"));
    check_without_value(flag("f").with("fallthrough", json!({"variation": 9})), error("MALFORMED_FLAG"));
    check_without_value(flag("f").off().with("offVariation", Value::Null), json!({"kind": "OFF"}));
}

#[test]
fn a_flag_that_does_not_exist_has_no_full_event() {
    let (service, client) = service_and_client([]);
    client.variation_detail("nope", &user("u"), "x");
    let events = reported(&client, &service);
    assert!(of_kind(&events, "feature").is_empty());
    assert_eq!(
        of_kind(&events, "summary")[0]["features"]["nope"]["counters"],
        json!([{"unknown": true, "value": "x", "count": 1}])
    );
}

#[test]
fn contexts_are_told_apart_by_kind_and_key_alone() {
    let (service, client) = service_and_client([flag("f")]);
    let named = Context::builder("u").name("User").build().unwrap();
    // Four contexts, the first of them twice, with other attributes.
    for context in [user("u"), named, org("u"), both(user("u"), org("o")), both(org("o"), user("v"))] {
        client.variation("f", &context, false);
        client.variation("f", &context, false);
    }
    let introduced: Vec<Value> =
        of_kind(&reported(&client, &service), "index").iter().map(|event| event["context"].clone()).collect();
    assert_eq!(
        introduced,
        [
            json!({"kind": "user", "key": "u"}),
            json!({"kind": "org", "key": "u", "name": "Acme"}),
            json!({"kind": "multi", "user": {"key": "u"}, "org": {"key": "o", "name": "Acme"}}),
            json!({"kind": "multi", "user": {"key": "v"}, "org": {"key": "o", "name": "Acme"}}),
        ]
    );
}

#[test]
fn what_is_left_of_a_context_without_its_anonymous_members_tells_it_apart() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).omit_anonymous_contexts(true));
    client.variation("f", &both(anonymous("a"), org("o")), false);
    client.variation("f", &org("o"), false);
    client.identify(&both(anonymous("b"), org("o")));
    client.track("t", &anonymous("c"), Value::Null, None);
    let events = reported(&client, &service);
    let context = json!({"kind": "org", "key": "o", "name": "Acme"});
    assert_eq!(of_kind(&events, "index"), [json!({"kind": "index", "context": context})]);
    assert_eq!(of_kind(&events, "identify"), [json!({"kind": "identify", "context": context})]);
    // What happened is reported all the same.
    assert_eq!(of_kind(&events, "custom").len(), 1);
}

#[test]
fn all_attributes_may_be_private() {
    let service = FakeService::start([flag("f").tracked()]);
    let client = started(config(&service).all_attributes_private(true));
    let context = Context::builder("u").name("User").set("address", json!({"city": "Oslo"})).build().unwrap();
    client.variation("f", &context, false);
    client.identify(&context);
    client.track("t", &context, Value::Null, None);
    let events = reported(&client, &service);
    for kind in ["index", "feature", "identify", "custom"] {
        let mut context = of_kind(&events, kind)[0]["context"].clone();
        let mut listed = context["_meta"]["redactedAttributes"].take();
        listed.as_array_mut().unwrap().sort_by_key(ToString::to_string);
        assert_eq!(listed, json!(["address", "name"]), "{kind}");
        context.as_object_mut().unwrap().remove("_meta");
        assert_eq!(context, json!({"kind": "user", "key": "u"}), "{kind}");
    }
}

#[test]
fn of_several_members_only_the_anonymous_ones_are_redacted_whole() {
    let (service, client) = service_and_client([flag("f").tracked()]);
    client.variation("f", &both(anonymous("a"), org("o")), false);
    let context = of_kind(&reported(&client, &service), "feature")[0]["context"].clone();
    let redacted = json!({"key": "a", "anonymous": true, "_meta": {"redactedAttributes": ["name"]}});
    assert_eq!(context, json!({"kind": "multi", "user": redacted, "org": {"key": "o", "name": "Acme"}}));
}

#[test]
fn the_default_in_a_summary_is_that_of_the_first_evaluation() {
    let (service, client) = service_and_client([flag("f").serving("a"), flag("none").serving(true)]);
    for default in ["first", "second"] {
        client.variation("f", &user("u"), default);
        client.variation("none", &user("u"), default);
    }
    let features = of_kind(&reported(&client, &service), "summary")[0]["features"].clone();
    assert_eq!(features["f"]["default"], "first");
    assert_eq!(features["none"]["default"], "first");
    assert_eq!(features["none"]["counters"][0]["count"], 2);
}

#[test]
fn a_big_segment_that_was_asked_for_says_how_its_store_was() {
    let clauses = json!([{"attribute": "", "op": "segmentMatch", "values": ["big"]}]);
    let rules = json!([{"id": "r", "variation": 0, "clauses": clauses}]);
    let (service, client) = service_and_client([flag("f").tracked().with("rules", rules)]);
    let segment = json!({"key": "big", "version": 1, "unbounded": true, "generation": 1});
    let patch = json!({"path": "/segments/big", "data": segment});
    service.send(format!("event: patch\ndata: {patch}\n\n").as_bytes());
    eventually("the segment arrived", || client.data_set().segment("big").map(drop));
    client.variation_detail("f", &user("u"), false);
    let feature = of_kind(&reported(&client, &service), "feature");
    assert_eq!(feature[0]["reason"], json!({"kind": "FALLTHROUGH", "bigSegmentsStatus": "NOT_CONFIGURED"}));
}

#[test]
fn nothing_is_reported_once_the_client_is_closed() {
    let (service, client) = service_and_client([flag("f").tracked()]);
    client.close();
    client.variation("f", &user("u"), false);
    client.identify(&user("u"));
    client.track("t", &user("u"), Value::Null, None);
    client.flush();
    drop(client);
    assert!(service.requests("/bulk").is_empty());
}

#[test]
fn diagnostic_reports_are_compressed_with_the_events() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).compress_events(true).diagnostic_opt_out(false));
    client.close();
    let report = &service.requests("/diagnostic")[0];
    assert_eq!(report.header("content-encoding"), Some("gzip"));
    assert_eq!(report.json()["kind"], "diagnostic-init");
}

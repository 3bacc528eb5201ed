//! What is reported, as it is on the wire.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flagstaff_sdk::{Client, Context, Value};
use flagstaff_testkit::{Answer, FakeService, FlagBuilder, flag, user};
use serde_json::json;

use crate::support::{config, flush, service_and_client, started};

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// The events so far without their times, which are checked to be of the last minute.
pub(crate) fn reported(client: &Client, service: &FakeService) -> Vec<Value> {
    flush(client);
    let mut events = service.events();
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        for time in ["creationDate", "startDate", "endDate"] {
            if let Some(time) = event.remove(time) {
                let age = now_ms().saturating_sub(time.as_u64().unwrap());
                assert!(age < 60_000, "{age} ms old");
            }
        }
    }
    events
}

pub(crate) fn of_kind(events: &[Value], kind: &str) -> Vec<Value> {
    events.iter().filter(|event| event["kind"] == kind).cloned().collect()
}

#[test]
fn an_evaluation_is_counted_and_its_context_introduced() {
    let (service, client) = service_and_client([flag("f").version(11).serving("a")]);
    let context = Context::builder("u").name("User").set("email", "u@example.com").build().unwrap();
    for _ in 0..3 {
        client.variation("f", &context, "x");
    }
    client.variation("nope", &context, 1);
    client.variation("nope", &context, 2);
    assert_eq!(
        reported(&client, &service),
        [
            json!({"kind": "index", "context": {"kind": "user", "key": "u", "name": "User", "email": "u@example.com"}}),
            json!({"kind": "summary", "features": {
                "f": {"default": "x", "contextKinds": ["user"],
                    "counters": [{"variation": 0, "version": 11, "value": "a", "count": 3}]},
                "nope": {"default": 1, "contextKinds": ["user"],
                    "counters": [{"unknown": true, "value": 1, "count": 2}]}}}),
        ]
    );
}

#[test]
fn nothing_is_sent_if_nothing_happened() {
    let (service, client) = service_and_client([flag("f")]);
    flush(&client);
    client.variation("f", &user("u"), false);
    flush(&client);
    flush(&client);
    assert_eq!(service.requests("/bulk").len(), 1);
}

#[test]
fn the_next_summary_begins_anew() {
    let (service, client) = service_and_client([flag("f")]);
    client.variation("f", &user("u"), false);
    flush(&client);
    client.variation("f", &Context::builder("o").kind("org").build().unwrap(), true);
    flush(&client);
    let summaries = service.events_of_kind("summary");
    assert_eq!(summaries.len(), 2);
    let flag = &summaries[1]["features"]["f"];
    assert_eq!((&flag["default"], &flag["contextKinds"]), (&json!(true), &json!(["org"])));
    assert_eq!(flag["counters"][0]["count"], 1);
    let time = |summary: &Value, name: &str| summary[name].as_u64().unwrap();
    assert!(time(&summaries[0], "startDate") <= time(&summaries[0], "endDate"));
    assert!(time(&summaries[0], "endDate") <= time(&summaries[1], "startDate"));
}

#[test]
fn versions_and_variations_are_counted_apart() {
    let (service, client) = service_and_client([flag("f").version(1)]);
    client.variation("f", &user("u"), false);
    service.patch(flag("f").version(2).off());
    flagstaff_testkit::eventually("the patch arrived", || {
        (client.data_set().flag("f").unwrap().version() == 2).then_some(())
    });
    client.variation("f", &user("u"), false);
    client.variation("f", &user("u"), false);
    let events = reported(&client, &service);
    let counters = of_kind(&events, "summary")[0]["features"]["f"]["counters"].clone();
    assert_eq!(
        counters,
        json!([{"variation": 0, "version": 1, "value": true, "count": 1},
            {"variation": 1, "version": 2, "value": false, "count": 2}])
    );
}

#[test]
fn a_version_that_comes_twice_is_counted_as_one() {
    let (service, client) = service_and_client([flag("f")]);
    client.variation("f", &user("u"), false);
    let before = client.data_set();
    service.cut_connections();
    flagstaff_testkit::eventually("the same flags came again", || {
        (!std::sync::Arc::ptr_eq(&client.data_set(), &before)).then_some(())
    });
    client.variation("f", &user("u"), false);
    let events = reported(&client, &service);
    let flag = &of_kind(&events, "summary")[0]["features"]["f"];
    assert_eq!(flag["counters"], json!([{"variation": 0, "version": 1, "value": true, "count": 2}]));
}

#[test]
fn counts_of_a_flag_that_is_gone_are_not_lost() {
    let (service, client) = service_and_client([flag("f")]);
    client.variation("f", &user("u"), false);
    service.set_flags([], None);
    service.cut_connections();
    flagstaff_testkit::eventually("the flag was gone", || {
        client.data_set().flag("f").is_none().then_some(())
    });
    flush(&client);
    assert_eq!(service.counted("f", &json!(true)), 1);
    // And its version is forgotten afterwards: the next flush finds nothing.
    flush(&client);
    assert_eq!(service.requests("/bulk").len(), 1);
}

#[test]
fn all_kinds_of_contexts_are_named_however_many_there_are() {
    let (service, client) = service_and_client([flag("f")]);
    let mut kinds: Vec<String> = (0..100).map(|index| format!("kind-{index:03}")).collect();
    for kind in &kinds {
        client.variation("f", &Context::builder("k").kind(kind).build().unwrap(), false);
    }
    let multi = Context::multi_builder()
        .add(user("u"))
        .add(Context::builder("o").kind("org").build().unwrap())
        .build()
        .unwrap();
    client.variation("f", &multi, false);
    kinds.extend(["org".to_owned(), "user".to_owned()]);
    let events = reported(&client, &service);
    assert_eq!(of_kind(&events, "summary")[0]["features"]["f"]["contextKinds"], json!(kinds));
}

#[test]
fn a_tracked_flag_is_reported_in_full() {
    let (service, client) = service_and_client([flag("f").tracked().version(7).serving("a")]);
    client.variation("f", &user("u"), "x");
    client.variation_detail("f", &user("u"), "x");
    let events = reported(&client, &service);
    let plain = json!({"kind": "feature", "key": "f", "version": 7, "variation": 0, "value": "a", "default": "x",
        "context": {"kind": "user", "key": "u"}});
    let mut with_reason = plain.clone();
    with_reason["reason"] = json!({"kind": "FALLTHROUGH"});
    assert_eq!(of_kind(&events, "feature"), [plain, with_reason]);
    assert_eq!(of_kind(&events, "index").len(), 1);
    assert_eq!(of_kind(&events, "summary")[0]["features"]["f"]["counters"][0]["count"], 2);
}

#[test]
fn an_experiment_is_reported_with_its_reason_whatever_was_asked() {
    let rollout = json!({"rollout": {"kind": "experiment", "seed": 61,
        "variations": [{"variation": 0, "weight": 100_000}]}});
    let rules = json!([{"id": "r", "variation": 0, "trackEvents": true, "clauses": [
        {"attribute": "key", "op": "in", "values": ["u"]}]}]);
    let (service, client) = service_and_client([
        flag("experiment").with("fallthrough", rollout),
        flag("old").with("trackEventsFallthrough", true),
        flag("rule").with("rules", rules),
    ]);
    for key in ["experiment", "old", "rule"] {
        client.variation(key, &user("u"), false);
    }
    let events = reported(&client, &service);
    let reasons: Vec<Value> =
        of_kind(&events, "feature").iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(
        reasons,
        [
            json!({"kind": "FALLTHROUGH", "inExperiment": true}),
            json!({"kind": "FALLTHROUGH"}),
            json!({"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r"}),
        ]
    );
}

#[test]
fn prerequisites_are_reported_as_such() {
    let prerequisites = json!([{"key": "base", "variation": 0}]);
    let (service, client) = service_and_client([
        flag("top").with("prerequisites", prerequisites),
        flag("base").version(3).tracked(),
    ]);
    client.variation("top", &user("u"), false);
    let events = reported(&client, &service);
    assert_eq!(
        of_kind(&events, "feature"),
        [
            json!({"kind": "feature", "key": "base", "version": 3, "variation": 0, "value": true, "default": null,
            "prereqOf": "top", "context": {"kind": "user", "key": "u"}})
        ]
    );
    let features = &of_kind(&events, "summary")[0]["features"];
    assert_eq!(
        features["base"],
        json!({"default": null, "contextKinds": ["user"],
            "counters": [{"variation": 0, "version": 3, "value": true, "count": 1}]})
    );
    assert_eq!(features["top"]["counters"][0]["count"], 1);
}

#[test]
fn a_flag_may_stay_out_of_summaries_and_a_sample_may_be_none() {
    let (service, client) = service_and_client([
        flag("quiet").tracked().with("excludeFromSummaries", true),
        flag("never").tracked().with("samplingRatio", 0),
    ]);
    client.variation("quiet", &user("u"), false);
    client.variation("never", &user("u"), false);
    let events = reported(&client, &service);
    assert_eq!(of_kind(&events, "feature").len(), 1);
    assert_eq!(of_kind(&events, "feature")[0]["key"], "quiet");
    let features = &of_kind(&events, "summary")[0]["features"];
    assert_eq!((features.get("quiet"), features["never"]["counters"][0]["count"].as_u64()), (None, Some(1)));
}

#[test]
fn one_in_a_thousand_is_far_fewer_than_all() {
    let (service, client) = service_and_client([flag("f").tracked().with("samplingRatio", 1_000)]);
    for _ in 0..5_000 {
        client.variation("f", &user("u"), false);
    }
    let events = reported(&client, &service);
    let sampled = of_kind(&events, "feature");
    // Five are expected; a hundred would be a wonder.
    assert!(sampled.len() < 100, "{}", sampled.len());
    assert!(sampled.iter().all(|event| event["samplingRatio"] == 1_000));
    assert_eq!(service.counted("f", &json!(true)), 5_000);
}

fn debugged_until(time_ms: u64) -> FlagBuilder {
    flag("f").with("debugEventsUntilDate", time_ms)
}

#[test]
fn debugging_ends_by_the_clock_of_either_side() {
    let (service, client) = service_and_client([debugged_until(now_ms() + 600_000)]);
    client.variation("f", &user("u"), false);
    // The service's clock is an hour ahead: by it, debugging is over.
    let ahead = httpdate(SystemTime::now() + Duration::from_secs(3_600));
    service.answer_next("/bulk", Answer::Status(202, vec![("date", ahead)], String::new()));
    flush(&client);
    client.variation("f", &user("u"), false);
    let events = reported(&client, &service);
    assert_eq!(
        of_kind(&events, "debug"),
        [json!({"kind": "debug", "key": "f", "version": 1, "variation": 0, "value": true, "default": false,
            "context": {"kind": "user", "key": "u"}})]
    );
    let (service, client) = service_and_client([debugged_until(now_ms() - 1)]);
    client.variation("f", &user("u"), false);
    assert!(of_kind(&reported(&client, &service), "debug").is_empty());
}

/// `Sun, 22 Nov 2026 03:37:36 GMT`.
fn httpdate(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

#[test]
fn track_says_what_happened_and_introduces_its_context() {
    let (service, client) = service_and_client([]);
    client.track("bought", &user("u"), json!({"sku": 1}), Some(9.5));
    // A metric cannot be made of what is no number.
    client.track("looked", &user("u"), Value::Null, Some(f64::NAN));
    assert_eq!(
        reported(&client, &service),
        [
            json!({"kind": "index", "context": {"kind": "user", "key": "u"}}),
            json!({"kind": "custom", "key": "bought", "data": {"sku": 1}, "metricValue": 9.5,
                "context": {"kind": "user", "key": "u"}}),
            json!({"kind": "custom", "key": "looked", "context": {"kind": "user", "key": "u"}}),
        ]
    );
}

#[test]
fn identify_introduces_a_context_once_and_for_all() {
    let (service, client) = service_and_client([flag("f")]);
    client.identify(&user("u"));
    client.variation("f", &user("u"), false);
    let legacy = Context::from_legacy_user(&json!({"key": ""})).unwrap();
    client.identify(&legacy);
    let events = reported(&client, &service);
    assert_eq!(
        of_kind(&events, "identify"),
        [json!({"kind": "identify", "context": {"kind": "user", "key": "u"}})]
    );
    assert!(of_kind(&events, "index").is_empty());
}

#[test]
fn contexts_are_introduced_again_after_a_while() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).context_keys_flush_interval(Duration::from_millis(50)));
    client.variation("f", &user("u"), false);
    std::thread::sleep(Duration::from_millis(10));
    flagstaff_testkit::eventually("the context was introduced again", || {
        client.variation("f", &user("u"), false);
        flush(&client);
        (service.events_of_kind("index").len() >= 2).then_some(())
    });
}

#[test]
fn anonymous_contexts_may_stay_out() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).omit_anonymous_contexts(true));
    let anonymous = Context::builder("a").anonymous(true).build().unwrap();
    let org = Context::builder("o").kind("org").build().unwrap();
    let multi = Context::multi_builder().add(anonymous.clone()).add(org).build().unwrap();
    client.variation("f", &anonymous, false);
    client.identify(&anonymous);
    client.variation("f", &multi, false);
    client.variation("f", &multi, false);
    let events = reported(&client, &service);
    assert_eq!(of_kind(&events, "index"), [json!({"kind": "index", "context": {"kind": "org", "key": "o"}})]);
    assert!(of_kind(&events, "identify").is_empty());
    assert_eq!(of_kind(&events, "summary")[0]["features"]["f"]["counters"][0]["count"], 3);
}

#[test]
fn private_attributes_never_leave() {
    let service = FakeService::start([flag("f").tracked()]);
    let client = started(config(&service).private_attributes(["email", "/address/street"]));
    let context = Context::builder("u")
        .set("email", "u@example.com")
        .set("address", json!({"street": "Secret 1", "city": "Oslo"}))
        .set("phone", "123")
        .private("phone")
        .build()
        .unwrap();
    client.variation("f", &context, false);
    client.identify(&context);
    client.track("t", &context, Value::Null, None);
    let events = reported(&client, &service);
    let expected = json!({"kind": "user", "key": "u", "address": {"city": "Oslo"},
        "_meta": {"redactedAttributes": ["email", "/address/street", "phone"]}});
    for kind in ["index", "feature", "identify", "custom"] {
        assert_eq!(of_kind(&events, kind)[0]["context"], expected, "{kind}");
    }
    for request in service.requests("/bulk") {
        let body = String::from_utf8(request.body).unwrap();
        assert!(!body.contains("example.com") && !body.contains("Secret") && !body.contains("123"), "{body}");
    }
}

#[test]
fn an_anonymous_context_is_redacted_where_it_is_only_mentioned() {
    let (service, client) = service_and_client([flag("f").tracked()]);
    let context = Context::builder("u").anonymous(true).set("a", 1).build().unwrap();
    client.variation("f", &context, false);
    client.track("t", &context, Value::Null, None);
    let events = reported(&client, &service);
    let redacted =
        json!({"kind": "user", "key": "u", "anonymous": true, "_meta": {"redactedAttributes": ["a"]}});
    assert_eq!(of_kind(&events, "feature")[0]["context"], redacted);
    assert_eq!(of_kind(&events, "custom")[0]["context"], redacted);
    assert_eq!(
        of_kind(&events, "index")[0]["context"],
        json!({"kind": "user", "key": "u", "anonymous": true, "a": 1})
    );
}

#[test]
fn keys_made_up_at_run_time_do_not_fill_the_memory() {
    let (service, client) = service_and_client([]);
    for index in 0..1_500 {
        client.variation(&format!("made-up-{index}"), &user("u"), false);
    }
    let events = reported(&client, &service);
    let features = of_kind(&events, "summary")[0]["features"].as_object().unwrap().clone();
    assert_eq!(features.len(), 1_001);
    assert_eq!(features["$other-unknown-flags"]["counters"][0]["count"], 500);
}

#[test]
fn evaluations_before_the_first_flags_are_counted_as_unknown() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/all", Answer::status(503));
    let client = Client::start(config(&service)).unwrap();
    client.variation("f", &user("u"), false);
    let events = reported(&client, &service);
    assert_eq!(
        of_kind(&events, "summary")[0]["features"]["f"]["counters"],
        json!([{"unknown": true, "value": false, "count": 1}])
    );
    assert_eq!(of_kind(&events, "index").len(), 1);
}

#[test]
fn flushing_loses_no_count_that_is_made_meanwhile() {
    let (service, client) = service_and_client([flag("f")]);
    const EACH: u64 = 20_000;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let client = &client;
            scope.spawn(move || {
                let user = user(&format!("u-{thread}"));
                for _ in 0..EACH {
                    assert!(client.variation("f", &user, false));
                }
            });
        }
        for version in 2..40 {
            service.patch(flag("f").version(version));
            flush(&client);
        }
    });
    flush(&client);
    assert_eq!(service.counted("f", &json!(true)), 4 * EACH);
    assert_eq!(service.events_of_kind("index").len(), 4);
}

#[test]
fn no_events_means_none() {
    let service = FakeService::start([flag("f").tracked()]);
    let client = started(config(&service).send_events(false).diagnostic_opt_out(false));
    client.variation("f", &user("u"), false);
    client.track("t", &user("u"), Value::Null, None);
    assert!(client.flush_and_wait(Duration::from_secs(10)));
    client.close();
    assert!(service.requests("/bulk").is_empty() && service.requests("/diagnostic").is_empty());
}

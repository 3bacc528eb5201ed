//! How events get to the service, and when they do not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flagstaff_sdk::{Platform, Sdk, Value};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, eventually, flag, user};
use serde_json::json;

use crate::support::{KEY, Lines, config, flush, service_and_client, started};

#[test]
fn a_payload_says_what_it_is() {
    let (service, client) = service_and_client([flag("f")]);
    client.variation("f", &user("u"), false);
    flush(&client);
    let request = &service.requests("/bulk")[0];
    let header = |name| request.header(name).unwrap_or_default().to_owned();
    assert_eq!(request.method, "POST");
    assert_eq!(header("authorization"), KEY);
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-launchdarkly-event-schema"), "4");
    assert_eq!(header("x-launchdarkly-payload-id").len(), 36);
    assert_eq!(request.header("content-encoding"), None);
    let stream = &service.requests("/all")[0];
    assert_eq!(request.header("x-launchdarkly-instance-id"), stream.header("x-launchdarkly-instance-id"));
    assert_eq!(request.header("user-agent"), stream.header("user-agent"));
}

#[test]
fn payloads_may_be_compressed() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).compress_events(true));
    client.variation("f", &user("u"), false);
    flush(&client);
    assert_eq!(service.requests("/bulk")[0].header("content-encoding"), Some("gzip"));
    assert_eq!(service.counted("f", &json!(true)), 1);
}

#[test]
fn a_failed_delivery_is_repeated_once_with_the_same_id() {
    for failure in [Answer::status(503), Answer::Cut, Answer::status(429)] {
        let (service, client) = service_and_client([flag("f")]);
        service.answer_next("/bulk", failure);
        client.variation("f", &user("u"), false);
        flush(&client);
        let requests = service.requests("/bulk");
        assert_eq!(requests.len(), 2);
        let id = |index: usize| requests[index].header("x-launchdarkly-payload-id").map(str::to_owned);
        assert_eq!(id(0), id(1));
        assert_eq!(requests[0].body, requests[1].body);
        let between = requests[1].at - requests[0].at;
        assert!(between >= Duration::from_millis(900) && between < PATIENCE, "{between:?}");

        client.variation("f", &user("u"), false);
        flush(&client);
        let third = service.requests("/bulk").pop().unwrap();
        assert_ne!(third.header("x-launchdarkly-payload-id").map(str::to_owned), id(0));
    }
}

#[test]
fn a_payload_that_fails_twice_is_lost_and_the_next_goes_on() {
    let (service, client) = service_and_client([flag("f")]);
    service.answer_next("/bulk", Answer::status(500));
    service.answer_next("/bulk", Answer::status(500));
    client.variation("f", &user("u"), false);
    flush(&client);
    assert_eq!(service.requests("/bulk").len(), 2);
    client.variation("f", &user("u"), false);
    flush(&client);
    assert_eq!(service.requests("/bulk").len(), 3);
}

#[test]
fn a_service_that_refuses_is_not_asked_again_soon() {
    let lines = Lines::default();
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).log_to(Arc::new(lines.clone())));
    service.answer_always("/bulk", Answer::status(401));
    for name in ["a", "b", "c"] {
        client.variation("f", &user(name), false);
        client.flush_and_wait(PATIENCE);
    }
    client.close();
    assert_eq!(service.requests("/bulk").len(), 1);
    assert_eq!(lines.with("the service answered 401").len(), 1, "{}", lines.text());
}

#[test]
fn a_payload_that_is_too_large_is_the_only_one_lost() {
    let (service, client) = service_and_client([flag("f")]);
    service.answer_next("/bulk", Answer::status(413));
    for _ in 0..2 {
        client.variation("f", &user("u"), false);
        flush(&client);
    }
    assert_eq!(service.requests("/bulk").len(), 2);
}

#[test]
fn events_are_sent_by_themselves() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).flush_interval(Duration::from_millis(20)));
    client.variation("f", &user("u"), false);
    service.wait_for_requests("/bulk", 1);
    client.variation("f", &user("u"), false);
    client.flush();
    service.wait_for_requests("/bulk", 2);
}

#[test]
fn what_does_not_fit_is_lost_counted_and_said_once() {
    let lines = Lines::default();
    let service = FakeService::start([flag("f")]);
    let client = started(
        config(&service)
            .events_capacity(10)
            .log_to(Arc::new(lines.clone()))
            .diagnostic_opt_out(false)
            .allow_any_diagnostic_interval()
            .diagnostic_interval(Duration::from_millis(300)),
    );
    for index in 0..25 {
        client.track("t", &user(&format!("u-{index}")), Value::Null, None);
        client.variation("f", &user("u-0"), false);
    }
    let started = Instant::now();
    flush(&client);
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(lines.with("more than 10 events wait").len(), 1, "{}", lines.text());
    assert_eq!(service.events().len(), 11, "ten, and the summary");
    // Summary counts need no room: all 25 are there.
    assert_eq!(service.counted("f", &json!(true)), 25);
    let dropped: u64 = eventually("the report said how many were lost", || {
        let reports = service.requests("/diagnostic");
        let dropped = reports.iter().filter_map(|report| report.json()["droppedEvents"].as_u64()).sum();
        (dropped > 0).then_some(dropped)
    });
    // 25 events and 25 introductions, less ten.
    assert_eq!(dropped, 40);
}

#[test]
fn the_client_reports_of_itself() {
    let service = FakeService::start([flag("f")]);
    service.answer_next("/all", Answer::status(503));
    let sdk = Sdk { name: "test-sdk".to_owned(), version: "7".to_owned(), ..Sdk::default() };
    let platform = Platform { name: "test".to_owned(), ..Platform::default() };
    let client = started(
        config(&service)
            .diagnostic_opt_out(false)
            .identity("TestClient/7", sdk, platform)
            .wrapper("wrap", None)
            .allow_any_diagnostic_interval()
            .diagnostic_interval(Duration::from_millis(200)),
    );
    client.variation("f", &user("u"), false);
    client.variation("f", &user("u"), false);
    flush(&client);
    let requests = service.wait_for_requests("/diagnostic", 3);
    assert_eq!(requests[0].header("user-agent"), Some("TestClient/7"));
    assert_eq!(requests[0].header("x-launchdarkly-event-schema"), None);
    let init = requests[0].json();
    assert_eq!(init["kind"], "diagnostic-init");
    assert_eq!(init["id"]["sdkKeySuffix"], "st-key");
    assert_eq!(init["sdk"], json!({"name": "test-sdk", "version": "7", "wrapperName": "wrap"}));
    let configuration = &init["configuration"];
    assert_eq!(configuration["customBaseURI"], true);
    assert_eq!(configuration["eventsCapacity"], 10_000);
    assert_eq!(configuration["eventsFlushIntervalMillis"], 3_600_000);
    assert_eq!(configuration["dataStoreType"], "memory");

    let (first, second) = (requests[1].json(), requests[2].json());
    assert_eq!((&first["kind"], &first["id"]), (&json!("diagnostic"), &init["id"]));
    assert_eq!(first["dataSinceDate"], init["creationDate"]);
    assert_eq!(second["dataSinceDate"], first["creationDate"]);
    let opened: Vec<&Value> =
        [&first, &second].iter().flat_map(|r| r["streamInits"].as_array().unwrap()).collect();
    let failed: Vec<&Value> = opened.iter().map(|init| &init["failed"]).collect();
    assert_eq!(failed, [&json!(true), &json!(false)]);
    let deduplicated: u64 = [&first, &second].iter().filter_map(|r| r["deduplicatedUsers"].as_u64()).sum();
    assert_eq!(deduplicated, 1);
}

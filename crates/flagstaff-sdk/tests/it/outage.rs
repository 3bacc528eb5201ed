//! What becomes of events while the service does not take them. Time is compressed, where waiting
//! would be long.

use std::sync::{Arc, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use flagstaff_sdk::{Client, Config, Value};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, Request, eventually, flag, user};
use serde_json::json;

use crate::support::{Lines, config, flush, started};

fn track(client: &Client, count: usize) {
    for _ in 0..count {
        client.track("t", &user("u"), Value::Null, None);
    }
}

fn events_in(requests: &[Request]) -> u64 {
    requests.iter().map(|request| request.json().as_array().unwrap().len() as u64).sum()
}

fn payload_ids(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.header("x-launchdarkly-payload-id").unwrap()).collect()
}

/// How many events are said to be lost, by all reports so far.
fn reported_as_lost(service: &FakeService) -> u64 {
    let reports = service.requests("/diagnostic");
    reports.iter().filter_map(|report| report.json()["droppedEvents"].as_u64()).sum()
}

/// Ten minutes of an ordinary client's life pass in six seconds, a flush each 50 ms.
fn hundred_times_as_fast(service: &FakeService) -> Config {
    config(service)
        .compress_time(100)
        .flush_interval(Duration::from_millis(50))
        .diagnostic_opt_out(false)
        .allow_any_diagnostic_interval()
        .diagnostic_interval(Duration::from_millis(200))
}

#[test]
fn events_lost_while_the_service_is_away_for_ten_minutes_are_counted_to_the_last() {
    let lines = Lines::default();
    let service = FakeService::start([flag("f")]);
    service.answer_always("/bulk", Answer::status(503));
    let client =
        started(hundred_times_as_fast(&service).events_capacity(100).log_to(Arc::new(lines.clone())));
    let away_since = Instant::now();
    let mut total = 1; // The context is introduced once.
    // More than there is room for, at once.
    track(&client, 500);
    total += 500;
    for _ in 0..600 {
        track(&client, 5);
        total += 5;
        sleep(Duration::from_millis(10));
    }
    flush(&client);
    let during = service.requests("/bulk");
    assert!(during.iter().all(|request| request.json().as_array().unwrap().len() <= 100));
    // A payload for each interval at most, each sent twice; the first may come early, the last was asked for.
    let intervals = away_since.elapsed().as_millis() / 50 + 2;
    assert!(during.len() as u128 <= 2 * intervals, "{} in {intervals}", during.len());
    assert_eq!(lines.with("more than 100 events wait").len(), 1, "{}", lines.text());

    service.answer_as_usual("/bulk");
    track(&client, 50);
    flush(&client);
    let after = service.requests("/bulk").split_off(during.len());
    assert_eq!(events_in(&after), 50, "what was given up on does not come back");
    eventually("the reports told of each that was lost", || {
        assert!(reported_as_lost(&service) <= total);
        (reported_as_lost(&service) == total).then_some(())
    });
}

#[test]
fn counts_of_evaluations_made_while_the_service_refuses_are_not_lost() {
    let service = FakeService::start([flag("f")]);
    let client = started(hundred_times_as_fast(&service));
    client.variation("f", &user("u"), false);
    service.answer_next("/bulk", Answer::status(403));
    assert!(client.flush_and_wait(PATIENCE), "it was given up on");
    for _ in 0..1_000 {
        client.variation("f", &user("u"), false);
    }
    assert!(!client.flush_and_wait(PATIENCE), "the service is not asked for a while");
    // Five minutes, a hundred times as fast.
    eventually("the service was asked again", || (service.requests("/bulk").len() >= 2).then_some(()));
    flush(&client);
    let probe = &service.requests("/bulk")[1..];
    assert!(probe[0].at - service.requests("/bulk")[0].at >= Duration::from_millis(2_900));
    let counters = probe[0].json()[0]["features"]["f"]["counters"].clone();
    assert_eq!(counters, json!([{"variation": 0, "version": 1, "value": true, "count": 1_000}]));
}

#[test]
fn a_refusal_that_is_slow_to_come_is_asked_for_by_one_payload_at_a_time() {
    let service = FakeService::start([flag("f")]);
    let late = Duration::from_millis(200);
    service.answer_always("/bulk", Answer::Late(late, 401));
    // Five minutes are 30 ms.
    let client = started(config(&service).compress_time(10_000));
    track(&client, 1);
    assert!(client.flush_and_wait(PATIENCE));
    for _ in 0..150 {
        track(&client, 1);
        client.flush();
        sleep(Duration::from_millis(10));
    }
    let requests = service.requests("/bulk");
    assert!(requests.len() >= 3, "the service is asked again and again: {}", requests.len());
    for pair in requests.windows(2) {
        let between = pair[1].at - pair[0].at;
        assert!(between >= late, "{between:?}");
    }
}

#[test]
fn no_more_than_five_payloads_are_on_their_way() {
    let service = FakeService::start([flag("f")]);
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    service.answer_always("/bulk", Answer::Held(gate.clone(), 202));
    let client = started(config(&service));
    for sent in 1..=5 {
        track(&client, 1);
        client.flush();
        service.wait_for_requests("/bulk", sent);
    }
    for _ in 0..15 {
        track(&client, 1);
        client.flush();
        sleep(Duration::from_millis(5));
    }
    assert_eq!(service.requests("/bulk").len(), 5);
    drop(closed);
    flush(&client);
    assert_eq!(service.requests("/bulk").len(), 6, "what waited goes in one");
    assert_eq!(service.events().len(), 21);
}

#[test]
fn a_batch_that_is_too_large_goes_in_several_requests() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).max_batch_size(10));
    track(&client, 24);
    flush(&client);
    let requests = service.requests("/bulk");
    let sizes: Vec<u64> = requests.iter().map(|request| events_in(std::slice::from_ref(request))).collect();
    assert_eq!(sizes, [10, 10, 5]);
    let mut ids = payload_ids(&requests);
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert_eq!(service.events_of_kind("custom").len(), 24);
}

#[test]
fn the_rest_of_a_batch_is_not_sent_to_a_service_that_refuses_and_is_counted_as_lost() {
    let service = FakeService::start([flag("f")]);
    service.answer_next("/bulk", Answer::status(202));
    service.answer_next("/bulk", Answer::status(401));
    let client = started(
        hundred_times_as_fast(&service).flush_interval(Duration::from_secs(3_600)).max_batch_size(10),
    );
    track(&client, 34);
    flush(&client);
    assert_eq!(service.requests("/bulk").len(), 2);
    eventually("the report told of the rest", || (reported_as_lost(&service) == 25).then_some(()));
}

#[test]
fn a_payload_that_is_given_up_on_was_sent_twice_under_one_name() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/bulk", Answer::status(500));
    let client = started(config(&service).compress_time(1_000));
    for _ in 0..3 {
        track(&client, 1);
        flush(&client);
    }
    let requests = service.requests("/bulk");
    let ids = payload_ids(&requests);
    assert_eq!(ids.len(), 6);
    assert!(ids[0] == ids[1] && ids[2] == ids[3] && ids[4] == ids[5]);
    assert!(ids[0] != ids[2] && ids[2] != ids[4]);
}

#[test]
fn close_sends_what_waits_for_a_sender_too() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/bulk", Answer::Late(Duration::from_millis(100), 202));
    let client = started(config(&service));
    for _ in 0..10 {
        track(&client, 1);
        client.flush();
        sleep(Duration::from_millis(2));
    }
    client.close();
    assert_eq!(service.events_of_kind("custom").len(), 10);
}

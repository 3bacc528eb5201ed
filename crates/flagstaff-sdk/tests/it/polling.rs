//! All flags, every so often.

use std::time::Duration;

use flagstaff_sdk::{Client, Config, DataSourceErrorKind, DataSourceState};
use flagstaff_testkit::{Answer, FakeService, all_data, eventually, flag, user};

use crate::support::{config, started};

fn polling(service: &FakeService) -> Config {
    config(service).stream(false).allow_any_poll_interval().poll_interval(Duration::from_millis(20))
}

#[test]
fn a_poll_that_brings_nothing_new_costs_no_body() {
    let service = FakeService::start([]);
    service.set_flags([flag("f").serving("old")], Some("\"tag-1\""));
    let client = started(polling(&service));
    assert_eq!(client.variation("f", &user("u"), ""), "old");
    let requests = service.wait_for_requests("/sdk/latest-all", 3);
    assert_eq!(requests[0].header("if-none-match"), None);
    assert_eq!(requests[0].header("accept-encoding"), Some("gzip"));
    // On a busy machine the first answer may come too late, and be asked for again.
    let sends = |tag: &str| {
        let of_all = service.requests("/sdk/latest-all");
        of_all.last().filter(|last| last.header("if-none-match") == Some(tag)).map(drop)
    };
    eventually("a poll said what is known", || sends("\"tag-1\""));
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);

    service.set_flags([flag("f").serving("new")], Some("\"tag-2\""));
    eventually("the new flags were polled", || {
        (client.variation("f", &user("u"), "") == "new").then_some(())
    });
    eventually("a poll said what is known by now", || sends("\"tag-2\""));
    assert!(service.requests("/all").is_empty());
}

#[test]
fn a_compressed_body_is_read() {
    let service = FakeService::start([]);
    let body = all_data([flag("f").serving("small")]).to_string();
    service.answer_always("/sdk/latest-all", Answer::Compressed(body.into_bytes()));
    let client = started(polling(&service));
    assert_eq!(client.variation("f", &user("u"), ""), "small");
}

#[test]
fn a_large_body_may_take_its_time_as_long_as_it_comes() {
    let service = FakeService::start([]);
    let body = all_data([flag("f").serving("slow")]).to_string().into_bytes();
    service.answer_always("/sdk/latest-all", Answer::Slowly(body, Duration::from_secs(1)));
    // Less than all of it takes, and far more than a quarter.
    let client = started(polling(&service).read_timeout(Duration::from_millis(3_500)));
    assert_eq!(client.variation("f", &user("u"), ""), "slow");
    assert_eq!(client.data_source_status().last_error, None);
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let service = FakeService::start([flag("f")]);
    let body = all_data([]).to_string().into_bytes();
    service.answer_next("/sdk/latest-all", Answer::Slowly(body, Duration::from_secs(60)));
    let client = started(polling(&service).read_timeout(Duration::from_millis(100)));
    assert!(client.variation("f", &user("u"), false));
}

#[test]
fn a_body_that_cannot_be_read_keeps_the_flags() {
    let service = FakeService::start([flag("f")]);
    let client = started(polling(&service));
    service.answer_always(
        "/sdk/latest-all",
        Answer::Status(200, vec![("etag", "x".to_owned())], "{".to_owned()),
    );
    eventually("the status said so", || {
        let error = client.data_source_status().last_error?;
        (error.kind == DataSourceErrorKind::InvalidData).then_some(())
    });
    assert!(client.variation("f", &user("u"), false));
    service.answer_as_usual("/sdk/latest-all");
    eventually("it went on", || (client.data_source_status().state == DataSourceState::Valid).then_some(()));
    let last = service.requests("/sdk/latest-all").pop().unwrap();
    assert_eq!(last.header("if-none-match"), None, "the tag of what was not read is not kept");
}

#[test]
fn failures_that_pass_are_waited_out() {
    let service = FakeService::start([flag("f")]);
    for answer in [Answer::Cut, Answer::status(500), Answer::status(304)] {
        service.answer_next("/sdk/latest-all", answer);
    }
    let client = started(polling(&service));
    assert!(client.variation("f", &user("u"), false));
}

#[test]
fn a_refusal_releases_whoever_waits_and_is_not_repeated_soon() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/sdk/latest-all", Answer::status(401));
    let client = Client::start(polling(&service)).unwrap();
    assert!(!client.wait_until_ready(Duration::from_secs(60)));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(service.requests("/sdk/latest-all").len(), 1);
    assert_eq!(client.data_source_status().last_error.unwrap().status_code, Some(401));
}

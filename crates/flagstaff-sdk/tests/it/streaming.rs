//! Flags as they change, and streams that break.

use std::sync::Arc;
use std::time::Duration;

use flagstaff_sdk::{Client, DataSourceErrorKind, DataSourceState, Value};
use flagstaff_testkit::{Answer, FakeService, eventually, flag, user};
use serde_json::json;

use crate::support::{KEY, Lines, config, service_and_client, started};

fn value(client: &Client, key: &str) -> Value {
    client.variation(key, &user("u"), json!("default"))
}

fn wait_for_value(client: &Client, key: &str, expected: Value) {
    eventually(&format!("`{key}` served {expected}"), || (value(client, key) == expected).then_some(()));
}

fn wait_for_error(client: &Client, kind: DataSourceErrorKind) {
    eventually(&format!("there was a {kind:?}"), || {
        client.data_source_status().last_error.filter(|error| error.kind == kind)
    });
}

#[test]
fn changes_are_seen_and_the_request_says_who_asks() {
    let service = FakeService::start([flag("f").version(2).serving("old")]);
    let client = started(
        config(&service)
            .application_id("shop")
            .application_version("1.2")
            .wrapper("wrap", Some("3"))
            .payload_filter("micro"),
    );
    assert_eq!(value(&client, "f"), "old");
    service.patch(flag("f").version(3).serving("new"));
    wait_for_value(&client, "f", json!("new"));
    service.patch(flag("g").serving("added"));
    wait_for_value(&client, "g", json!("added"));
    service.delete("f", 4);
    wait_for_value(&client, "f", json!("default"));

    let request = &service.requests("/all")[0];
    assert_eq!(request.query, "filter=micro");
    let header = |name| request.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("authorization"), KEY);
    assert_eq!(header("accept"), "text/event-stream");
    assert_eq!(header("accept-encoding"), "identity");
    assert_eq!(header("x-launchdarkly-tags"), "application-id/shop application-version/1.2");
    assert_eq!(header("x-launchdarkly-wrapper"), "wrap/3");
    assert!(header("user-agent").starts_with("FlagstaffRustClient/"));
    assert_eq!(header("x-launchdarkly-instance-id").len(), 36);
}

#[test]
fn what_is_not_newer_is_passed_over() {
    let (service, client) = service_and_client([flag("f").version(5).serving("five")]);
    service.patch(flag("f").version(5).serving("five again"));
    service.patch(flag("f").version(4).serving("four"));
    service.delete("f", 5);
    service.delete("gone", 7);
    service.patch(flag("gone").version(6).serving("late"));
    service.patch(flag("last").serving(true));
    wait_for_value(&client, "last", json!(true));
    assert_eq!(value(&client, "f"), "five");
    assert_eq!(value(&client, "gone"), "default");
    service.patch(flag("gone").version(8).serving("back"));
    wait_for_value(&client, "gone", json!("back"));
}

#[test]
fn a_put_replaces_everything_whatever_the_versions() {
    let (service, client) = service_and_client([flag("f").version(5).serving("five"), flag("g")]);
    service.send(
        b"event: put\ndata: {\"data\":{\"flags\":{\"f\":{\"key\":\"f\",\"version\":1,\"on\":true,\
        \"variations\":[\"one\"],\"fallthrough\":{\"variation\":0}}}}}\n\n",
    );
    wait_for_value(&client, "f", json!("one"));
    assert_eq!(value(&client, "g"), "default");
}

#[test]
fn segments_change_too() {
    let rule =
        json!([{"variation": 1, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["s"]}]}]);
    let (service, client) = service_and_client([flag("f").with("rules", rule)]);
    assert_eq!(value(&client, "f"), true);
    service.send(b"event: patch\ndata: {\"path\":\"/segments/s\",\"data\":{\"key\":\"s\",\"version\":1,\"included\":[\"u\"]}}\n\n");
    wait_for_value(&client, "f", json!(false));
    service.send(b"event: delete\ndata: {\"path\":\"/segments/s\",\"version\":2}\n\n");
    wait_for_value(&client, "f", json!(true));
}

#[test]
fn the_stream_restarts_after_a_message_that_cannot_be_read_and_flags_stay() {
    for message in [
        "event: put\ndata: {\n\n",
        "event: put\ndata: {\"data\":{\"flags\":[]}}\n\n",
        "event: patch\ndata: {\"path\":\"/flags/f\",\"data\":{\"key\":\"f\",\"version\":9,\"on\":\"yes\"}}\n\n",
        "event: patch\ndata: {\"data\":{}}\n\n",
        "event: delete\ndata: {\"path\":\"/flags/f\"}\n\n",
        "event: patch\ndata: \u{1}\n\n",
    ] {
        let (service, client) = service_and_client([flag("f").serving("old")]);
        // The next stream says nothing, so what is there must be what was there.
        service.answer_next("/all", Answer::Stream(Vec::new()));
        service.send(message.as_bytes());
        service.wait_for_requests("/all", 2);
        assert_eq!(value(&client, "f"), "old", "{message}");
        let status = client.data_source_status();
        assert_eq!(status.state, DataSourceState::Interrupted, "{message}");
        assert_eq!(status.last_error.unwrap().kind, DataSourceErrorKind::InvalidData, "{message}");
    }
}

#[test]
fn what_is_not_known_does_not_disturb_the_stream() {
    let (service, client) = service_and_client([]);
    service.send(b":\n\nevent: new-thing\ndata: junk\n\nevent: patch\ndata: {\"path\":\"/other/f\",\"data\":1}\n\nretry: 7\n\n");
    service.patch(flag("f"));
    wait_for_value(&client, "f", json!(true));
    assert_eq!(service.requests("/all").len(), 1);
    assert_eq!(client.data_source_status().last_error, None);
}

#[test]
fn a_stream_that_ends_is_opened_again() {
    let (service, client) = service_and_client([flag("f").serving("old")]);
    service.set_flags([flag("f").serving("new")], None);
    service.cut_connections();
    wait_for_value(&client, "f", json!("new"));
    eventually("the state was valid again", || {
        (client.data_source_status().state == DataSourceState::Valid).then_some(())
    });
    assert_eq!(client.data_source_status().last_error.unwrap().kind, DataSourceErrorKind::NetworkError);
}

#[test]
fn a_stream_on_which_nothing_comes_is_taken_for_dead() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).stream_read_timeout(Duration::from_millis(50)));
    service.wait_for_requests("/all", 2);
    wait_for_error(&client, DataSourceErrorKind::NetworkError);
}

#[test]
fn a_service_that_is_away_for_a_while_is_waited_for() {
    let service = FakeService::start([flag("f")]);
    for answer in [Answer::Cut, Answer::status(503), Answer::status(429), Answer::status(400)] {
        service.answer_next("/all", answer);
    }
    let client = started(config(&service));
    assert_eq!(value(&client, "f"), true);
    assert_eq!(service.requests("/all").len(), 5);
}

#[test]
fn a_first_message_without_flags_does_not_make_the_client_ready() {
    let service = FakeService::start([]);
    let mut patch = Vec::new();
    flagstaff_wire::stream::write_patch(
        &mut patch,
        flagstaff_wire::stream::ItemKind::Flag,
        "f",
        &flag("f").build(),
    )
    .unwrap();
    service.answer_next("/all", Answer::Stream(patch));
    let client = Client::start(config(&service)).unwrap();
    assert!(!client.wait_until_ready(Duration::from_millis(100)));
    // A flag that is there is served all the same.
    wait_for_value(&client, "f", json!(true));
    assert!(!client.is_initialized());
    assert_eq!(client.data_source_status().state, DataSourceState::Initializing);
}

#[test]
fn a_refusal_releases_whoever_waits_and_is_not_repeated_soon() {
    for status in [401, 403, 404, 405] {
        let lines = Lines::default();
        let service = FakeService::start([flag("f")]);
        service.answer_always("/all", Answer::status(status));
        let client = Client::start(config(&service).log_to(Arc::new(lines.clone()))).unwrap();
        let started = std::time::Instant::now();
        assert!(!client.wait_until_ready(Duration::from_secs(60)));
        assert!(started.elapsed() < Duration::from_secs(30), "the waiter was released");
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(service.requests("/all").len(), 1, "{status}");
        let now = client.data_source_status();
        assert_eq!(now.state, DataSourceState::Initializing);
        let error = now.last_error.unwrap();
        assert_eq!((error.kind, error.status_code), (DataSourceErrorKind::ErrorResponse, Some(status)));
        assert_eq!(lines.with("the service answered").len(), 1, "{}", lines.text());
        assert!(!lines.text().contains(KEY), "{}", lines.text());
    }
}

#[test]
fn a_refusal_in_mid_life_keeps_the_flags() {
    let (service, client) = service_and_client([flag("f")]);
    service.answer_always("/all", Answer::status(401));
    service.cut_connections();
    wait_for_error(&client, DataSourceErrorKind::ErrorResponse);
    assert_eq!(client.data_source_status().state, DataSourceState::Interrupted);
    assert_eq!(value(&client, "f"), true);
    assert!(client.wait_until_ready(Duration::ZERO));
}

#[test]
fn a_proxy_that_compresses_and_cuts_streams_does_not_keep_flags_away() {
    let service = FakeService::start([]);
    let mut put = Vec::new();
    flagstaff_wire::stream::write_put(&mut put, &flagstaff_testkit::all_data([flag("f")])).unwrap();
    service.answer_always("/all", Answer::Compressed(put));
    let client = started(config(&service));
    service.wait_for_requests("/all", 3);
    assert_eq!(value(&client, "f"), true);
}

#[test]
fn redirects_are_followed() {
    let service = FakeService::start([flag("f")]);
    let location = format!("{}/elsewhere", service.url());
    let mut put = Vec::new();
    flagstaff_wire::stream::write_put(&mut put, &flagstaff_testkit::all_data([flag("f")])).unwrap();
    service.answer_next("/all", Answer::Status(307, vec![("location", location)], String::new()));
    service.answer_next("/elsewhere", Answer::Stream(put));
    let client = started(config(&service));
    assert_eq!(value(&client, "f"), true);
    assert_eq!(service.requests("/elsewhere")[0].header("authorization"), Some(KEY));
}

#[test]
fn the_last_event_that_has_an_id_is_named_when_the_stream_is_opened_again() {
    let (service, client) = service_and_client([flag("f")]);
    service.send("id: ä-7\n\n:\n\n".as_bytes());
    service.patch(flag("g"));
    wait_for_value(&client, "g", json!(true));
    service.cut_connections();
    let requests = service.wait_for_requests("/all", 2);
    assert_eq!(requests[0].header("last-event-id"), None);
    assert_eq!(requests[1].header("last-event-id"), Some("ä-7"));
    // It holds until another takes its place, also across a stream that has none.
    service.cut_connections();
    assert_eq!(service.wait_for_requests("/all", 3)[2].header("last-event-id"), Some("ä-7"));
    eventually("the third stream was read", || (service.streams() == 1).then_some(()));
    service.send(b"id\n\n");
    service.patch(flag("h"));
    wait_for_value(&client, "h", json!(true));
    service.cut_connections();
    assert_eq!(service.wait_for_requests("/all", 4)[3].header("last-event-id"), None);
}

#[test]
fn a_pattern_that_never_matches_is_said_once_for_each_version() {
    let clause = |pattern: &str| json!([{"variation": 1, "clauses": [{"attribute": "key", "op": "matches", "values": [pattern]}]}]);
    let lines = Lines::default();
    let service = FakeService::start([flag("f").with("rules", clause("(?=look)")), flag("g")]);
    let client = started(config(&service).log_to(Arc::new(lines.clone())));
    assert_eq!(value(&client, "f"), true);
    service.cut_connections();
    eventually("the stream was open again", || (service.streams() == 1).then_some(()));
    service.patch(flag("g").version(2).with("rules", clause("(?<!x)y")));
    eventually("the patch was spoken of", || (!lines.with("(?<!x)y").is_empty()).then_some(()));
    let said = lines.with("can never match");
    assert_eq!(said.len(), 2, "{}", lines.text());
    assert!(said[0].contains("`(?=look)`") && said[0].contains("flag `f`"), "{said:?}");
}

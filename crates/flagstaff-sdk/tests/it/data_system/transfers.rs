//! Transfers count whole or not at all, whatever the network and the service do to them.

use std::sync::Arc;
use std::time::Duration;

use flagstaff_sdk::{Client, DataSourceErrorKind, DataSourceState, DataSystem};
use flagstaff_testkit::{Answer, FakeService, Fdv2Events, PATIENCE, eventually, flag};
use flagstaff_wire::fdv2::{Goodbye, IntentCode};
use flagstaff_wire::stream::ItemKind;
use serde_json::json;

use super::*;
use crate::support::{Lines, started};

#[test]
fn a_full_transfer_replaces_everything_and_changes_count_whatever_the_versions() {
    let service = FakeService::start([]);
    let flags = [flag("f").version(9).serving("first"), flag("g").version(9)];
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::full(flags, "1").stream()));
    let client = started(config(&service, stream_only()));
    assert_eq!(value(&client), "first");

    service.send(&Fdv2Events::new().put(flag("f").version(2).serving("second")).transferred("2").stream());
    eventually_serves(&client, "second");
    assert_eq!(client.data_set().flag_version("g"), Some(9));

    service.send(&Fdv2Events::new().delete("f", 1).transferred("3").stream());
    eventually_serves(&client, "default");

    service.send(&Fdv2Events::full([flag("f").version(1).serving("third")], "4").stream());
    eventually_serves(&client, "third");
    assert_eq!((client.data_set().flag_version("f"), client.data_set().flag_version("g")), (Some(1), None));
}

#[test]
fn a_transfer_is_seen_whole_or_not_at_all() {
    let service = FakeService::start([]);
    let pair = |value: i64| [flag("a").serving(value), flag("b").serving(value)];
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::full(pair(0), "0").stream()));
    let client = started(config(&service, stream_only()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=50 {
                let [a, b] = pair(round);
                service.send(&Fdv2Events::new().put(a).stream());
                service.send(&Fdv2Events::new().put(b).transferred("x").stream());
            }
        });
        eventually("the last round was seen", || {
            let data = client.data_set();
            let of = |key: &str| {
                let flag = data.flag(key).expect("it is never gone");
                flag.variations()[0].as_i64().expect("it is a number")
            };
            assert_eq!(of("a"), of("b"));
            (of("a") == 50).then_some(())
        });
    });
}

#[test]
fn a_connection_that_breaks_within_a_transfer_leaves_no_trace() {
    let service = FakeService::start([]);
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::full([serving("old")], "s1").stream()));
    let client = started(config(&service, stream_only()));
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::new().intent(IntentCode::None).stream()));
    service.send(&Fdv2Events::new().intent(IntentCode::TransferFull).put(serving("half")).stream());
    service.cut_connections();
    let requests = service.wait_for_requests(STREAM, 2);
    assert_eq!((requests[0].query.as_str(), requests[1].query.as_str()), ("", "basis=s1"));
    eventually_in(&client, DataSourceState::Valid);
    assert_eq!(value(&client), "old");
    // What came before is not added to what comes now.
    service.send(&Fdv2Events::new().put(flag("g")).transferred("s2").stream());
    eventually("the change was seen", || client.data_set().flag("g").map(|_| ()));
    assert_eq!(value(&client), "old");
}

#[test]
fn what_is_not_known_is_passed_over_and_an_error_forgets_a_transfer() {
    let service = FakeService::start([]);
    let events = Fdv2Events::new()
        .raw("heart-beat", "{}")
        .raw("server-intent", r#"{"payloads":[]}"#)
        .intent(IntentCode::TransferFull)
        .put(serving("forgotten"))
        .raw("heartbeat", "{}")
        .error("try again")
        .raw("put-object", r#"{"kind":"holdout","version":1,"key":"f","object":7}"#)
        .put(flag("g"))
        .raw("something-new", "[1]")
        .put_object(ItemKind::Segment, "s", 3, &json!({"key": "s", "version": 3}))
        .transferred("s1");
    service.answer_next(STREAM, Answer::Stream(events.stream()));
    let client = started(config(&service, stream_only()));
    let data = client.data_set();
    assert_eq!((data.flags().count(), data.segments().count()), (1, 1));
    assert!(data.flag("g").is_some());
    assert_eq!(client.data_source_status().last_error, None);
    assert_eq!(service.requests(STREAM).len(), 1);
}

#[test]
fn a_goodbye_opens_the_stream_again_and_is_no_interruption() {
    let service = FakeService::start([]);
    let lines = Lines::default();
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::full([serving("old")], "s1").stream()));
    let config = config(&service, stream_only()).log_to(Arc::new(lines.clone()));
    let client = started(config);
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::changes([serving("new")], "s2").stream()));
    let goodbye = Goodbye { reason: "moving house".to_owned(), ..Goodbye::default() };
    let half = Fdv2Events::new().put(serving("half"));
    service.send(&half.goodbye(&goodbye).transferred("never").stream());
    eventually_serves(&client, "new");
    assert_eq!(service.requests(STREAM)[1].query, "basis=s1");
    assert_eq!(client.data_source_status().last_error, None);
    assert_eq!(lines.with("moving house").len(), 1);

    let silent = Goodbye { reason: "hush".to_owned(), silent: true, ..Goodbye::default() };
    service.send(&Fdv2Events::new().goodbye(&silent).stream());
    service.wait_for_requests(STREAM, 3);
    assert!(lines.with("hush").is_empty());
}

#[test]
fn what_cannot_be_read_restarts_the_stream_and_keeps_the_flags() {
    let put = |data: &str| format!("event: put-object\ndata: {data}\n\n").into_bytes();
    let deep = format!(r#"{{"version":1,"kind":"flag","key":"f","object":{}"#, "[".repeat(100_000));
    for what in [
        put(""),
        put("{"),
        put("[]"),
        put("null"),
        put("{\u{0}}"),
        put(r#"{"version":1,"kind":"flag","key":"f"}"#),
        put(r#"{"version":1,"kind":"flag","key":"f","object":{"rules":7}}"#),
        put(r#"{"version":-1,"kind":"flag","key":"f","object":{}}"#),
        put(&deep),
        b"event: put-object\ndata: {\"version\":1,\"kind\":\"flag\",\"key\":\"\xff\",\"object\":{}}\n\n"
            .to_vec(),
        b"event: server-intent\ndata: {\"payloads\":[{\"intentCode\":\"xfer-some\"}]}\n\n".to_vec(),
        b"event: server-intent\ndata: {\"payloads\":[]}\n\n".to_vec(),
        b"event: payload-transferred\ndata: {\"version\":1}\n\n".to_vec(),
    ] {
        let service = FakeService::start([serving("kept")]);
        let client = started(config(&service, stream_only()));
        // Whatever comes with it, before or after, does not count.
        let before = Fdv2Events::new().intent(IntentCode::TransferFull).stream();
        let after = Fdv2Events::new().transferred("s2").stream();
        service.send(&[before, what.clone(), after].concat());
        let said = String::from_utf8_lossy(&what[..what.len().min(200)]).into_owned();
        assert_eq!(service.wait_for_requests(STREAM, 2)[1].query, "basis=0", "{said}");
        eventually_in(&client, DataSourceState::Valid);
        let error = client.data_source_status().last_error.expect("there was one");
        assert_eq!(error.kind, DataSourceErrorKind::InvalidData, "{said}: {}", error.message);
        assert_eq!(value(&client), "kept", "{said}");
    }
}

#[test]
fn a_stream_may_be_cut_into_any_pieces() {
    let service = FakeService::start([]);
    service.answer_next(STREAM, Answer::Stream(Vec::new()));
    let client = Client::start(config(&service, stream_only())).unwrap();
    eventually("the stream was open", || (service.streams() == 1).then_some(()));
    let long = "\u{20ac}".repeat(200_000);
    let events = Fdv2Events::full([flag("f").serving(long.as_str())], "s1").stream();
    for piece in [&events[..1], &events[1..90], &events[90..1001], &events[1001..]] {
        service.send(piece);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(client.wait_until_ready(PATIENCE));
    assert!(value(&client) == long);
}

#[test]
fn an_empty_answer_or_word_of_being_up_to_date_is_no_data() {
    let service = FakeService::start([]);
    for body in [Fdv2Events::new(), Fdv2Events::new().intent(IntentCode::None), Fdv2Events::new().error("no")]
    {
        answer_poll(&service, &body);
    }
    answer_poll(&service, &Fdv2Events::new().intent(IntentCode::TransferFull).put(serving("half")));
    let client = Client::start(config(&service, poll_only())).unwrap();
    service.wait_for_requests(POLL, 4);
    service.set_flags([serving("whole")], None);
    assert!(client.wait_until_ready(PATIENCE));
    eventually_serves(&client, "whole");
    assert_eq!(client.data_source_status().last_error.unwrap().kind, DataSourceErrorKind::InvalidData);
}

#[test]
fn a_poll_asks_for_what_is_new_and_costs_no_body_if_nothing_is() {
    let service = FakeService::start([]);
    let tagged = |tag: &str, events: Fdv2Events| {
        Answer::Status(200, vec![("etag", tag.to_owned()), ("x-ld-envid", "e1".to_owned())], events.poll())
    };
    service.answer_next(POLL, tagged("\"t1\"", Fdv2Events::full([serving("old")], "s1")));
    service.answer_next(POLL, Answer::status(304));
    service.answer_next(POLL, tagged("\"t2\"", Fdv2Events::changes([serving("new")], "s2")));
    service.answer_next(POLL, tagged("\"t3\"", Fdv2Events::new().intent(IntentCode::None)));
    service.answer_next(POLL, Answer::status(500));
    service.answer_always(POLL, Answer::status(304));
    let client = started(config(&service, poll_only()));
    let requests = service.wait_for_requests(POLL, 7);
    let asked = |index: usize| (requests[index].query.as_str(), requests[index].header("if-none-match"));
    assert_eq!(asked(0), ("", None));
    assert_eq!(asked(1), ("basis=s1", Some("\"t1\"")));
    assert_eq!(asked(2), ("basis=s1", Some("\"t1\"")));
    assert_eq!(asked(3), ("basis=s2", Some("\"t2\"")));
    assert_eq!(asked(4), ("basis=s2", Some("\"t3\"")));
    assert_eq!(asked(5), ("basis=s2", Some("\"t3\"")), "a failure changes nothing");
    assert_eq!(asked(6), ("basis=s2", Some("\"t3\"")));
    assert_eq!(requests[0].header("accept-encoding"), Some("gzip"));
    assert_eq!(value(&client), "new");
    assert_eq!(client.data_source_status().last_error.unwrap().status_code, Some(500));
}

#[test]
fn a_304_is_for_what_was_asked_on_from_also_without_a_tag() {
    let service = FakeService::start([]);
    service.answer_next(POLL, Answer::status(304));
    answer_poll(&service, &Fdv2Events::full([serving("f")], "s1"));
    service.answer_always(POLL, Answer::status(304));
    let polls = PollingSource::new();
    let system =
        DataSystem::custom().initializer(polls.clone()).initializer(polls.clone()).synchronizer(polls);
    let lines = Lines::default();
    let client = started(config(&service, system).log_to(Arc::new(lines.clone())));
    let requests = service.wait_for_requests(POLL, 5);
    assert!(requests.iter().all(|request| request.header("if-none-match").is_none()));
    let queries: Vec<_> = requests[..5].iter().map(|request| request.query.as_str()).collect();
    assert_eq!(queries, ["", "", "basis=s1", "basis=s1", "basis=s1"]);
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
    assert_eq!(lines.with("304").len(), 1, "only the first had nothing to ask on from: {}", lines.text());
}

#[test]
fn a_compressed_poll_is_read() {
    let service = FakeService::start([]);
    let body = Fdv2Events::full([serving("small")], "s1").poll();
    service.answer_next(POLL, Answer::Compressed(body.into_bytes()));
    let client = started(config(&service, DataSystem::polling()));
    assert_eq!(value(&client), "small");
}

#[test]
fn a_poll_that_fails_is_tried_again_and_keeps_the_flags() {
    let service = FakeService::start([serving("kept")]);
    let client = started(config(&service, poll_only()));
    for answer in [Answer::status(500), Answer::Cut, Answer::Status(200, Vec::new(), "{".to_owned())] {
        service.answer_next(POLL, answer);
    }
    eventually("the failures were noticed", || {
        let error = client.data_source_status().last_error?;
        (error.kind == DataSourceErrorKind::InvalidData).then_some(())
    });
    eventually_in(&client, DataSourceState::Valid);
    assert_eq!(value(&client), "kept");
}

#[test]
fn closing_ends_the_stream_at_once() {
    let service = FakeService::start([serving("f")]);
    let client = started(config(&service, DataSystem::streaming()));
    client.close();
    eventually("the stream was closed", || {
        service.send(b":\n\n");
        (service.streams() == 0).then_some(())
    });
    nothing_more_is_asked(&service, &[STREAM, POLL]);
    assert_eq!(client.data_source_status().state, DataSourceState::Off);
}

#[test]
fn a_stream_that_is_cut_all_the_time_serves_nothing_wrong() {
    const ROUNDS: i64 = 60;
    let pair = |value: i64| [flag("a").serving(value), flag("b").serving(value)];
    let service = FakeService::start(pair(0));
    // No delay grows beyond 10 ms.
    let client = started(config(&service, stream_only()).compress_time(3000));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                let [a, _] = pair(round);
                service.set_flags(pair(round), None);
                service.send(&Fdv2Events::new().put(a).stream());
                std::thread::sleep(Duration::from_millis(5));
                service.cut_connections();
            }
        });
        let mut last = 0;
        eventually("the last round was seen", || {
            let data = client.data_set();
            let [a, b] = ["a", "b"].map(|key| data.flag(key).and_then(|flag| flag.variations()[0].as_i64()));
            assert_eq!(a, b);
            let seen = a.expect("it is never gone");
            assert!(seen >= last, "{seen} came after {last}");
            last = seen;
            (seen == ROUNDS).then_some(())
        });
    });
}

#[test]
fn the_environment_is_known_from_either_kind_of_answer() {
    for (path, system) in [(POLL, poll_only()), (STREAM, stream_only())] {
        let service = FakeService::start([]);
        let events = Fdv2Events::full([serving("f")], "s1");
        let headers = vec![("x-ld-envid", "env-1".to_owned())];
        let answer = match path {
            POLL => Answer::Status(200, headers, events.poll()),
            _ => Answer::StreamWith(headers, events.stream()),
        };
        service.answer_always(path, answer);
        let client = started(config(&service, system));
        assert_eq!(client.environment_id().as_deref(), Some("env-1"), "{path}");
    }
}

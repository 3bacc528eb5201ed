//! Second-generation delivery: transfers that count whole or not at all, and sources that take over
//! from one another.

use std::time::Duration;

use flagstaff_sdk::{
    Client, Config, DataSourceErrorKind, DataSourceState, DataSystem, PollingSource, StreamingSource,
};
use flagstaff_testkit::{Answer, FakeService, Fdv2Events, FlagBuilder, PATIENCE, eventually, flag, user};
use flagstaff_wire::fdv2::{Goodbye, IntentCode};
use flagstaff_wire::stream::ItemKind;
use serde_json::json;

use crate::support::{self, Lines, started};

const POLL: &str = "/sdk/poll";
const STREAM: &str = "/sdk/stream";
const FDV1: &str = "/sdk/latest-all";
const FALLBACK: &str = "x-ld-fd-fallback";
/// As good as never.
const NEVER: Duration = Duration::from_secs(3600);
/// Longer than a request takes, and no more than a test wants to wait.
const SOON: Duration = Duration::from_millis(150);

fn config(service: &FakeService, system: DataSystem) -> Config {
    support::config(service)
        .allow_any_poll_interval()
        .poll_interval(Duration::from_millis(20))
        .data_system(system)
}

fn stream_only() -> DataSystem {
    DataSystem::custom().synchronizer(StreamingSource::new())
}

fn poll_only() -> DataSystem {
    DataSystem::custom().synchronizer(PollingSource::new())
}

fn serving(value: &str) -> FlagBuilder {
    flag("f").serving(value)
}

fn value(client: &Client) -> String {
    client.variation("f", &user("u"), "default")
}

fn eventually_serves(client: &Client, expected: &str) {
    eventually(&format!("`{expected}` was served"), || (value(client) == expected).then_some(()));
}

fn eventually_in(client: &Client, state: DataSourceState) {
    eventually(&format!("the state was {state:?}"), || {
        (client.data_source_status().state == state).then_some(())
    });
}

fn answer_poll(service: &FakeService, events: &Fdv2Events) {
    service.answer_next(POLL, Answer::Status(200, Vec::new(), events.poll()));
}

fn directive(status: u16, ttl: Option<&str>, body: String) -> Answer {
    let mut headers = vec![(FALLBACK, "TRUE".to_owned())];
    headers.extend(ttl.map(|ttl| ("x-ld-fd-fallback-ttl", ttl.to_owned())));
    Answer::Status(status, headers, body)
}

fn nothing_more_is_asked(service: &FakeService, paths: &[&str]) {
    let count = || paths.iter().map(|path| service.requests(path).len()).sum::<usize>();
    let before = count();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(count(), before);
}

#[test]
fn a_poll_brings_the_first_flags_and_a_stream_goes_on_from_there() {
    let service = FakeService::start([serving("polled")]);
    let state = "(p:p1:53) \u{e4}&%";
    answer_poll(&service, &Fdv2Events::full([serving("polled")], state));
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::changes([serving("streamed")], "2").stream()));
    let client = started(config(&service, DataSystem::default_mode()));
    eventually_serves(&client, "streamed");
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
    let requests = service.requests(POLL);
    assert_eq!((requests.len(), requests[0].query.as_str()), (1, ""));
    assert_eq!(requests[0].header("authorization"), Some(support::KEY));
    assert_eq!(service.requests(STREAM)[0].query, "basis=%28p%3Ap1%3A53%29%20%C3%A4%26%25");
    assert!(service.requests("/all").is_empty() && service.requests(FDV1).is_empty());
}

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
    let config = config(&service, stream_only()).log_to(std::sync::Arc::new(lines.clone()));
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
    service.answer_always(POLL, Answer::status(304));
    let client = started(config(&service, poll_only()));
    let requests = service.wait_for_requests(POLL, 6);
    let asked = |index: usize| (requests[index].query.as_str(), requests[index].header("if-none-match"));
    assert_eq!(asked(0), ("", None));
    assert_eq!(asked(1), ("basis=s1", Some("\"t1\"")));
    assert_eq!(asked(2), ("basis=s1", Some("\"t1\"")));
    assert_eq!(asked(3), ("basis=s2", Some("\"t2\"")));
    assert_eq!(asked(4), ("basis=s2", Some("\"t3\"")));
    assert_eq!(asked(5), ("basis=s2", Some("\"t3\"")));
    assert_eq!(requests[0].header("accept-encoding"), Some("gzip"));
    assert_eq!(value(&client), "new");
    assert_eq!(client.data_source_status().last_error, None);
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
fn data_without_a_selector_is_used_while_initialization_goes_on() {
    let service = FakeService::start([]);
    answer_poll(&service, &Fdv2Events::full([serving("old")], ""));
    service.answer_next(POLL, Answer::Silence(Duration::from_millis(500)));
    let system = DataSystem::custom()
        .initializer(PollingSource::new())
        .initializer(PollingSource::new())
        .synchronizer(StreamingSource::new());
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::full([serving("new")], "s1").stream()));
    let client = Client::start(config(&service, system)).unwrap();
    eventually_serves(&client, "old");
    assert_eq!(client.data_source_status().state, DataSourceState::Initializing);
    assert!(!client.is_initialized());
    assert!(client.wait_until_ready(PATIENCE));
    assert_eq!(value(&client), "new");
    let asked =
        |path: &str| service.requests(path).iter().map(|request| request.query.clone()).collect::<Vec<_>>();
    assert_eq!((asked(POLL), asked(STREAM)), (vec![String::new(); 2], vec![String::new()]));
}

#[test]
fn initializers_are_asked_in_turn_until_one_has_flags() {
    let (first, second) = (FakeService::start([]), FakeService::start([serving("second")]));
    first.answer_always(POLL, Answer::status(401));
    let system = DataSystem::custom()
        .initializer(PollingSource::new().base_uri(first.url()))
        .initializer(PollingSource::new().base_uri(second.url()).payload_filter("web"))
        .initializer(PollingSource::new());
    let service = FakeService::start([]);
    let client = started(config(&service, system));
    assert_eq!(value(&client), "second");
    assert_eq!(first.requests(POLL).len(), 1);
    assert_eq!(second.requests(POLL)[0].query, "filter=web");
    nothing_more_is_asked(&service, &[POLL, STREAM]);
    // There is nothing that would keep them up to date, and they were when they came.
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
}

#[test]
fn without_any_flags_and_any_further_source_nobody_waits() {
    let service = FakeService::start([]);
    service.answer_always(POLL, Answer::status(500));
    let system = DataSystem::custom().initializer(PollingSource::new());
    let client = Client::start(config(&service, system)).unwrap();
    assert!(!client.wait_until_ready(PATIENCE * 10));
    assert_eq!(client.data_source_status().state, DataSourceState::Off);
}

#[test]
fn a_stream_that_brings_nothing_is_left_for_polls() {
    let service = FakeService::start([serving("polled")]);
    service.answer_always(STREAM, Answer::status(503));
    let system =
        stream_only().synchronizer(PollingSource::new()).allow_any_conditions(NEVER, SOON, NEVER, SOON / 10);
    let client = started(config(&service, system));
    assert_eq!(value(&client), "polled");
    let streams = service.requests(STREAM).len();
    service.wait_for_requests(POLL, 5);
    assert_eq!(service.requests(STREAM).len(), streams, "one source at a time");
}

#[test]
fn a_stream_that_is_interrupted_for_long_is_left_for_polls_and_taken_up_again() {
    let service = FakeService::start([serving("streamed")]);
    let system =
        stream_only().synchronizer(PollingSource::new()).allow_any_conditions(SOON, NEVER, SOON, SOON / 10);
    let client = started(config(&service, system));
    assert_eq!(value(&client), "streamed");
    service.set_flags([serving("polled")], None);
    service.answer_always(STREAM, Answer::status(503));
    service.cut_connections();
    eventually_serves(&client, "polled");
    let requests = service.requests(POLL);
    assert_eq!(requests[0].query, "basis=0", "it goes on from what the stream brought");
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);

    service.set_flags([serving("streamed again")], None);
    service.answer_as_usual(STREAM);
    eventually("there was a stream again", || (service.streams() > 0).then_some(()));
    eventually_serves(&client, "streamed again");
    nothing_more_is_asked(&service, &[POLL, STREAM]);
}

#[test]
fn a_source_that_is_alone_is_not_left() {
    let service = FakeService::start([]);
    service.answer_always(STREAM, Answer::status(503));
    let system = stream_only().allow_any_conditions(SOON, SOON, SOON, SOON / 10);
    let client = Client::start(config(&service, system)).unwrap();
    service.wait_for_requests(STREAM, 4);
    service.answer_as_usual(STREAM);
    assert!(client.wait_until_ready(PATIENCE));
}

#[test]
fn a_refusal_removes_a_source_for_good() {
    let service = FakeService::start([serving("polled")]);
    service.answer_next(STREAM, Answer::status(401));
    let system =
        stream_only().synchronizer(PollingSource::new()).allow_any_conditions(NEVER, NEVER, SOON, SOON / 10);
    let client = started(config(&service, system));
    assert_eq!(value(&client), "polled");
    service.wait_for_requests(POLL, 20);
    assert_eq!(service.requests(STREAM).len(), 1);
    assert_eq!(client.data_source_status().last_error.unwrap().status_code, Some(401));
}

#[test]
fn when_all_sources_are_refused_it_is_over() {
    let service = FakeService::start([serving("kept")]);
    let client = started(config(&service, DataSystem::default_mode()));
    for path in [STREAM, POLL] {
        service.answer_always(path, Answer::status(403));
    }
    service.cut_connections();
    eventually_in(&client, DataSourceState::Off);
    nothing_more_is_asked(&service, &[POLL, STREAM, FDV1]);
    assert_eq!(value(&client), "kept");
    assert_eq!(client.data_source_status().last_error.unwrap().status_code, Some(403));
    client.close();
}

#[test]
fn a_client_that_is_refused_from_the_start_keeps_nobody_waiting() {
    let service = FakeService::start([]);
    for path in [STREAM, POLL] {
        service.answer_always(path, Answer::status(401));
    }
    let client = Client::start(config(&service, DataSystem::default_mode())).unwrap();
    assert!(!client.wait_until_ready(PATIENCE * 10));
    assert_eq!((service.requests(POLL).len(), service.requests(STREAM).len()), (2, 1));
    assert_eq!(client.data_source_status().state, DataSourceState::Off);
}

#[test]
fn the_service_may_ask_for_first_generation_delivery_with_any_answer() {
    let full = Fdv2Events::full([serving("second generation")], "s1");
    let with_stream = Answer::StreamWith(vec![(FALLBACK, "true".to_owned())], full.stream());
    for (what, path, answer) in [
        ("a poll with flags", POLL, directive(200, None, full.poll())),
        ("a poll without", POLL, directive(200, None, "{".to_owned())),
        ("a poll that failed", POLL, directive(503, None, String::new())),
        ("a poll that was refused", POLL, directive(401, None, String::new())),
        ("a stream with flags", STREAM, with_stream),
        ("a stream that failed", STREAM, directive(503, None, String::new())),
        ("a stream that was refused", STREAM, directive(403, None, String::new())),
    ] {
        let service = FakeService::start([serving("first generation")]);
        if path == STREAM {
            service.answer_next(POLL, Answer::status(500));
        }
        service.answer_always(path, answer);
        let client = started(config(&service, DataSystem::default_mode()));
        eventually_serves(&client, "first generation");
        assert_eq!(client.data_source_status().state, DataSourceState::Valid, "{what}");
        service.set_flags([serving("later")], None);
        eventually_serves(&client, "later");
        eventually("the stream was closed", || {
            service.send(b":\n\n");
            (service.streams() == 0).then_some(())
        });
        nothing_more_is_asked(&service, &[POLL, STREAM]);
        assert_eq!(service.requests(path).len(), 1, "{what}");
    }
}

#[test]
fn what_comes_with_the_wish_for_first_generation_delivery_counts_first() {
    for path in [POLL, STREAM] {
        let service = FakeService::start([]);
        let full = Fdv2Events::full([serving("second generation")], "s1");
        let answer = match path {
            POLL => directive(200, None, full.poll()),
            _ => Answer::StreamWith(vec![(FALLBACK, "true".to_owned())], full.stream()),
        };
        service.answer_next(path, answer);
        service.answer_always(FDV1, Answer::status(503));
        let synchronizer = if path == POLL { poll_only() } else { stream_only() };
        let client = started(config(&service, synchronizer.fdv1_fallback(PollingSource::new())));
        assert_eq!(value(&client), "second generation");
        service.wait_for_requests(FDV1, 3);
        assert_eq!(value(&client), "second generation");
        assert_eq!(client.data_source_status().state, DataSourceState::Interrupted);
    }
}

#[test]
fn without_a_first_generation_fallback_the_wish_for_it_is_the_end() {
    let service = FakeService::start([]);
    let full = Fdv2Events::full([serving("kept")], "s1");
    service.answer_always(STREAM, Answer::StreamWith(vec![(FALLBACK, "true".to_owned())], full.stream()));
    let client = started(config(&service, stream_only().synchronizer(PollingSource::new())));
    eventually_in(&client, DataSourceState::Off);
    nothing_more_is_asked(&service, &[POLL, STREAM, FDV1]);
    assert_eq!((service.requests(STREAM).len(), service.requests(POLL).len()), (1, 0));
    assert_eq!(value(&client), "kept");
}

#[test]
fn first_generation_delivery_may_be_asked_for_for_a_time() {
    let service = FakeService::start([serving("first generation")]);
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::full([serving("first")], "s1").stream()));
    let system = stream_only().fdv1_fallback(PollingSource::new().payload_filter("old"));
    let client = started(config(&service, system));
    service.answer_next(STREAM, directive(503, Some("1"), String::new()));
    service.cut_connections();
    eventually_serves(&client, "first generation");
    assert_eq!(service.requests(FDV1)[0].query, "filter=old");
    let last = Fdv2Events::full([serving("second generation")], "s2");
    service.answer_always(STREAM, Answer::Stream(last.stream()));
    eventually_serves(&client, "second generation");
    let asked: Vec<_> = service.requests(STREAM).iter().map(|request| request.query.clone()).collect();
    assert_eq!(asked, ["", "basis=s1", ""], "what the other generation brought has no selector");
    nothing_more_is_asked(&service, &[FDV1]);
}

#[test]
fn a_goodbye_may_ask_for_first_generation_delivery() {
    let service = FakeService::start([serving("first generation")]);
    let goodbye = Goodbye { protocol_fallback_ttl: Some(0), ..Goodbye::default() };
    let events = Fdv2Events::full([serving("second generation")], "s1").goodbye(&goodbye);
    service.answer_always(STREAM, Answer::Stream(events.stream()));
    let client = started(config(&service, DataSystem::streaming()));
    eventually_serves(&client, "first generation");
    nothing_more_is_asked(&service, &[STREAM, POLL]);
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

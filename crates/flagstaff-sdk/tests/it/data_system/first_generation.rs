//! First-generation delivery, when the service asks for it.

use flagstaff_sdk::{DataSourceState, DataSystem, PollingSource};
use flagstaff_testkit::{Answer, FakeService, Fdv2Events, eventually};
use flagstaff_wire::fdv2::Goodbye;

use super::*;
use crate::support::started;

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

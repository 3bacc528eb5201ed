//! Initializers and synchronizers: who is asked, in which order, and who takes over.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use flagstaff_sdk::{Client, DataAvailability, DataSourceState, DataSystem, FileDataSource, PollingSource};
use flagstaff_testkit::{Answer, FakeService, Fdv2Events, PATIENCE, eventually};

use super::*;
use crate::support::{self, started};

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
fn data_without_a_selector_is_used_while_initialization_goes_on() {
    let service = FakeService::start([]);
    answer_poll(&service, &Fdv2Events::full([serving("old")], ""));
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    service.answer_next(POLL, Answer::Held(gate.clone(), 503));
    let system = DataSystem::custom()
        .initializer(PollingSource::new())
        .initializer(PollingSource::new())
        .synchronizer(StreamingSource::new());
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::full([serving("new")], "s1").stream()));
    let client = Client::start(config(&service, system)).unwrap();
    eventually_serves(&client, "old");
    let status = client.data_source_status();
    assert_eq!(status.state, DataSourceState::Initializing);
    assert_eq!(status.data_availability, DataAvailability::Cached);
    assert!(!client.is_initialized());
    drop(closed);
    assert!(client.wait_until_ready(PATIENCE));
    assert_eq!(client.data_source_status().data_availability, DataAvailability::Refreshed);
    assert_eq!(value(&client), "new");
    let asked =
        |path: &str| service.requests(path).iter().map(|request| request.query.clone()).collect::<Vec<_>>();
    assert_eq!((asked(POLL), asked(STREAM)), (vec![String::new(); 2], vec![String::new()]));
}

#[test]
fn a_file_is_used_until_flags_come_that_are_up_to_date() {
    let path = std::env::temp_dir().join(format!("flagstaff-initializer-{}.json", std::process::id()));
    std::fs::write(&path, r#"{"flagValues":{"f":"from a file"}}"#).unwrap();
    let service = FakeService::start([]);
    service.answer_always(STREAM, Answer::status(503));
    let missing = path.with_extension("missing");
    let system =
        stream_only().initializer(FileDataSource::new([missing])).initializer(FileDataSource::new([&path]));
    let client = Client::start(config(&service, system)).unwrap();
    eventually_serves(&client, "from a file");
    std::fs::remove_file(&path).unwrap();
    let status = client.data_source_status();
    assert_eq!(status.state, DataSourceState::Initializing);
    assert_eq!(status.data_availability, DataAvailability::Cached);
    service.answer_always(STREAM, Answer::Stream(Fdv2Events::full([serving("streamed")], "s1").stream()));
    assert!(client.wait_until_ready(PATIENCE));
    assert_eq!(value(&client), "streamed");
    assert!(service.requests(STREAM).iter().all(|request| request.query.is_empty()));
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
    eventually_in(&client, DataSourceState::Valid);

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

#[cfg(unix)]
#[test]
fn a_child_process_tries_anew_what_its_parent_gave_up() {
    if !crate::fork::runs_alone() {
        return;
    }
    use crate::fork::{becomes, in_child};
    let service = FakeService::start([serving("for the child")]);
    service.answer_next(STREAM, Answer::status(401));
    let client = Client::start(config(&service, stream_only())).unwrap();
    eventually_in(&client, DataSourceState::Off);
    let status = in_child(|| {
        becomes(|| value(&client) == "for the child")
            && becomes(|| client.data_source_status().state == DataSourceState::Valid)
    });
    assert_eq!(status, 0);
    assert_eq!(client.data_source_status().state, DataSourceState::Off);
}

#[cfg(unix)]
#[test]
fn a_child_process_keeps_its_flags_and_asks_for_everything_anew() {
    if !crate::fork::runs_alone() {
        return;
    }
    use crate::fork::{becomes, in_child};
    let service = FakeService::start([serving("old")]);
    let path = std::env::temp_dir().join(format!("flagstaff-forked-{}.json", std::process::id()));
    std::fs::write(&path, r#"{"flagValues":{"f":"from a file"}}"#).unwrap();
    let client = started(config(&service, stream_only().initializer(FileDataSource::new([&path]))));
    assert_eq!(value(&client), "old");
    service.set_flags([serving("new")], None);
    service.answer_next(STREAM, Answer::Silence(Duration::from_secs(2)));
    let status = in_child(|| {
        // The file does not take the place of what the parent received.
        let mut seen = vec![value(&client)];
        let ends = becomes(|| {
            seen.push(value(&client));
            seen.ends_with(&["new".to_owned()])
        });
        ends && seen[0] == "old" && seen.iter().all(|value| value != "from a file")
    });
    std::fs::remove_file(&path).unwrap();
    assert_eq!(status, 0);
    assert!(service.requests(STREAM).iter().all(|request| request.query.is_empty()));
    // The parent has not noticed anything.
    assert_eq!((value(&client).as_str(), service.streams()), ("old", 2));
    service.send(&Fdv2Events::changes([serving("newest")], "s9").stream());
    eventually_serves(&client, "newest");
}

#[test]
fn a_source_has_time_outs_of_its_own() {
    let hasty = || Config::new("").connect_timeout(SOON).read_timeout(SOON);
    let poll = || PollingSource::new().network(hasty());
    let stream = StreamingSource::new().network(hasty()).initial_reconnect_delay(Duration::from_millis(1));
    for (path, system) in [
        (POLL, DataSystem::custom().synchronizer(poll())),
        (STREAM, DataSystem::custom().synchronizer(stream)),
        (FDV1, DataSystem::custom().synchronizer(PollingSource::new()).fdv1_fallback(poll())),
    ] {
        let service = FakeService::start([serving("served")]);
        service.answer_next(path, Answer::Silence(NEVER));
        let transfer = Fdv2Events::full([serving("served")], "1");
        match path {
            POLL => answer_poll(&service, &transfer),
            STREAM => service.answer_next(STREAM, Answer::Stream(transfer.stream())),
            _ => service.answer_next(POLL, directive(503, None, String::new())),
        }
        let client = started(config(&service, system).connect_timeout(NEVER).read_timeout(NEVER));
        assert_eq!(value(&client), "served", "{path}");
        assert!(service.requests(path).len() >= 2, "{path}");
    }
}

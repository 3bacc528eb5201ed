//! Initializers and synchronizers of the program's own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use flagstaff_sdk::{
    Client, DataAvailability, DataSourceErrorKind, DataSourceState, DataSystem, FileDataSource, Initializer,
    Synchronizer, TransferSource, Transfers,
};
use flagstaff_testkit::{Answer, FakeService, Fdv2Events, PATIENCE};

use super::*;
use crate::support::{Lines, started};

/// Does what the test says, with what the client holds; says when it is stopped.
struct Own<F> {
    run: F,
    stopped: Mutex<Sender<()>>,
}

impl<F: Fn(&Transfers) + Send + Sync + 'static> TransferSource for Own<F> {
    fn name(&self) -> &str {
        "the registry"
    }

    fn run(&self, transfers: Transfers) {
        (self.run)(&transfers);
    }

    fn stop(&self) {
        // Nobody may be waiting for it.
        let _ = self.stopped.lock().unwrap().send(());
    }
}

fn own<F: Fn(&Transfers) + Send + Sync + 'static>(run: F) -> (Own<F>, Receiver<()>) {
    let (stopped, stops) = channel();
    (Own { run, stopped: Mutex::new(stopped) }, stops)
}

fn take(transfers: &Transfers, events: &Fdv2Events) {
    transfers.take_json(events.poll().as_bytes()).unwrap();
}

fn wait(transfers: &Transfers) {
    assert!(transfers.wait_until_stopped(PATIENCE));
}

#[test]
fn a_synchronizer_of_the_programs_own_keeps_flags_up_to_date_until_the_client_is_closed() {
    let service = FakeService::start([]);
    let (go, goes) = channel();
    let goes = Mutex::new(goes);
    let (source, stops) = own(move |transfers| {
        assert_eq!(transfers.selector(), None);
        take(transfers, &Fdv2Events::full([serving("one")], "s1"));
        assert_eq!(transfers.selector().as_deref(), Some("s1"));
        goes.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        take(transfers, &Fdv2Events::changes([serving("two")], "s2"));
        transfers.interrupted(DataSourceErrorKind::NetworkError, "no answer");
        wait(transfers);
        take(transfers, &Fdv2Events::full([serving("late")], "s3"));
    });
    let system = DataSystem::custom().synchronizer(Synchronizer::own(source));
    let client = started(config(&service, system));
    assert_eq!(value(&client), "one");
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
    go.send(()).unwrap();
    eventually_in(&client, DataSourceState::Interrupted);
    assert_eq!(value(&client), "two");
    assert_eq!(client.data_source_status().last_error.unwrap().message, "no answer");
    client.close();
    stops.recv_timeout(PATIENCE).unwrap();
    assert!(service.requests(STREAM).is_empty() && service.requests(POLL).is_empty());
}

#[test]
fn what_an_initializer_brings_is_gone_on_from() {
    let service = FakeService::start([]);
    service.answer_next(STREAM, Answer::Stream(Fdv2Events::changes([serving("streamed")], "2").stream()));
    let (source, stops) = own(|transfers| take(transfers, &Fdv2Events::full([serving("own")], "s1")));
    let client = started(config(&service, stream_only().initializer(Initializer::own(source))));
    eventually_serves(&client, "streamed");
    assert_eq!(service.requests(STREAM)[0].query, "basis=s1");
    stops.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn an_initializer_without_a_selector_or_luck_leaves_it_to_the_next() {
    let service = FakeService::start([]);
    service.answer_always(STREAM, Answer::status(503));
    let (failing, _stops) =
        own(|transfers| transfers.interrupted(DataSourceErrorKind::Unknown, "nothing here"));
    let (panicking, _stops) = own(|_| panic!("away"));
    let (old, _stops) = own(|transfers| take(transfers, &Fdv2Events::full([serving("old")], "")));
    let system = stream_only()
        .initializer(Initializer::own(failing))
        .initializer(Initializer::own(panicking))
        .initializer(Initializer::own(old));
    let lines = Lines::default();
    let client = Client::start(config(&service, system).log_to(Arc::new(lines.clone()))).unwrap();
    eventually_serves(&client, "old");
    assert_eq!(client.data_source_status().data_availability, DataAvailability::Cached);
    assert!(!client.is_initialized());
    assert_eq!(lines.with("asking for the first flags failed: nothing here").len(), 1);
    assert_eq!(lines.with("a source of flags panicked: away").len(), 1);
}

#[test]
fn a_synchronizer_that_ends_or_gives_up_is_followed_by_the_next() {
    for off in [true, false] {
        let service = FakeService::start([]);
        let (first, _stops) = own(move |transfers| {
            if off {
                transfers.off(DataSourceErrorKind::ErrorResponse, "wrong key");
            }
        });
        let (second, _stops) = own(|transfers| {
            take(transfers, &Fdv2Events::full([serving("second")], "s1"));
            wait(transfers);
        });
        let system = DataSystem::custom()
            .synchronizer(Synchronizer::own(first))
            .synchronizer(Synchronizer::own(second));
        let client = started(config(&service, system));
        assert_eq!(value(&client), "second");
    }
}

#[test]
fn a_source_that_keeps_its_end_of_the_line_may_say_that_it_has_ended() {
    let service = FakeService::start([]);
    let (keeper, kept) = channel();
    let keeper = Mutex::new(keeper);
    let (source, _stops) = own(move |transfers| {
        keeper.lock().unwrap().send(transfers.clone()).unwrap();
        transfers.end();
    });
    let (next, _stops) = own(|transfers| {
        take(transfers, &Fdv2Events::full([serving("next")], "s1"));
        wait(transfers);
    });
    let system =
        DataSystem::custom().initializer(Initializer::own(source)).synchronizer(Synchronizer::own(next));
    let client = started(config(&service, system));
    assert_eq!(value(&client), "next");
    assert!(kept.recv_timeout(PATIENCE).unwrap().is_stopped());
}

#[test]
fn the_last_synchronizer_to_end_releases_whoever_waits() {
    let service = FakeService::start([]);
    let (source, _stops) = own(|_| {});
    let client =
        Client::start(config(&service, DataSystem::custom().synchronizer(Synchronizer::own(source))))
            .unwrap();
    assert!(!client.wait_until_ready(PATIENCE));
    eventually_in(&client, DataSourceState::Off);
}

#[test]
fn a_synchronizer_that_stays_interrupted_is_stopped_and_left_for_the_next() {
    let service = FakeService::start([]);
    service.answer_always(STREAM, Answer::Stream(Fdv2Events::full([serving("streamed")], "s2").stream()));
    let (source, stops) = own(|transfers| {
        take(transfers, &Fdv2Events::full([serving("own")], "s1"));
        transfers.interrupted(DataSourceErrorKind::Unknown, "away");
        wait(transfers);
    });
    let system = DataSystem::custom()
        .synchronizer(Synchronizer::own(source))
        .synchronizer(StreamingSource::new())
        .allow_any_conditions(SOON, NEVER, NEVER, SOON / 3);
    let client = started(config(&service, system));
    eventually_serves(&client, "streamed");
    stops.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_source_of_the_programs_own_may_ask_for_first_generation_delivery() {
    let service = FakeService::start([serving("first generation")]);
    let (source, _stops) = own(|transfers| transfers.fall_back());
    let system =
        DataSystem::custom().synchronizer(Synchronizer::own(source)).fdv1_fallback(PollingSource::new());
    let client = started(config(&service, system));
    assert_eq!(value(&client), "first generation");
}

#[test]
fn what_is_no_transfer_is_refused_and_changes_nothing() {
    let service = FakeService::start([]);
    let (said, says) = channel();
    let said = Mutex::new(said);
    let (source, _stops) = own(move |transfers| {
        take(transfers, &Fdv2Events::full([serving("own")], "s1"));
        for bad in
            ["", "[]", r#"{"events":[{"event":"payload-transferred","data":{"state":"s2","version":1}}]}"#]
        {
            said.lock().unwrap().send(transfers.take_json(bad.as_bytes()).unwrap_err().to_string()).unwrap();
        }
        wait(transfers);
    });
    let client = started(config(&service, DataSystem::custom().synchronizer(Synchronizer::own(source))));
    let refused: Vec<String> = (0..3).map(|_| says.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(refused[2].contains("no `server-intent` announced"), "{refused:?}");
    assert_eq!(value(&client), "own");
}

#[test]
fn files_keep_flags_up_to_date_as_a_synchronizer() {
    let path = std::env::temp_dir().join(format!("flagstaff-synchronizer-{}.json", std::process::id()));
    std::fs::write(&path, r#"{"flagValues":{"f":"one"}}"#).unwrap();
    let service = FakeService::start([]);
    let files = FileDataSource::new([&path]).poll_interval(Duration::from_millis(5));
    let client = started(config(&service, DataSystem::custom().synchronizer(files)));
    assert_eq!(value(&client), "one");
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
    std::fs::write(&path, r#"{"flagValues":{"f":"the second"}}"#).unwrap();
    eventually_serves(&client, "the second");
    std::fs::write(&path, r#"{"flagValues":"#).unwrap();
    eventually_in(&client, DataSourceState::Interrupted);
    assert_eq!(value(&client), "the second");
    std::fs::write(&path, r#"{"flagValues":{"f":"the last"}}"#).unwrap();
    eventually_in(&client, DataSourceState::Valid);
    eventually_serves(&client, "the last");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn closing_waits_until_a_source_is_stopped() {
    struct Slow(Arc<AtomicBool>);
    impl TransferSource for Slow {
        fn run(&self, transfers: Transfers) {
            take(&transfers, &Fdv2Events::full([serving("own")], "s1"));
            wait(&transfers);
        }

        fn stop(&self) {
            std::thread::sleep(SOON);
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let service = FakeService::start([]);
    let is_stopped = Arc::new(AtomicBool::new(false));
    let source = Synchronizer::own(Slow(is_stopped.clone()));
    let client = started(config(&service, DataSystem::custom().synchronizer(source)));
    client.close();
    assert!(is_stopped.load(Ordering::SeqCst));
}

//! How receiving flags is going, listened to and waited for.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use flagstaff_sdk::{Client, DataSourceErrorKind, DataSourceState, DataSourceStatus};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, flag};

use crate::support::{config, service_and_client};

fn listen(client: &Client) -> Receiver<DataSourceStatus> {
    let (sender, heard) = channel();
    client.data_source_status_provider().add_listener(move |status| sender.send(status.clone()).unwrap());
    heard
}

/// The next state that is heard, and the HTTP status of the last error.
fn next(heard: &Receiver<DataSourceStatus>) -> (DataSourceState, Option<u16>) {
    let status = heard.recv_timeout(PATIENCE).expect("there was a change of the status");
    (status.state, status.last_error.and_then(|error| error.status_code))
}

#[test]
fn listeners_hear_of_each_state_and_of_each_error() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/all", Answer::status(503));
    let client = Client::start(config(&service)).unwrap();
    let heard = listen(&client);
    // An error is told although the state stays.
    assert_eq!(next(&heard), (DataSourceState::Initializing, Some(503)));
    service.answer_as_usual("/all");
    let mut last = next(&heard);
    while last.0 == DataSourceState::Initializing {
        last = next(&heard);
    }
    assert_eq!(last.0, DataSourceState::Valid);
    service.cut_connections();
    let status = heard.recv_timeout(PATIENCE).unwrap();
    assert_eq!(status.state, DataSourceState::Interrupted);
    assert_eq!(status.last_error.unwrap().kind, DataSourceErrorKind::NetworkError);
    assert_eq!(next(&heard).0, DataSourceState::Valid);
    client.close();
    assert_eq!(next(&heard).0, DataSourceState::Off);
    assert!(heard.recv().is_err(), "listeners are let go when the client is closed");
}

#[test]
fn a_removed_listener_hears_nothing() {
    let (service, client) = service_and_client([flag("f")]);
    let provider = client.data_source_status_provider();
    let (sender, unheard) = channel();
    let id = provider.add_listener(move |_| sender.send(()).unwrap());
    let heard = listen(&client);
    assert!(provider.remove_listener(id));
    assert!(!provider.remove_listener(id));
    service.cut_connections();
    next(&heard);
    assert!(unheard.recv().is_err());
}

#[test]
fn a_state_is_waited_for_as_long_as_it_can_come() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/all", Answer::status(503));
    let client = Client::start(config(&service)).unwrap();
    let provider = client.data_source_status_provider();
    assert_eq!(provider.status().state, DataSourceState::Initializing);
    assert!(provider.wait_for_state(DataSourceState::Initializing, Duration::ZERO));
    assert!(!provider.wait_for_state(DataSourceState::Valid, Duration::from_millis(20)));
    std::thread::scope(|scope| {
        let valid = scope.spawn(|| provider.wait_for_state(DataSourceState::Valid, PATIENCE));
        service.answer_as_usual("/all");
        assert!(valid.join().unwrap());
        let off = scope.spawn(|| provider.wait_for_state(DataSourceState::Off, PATIENCE));
        let never = scope.spawn(|| provider.wait_for_state(DataSourceState::Initializing, PATIENCE));
        let begun = Instant::now();
        client.close();
        assert!(off.join().unwrap());
        assert!(!never.join().unwrap());
        assert!(begun.elapsed() < PATIENCE, "a closed client is not waited for");
    });
}

#[test]
fn a_client_without_a_database_of_flags_has_a_good_one() {
    let (_service, client) = service_and_client([flag("f")]);
    let status = client.data_store_status_provider().status();
    assert!(status.available && !status.stale);
}

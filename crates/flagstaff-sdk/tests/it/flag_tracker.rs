//! Listeners that hear of flags that change, and of their values.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[cfg(unix)]
use flagstaff_sdk::DataSourceState;
use flagstaff_sdk::{Client, FlagValueChange, ListenerId, Value};
use flagstaff_testkit::{Answer, FakeService, FlagBuilder, PATIENCE, eventually, flag, user};
use serde_json::json;

#[cfg(unix)]
use crate::fork::in_child;
use crate::support::{Lines, config, flush, service_and_client, started};

/// Long enough to hear what should not be heard.
const A_WHILE: Duration = Duration::from_millis(100);

/// Hears the keys of flags that change.
fn listen(client: &Client) -> Receiver<String> {
    let (sender, heard) = channel();
    client.flag_tracker().add_listener(move |change| sender.send(change.key.clone()).unwrap());
    heard
}

/// The next so many keys that are heard, sorted: those of one change come in no particular order.
fn next(heard: &Receiver<String>, count: usize) -> Vec<String> {
    let mut keys: Vec<_> = (0..count).map(|_| heard.recv_timeout(PATIENCE).unwrap()).collect();
    keys.sort();
    keys
}

fn listen_to_value(
    client: &Client,
    key: &str,
    default: impl Into<Value>,
) -> (ListenerId, Receiver<(Value, Value)>) {
    let (sender, heard): (Sender<(Value, Value)>, _) = channel();
    let expected_key = key.to_owned();
    let tell = move |change: &FlagValueChange| {
        assert_eq!(change.key, expected_key);
        sender.send((change.old_value.clone(), change.new_value.clone())).unwrap();
    };
    (client.flag_tracker().add_value_change_listener(key, &user("u"), default, tell), heard)
}

fn top() -> FlagBuilder {
    flag("top").with("prerequisites", json!([{"key": "base", "variation": 0}]))
}

#[test]
fn listeners_hear_of_the_first_flags_of_changes_and_of_what_depends_on_them() {
    let service = FakeService::start([flag("base"), top(), flag("other")]);
    service.answer_always("/all", Answer::status(503));
    let client = Client::start(config(&service)).unwrap();
    let heard = listen(&client);
    service.answer_as_usual("/all");
    assert!(client.wait_until_ready(PATIENCE));
    assert_eq!(next(&heard, 3), ["base", "other", "top"]);

    service.patch(flag("base").version(2));
    assert_eq!(next(&heard, 2), ["base", "top"]);
    // An old version is no change: what is heard next is the deletion.
    service.patch(flag("base").version(1));
    service.delete("other", 5);
    assert_eq!(next(&heard, 1), ["other"]);
    // The same flags again are no change either.
    service.set_flags([flag("base").version(2), top(), flag("new")], None);
    service.cut_connections();
    assert_eq!(next(&heard, 1), ["new"]);
    assert!(heard.recv_timeout(A_WHILE).is_err());
}

#[test]
fn a_change_of_a_segment_is_one_of_the_flags_that_ask_for_it() {
    let rules =
        json!([{"variation": 1, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["s"]}]}]);
    let (service, client) = service_and_client([flag("f").with("rules", rules), flag("other")]);
    let heard = listen(&client);
    let (_, values) = listen_to_value(&client, "f", Value::Null);
    let segment = json!({"path": "/segments/s", "data": {"key": "s", "version": 1, "included": ["u"]}});
    service.send(format!("event: patch\ndata: {segment}\n\n").as_bytes());
    assert_eq!(next(&heard, 1), ["f"]);
    assert_eq!(values.recv_timeout(PATIENCE).unwrap(), (json!(true), json!(false)));
}

#[test]
fn a_value_is_told_only_if_it_is_another_and_is_not_reported() {
    let (service, client) = service_and_client([flag("f").serving("a")]);
    let (id, heard) = listen_to_value(&client, "f", "none");
    let (_, others) = listen_to_value(&client, "other", "none");
    let all = listen(&client);
    let change = |version: u64, value: Value| {
        service.patch(flag("f").version(version).serving(value));
        assert_eq!(next(&all, 1), ["f"]);
    };
    change(2, json!("a"));
    change(3, json!("b"));
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), (json!("a"), json!("b")));
    // Null stands for the default, and so does a flag that is gone.
    change(4, Value::Null);
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), (json!("b"), json!("none")));
    service.delete("f", 5);
    assert_eq!(next(&all, 1), ["f"]);
    change(6, json!([1]));
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), (json!("none"), json!([1])));

    assert!(client.flag_tracker().remove_listener(id));
    assert!(!client.flag_tracker().remove_listener(id));
    change(7, json!("z"));
    assert!(heard.recv().is_err(), "the listener was let go, and heard nothing more");
    assert!(others.try_recv().is_err());
    flush(&client);
    assert!(service.events().is_empty(), "{:?}", service.events());
}

#[test]
fn a_listener_may_call_the_client_and_one_that_panics_stops_nobody() {
    let lines = Lines::default();
    let service = FakeService::start([flag("f").serving(1), flag("g")]);
    let client = started(config(&service).log_to(Arc::new(lines.clone())));
    let (sender, heard) = channel();
    client.flag_tracker().add_listener(|_| panic!("on purpose"));
    let inner = client.clone();
    client.flag_tracker().add_listener(move |change| {
        let tracker = inner.flag_tracker();
        let id = tracker.add_listener(|_| {});
        assert!(tracker.remove_listener(id));
        sender.send((change.key.clone(), inner.variation("f", &user("u"), 0_i64))).unwrap();
    });
    service.patch(flag("f").version(2).serving(2));
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), ("f".to_owned(), 2_i64));
    assert_eq!(lines.with("a flag change listener panicked: on purpose").len(), 1, "{}", lines.text());
    // The listener holds the client, which holds the listener: closing lets both go.
    client.close();
    assert!(heard.recv_timeout(PATIENCE).is_err());
}

#[test]
fn a_listener_may_drop_the_last_of_the_client() {
    let (service, client) = service_and_client([flag("f")]);
    let (sender, dropped) = channel();
    let last = Arc::new(Mutex::new(None));
    let taken = last.clone();
    client.flag_tracker().add_listener(move |_| {
        let client: Option<Client> = taken.lock().unwrap().take();
        drop(client);
        sender.send(()).unwrap();
    });
    *last.lock().unwrap() = Some(client);
    service.patch(flag("f").version(2));
    dropped.recv_timeout(PATIENCE).unwrap();
    eventually("the stream was closed", || {
        service.send(b":\n\n");
        (service.streams() == 0).then_some(())
    });
    assert!(dropped.recv_timeout(PATIENCE).is_err(), "the listener was let go");
}

#[test]
fn a_listener_that_hangs_keeps_nobody_waiting() {
    let (service, client) = service_and_client([flag("f").serving(1)]);
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    client.flag_tracker().add_listener(move |_| {
        // The sender goes away at the end of the test.
        let _ = released.lock().unwrap().recv();
    });
    for version in 2..300 {
        service.patch(flag("f").version(version).serving(version));
    }
    eventually("the last change was seen", || {
        (client.variation("f", &user("u"), 0_i64) == 299).then_some(())
    });
    client.close();
    drop(release);
}

#[cfg(unix)]
#[test]
fn listeners_live_on_in_a_child_process() {
    if !crate::fork::runs_alone() {
        return;
    }
    let (service, client) = service_and_client([flag("f").serving("old")]);
    let heard = listen(&client);
    let (_, values) = listen_to_value(&client, "f", "none");
    let (sender, states) = channel();
    client.data_source_status_provider().add_listener(move |status| sender.send(status.state).unwrap());
    // The child's stream brings another version than the parent's did.
    service.set_flags([flag("f").version(2).serving("new")], None);
    let status = in_child(|| {
        assert!(client.is_initialized());
        assert_eq!(next(&heard, 1), ["f"]);
        assert_eq!(values.recv_timeout(PATIENCE / 2).unwrap(), (json!("old"), json!("new")));
        assert_eq!(states.recv_timeout(PATIENCE / 2), Ok(DataSourceState::Valid));
        client.close();
        states.recv_timeout(PATIENCE / 2) == Ok(DataSourceState::Off)
    });
    assert_eq!(status, 0);
    // Each process has listeners of its own.
    assert!(heard.try_recv().is_err());
    service.patch(flag("f").version(3).serving("newest"));
    assert_eq!(next(&heard, 1), ["f"]);
    assert_eq!(values.recv_timeout(PATIENCE).unwrap(), (json!("old"), json!("newest")));
}

//! Flags from a source of the program's own.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flagstaff_sdk::{
    Client, Config, DataAvailability, DataSource, DataSourceErrorKind, DataSourceState, DataSourceUpdates,
    ItemKind, model,
};
use flagstaff_testkit::{FakeService, PATIENCE, all_data, eventually, flag, user};
use serde_json::{Value, json};

use crate::support::{KEY, Lines, started};

/// Hands the test what it is started with, and says when it is stopped.
struct Handed {
    started: Mutex<Sender<DataSourceUpdates>>,
    stopped: Mutex<Sender<DataSourceUpdates>>,
}

fn handed() -> (Config, Receiver<DataSourceUpdates>, Receiver<DataSourceUpdates>) {
    let ((started, starts), (stopped, stops)) = (channel(), channel());
    let source = Handed { started: Mutex::new(started), stopped: Mutex::new(stopped) };
    (Config::new(KEY).data_source(source).send_events(false), starts, stops)
}

impl DataSource for Handed {
    fn start(&self, updates: DataSourceUpdates) {
        self.started.lock().unwrap().send(updates).unwrap();
    }

    fn stop(&self, updates: &DataSourceUpdates) {
        assert!(updates.is_stopped());
        self.stopped.lock().unwrap().send(updates.clone()).unwrap();
    }
}

/// A client, and what it is told by.
fn client_and_updates() -> (Client, DataSourceUpdates) {
    let (config, starts, _) = handed();
    let client = Client::start(config).unwrap();
    let updates = starts.recv_timeout(PATIENCE).unwrap();
    (client, updates)
}

fn value(client: &Client, key: &str) -> Value {
    client.variation(key, &user("u"), json!("default"))
}

fn flag_model(key: &str, version: u64, value: &str) -> model::Flag {
    serde_json::from_value(flag(key).version(version).serving(value).build()).unwrap()
}

#[test]
fn what_a_source_brings_is_in_force_when_it_was_told() {
    let (client, updates) = client_and_updates();
    assert!(!client.is_initialized());
    assert_eq!(client.data_source_status().data_availability, DataAvailability::Defaults);
    updates.replace_json(all_data([flag("f").version(2).serving("two")]).to_string().as_bytes()).unwrap();
    assert!(client.wait_until_ready(Duration::ZERO));
    assert_eq!(value(&client, "f"), "two");
    let status = client.data_source_status();
    assert_eq!(status.state, DataSourceState::Valid);
    assert_eq!(status.data_availability, DataAvailability::Refreshed);

    updates.upsert_flag(flag_model("f", 2, "two again"));
    updates.upsert_flag(flag_model("f", 1, "one"));
    assert_eq!(value(&client, "f"), "two", "neither is newer");
    updates.upsert_flag(flag_model("f", 3, "three"));
    assert_eq!(value(&client, "f"), "three");
    updates.delete(ItemKind::Flag, "f", 4);
    assert_eq!(value(&client, "f"), "default");
    updates.upsert_flag(flag_model("f", 4, "late"));
    assert_eq!(value(&client, "f"), "default");
    let json = flag("other").version(5).serving("five").build().to_string();
    updates.upsert_json(ItemKind::Flag, "f", json.as_bytes()).unwrap();
    assert_eq!(value(&client, "f"), "five", "the key under which it is addressed counts");

    let model = model::FlagData { flags: vec![("f".to_owned(), flag_model("", 1, "one"))], segments: vec![] };
    updates.replace(model);
    assert_eq!(value(&client, "f"), "one", "everything is replaced, whatever the versions");
}

#[test]
fn segments_come_from_a_source_too() {
    let (client, updates) = client_and_updates();
    let rule =
        json!([{"variation": 1, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["s"]}]}]);
    updates.replace_json(all_data([flag("f").with("rules", rule)]).to_string().as_bytes()).unwrap();
    assert_eq!(value(&client, "f"), true);
    let segment = json!({"key": "s", "version": 1, "included": ["u"]});
    updates.upsert_segment(serde_json::from_value(segment).unwrap());
    assert_eq!(value(&client, "f"), false);
    updates.delete(ItemKind::Segment, "s", 2);
    assert_eq!(value(&client, "f"), true);
}

#[test]
fn json_that_cannot_be_read_changes_nothing_and_says_where() {
    let (client, updates) = client_and_updates();
    updates.replace_json(all_data([flag("f").serving("kept")]).to_string().as_bytes()).unwrap();
    for bad in ["", "{", "[]", "{\"flags\":{\"f\":{\"on\":\n1}}}", "{\"flags\":[]}", "{} x"] {
        let error = updates.replace_json(bad.as_bytes()).expect_err(bad);
        assert!(error.to_string().contains("line"), "{error}");
        assert_eq!(value(&client, "f"), "kept", "{bad}");
    }
    assert!(updates.upsert_json(ItemKind::Flag, "f", b"{\"version\":\"9\"}").is_err());
    assert_eq!(value(&client, "f"), "kept");
}

#[test]
fn a_source_says_how_it_is_doing() {
    let (client, updates) = client_and_updates();
    updates.valid();
    assert_eq!(client.data_source_status().state, DataSourceState::Initializing, "there is no data yet");
    updates.interrupted(DataSourceErrorKind::NetworkError, "not yet");
    assert_eq!(client.data_source_status().state, DataSourceState::Initializing);
    assert!(!client.wait_until_ready(Duration::from_millis(10)));

    let waiting = client.clone();
    let waiter = std::thread::spawn(move || (waiting.wait_until_ready(PATIENCE), Instant::now()));
    updates.hopeless(DataSourceErrorKind::ErrorResponse, "no such registry");
    let (ready, released) = waiter.join().unwrap();
    assert!(!ready, "waiting was of no use");
    assert!(released.elapsed() < PATIENCE);
    let error = client.data_source_status().last_error.unwrap();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (DataSourceErrorKind::ErrorResponse, "no such registry")
    );

    updates.replace(model::FlagData::default());
    assert!(client.wait_until_ready(PATIENCE));
    updates.interrupted(DataSourceErrorKind::NetworkError, "lost");
    assert_eq!(client.data_source_status().state, DataSourceState::Interrupted);
    updates.valid();
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
}

#[test]
fn closing_stops_the_source_and_what_it_says_later_is_lost() {
    let (config, starts, stops) = handed();
    let client = Client::start(config).unwrap();
    let updates = starts.recv_timeout(PATIENCE).unwrap();
    assert!(!updates.is_stopped());
    assert!(!updates.wait_until_stopped(Duration::from_millis(1)));
    client.close();
    let stopped = stops.try_recv().expect("closing waits for it");
    assert!(stopped.tells_the_same(&updates));
    assert!(updates.wait_until_stopped(Duration::ZERO));
    updates.replace(model::FlagData::default());
    assert!(!client.is_initialized());
    assert_eq!(client.data_source_status().state, DataSourceState::Off);
}

#[test]
fn a_source_is_stopped_also_if_closing_may_take_no_time_at_all() {
    for _ in 0..20 {
        let (config, starts, stops) = handed();
        let client = Client::start(config.close_timeout(Duration::ZERO)).unwrap();
        starts.recv_timeout(PATIENCE).unwrap();
        client.close();
        stops.recv_timeout(PATIENCE).expect("it was stopped");
    }
}

#[test]
fn dropping_the_client_stops_the_source_although_it_holds_updates() {
    let (config, starts, stops) = handed();
    let client = Client::start(config).unwrap();
    let updates = starts.recv_timeout(PATIENCE).unwrap();
    drop(client);
    stops.recv_timeout(PATIENCE).expect("it was stopped");
    assert!(updates.is_stopped());
    updates.valid();
}

/// Stays on its thread until it is told to stop, and stops slowly.
struct Loops(Sender<&'static str>);

impl DataSource for Loops {
    fn start(&self, updates: DataSourceUpdates) {
        updates.replace(model::FlagData::default());
        assert!(updates.wait_until_stopped(PATIENCE));
        self.0.send("ended").unwrap();
    }

    fn stop(&self, _: &DataSourceUpdates) {
        std::thread::sleep(PATIENCE);
    }
}

#[test]
fn a_source_may_keep_its_thread_and_one_that_stops_slowly_delays_nobody_for_long() {
    let (sender, ended) = channel();
    let config = Config::new(KEY).data_source(Loops(sender)).send_events(false);
    let client = started(config.close_timeout(Duration::from_millis(100)));
    let closing = Instant::now();
    client.close();
    assert!(closing.elapsed() < PATIENCE / 2);
    assert_eq!(ended.recv_timeout(PATIENCE), Ok("ended"));
}

struct Panics;

impl DataSource for Panics {
    fn start(&self, _: DataSourceUpdates) {
        panic!("on purpose");
    }

    fn stop(&self, _: &DataSourceUpdates) {
        panic!("on purpose, too");
    }
}

#[test]
fn a_source_that_panics_is_a_failure_for_good_and_harms_nobody() {
    let lines = Lines::default();
    let config = Config::new(KEY).data_source(Panics).send_events(false).log_to(Arc::new(lines.clone()));
    let client = Client::start(config).unwrap();
    let waiting = Instant::now();
    assert!(!client.wait_until_ready(PATIENCE * 10));
    assert!(waiting.elapsed() < PATIENCE);
    assert_eq!(client.data_source_status().last_error.unwrap().kind, DataSourceErrorKind::Unknown);
    assert_eq!(value(&client, "f"), "default");
    client.close();
    assert_eq!(lines.with("the data source panicked: on purpose").len(), 2, "{}", lines.text());
}

#[test]
fn events_are_sent_and_no_flags_are_asked_for() {
    let service = FakeService::start([]);
    let (_, starts, _) = handed();
    drop(starts);
    struct Once;
    impl DataSource for Once {
        fn start(&self, updates: DataSourceUpdates) {
            updates.replace_json(all_data([flag("f").serving("own")]).to_string().as_bytes()).unwrap();
        }
    }
    let client = started(crate::support::config(&service).data_source(Once));
    assert_eq!(value(&client, "f"), "own");
    crate::support::flush(&client);
    assert_eq!(service.counted("f", &json!("own")), 1);
    assert!(service.requests("/all").is_empty() && service.requests("/sdk/latest-all").is_empty());
}

/// Serves the number of the process that it was started in.
#[cfg(unix)]
struct NamesTheProcess;

#[cfg(unix)]
impl DataSource for NamesTheProcess {
    fn start(&self, updates: DataSourceUpdates) {
        let own = flag("f").version(u64::from(std::process::id())).serving(std::process::id());
        updates.replace_json(all_data([own]).to_string().as_bytes()).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_child_process_starts_the_source_again() {
    if !crate::fork::runs_alone() {
        return;
    }
    let client = started(Config::new(KEY).data_source(NamesTheProcess).send_events(false));
    let parent = std::process::id();
    let status = crate::fork::in_child(|| {
        let began = Instant::now();
        while value(&client, "f") != std::process::id() {
            if began.elapsed() > PATIENCE / 2 {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        client.close();
        true
    });
    assert_eq!(status, 0);
    assert_eq!(value(&client, "f"), parent);
}

#[test]
fn updates_from_many_threads_leave_the_newest() {
    let (client, updates) = client_and_updates();
    updates.replace(model::FlagData::default());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let updates = &updates;
            scope.spawn(move || {
                for number in 0..50 {
                    let version = number * 4 + thread + 1;
                    updates.upsert_flag(flag_model("f", version, &version.to_string()));
                }
            });
        }
    });
    assert_eq!(value(&client, "f"), "200");
    eventually("the client closes", || {
        client.close();
        client.is_closed().then_some(())
    });
}

//! Flags that are put in beside the data source, and read back.

use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use flagstaff_sdk::{
    Client, Config, DataSource, DataSourceErrorKind, DataSourceState, DataSourceUpdates, ItemKind,
};
use flagstaff_testkit::user;
use serde_json::{Value, json};

use crate::support::{KEY, service_and_client, started};

/// Brings nothing itself.
struct Nothing;

impl DataSource for Nothing {
    fn start(&self, _updates: DataSourceUpdates) {}
}

fn client() -> Client {
    Client::start(Config::new(KEY).data_source(Nothing).keep_items(true).send_events(false)).unwrap()
}

fn data(value: &str, version: u64) -> Vec<u8> {
    let flag = json!({"key": "f", "version": version, "on": true, "variations": [value],
        "fallthrough": {"variation": 0}, "ofTomorrow": {"x": 1}});
    json!({"flags": {"f": flag}, "segments": {}}).to_string().into_bytes()
}

fn value(client: &Client) -> String {
    client.variation("f", &user("u"), "none")
}

#[test]
fn what_is_put_in_counts_and_says_nothing_of_how_receiving_is_going() {
    let client = client();
    let updates = client.data_source_updates();
    assert!(!updates.has_everything());
    updates.put_in_json(&data("a", 5)).unwrap();
    assert!(updates.has_everything() && client.is_initialized());
    assert_eq!(value(&client), "a");
    assert_eq!(client.data_source_status().state, DataSourceState::Initializing);
    updates.put_in_json(&data("b", 1)).unwrap();
    assert_eq!(value(&client), "b", "a full data set counts whatever its versions");
    assert!(updates.put_in_json(b"{").is_err());
    assert_eq!(value(&client), "b");
}

#[test]
fn whoever_waits_for_flags_goes_on_when_some_are_put_in() {
    let client = client();
    let (updates, waiting) = (client.data_source_updates(), client.clone());
    let (done, waited) = channel();
    std::thread::spawn(move || done.send(waiting.wait_until_ready(Duration::from_secs(30))).unwrap());
    updates.put_in_json(&data("a", 1)).unwrap();
    assert!(waited.recv_timeout(Duration::from_secs(10)).unwrap());
}

#[test]
fn what_was_known_before_is_evaluated_until_there_is_something_else() {
    let (service, client) = service_and_client([]);
    drop(service);
    let updates = client.data_source_updates();
    updates.remind_of_json(&data("late", 9)).unwrap();
    assert_eq!(value(&client), "none", "there is a full data set already");

    let client = self::client();
    let updates = client.data_source_updates();
    updates.remind_of_json(&data("known", 9)).unwrap();
    assert!(client.is_initialized() && updates.has_everything());
    assert_eq!(value(&client), "known");
    updates.remind_of_json(&data("again", 10)).unwrap();
    assert_eq!(value(&client), "known");
    updates.put_in_json(&data("new", 1)).unwrap();
    assert_eq!(value(&client), "new");
}

#[test]
fn whoever_waits_is_not_told_of_what_was_known_before() {
    let client = client();
    client.data_source_updates().remind_of_json(&data("known", 9)).unwrap();
    let started = std::time::Instant::now();
    assert!(client.wait_until_ready(Duration::from_millis(200)), "it will do once the time is over");
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[test]
fn items_are_given_back_as_they_came() {
    let client = client();
    let (updates, kept) = (client.data_source_updates(), client.kept_items().unwrap());
    updates.put_in_json(&data("a", 5)).unwrap();
    let item = kept.item(ItemKind::Flag, "f").unwrap();
    let json: Value = serde_json::from_str(&item.json).unwrap();
    assert_eq!((item.version, &json["ofTomorrow"]), (5, &json!({"x": 1})));
    let one = r#"{"key": "g", "version": 2, "ofTomorrow": 1}"#;
    updates.upsert_json(ItemKind::Flag, "g", one.as_bytes()).unwrap();
    assert_eq!(&*kept.item(ItemKind::Flag, "g").unwrap().json, one);
    updates.delete(ItemKind::Flag, "g", 3);
    assert_eq!(kept.items(ItemKind::Flag).len(), 2, "what was deleted is remembered");
    assert!(kept.item(ItemKind::Segment, "f").is_none() && kept.items(ItemKind::Segment).is_empty());
    client.close();
    drop((client, updates));
    assert!(kept.item(ItemKind::Flag, "f").is_some(), "whatever becomes of the client");

    let without = started(Config::new(KEY).data_source(flagstaff_sdk::TestData::new()).send_events(false));
    assert!(without.kept_items().is_none());
}

#[test]
fn a_source_may_say_for_itself_how_it_is_going() {
    let client = client();
    let updates = client.data_source_updates();
    let (told, heard) = channel();
    client.data_source_status_provider().add_listener(move |status| told.send(status.state).unwrap());
    updates.update_status(DataSourceState::Interrupted, None);
    assert_eq!(client.data_source_status().state, DataSourceState::Initializing);
    updates.update_status(DataSourceState::Valid, None);
    let gone = (DataSourceErrorKind::ErrorResponse, Some(503), "gone".to_owned(), SystemTime::UNIX_EPOCH);
    updates.update_status(DataSourceState::Interrupted, Some(gone));
    let status = client.data_source_status();
    let error = status.last_error.unwrap();
    assert_eq!((status.state, error.status_code), (DataSourceState::Interrupted, Some(503)));
    assert_eq!((error.message.as_str(), error.time), ("gone", SystemTime::UNIX_EPOCH));
    client.close();
    updates.update_status(DataSourceState::Valid, None);
    assert_eq!(client.data_source_status().state, DataSourceState::Off);
    drop(client);
    let states: Vec<_> = heard.iter().collect();
    assert_eq!(states, [DataSourceState::Valid, DataSourceState::Interrupted, DataSourceState::Off]);
}

#[test]
fn a_file_is_read_as_it_stands() {
    let file = b"flags: {f: {on: true}, f: {on: false}}\nflagValues: {v: 1}\n";
    let document = flagstaff_sdk::read_flags_document(file).unwrap();
    assert_eq!(document.flags.len(), 2, "both of them");
    assert_eq!(document.flag_values, [("v".to_owned(), json!(1))]);
    assert!(document.segments.is_empty());
    assert!(flagstaff_sdk::read_flags_document(b"{").is_err());
}

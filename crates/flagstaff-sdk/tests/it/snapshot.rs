//! Starting from the last known flags while the service is away.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flagstaff_sdk::{
    Client, Config, DataAvailability, DataSource, DataSourceState, DataSourceUpdates, DataSystem,
    FileDataSource, ItemKind, PersistentDataStore, PollingSource, StreamingSource,
};
use flagstaff_testkit::{Answer, FakeService, Fdv2Events, FlagBuilder, PATIENCE, eventually, flag, user};
use flagstaff_wire::fdv2::IntentCode;
use serde_json::{Value, json};

use crate::data_store::database::Database;
use crate::file_source::Folder;
use crate::support::{self, KEY, Lines, started};

/// R15: what a start with a snapshot may take; a test allows ten times as much.
const SERVES_WITHIN: Duration = Duration::from_millis(100);
/// Soon enough for a test.
const QUICKLY: Duration = Duration::from_millis(10);

fn config(service: &FakeService, path: &Path) -> Config {
    support::config(service).snapshot_file(path).snapshot_delay(QUICKLY)
}

/// A configuration for a service that is not there.
fn away(path: &Path) -> Config {
    let gone = FakeService::start([]).url();
    Config::new(KEY).base_uri(gone).snapshot_file(path).send_events(false).diagnostic_opt_out(true)
}

fn value(client: &Client, key: &str) -> Value {
    client.variation(key, &user("u"), json!("default"))
}

fn wait_for_fresh_flags(client: &Client) {
    eventually("fresh flags came", || {
        (client.data_source_status().data_availability == DataAvailability::Refreshed).then_some(())
    });
}

fn json_of(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// A snapshot of these flags.
fn written(folder: &Folder, flags: impl IntoIterator<Item = FlagBuilder>) -> PathBuf {
    let path = folder.path("snapshot.json");
    let service = FakeService::start(flags);
    started(config(&service, &path)).close();
    assert!(path.exists(), "closing writes it");
    path
}

/// The names in a folder.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn r15_a_client_starts_with_what_it_last_knew_while_the_service_is_away() {
    let folder = Folder::new();
    let path = written(&folder, [flag("f").serving("known"), flag("g").version(7)]);
    let lines = Lines::default();
    let began = Instant::now();
    let client = Client::start(away(&path).log_to(Arc::new(lines.clone()))).unwrap();
    let served = value(&client, "f");
    let took = began.elapsed();
    println!("R15: served from a snapshot {took:?} after the start; the mark is {SERVES_WITHIN:?}");
    assert_eq!(served, "known");
    assert!(took < SERVES_WITHIN * 10);
    assert!(client.is_initialized());
    assert!(client.wait_until_ready(Duration::ZERO), "nobody waits for a service that is away");
    let status = client.data_source_status();
    assert_eq!(status.state, DataSourceState::Initializing);
    assert_eq!(status.data_availability, DataAvailability::Cached);
    assert_eq!(value(&client, "nope"), "default");
    assert_eq!(client.all_flags_state(&user("u"), Default::default()).flags().len(), 2);
    assert_eq!(lines.with("were read from snapshot").len(), 1, "{}", lines.text());
    eventually("the service was missed", || client.data_source_status().last_error);
    assert_eq!(client.data_source_status().data_availability, DataAvailability::Cached);
    assert_eq!(value(&client, "f"), "known");
}

#[test]
fn fresh_flags_take_the_place_of_those_in_the_snapshot() {
    let folder = Folder::new();
    let path = written(&folder, [flag("f").version(9).serving("old"), flag("gone")]);
    let service = FakeService::start([flag("f").version(3).serving("new")]);
    service.answer_next("/all", Answer::Silence(Duration::from_millis(50)));
    let client = started(config(&service, &path));
    assert_eq!(value(&client, "f"), "old");
    eventually("the new value came", || (value(&client, "f") == "new").then_some(()));
    assert_eq!(value(&client, "gone"), "default");
    wait_for_fresh_flags(&client);
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
    eventually("it was written", || (json_of(&path)?["flags"]["f"]["version"] == 3).then_some(()));
    assert_eq!(json_of(&path).unwrap()["flags"].as_object().unwrap().len(), 1);
}

#[test]
fn changes_are_written_a_moment_later_and_the_last_ones_on_closing() {
    let folder = Folder::new();
    let path = folder.path("snapshot.json");
    let service = FakeService::start([flag("f").with("unknownProperty", "kept"), flag("g")]);
    let client = started(config(&service, &path));
    eventually("the first flags were written", || {
        json_of(&path).filter(|json| json["flags"]["f"].is_object())
    });
    assert_eq!(json_of(&path).unwrap()["flags"]["f"]["unknownProperty"], "kept");
    service.patch(flag("f").version(2).serving("two"));
    service.delete("g", 5);
    let json = eventually("the change was written", || {
        json_of(&path).filter(|json| json["flags"]["f"]["version"] == 2 && json["flags"]["g"]["version"] == 5)
    });
    assert_eq!(json["flags"]["g"]["deleted"], true);
    client.close();

    let client = started(config(&service, &path).snapshot_delay(PATIENCE * 100));
    wait_for_fresh_flags(&client);
    service.patch(flag("f").version(3).serving("three"));
    eventually("it came", || (value(&client, "f") == "three").then_some(()));
    client.close();
    assert_eq!(json_of(&path).unwrap()["flags"]["f"]["version"], 3);
    assert_eq!(names(&path), ["snapshot.json"], "nothing is left beside it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!fs::read_to_string(&path).unwrap().contains(KEY));
}

#[test]
fn a_damaged_snapshot_is_passed_over_with_a_line() {
    let folder = Folder::new();
    let path = written(&folder, [flag("f").serving("known")]);
    let whole = fs::read(&path).unwrap();
    let damaged = |place: usize| {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        bytes
    };
    let flipped = (0..whole.len()).step_by(7).map(damaged);
    let cut = (0..whole.len()).step_by(31).map(|place| whole[..place].to_vec());
    let strange = [b"{}".to_vec(), b"\0".repeat(1000), b"{\"flags\":{}}\n".to_vec()];
    for bytes in flipped.chain(cut).chain(strange) {
        fs::write(&path, &bytes).unwrap();
        let lines = Lines::default();
        let client = Client::start(away(&path).log_to(Arc::new(lines.clone()))).unwrap();
        assert_eq!(value(&client, "f"), "default", "{}", String::from_utf8_lossy(&bytes));
        assert!(!client.is_initialized());
        assert_eq!(client.data_source_status().data_availability, DataAvailability::Defaults);
        assert_eq!(lines.with("is not used").len(), 1, "{}", lines.text());
    }
    // Good flags replace it.
    let service = FakeService::start([flag("f").serving("known")]);
    started(config(&service, &path)).close();
    assert_eq!(value(&Client::start(away(&path)).unwrap(), "f"), "known");
}

#[test]
fn a_snapshot_of_another_environment_is_passed_over() {
    let folder = Folder::new();
    let path = written(&folder, [flag("f").serving("known")]);
    for other in [Config::new("sdk-other"), Config::new(KEY).payload_filter("half")] {
        let lines = Lines::default();
        let config = other.base_uri(FakeService::start([]).url()).send_events(false).snapshot_file(&path);
        let client = Client::start(config.log_to(Arc::new(lines.clone()))).unwrap();
        assert_eq!(value(&client, "f"), "default");
        assert_eq!(lines.with("of another environment").len(), 1, "{}", lines.text());
    }
    assert_eq!(value(&Client::start(away(&path).offline(true)).unwrap(), "f"), "default");
}

#[test]
fn what_cannot_be_written_is_said_once_and_harms_nobody() {
    let folder = Folder::new();
    let file = folder.write("file", "");
    for path in [folder.path("no/such/folder/snapshot"), file.join("snapshot"), folder.path("..")] {
        let lines = Lines::default();
        let service = FakeService::start([flag("f").serving(1)]);
        let client = started(config(&service, &path).log_to(Arc::new(lines.clone())));
        for version in 2..5 {
            service.patch(flag("f").version(version).serving(version));
            eventually("the change came", || (value(&client, "f") == version).then_some(()));
            std::thread::sleep(QUICKLY * 3);
        }
        client.close();
        assert_eq!(lines.with("cannot be written").len(), 1, "{}", lines.text());
    }
    assert_eq!(names(&file), ["file"]);
}

#[test]
fn two_that_write_one_file_never_tear_it() {
    let folder = Folder::new();
    let path = folder.path("snapshot.json");
    let services = ["a", "b"]
        .map(|value| FakeService::start((0..50).map(|number| flag(&format!("f-{number}")).serving(value))));
    let clients = services
        .each_ref()
        .map(|service| started(config(service, &path).snapshot_delay(Duration::from_millis(1))));
    eventually("one was written", || path.exists().then_some(()));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for service in &services {
            scope.spawn(|| {
                for version in 2.. {
                    service.patch(flag("g").version(version));
                    std::thread::sleep(Duration::from_millis(1));
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for _ in 0..50 {
            let client = Client::start(away(&path)).unwrap();
            let first = value(&client, "f-0");
            assert!(first == "a" || first == "b", "{first}");
            for number in 1..50 {
                assert_eq!(value(&client, &format!("f-{number}")), first);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    clients.iter().for_each(Client::close);
    assert_eq!(names(&path), ["snapshot.json"]);
}

#[test]
fn a_snapshot_is_a_file_of_flags_too() {
    let folder = Folder::new();
    let path = written(&folder, [flag("f").version(4).serving("known")]);
    let client = started(Config::new(KEY).data_source(FileDataSource::new([&path])).send_events(false));
    assert_eq!(value(&client, "f"), "known");
    assert_eq!(client.data_set().flag("f").map(|flag| flag.version()), Some(4));
}

#[test]
fn flags_from_a_file_are_kept_in_a_snapshot() {
    let folder = Folder::new();
    let path = folder.path("snapshot.json");
    let flags = folder.write("flags.json", json!({"flagValues": {"f": "from a file"}}));
    let config = |flags: &Path| {
        let config = Config::new(KEY).data_source(FileDataSource::new([flags])).send_events(false);
        config.snapshot_file(&path)
    };
    started(config(&flags)).close();
    fs::remove_file(&flags).unwrap();
    let client = Client::start(config(&flags)).unwrap();
    assert_eq!(value(&client, "f"), "from a file");
}

#[test]
fn with_an_empty_database_the_snapshot_counts_and_with_a_filled_one_that_does() {
    let folder = Folder::new();
    let path = written(&folder, [flag("f").serving("snapshot")]);
    for (database, expected) in
        [(Database::default(), "snapshot"), (Database::with([flag("f").serving("database")]), "database")]
    {
        let client =
            Client::start(away(&path).data_store(PersistentDataStore::new(database.clone()))).unwrap();
        assert!(client.is_initialized());
        assert_eq!(value(&client, "f"), expected);
        assert_eq!(client.data_source_status().data_availability, DataAvailability::Cached);
        client.close();
    }
    let stopped = Database::default();
    stopped.stop(true);
    let client = Client::start(away(&path).data_store(PersistentDataStore::new(stopped))).unwrap();
    assert_eq!(value(&client, "f"), "snapshot");
}

#[test]
fn a_database_is_filled_with_what_is_received_not_with_the_snapshot() {
    let folder = Folder::new();
    let path = written(&folder, [flag("f").version(9).serving("snapshot"), flag("g")]);
    let database = Database::default();
    let service = FakeService::start([flag("f").version(2).serving("received")]);
    let store = PersistentDataStore::new(database);
    let client = started(config(&service, &path).data_store(store));
    eventually("it was received", || (value(&client, "f") == "received").then_some(()));
    assert_eq!(value(&client, "g"), "default");
}

/// Second-generation delivery goes on from what the snapshot has.
fn check_fdv2(system: DataSystem, request_path: &str) {
    let folder = Folder::new();
    let path = folder.path("snapshot.json");
    let service = FakeService::start([flag("f").serving("one"), flag("g").serving("kept")]);
    service.set_flags([flag("f").serving("one"), flag("g").serving("kept")], None);
    let config = || {
        let config = config(&service, &path).allow_any_poll_interval().poll_interval(PATIENCE * 100);
        config.data_system(system.clone())
    };
    started(config()).close();
    let selector = json_of(&path).unwrap()["snapshot"]["selector"].clone();
    assert_eq!(selector, "1");

    // Nothing has changed meanwhile.
    let before = service.requests(request_path).len();
    let client = started(config());
    assert_eq!(value(&client, "f"), "one");
    wait_for_fresh_flags(&client);
    assert_eq!(service.requests(request_path)[before].query, "basis=1");
    client.close();

    // Something has, and whoever asks a second time is told that this is all.
    service.set_flags([flag("f").version(2).serving("two"), flag("g").serving("kept")], None);
    let changes = Fdv2Events::changes([flag("f").version(2).serving("two")], "2");
    let answer = match request_path {
        "/sdk/stream" => Answer::Stream(changes.stream()),
        _ => Answer::Status(200, Vec::new(), changes.poll()),
    };
    service.answer_next(request_path, answer);
    let client = started(config());
    assert!(client.is_initialized());
    eventually("the change came", || (value(&client, "f") == "two").then_some(()));
    assert_eq!(value(&client, "g"), "kept", "what did not change is that of the snapshot");
    client.close();
    let json = json_of(&path).unwrap();
    assert_eq!(json["snapshot"]["selector"], "2");
    assert_eq!(json["flags"]["f"]["version"], 2);
    assert_eq!(json["flags"]["g"]["variations"], json!(["kept"]));
}

#[test]
fn a_stream_of_the_second_generation_goes_on_from_the_snapshot() {
    check_fdv2(DataSystem::custom().synchronizer(StreamingSource::new()), "/sdk/stream");
}

#[test]
fn polls_of_the_second_generation_go_on_from_the_snapshot() {
    check_fdv2(DataSystem::custom().synchronizer(PollingSource::new()), "/sdk/poll");
    check_fdv2(DataSystem::default_mode(), "/sdk/poll");
}

#[test]
fn ten_thousand_flags_are_read_at_once() {
    let folder = Folder::new();
    let path =
        written(&folder, (0..10_000).map(|number| flag(&format!("flag-{number}")).version(number + 1)));
    let length = fs::metadata(&path).unwrap().len();
    let began = Instant::now();
    let client = Client::start(away(&path)).unwrap();
    let took = began.elapsed();
    println!("10,000 flags, {length} bytes, were read from a snapshot in {took:?}");
    assert_eq!(value(&client, "flag-9999"), true);
    assert!(took < PATIENCE);
}

#[cfg(unix)]
#[test]
fn a_child_process_keeps_the_flags_and_writes_what_it_receives() {
    if !crate::fork::runs_alone() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("snapshot.json");
    let service = FakeService::start([flag("f").serving("old")]);
    let client = started(config(&service, &path));
    eventually("it was written", || path.exists().then_some(()));
    service.set_flags([flag("f").version(2).serving("new")], None);
    let status = crate::fork::in_child(|| {
        let began = Instant::now();
        while value(&client, "f") != "new" {
            if began.elapsed() > PATIENCE / 2 {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        client.close();
        json_of(&path).is_some_and(|json| json["flags"]["f"]["version"] == 2)
    });
    assert_eq!(status, 0);
    // The parent has the older flag, and nothing to write.
    client.close();
    assert_eq!(json_of(&path).unwrap()["flags"]["f"]["version"], 2);
}

/// Hands a test what it is started with.
struct Handed(Mutex<Sender<DataSourceUpdates>>);

impl DataSource for Handed {
    fn start(&self, updates: DataSourceUpdates) {
        self.0.lock().unwrap().send(updates).unwrap();
    }
}

#[test]
fn what_comes_before_the_first_full_data_set_is_not_kept_alone() {
    let folder = Folder::new();
    let path = folder.path("snapshot.json");
    let (sender, handed) = channel();
    let config = Config::new(KEY).data_source(Handed(Mutex::new(sender))).send_events(false);
    let client = Client::start(config.snapshot_file(&path).snapshot_delay(QUICKLY)).unwrap();
    let updates = handed.recv_timeout(PATIENCE).unwrap();
    updates.upsert_json(ItemKind::Flag, "early", flag("early").build().to_string().as_bytes()).unwrap();
    assert_eq!(client.data_set().flags().count(), 1);
    client.close();
    assert!(!path.exists(), "one flag is not all there are");
}

#[test]
fn a_snapshot_of_a_sources_own_filter_is_not_used_with_another() {
    let folder = Folder::new();
    let path = folder.path("snapshot.json");
    let filtered = |filter: &str| {
        let source = StreamingSource::new().payload_filter(filter);
        DataSystem::custom().synchronizer(source)
    };
    let service = FakeService::start([flag("f").serving("of one")]);
    started(config(&service, &path).data_system(filtered("one"))).close();
    assert!(path.exists());
    let kept = Client::start(away(&path).data_system(filtered("one"))).unwrap();
    assert_eq!(value(&kept, "f"), "of one");
    let other = Client::start(away(&path).data_system(filtered("two"))).unwrap();
    assert_eq!(value(&other, "f"), "default");
}

#[test]
fn a_selector_is_forgotten_with_the_data_that_it_stood_for() {
    let folder = Folder::new();
    let path = folder.path("snapshot.json");
    let system = || DataSystem::custom().synchronizer(StreamingSource::new());
    let service = FakeService::start([flag("f").serving("second generation")]);
    started(config(&service, &path).data_system(system())).close();
    assert!(json_of(&path).unwrap()["snapshot"]["selector"].is_string());

    // Data of another origin takes its place.
    let client = started(config(&service, &path));
    wait_for_fresh_flags(&client);
    client.close();
    assert_eq!(json_of(&path).unwrap()["snapshot"]["selector"], Value::Null);
}

#[test]
fn flags_without_a_selector_are_not_taken_for_those_of_the_snapshot() {
    let folder = Folder::new();
    let path = folder.path("snapshot.json");
    let stream = || DataSystem::custom().synchronizer(StreamingSource::new());
    let service = FakeService::start([flag("f").serving("known")]);
    started(config(&service, &path).data_system(stream())).close();

    let service = FakeService::start([]);
    let unnamed = Fdv2Events::full([flag("f").serving("unnamed")], "").poll();
    service.answer_next("/sdk/poll", Answer::Status(200, Vec::new(), unnamed));
    let up_to_date = Fdv2Events::new().intent(IntentCode::None).stream();
    service.answer_next("/sdk/stream", Answer::Stream(up_to_date));
    let client =
        Client::start(config(&service, &path).data_system(stream().initializer(PollingSource::new())))
            .unwrap();
    eventually("the poll was taken", || (value(&client, "f") == "unnamed").then_some(()));
    assert_eq!(service.wait_for_requests("/sdk/stream", 1)[0].query, "");
    // Time for the word of being up to date to come.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(client.data_source_status().data_availability, DataAvailability::Cached);
    service.send(&Fdv2Events::full([flag("g")], "s2").stream());
    eventually("the stream was taken", || client.data_set().flag("g").map(|_| ()));
    wait_for_fresh_flags(&client);
}

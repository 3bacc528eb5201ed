//! Flags in a database: behind memory, or instead of a service.

pub(crate) mod database;

use std::sync::Barrier;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use flagstaff_sdk::{
    AllFlagsOptions, Caching, Client, Config, ConfigError, DataSourceState, ErrorKind, ItemKind,
    PersistentDataStore,
};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, eventually, flag, user};
use serde_json::json;

use crate::support::{Lines, config, flush, started};
use database::Database;

const A_MOMENT: Duration = Duration::from_millis(200);

fn store(database: &Database, caching: Caching) -> PersistentDataStore {
    PersistentDataStore::new(database.clone()).caching(caching).timeout(A_MOMENT)
}

/// A client that has flags from the database alone.
fn daemon(database: &Database, caching: Caching) -> Client {
    daemon_of(Config::new("sdk-test-key").send_events(false), database, caching)
}

fn daemon_of(config: Config, database: &Database, caching: Caching) -> Client {
    started(config.data_store(store(database, caching)).daemon_mode(true))
}

fn value(client: &Client, key: &str) -> String {
    client.variation(key, &user("u"), "default")
}

fn error(client: &Client, key: &str) -> Option<ErrorKind> {
    client.variation_detail(key, &user("u"), "default").reason.error_kind()
}

fn serving(key: &str, version: u64, value: &str) -> flagstaff_testkit::FlagBuilder {
    flag(key).version(version).serving(value)
}

#[test]
fn daemon_mode_connects_to_nothing_and_reports_all_the_same() {
    let service = FakeService::start([]);
    let database = Database::with([serving("f", 1, "stored")]);
    let client = daemon_of(config(&service), &database, Caching::Off);
    assert!(client.is_initialized());
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
    assert_eq!(value(&client, "f"), "stored");
    assert_eq!(error(&client, "missing"), Some(ErrorKind::FlagNotFound));
    flush(&client);
    assert_eq!(service.counted("f", &json!("stored")), 1);
    assert!(service.requests("/all").is_empty() && service.requests("/sdk/latest-all").is_empty());
}

#[test]
fn daemon_mode_needs_a_database() {
    let refused = Client::start(Config::new("sdk-test-key").daemon_mode(true));
    assert!(matches!(refused, Err(ConfigError::DaemonWithoutStore)));
}

#[test]
fn daemon_mode_does_not_need_the_mark() {
    let database = Database::default();
    let client = daemon(&database, Caching::Off);
    assert_eq!(error(&client, "f"), Some(ErrorKind::FlagNotFound));
    database.put(serving("f", 1, "there"));
    assert_eq!(value(&client, "f"), "there");
}

#[test]
fn without_caching_each_evaluation_sees_the_database_as_it_is() {
    let database = Database::with([serving("f", 5, "old")]);
    let client = daemon(&database, Caching::Off);
    assert_eq!(value(&client, "f"), "old");
    database.put(serving("f", 5, "the same version"));
    assert_eq!(value(&client, "f"), "the same version");
    database.put(serving("f", 4, "a lower version"));
    assert_eq!(value(&client, "f"), "a lower version");
    database.put_text(ItemKind::Flag, "f", r#"{"key":"$deleted","version":6,"deleted":true}"#);
    assert_eq!(error(&client, "f"), Some(ErrorKind::FlagNotFound));
    database.put(serving("f", 7, "again"));
    assert_eq!(value(&client, "f"), "again");
    database.remove("f");
    assert_eq!(error(&client, "f"), Some(ErrorKind::FlagNotFound));
}

#[test]
fn what_a_flag_needs_is_read_with_it() {
    let rule =
        json!([{"variation": 0, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["s"]}]}]);
    let database = Database::with([
        serving("f", 1, "yes")
            .with("prerequisites", json!([{"key": "needed", "variation": 0}]))
            .with("offVariation", json!(null)),
        serving("needed", 1, "in the segment")
            .with("rules", rule)
            .with("fallthrough", json!({"variation": 9})),
    ]);
    let client = daemon(&database, Caching::Off);
    assert_eq!(value(&client, "f"), "default");
    database.put_text(ItemKind::Segment, "s", r#"{"key":"s","version":1,"included":["u"]}"#);
    assert_eq!(value(&client, "f"), "yes");
    database.put_text(ItemKind::Segment, "s", r#"{"key":"s","version":2,"excluded":["u"]}"#);
    assert_eq!(value(&client, "f"), "default");
}

#[test]
fn a_cached_item_is_read_again_once_its_time_is_over() {
    let database = Database::with([serving("f", 1, "old")]);
    let client = daemon(&database, Caching::For(Duration::from_millis(300)));
    let read = Instant::now();
    assert_eq!(value(&client, "f"), "old");
    assert_eq!(value(&client, "new"), "default");
    database.put(serving("f", 2, "new"));
    database.put(serving("new", 1, "there"));
    let (old, absent) = (value(&client, "f"), value(&client, "new"));
    if read.elapsed() < Duration::from_millis(300) {
        assert_eq!((old.as_str(), absent.as_str()), ("old", "default"), "both are cached");
    }
    eventually("the new values were read", || {
        (value(&client, "f") == "new" && value(&client, "new") == "there").then_some(())
    });
}

#[test]
fn what_is_cached_for_ever_is_read_once() {
    let database = Database::with([serving("f", 1, "old")]);
    let client = daemon(&database, Caching::Forever);
    assert_eq!((value(&client, "f"), value(&client, "missing")), ("old".into(), "default".into()));
    let reads = database.reads();
    database.put(serving("f", 2, "new"));
    assert_eq!((value(&client, "f"), value(&client, "missing")), ("old".into(), "default".into()));
    assert_eq!(database.reads(), reads);
}

#[test]
fn all_flags_are_read_from_the_database() {
    let database = Database::with([serving("a", 1, "1"), serving("b", 1, "2")]);
    let client = daemon(&database, Caching::Off);
    let all =
        || serde_json::to_value(client.all_flags_state(&user("u"), AllFlagsOptions::default())).unwrap();
    assert_eq!((&all()["a"], &all()["b"]), (&json!("1"), &json!("2")));
    database.remove("a");
    database.put(serving("b", 2, "3"));
    assert_eq!((all().get("a"), &all()["b"]), (None, &json!("3")));
    database.stop(true);
    assert_eq!(all()["b"], "3", "memory has it");
    assert!(!client.data_store_status().available);
}

#[test]
fn a_database_that_is_down_leaves_what_is_in_memory() {
    let lines = Lines::default();
    let database = Database::with([serving("f", 1, "kept")]);
    let config = Config::new("sdk-test-key").send_events(false).log_to(std::sync::Arc::new(lines.clone()));
    let client = daemon_of(config, &database, Caching::Off);
    assert_eq!(value(&client, "f"), "kept");
    database.stop(true);
    assert_eq!(value(&client, "f"), "kept");
    assert_eq!(error(&client, "unknown"), Some(ErrorKind::Exception));
    assert!(!client.data_store_status().available);
    assert_eq!(lines.with("TestBase does not answer").len(), 1, "{}", lines.text());

    database.put(serving("f", 2, "new"));
    database.stop(false);
    eventually("the database is back", || client.data_store_status().available.then_some(()));
    assert_eq!(value(&client, "f"), "new");
    assert_eq!(error(&client, "unknown"), Some(ErrorKind::FlagNotFound));
    assert_eq!(lines.with("TestBase answers again").len(), 1, "{}", lines.text());
}

#[test]
fn a_database_that_hangs_keeps_a_caller_once_and_not_for_long() {
    let database = Database::with([serving("f", 1, "kept")]);
    let client = daemon(&database, Caching::Off);
    assert_eq!(value(&client, "f"), "kept");
    database.hang(true);
    let begun = Instant::now();
    assert_eq!(value(&client, "f"), "kept");
    assert!(begun.elapsed() >= A_MOMENT / 2, "it was asked");
    assert!(!client.data_store_status().available);
    let begun = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(value(&client, "f"), "kept");
    }
    assert!(begun.elapsed() < A_MOMENT * 10, "memory answers at once: {:?}", begun.elapsed());
    database.hang(false);
    eventually("the database is back", || client.data_store_status().available.then_some(()));
    database.put(serving("f", 2, "new"));
    assert_eq!(value(&client, "f"), "new");
}

#[test]
fn an_item_that_cannot_be_read_is_an_error_and_no_outage() {
    let lines = Lines::default();
    let database = Database::with([serving("good", 1, "fine")]);
    database.put_text(ItemKind::Flag, "bad", r#"{"key":"bad","version":"x"}"#);
    let config = Config::new("sdk-test-key").send_events(false).log_to(std::sync::Arc::new(lines.clone()));
    let client = daemon_of(config, &database, Caching::Off);
    assert_eq!(error(&client, "bad"), Some(ErrorKind::Exception));
    assert_eq!(value(&client, "good"), "fine");
    assert!(client.data_store_status().available);
    assert_eq!(lines.with("flag `bad` in the database cannot be read").len(), 1, "{}", lines.text());
}

#[test]
fn a_reader_of_a_database_that_was_emptied_goes_on_with_what_it_read() {
    let database = Database::with([serving("f", 1, "kept")]);
    let client = daemon(&database, Caching::Off);
    assert_eq!(value(&client, "f"), "kept");
    database.empty();
    assert_eq!(value(&client, "f"), "kept");
    assert!(client.data_store_status().stale && client.data_store_status().available);
    let all = serde_json::to_value(client.all_flags_state(&user("u"), AllFlagsOptions::default())).unwrap();
    assert_eq!(all["f"], "kept");

    // Filled again, it counts again.
    let filled = Database::with([serving("g", 1, "other")]);
    let text = filled.flag("g").unwrap().to_string();
    database.put_text(ItemKind::Flag, "g", &text);
    flagstaff_sdk::PersistentStore::init(&database, &[]).unwrap();
    database.put_text(ItemKind::Flag, "g", &text);
    eventually("what is gone is gone", || (value(&client, "f") == "default").then_some(()));
    assert_eq!(value(&client, "g"), "other");
    assert!(!client.data_store_status().stale);
}

#[test]
fn a_database_that_is_filled_again_between_two_questions_has_lost_nothing() {
    let database = Database::with([serving("f", 1, "kept")]);
    let client = daemon(&database, Caching::Off);
    assert_eq!(value(&client, "f"), "kept");
    for _ in 0..3 {
        database.empty_until_asked_for_the_mark();
        assert_eq!(value(&client, "f"), "kept");
        database.empty_until_asked_for_the_mark();
        let all = client.all_flags_state(&user("u"), AllFlagsOptions::default());
        assert_eq!(serde_json::to_value(all).unwrap()["f"], "kept");
    }
}

#[test]
fn what_is_received_is_written_in_order_as_it_came() {
    let service = FakeService::start([
        flag("a")
            .with("prerequisites", json!([{"key": "b", "variation": 0}]))
            .with("unknownField", json!([1, null])),
        flag("b"),
    ]);
    let database = Database::default();
    let client = started(config(&service).data_store(store(&database, Caching::Off)));
    assert_eq!(database.written(), ["b", "a"], "it is there once the client is ready");
    assert_eq!(database.flag("a").unwrap()["unknownField"], json!([1, null]));

    service.patch(serving("b", 8, "patched"));
    eventually("the patch was written", || (database.flag("b")?["version"] == 8).then_some(()));
    assert_eq!(value(&client, "b"), "patched");
    service.delete("b", 9);
    eventually("the deletion was written", || (database.flag("b")?["deleted"] == true).then_some(()));
    assert_eq!(database.flag("b").unwrap(), json!({"key": "b", "version": 9, "deleted": true}));
}

#[test]
fn what_was_received_just_now_is_not_read() {
    let service = FakeService::start([serving("f", 1, "received")]);
    let database = Database::default();
    let caching = Caching::For(Duration::from_secs(3600));
    let client = started(config(&service).data_store(store(&database, caching)));
    assert_eq!(value(&client, "f"), "received");
    service.patch(serving("f", 2, "patched"));
    eventually("the patch came", || (value(&client, "f") == "patched").then_some(()));
    assert_eq!(database.reads(), 0);
}

#[test]
fn a_database_that_cannot_be_written_is_tried_less_and_less_often() {
    let service = FakeService::start([serving("f", 1, "received")]);
    let database = Database::default();
    database.refuse_writes(true);
    let client = started(config(&service).data_store(store(&database, Caching::Off)));
    assert_eq!(value(&client, "f"), "received");
    assert!(!client.data_store_status().available);
    std::thread::sleep(Duration::from_secs(3));
    // At once, after 1 s, after 2 s more: not every half second.
    assert!(database.inits() <= 3, "{} attempts", database.inits());
    database.refuse_writes(false);
    eventually("it was written", || client.data_store_status().available.then_some(()));
    assert_eq!(database.flags(), 1);
}

#[test]
fn async_code_that_gives_up_does_not_keep_others_from_reading() {
    let database = Database::with([serving("f", 1, "old")]);
    let client = daemon(&database, Caching::Off);
    assert_eq!(value(&client, "f"), "old");
    database.hang(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let user = user("u");
        let given_up = client.variation_async("f", &user, "default");
        assert!(tokio::time::timeout(Duration::from_millis(20), given_up).await.is_err());
    });
    database.hang(false);
    database.put(serving("f", 2, "new"));
    eventually("it is read again", || (value(&client, "f") == "new").then_some(()));
}

#[test]
fn polled_flags_are_written_too() {
    let service = FakeService::start([flag("a"), flag("b")]);
    let database = Database::default();
    let config = config(&service).stream(false).data_store(store(&database, Caching::Forever));
    let _client = started(config);
    assert_eq!(database.flags(), 2);
}

#[test]
fn a_newer_item_that_another_process_wrote_is_taken_over() {
    let service = FakeService::start([serving("f", 1, "old")]);
    let database = Database::default();
    let client = started(config(&service).data_store(store(&database, Caching::Forever)));
    database.put(serving("f", 9, "newer"));
    service.patch(serving("f", 2, "patched"));
    eventually("the newer one counts", || (value(&client, "f") == "newer").then_some(()));
    assert_eq!(database.flag("f").unwrap()["version"], 9);
}

#[test]
fn a_client_whose_service_is_away_serves_what_the_database_has() {
    let service = FakeService::start([]);
    service.answer_always("/all", Answer::status(503));
    let database = Database::with([serving("f", 1, "stored")]);
    let client =
        Client::start(config(&service).data_store(store(&database, Caching::Off))).expect("it starts");
    assert_eq!(value(&client, "f"), "stored");
    assert!(client.is_initialized(), "the database holds a full data set");
    assert_eq!(error(&client, "missing"), Some(ErrorKind::FlagNotFound));
    assert_eq!(client.data_source_status().state, DataSourceState::Initializing);

    let empty = Database::default();
    let client = Client::start(config(&service).data_store(store(&empty, Caching::Off))).expect("it starts");
    assert_eq!(error(&client, "missing"), Some(ErrorKind::ClientNotReady));
}

#[test]
fn a_client_knows_without_being_asked_for_a_flag_whether_its_database_has_flags() {
    let service = FakeService::start([]);
    service.answer_always("/all", Answer::status(503));
    let database = Database::with([serving("f", 1, "stored")]);
    let configured = || config(&service).data_store(store(&database, Caching::Forever));
    let client = Client::start(configured()).expect("it starts");
    eventually("the mark was seen", || client.is_initialized().then_some(()));
    assert_eq!(database.reads(), 0);
    let begun = Instant::now();
    assert!(client.wait_until_ready(A_MOMENT), "stored flags will do if none are received");
    assert!(begun.elapsed() >= A_MOMENT, "but received ones are worth waiting for: {:?}", begun.elapsed());
    assert_eq!(value(&client, "f"), "stored");

    // Who refuses for good is not waited for.
    service.answer_always("/all", Answer::status(401));
    let client = Client::start(configured()).expect("it starts");
    eventually("the mark was seen", || client.is_initialized().then_some(()));
    assert!(client.wait_until_ready(PATIENCE));

    database.empty();
    let client = Client::start(configured()).expect("it starts");
    assert!(!client.wait_until_ready(PATIENCE) && !client.is_initialized());
    // Another process fills it.
    flagstaff_sdk::PersistentStore::init(&database, &[]).unwrap();
    eventually("the mark was seen", || client.is_initialized().then_some(()));
}

#[test]
fn many_who_want_a_flag_that_nobody_has_read_ask_once() {
    for caching in [Caching::Off, Caching::Forever] {
        let database = Database::with([serving("f", 1, "stored")]);
        let patient = PersistentDataStore::new(database.clone()).caching(caching).timeout(PATIENCE);
        let client =
            started(Config::new("sdk-test-key").send_events(false).data_store(patient).daemon_mode(true));
        database.hang(true);
        let all_are_here = Barrier::new(8);
        let ask = || {
            all_are_here.wait();
            value(&client, "f")
        };
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let releasing = scope.spawn(|| {
                all_are_here.wait();
                // Whoever is here asks at once.
                std::thread::sleep(Duration::from_secs(1));
                database.hang(false);
            });
            all_are_here.wait();
            let user = user("u");
            assert_eq!(runtime.block_on(client.variation_async("f", &user, "default")), "stored");
            releasing.join().unwrap();
            for asked in asking {
                assert_eq!(asked.join().unwrap(), "stored");
            }
        });
        assert_eq!(database.reads(), 1, "{caching:?}");
    }
}

#[test]
fn whoever_waits_for_the_reading_of_another_who_gives_up_reads_itself() {
    let database = Database::with([serving("f", 1, "stored")]);
    let patient = PersistentDataStore::new(database.clone()).timeout(PATIENCE);
    let client =
        started(Config::new("sdk-test-key").send_events(false).data_store(patient).daemon_mode(true));
    database.hang(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let user = user("u");
        let given_up = client.variation_async("f", &user, "default");
        let stays = client.variation_async("f", &user, "default");
        let mut stays = std::pin::pin!(stays);
        tokio::select! {
            biased;
            _ = given_up => unreachable!("the database hangs"),
            _ = &mut stays => unreachable!("the database hangs"),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        database.hang(false);
        assert_eq!(stays.await, "stored");
    });
}

#[test]
fn an_item_that_cannot_be_read_stays_an_error_until_it_can_be() {
    let database = Database::with([]);
    database.put_text(ItemKind::Flag, "bad", "no JSON");
    let client = daemon(&database, Caching::For(Duration::from_secs(3600)));
    for _ in 0..2 {
        assert_eq!(error(&client, "bad"), Some(ErrorKind::Exception), "and not FLAG_NOT_FOUND");
    }
    database.put(serving("bad", 1, "mended"));
    assert_eq!(value(&client, "bad"), "mended");
}

#[test]
fn a_time_out_may_be_endless_and_must_be_something() {
    let database = Database::with([serving("f", 1, "stored")]);
    let timed = |timeout| {
        let store = PersistentDataStore::new(database.clone()).caching(Caching::Off).timeout(timeout);
        Client::start(Config::new("sdk-test-key").send_events(false).data_store(store).daemon_mode(true))
    };
    assert_eq!(value(&timed(Duration::MAX).expect("it is as good as never"), "f"), "stored");
    let refused = timed(Duration::ZERO).expect_err("nothing could be read").to_string();
    assert!(refused.contains("the time-out of the data store"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_child_process_asks_a_database_that_its_parent_had_lost() {
    if !crate::fork::runs_alone() {
        return;
    }
    let database = Database::with([serving("f", 1, "stored")]);
    let client = daemon(&database, Caching::Off);
    database.stop(true);
    assert_eq!(error(&client, "f"), Some(ErrorKind::Exception));
    let status = crate::fork::in_child(|| {
        let still_down = error(&client, "f") == Some(ErrorKind::Exception);
        // The child's own copy.
        database.stop(false);
        still_down && crate::fork::becomes(|| value(&client, "f") == "stored")
    });
    assert_eq!(status, 0);
}

#[cfg(unix)]
#[test]
fn a_child_process_does_not_write_what_its_parent_received() {
    if !crate::fork::runs_alone() {
        return;
    }
    let service = FakeService::start([serving("f", 1, "received")]);
    let database = Database::default();
    let client = started(config(&service).data_store(store(&database, Caching::Off)));
    database.stop(true);
    assert_eq!(value(&client, "f"), "received");
    service.answer_always("/all", Answer::status(503));
    let status = crate::fork::in_child(|| {
        let inits = database.inits();
        assert_eq!(value(&client, "f"), "received");
        // Another process has written since.
        database.put(serving("f", 9, "newer"));
        database.stop(false);
        let answers = crate::fork::becomes(|| client.data_store_status().available);
        answers && value(&client, "f") == "newer" && database.inits() == inits
    });
    assert_eq!(status, 0);
    database.stop(false);
}

#[test]
fn a_database_that_was_emptied_is_filled_again() {
    let service = FakeService::start([serving("a", 1, "a"), serving("b", 1, "b"), serving("c", 1, "c")]);
    let database = Database::default();
    let client = started(config(&service).data_store(store(&database, Caching::Off)));
    database.empty();
    // Before anybody looks, a change must not make it look full.
    service.patch(serving("a", 2, "changed"));
    eventually("all flags are there again", || (database.flags() == 3).then_some(()));
    assert_eq!(database.flag("a").unwrap()["version"], 2);
    database.empty();
    assert_eq!(value(&client, "b"), "b");
    eventually("all flags are there again, without a change", || (database.flags() == 3).then_some(()));
}

#[test]
fn changes_during_an_outage_are_served_at_once_and_written_after_it() {
    let service = FakeService::start([serving("a", 1, "old"), serving("b", 1, "b")]);
    let database = Database::default();
    let client = started(config(&service).data_store(store(&database, Caching::Off)));
    database.stop(true);
    service.patch(serving("a", 2, "new"));
    eventually("the change is served", || (value(&client, "a") == "new").then_some(()));
    eventually("the outage was noticed", || (!client.data_store_status().available).then_some(()));
    assert!(client.data_store_status().stale);
    service.patch(serving("a", 3, "newest"));
    database.empty();
    database.stop(false);
    eventually("everything is there", || (database.flags() == 2).then_some(()));
    assert_eq!(database.flag("a").unwrap()["version"], 3);
    eventually("all is well", || {
        let status = client.data_store_status();
        (status.available && !status.stale).then_some(())
    });
    assert_eq!(value(&client, "a"), "newest");
}

#[test]
fn a_client_that_finds_its_database_again_does_not_write_older_flags_over_newer_ones() {
    let service = FakeService::start([serving("a", 1, "a"), serving("b", 1, "b")]);
    let database = Database::default();
    let client = started(config(&service).data_store(store(&database, Caching::Forever)));
    let inits = database.inits();
    database.stop(true);
    service.patch(serving("a", 2, "patched"));
    eventually("the outage was noticed", || (!client.data_store_status().available).then_some(()));
    // It was this client alone that could not reach it, and the service: another one could.
    database.put(serving("b", 9, "newer"));
    database.put(serving("c", 1, "new"));
    database.stop(false);
    eventually("all is well", || client.data_store_status().available.then_some(()));
    assert_eq!(database.inits(), inits + 1);
    let versions = ["a", "b", "c"].map(|key| database.flag(key).unwrap()["version"].clone());
    assert_eq!(versions, [2, 9, 1]);
    assert_eq!(["a", "b", "c"].map(|key| value(&client, key)), ["patched", "newer", "new"]);

    // A full data set that came meanwhile counts whatever the versions.
    database.stop(true);
    service.set_flags([serving("b", 3, "restored")], None);
    service.cut_connections();
    eventually("it came", || (value(&client, "b") == "restored").then_some(()));
    eventually("the outage was noticed", || (!client.data_store_status().available).then_some(()));
    database.stop(false);
    eventually("all is well", || client.data_store_status().available.then_some(()));
    assert_eq!((database.flags(), &database.flag("b").unwrap()["version"]), (1, &json!(3)));
}

#[test]
fn a_read_only_database_is_not_written() {
    let service = FakeService::start([serving("f", 1, "received")]);
    let database = Database::default();
    let read_only = store(&database, Caching::Forever).read_only();
    let client = started(config(&service).data_store(read_only));
    assert_eq!(value(&client, "f"), "received");
    service.patch(serving("f", 2, "patched"));
    eventually("the patch came", || (value(&client, "f") == "patched").then_some(()));
    assert_eq!((database.flags(), database.inits()), (0, 0));
}

#[test]
fn listeners_hear_of_a_change_once_it_was_written_if_that_is_wanted() {
    let service = FakeService::start([serving("f", 1, "old")]);
    let database = Database::default();
    let store = store(&database, Caching::Forever).timeout(PATIENCE).written_first();
    let client = started(config(&service).data_store(store));
    let (tell, heard) = channel();
    let read = database.clone();
    client.flag_tracker().add_listener(move |_| {
        let _nobody_listens_in_the_end = tell.send(read.flag("f").unwrap()["version"].clone());
    });
    database.hang(true);
    service.patch(serving("f", 2, "new"));
    eventually("the patch came", || (value(&client, "f") == "new").then_some(()));
    assert_eq!(heard.recv_timeout(A_MOMENT), Err(RecvTimeoutError::Timeout), "it is still being written");
    database.hang(false);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(json!(2)));
}

#[test]
fn closing_writes_what_is_still_to_be_written() {
    let service = FakeService::start([serving("f", 1, "old")]);
    let database = Database::default();
    let client = started(config(&service).data_store(store(&database, Caching::Forever)));
    database.hang(true);
    service.patch(serving("f", 2, "new"));
    eventually("the patch came", || (value(&client, "f") == "new").then_some(()));
    let later = database.clone();
    let helper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        later.hang(false);
    });
    client.close();
    helper.join().unwrap();
    assert_eq!(database.flag("f").unwrap()["version"], 2);
}

#[test]
fn closing_does_not_wait_for_a_database_that_hangs() {
    let service = FakeService::start([serving("f", 1, "old")]);
    let database = Database::default();
    let config = config(&service).data_store(store(&database, Caching::Forever)).close_timeout(A_MOMENT);
    let client = started(config);
    database.hang(true);
    service.patch(serving("f", 2, "new"));
    eventually("the patch came", || (value(&client, "f") == "new").then_some(()));
    let begun = Instant::now();
    client.close();
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    database.hang(false);
}

#[test]
fn a_database_that_panics_is_one_that_does_not_answer() {
    struct Panics;
    impl flagstaff_sdk::PersistentStore for Panics {
        fn name(&self) -> &str {
            "Panics"
        }
        fn init(&self, _: &[flagstaff_sdk::StoredItem]) -> Result<(), flagstaff_sdk::StoreError> {
            panic!("on purpose")
        }
        fn get(
            &self,
            _: ItemKind,
            _: &str,
        ) -> Result<Option<std::sync::Arc<str>>, flagstaff_sdk::StoreError> {
            panic!("on purpose")
        }
        fn all(&self, _: ItemKind) -> Result<Vec<(String, std::sync::Arc<str>)>, flagstaff_sdk::StoreError> {
            panic!("on purpose")
        }
        fn upsert(&self, _: &flagstaff_sdk::StoredItem) -> Result<bool, flagstaff_sdk::StoreError> {
            panic!("on purpose")
        }
        fn is_initialized(&self) -> Result<bool, flagstaff_sdk::StoreError> {
            panic!("on purpose")
        }
    }
    let service = FakeService::start([serving("f", 1, "received")]);
    let client = started(config(&service).data_store(PersistentDataStore::new(Panics)));
    assert_eq!(value(&client, "f"), "received");
    assert!(!client.data_store_status().available);
}

#[test]
fn async_code_waits_for_a_database_without_keeping_its_thread() {
    let database = Database::with([serving("f", 1, "stored")]);
    let client = daemon(&database, Caching::Off);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let user = user("u");
        assert_eq!(client.variation_async("f", &user, "default").await, "stored");
        let detail = client.variation_detail_async("missing", &user, "default").await;
        assert_eq!(detail.reason.error_kind(), Some(ErrorKind::FlagNotFound));
        let all = client.all_flags_state_async(&user, AllFlagsOptions::default()).await;
        assert_eq!(serde_json::to_value(all).unwrap()["f"], "stored");

        database.hang(true);
        let mut ticks = 0;
        let mut late = std::pin::pin!(client.variation_async("f", &user, "default"));
        let value = loop {
            tokio::select! {
                biased;
                value = &mut late => break value,
                () = tokio::time::sleep(Duration::from_millis(10)) => ticks += 1,
            }
        };
        assert_eq!(value, "stored", "memory has it");
        assert!(ticks > 0, "the thread was free meanwhile");
        database.hang(false);
    });
}

#[test]
fn glue_is_told_whether_an_evaluation_may_have_to_wait() {
    let database = Database::with([serving("f", 1, "stored"), serving("g", 1, "stored")]);
    let client = daemon(&database, Caching::Forever);
    assert!(client.may_wait_for("f") && client.may_wait_for("missing"));
    value(&client, "f");
    value(&client, "missing");
    assert!(!client.may_wait_for("f") && !client.may_wait_for("missing"));
    assert!(client.may_wait_for("g"));
    let uncached = daemon(&database, Caching::Off);
    value(&uncached, "f");
    assert!(uncached.may_wait_for("f"));
    // What is about to become stale may be so once it is evaluated.
    let hardly_cached = daemon(&database, Caching::For(Duration::from_millis(50)));
    value(&hardly_cached, "f");
    assert!(hardly_cached.may_wait_for("f"));
    uncached.close();
    let without = Client::start(Config::new("sdk-test-key").offline(true)).unwrap();
    assert!(!without.may_wait_for("f"));
}

//! What SDKs of other languages are built on.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flagstaff_sdk::migrations::{ByOrigin, MigrationOpEvent, Operation, StageEvaluation};
use flagstaff_sdk::model::FlagData;
use flagstaff_sdk::{
    AllFlagsOptions, Client, Config, DataAvailability, DataSet, ErrorKind, ItemKind, Observer, ReasonKind,
    Seen, StoredItem, TestData, around_waits,
};
use flagstaff_testkit::user;
use serde_json::{Value, json};

use crate::support::{KEY, flush, service_and_client, started};

fn data_set(flags: Value) -> DataSet {
    let data: FlagData = serde_json::from_value(json!({"flags": flags, "segments": {}})).unwrap();
    DataSet::from_model(data)
}

/// The value, the version of the flag, and what was seen on the way.
fn seen(
    client: &Client,
    data: Option<&DataSet>,
    key: &str,
) -> (Result<Value, ErrorKind>, Option<u64>, Vec<String>) {
    let prerequisites = RefCell::new(Vec::new());
    let mut on_prerequisite = |result: &flagstaff_sdk::PrerequisiteResult<'_>| {
        prerequisites.borrow_mut().push(format!("{} of {}", result.flag.key(), result.prerequisite_of.key()));
    };
    let seen = Seen { data, on_prerequisite: &mut on_prerequisite };
    let (value, version) = client.evaluate_seen(seen, key, &user("u"), &(), false, |detail, flag| {
        let value = detail.value.cloned().ok_or(detail.reason.error_kind().unwrap_or(ErrorKind::WrongType));
        (value, flag.map(|flag| flag.version()))
    });
    (value, version, prerequisites.into_inner())
}

#[test]
fn a_data_set_of_the_callers_is_all_there_is_and_prerequisites_are_told() {
    let flags = TestData::new();
    flags.update(flags.flag("own"));
    let client = started(Config::new(KEY).data_source(flags).send_events(false));
    let brought = data_set(json!({
        "top": {"key": "top", "version": 7, "on": true, "variations": ["yes"], "fallthrough": {"variation": 0},
            "prerequisites": [{"key": "below", "variation": 0}]},
        "below": {"key": "below", "version": 3, "on": true, "variations": [1], "fallthrough": {"variation": 0}},
    }));
    assert_eq!(
        seen(&client, Some(&brought), "top"),
        (Ok(json!("yes")), Some(7), vec!["below of top".to_owned()])
    );
    assert_eq!(seen(&client, Some(&brought), "own"), (Err(ErrorKind::FlagNotFound), None, vec![]));
    assert_eq!(seen(&client, None, "own").0, Ok(json!(true)));

    let all = client.all_flags_state_in(&brought, &user("u"), AllFlagsOptions::default());
    assert!(all.is_valid());
    assert_eq!(all.flags().len(), 2);
}

#[test]
fn an_offline_client_gives_defaults_in_any_data_set() {
    let client = Client::start(Config::new(KEY).offline(true)).unwrap();
    let brought = data_set(json!({}));
    assert_eq!(seen(&client, Some(&brought), "any").0, Err(ErrorKind::ClientNotReady));
    assert!(!client.all_flags_state_in(&brought, &user("u"), AllFlagsOptions::default()).is_valid());
}

#[test]
fn flags_can_be_put_into_any_client_beside_its_source() {
    let client = started(Config::new(KEY).data_source(TestData::new()).send_events(false));
    let json = br#"{"key":"put","version":1,"on":true,"variations":["in"],"fallthrough":{"variation":0}}"#;
    let updates = client.data_source_updates();
    updates.upsert_json(flagstaff_sdk::ItemKind::Flag, "put", json).unwrap();
    assert_eq!(client.variation("put", &user("u"), "none"), "in");
}

#[test]
fn a_client_begins_with_the_flags_of_the_one_whose_place_it_takes() {
    let flags = TestData::new();
    flags.update(flags.flag("known"));
    let before = started(Config::new(KEY).data_source(flags).send_events(false));
    let away = || Config::new(KEY).base_uri("http://127.0.0.1:9").send_events(false);
    let after = Client::start(away()).unwrap();
    after.remind_of(&Client::start(away()).unwrap());
    assert!(!after.is_initialized());
    after.remind_of(&before);
    assert!(after.variation("known", &user("u"), false));

    // Items that can be read back can be read back there too, or are not there at all.
    let keeping = Client::start(away().keep_items(true)).unwrap();
    keeping.remind_of(&before);
    assert!(!keeping.is_initialized());
    let flags = TestData::new();
    flags.update(flags.flag("kept"));
    let kept = started(Config::new(KEY).data_source(flags).keep_items(true).send_events(false));
    keeping.remind_of(&kept);
    assert!(keeping.variation("kept", &user("u"), false));
    assert!(keeping.kept_items().unwrap().item(ItemKind::Flag, "kept").is_some());

    // One that has had flags keeps its own.
    let own = TestData::new();
    own.update(own.flag("own"));
    let other = started(Config::new(KEY).data_source(own).send_events(false));
    other.remind_of(&before);
    assert!(other.variation("own", &user("u"), false) && !other.variation("known", &user("u"), false));

    let offline = Client::start(Config::new("").offline(true)).unwrap();
    offline.remind_of(&before);
    assert!(!offline.variation("known", &user("u"), false));
}

#[test]
fn a_step_of_a_migration_that_the_glue_took_down_is_reported_as_it_is() {
    let (service, client) = service_and_client(vec![]);
    let step = |sampling_ratio| MigrationOpEvent {
        creation_date_ms: 1,
        operation: Operation::Read,
        context: Arc::new(user("u")),
        evaluation: StageEvaluation {
            key: "m".to_owned(),
            version: Some(7),
            variation: Some(0),
            value: "live",
            default: "off",
            reason: ReasonKind::Fallthrough.into(),
        },
        invoked: ByOrigin { old: true, new: false },
        consistency: None,
        latency: ByOrigin::default(),
        error: ByOrigin::default(),
        sampling_ratio,
    };
    client.report_migration_op(step(0));
    client.report_migration_op(step(1));
    flush(&client);
    assert_eq!(
        service.events_of_kind("migration_op"),
        [json!({"kind": "migration_op", "creationDate": 1, "operation": "read",
            "context": {"kind": "user", "key": "u"},
            "evaluation": {"key": "m", "version": 7, "variation": 0, "value": "live", "default": "off",
                "reason": {"kind": "FALLTHROUGH"}},
            "measurements": [{"key": "invoked", "values": {"old": true}}]})]
    );
    client.close();
    client.report_migration_op(step(1));
}

#[test]
fn what_nobody_was_served_is_counted_unless_the_flag_is_left_out_of_summaries() {
    let (service, client) = service_and_client(vec![]);
    let brought = data_set(json!({
        "counted": {"key": "counted", "version": 7},
        "left-out": {"key": "left-out", "version": 8, "excludeFromSummaries": true},
    }));
    for key in ["counted", "counted", "left-out", "no-such-flag"] {
        client.count_for_nobody(key, brought.flag(key).map(|flag| &**flag), &"d");
    }
    flush(&client);
    let summaries = service.events_of_kind("summary");
    assert_eq!(
        summaries[0]["features"],
        json!({
            "counted": {"default": "d", "contextKinds": ["user"],
                "counters": [{"version": 7, "value": "d", "count": 2}]},
            "no-such-flag": {"default": "d", "contextKinds": ["user"],
                "counters": [{"unknown": true, "value": "d", "count": 1}]},
        })
    );
    assert!(service.events_of_kind("index").is_empty());
}

#[test]
fn whatever_keeps_a_caller_waiting_is_waited_for_inside_what_the_glue_wants_around_it() {
    static WAITS: AtomicUsize = AtomicUsize::new(0);
    around_waits(|wait| {
        WAITS.fetch_add(1, Ordering::Relaxed);
        wait();
    });
    let client = Client::start(Config::new(KEY).base_uri("http://127.0.0.1:9")).unwrap();
    assert!(!client.wait_until_ready(Duration::from_millis(1)));
    assert!(WAITS.load(Ordering::Relaxed) > 0);
}

#[test]
fn who_asked_for_a_flush_is_called_once_it_is_done_or_cannot_be() {
    let (told, heard) = std::sync::mpsc::channel();
    let flush = |client: &Client| {
        let told = told.clone();
        client.flush_then(move |sent| told.send(sent).unwrap());
        heard.recv_timeout(Duration::from_secs(10)).unwrap()
    };
    let client = started(Config::new(KEY).data_source(TestData::new()).send_events(false));
    assert!(flush(&client));
    client.close();
    assert!(!flush(&client));
    assert!(!flush(&Client::start(Config::new(KEY).offline(true)).unwrap()));
}

/// Writes down what it is shown.
#[derive(Clone, Default)]
struct Notes(Arc<std::sync::Mutex<Vec<String>>>);

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn note(&self, what: &str, data: &DataSet, items: &[StoredItem]) {
        let mut items: Vec<_> = items
            .iter()
            .map(|item| format!("{} live={} {}", item.key, data.flag(&item.key).is_some(), item.json))
            .collect();
        items.sort();
        self.0.lock().unwrap().push(format!("{what}: {}", items.join(", ")));
    }
}

impl Observer for Notes {
    fn everything(&self, data: &DataSet, items: &[StoredItem], availability: DataAvailability) {
        self.note(&format!("everything, {availability:?}"), data, items);
    }

    fn changes(&self, data: &DataSet, items: &[StoredItem]) {
        self.note("changes", data, items);
    }
}

#[test]
fn whoever_observes_is_shown_what_is_received_as_it_was_written_and_what_does_not_count_is_not_shown() {
    let notes = Notes::default();
    let folder = std::env::temp_dir().join(format!("flagstaff-observed-{}", std::process::id()));
    let config = || {
        let source = TestData::new();
        Config::new(KEY).data_source(source).send_events(false).snapshot_file(&folder).observer(notes.clone())
    };
    let client = started(config());
    notes.take();
    let updates = client.data_source_updates();
    let put = br#"{"flags":{"a":{"key":"a","version":2,"new":[1]},"z":{"key":"z","version":1,"deleted":true}},"segments":{}}"#;
    updates.replace_json(put).unwrap();
    updates.upsert_json(ItemKind::Flag, "a", br#"{"key":"a","version":2}"#).unwrap();
    updates.upsert_json(ItemKind::Flag, "a", br#"{"key":"a","version":3,"newer": 1.0}"#).unwrap();
    updates.delete(ItemKind::Flag, "a", 4);
    let after_put = r#"everything, Refreshed: a live=true {"key":"a","version":2,"new":[1]}, z live=false {"key":"z","version":1,"deleted":true}"#;
    let after_patch = r#"changes: a live=true {"key":"a","version":3,"newer": 1.0}"#;
    let after_delete = "changes: a live=false ";
    let seen = notes.take();
    assert_eq!(seen[..2], [after_put, after_patch]);
    assert!(seen[2].starts_with(after_delete) && seen.len() == 3, "{seen:?}");

    client.close();
    notes.take();
    let again = Client::start(config().base_uri("http://127.0.0.1:9")).unwrap();
    let seen = notes.take();
    assert!(seen[0].starts_with("everything, Cached: a live=false "), "{seen:?}");
    drop(again);
    std::fs::remove_file(folder).unwrap();
}

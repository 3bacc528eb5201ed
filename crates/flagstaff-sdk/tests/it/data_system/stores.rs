//! A database behind second-generation delivery.

use std::time::Duration;

use flagstaff_sdk::{
    Caching, Client, Config, DataAvailability, DataSourceState, DataSystem, ErrorKind, PersistentDataStore,
};
use flagstaff_testkit::{Answer, FakeService, Fdv2Events, PATIENCE, eventually, flag, user};
use flagstaff_wire::stream::ItemKind;
use serde_json::json;

use super::*;
use crate::data_store::database::Database;
use crate::support::started;

fn store(database: &Database) -> PersistentDataStore {
    PersistentDataStore::new(database.clone()).caching(Caching::Off).timeout(Duration::from_millis(200))
}

#[test]
fn a_database_is_used_until_the_first_flags_come_and_written_from_then_on() {
    let service = FakeService::start([]);
    service.answer_always(STREAM, Answer::status(503));
    let database = Database::with([flag("f").version(7).serving("stored")]);
    let client = Client::start(config(&service, stream_only().store(store(&database)))).unwrap();
    assert_eq!(value(&client), "stored");
    assert!(!client.wait_until_ready(Duration::from_millis(100)), "initialization goes on");
    let status = client.data_source_status();
    assert_eq!(status.state, DataSourceState::Initializing);
    assert_eq!(status.data_availability, DataAvailability::Cached);
    database.put(flag("f").version(8).serving("stored later"));
    assert_eq!(value(&client), "stored later");

    let object =
        json!({"key": "f", "version": 3, "variations": ["received"], "offVariation": 0, "new": {"a": 1}});
    let events = Fdv2Events::new()
        .intent(flagstaff_wire::fdv2::IntentCode::TransferFull)
        .put_object(ItemKind::Flag, "f", 3, &object)
        .put(flag("g"))
        .transferred("s1");
    service.answer_always(STREAM, Answer::Stream(events.stream()));
    assert!(client.wait_until_ready(PATIENCE));
    assert_eq!(value(&client), "received", "whatever the versions");
    assert_eq!(client.data_source_status().data_availability, DataAvailability::Refreshed);
    assert_eq!(database.flag("f"), Some(object), "as it came");

    // Memory counts alone from now on.
    let reads = database.reads();
    database.put(flag("f").version(9).serving("somebody else's"));
    assert_eq!(value(&client), "received");
    assert_eq!(
        client.variation_detail("missing", &user("u"), false).reason.error_kind(),
        Some(ErrorKind::FlagNotFound)
    );
    assert_eq!(database.reads(), reads);

    service.send(&Fdv2Events::new().delete("g", 1).put(serving("changed")).transferred("s2").stream());
    eventually_serves(&client, "changed");
    eventually("the database was written", || {
        let (f, g) = (database.flag("f")?, database.flag("g")?);
        (f["variations"] == json!(["changed"]) && g == json!({"key": "g", "version": 1, "deleted": true}))
            .then_some(())
    });
}

#[test]
fn a_database_that_is_only_read_is_not_written() {
    let service = FakeService::start([serving("received")]);
    let database = Database::with([serving("stored")]);
    let client = started(config(&service, DataSystem::persistent_store(store(&database).read_only())));
    assert_eq!(value(&client), "received");
    eventually("the stream was open", || (service.streams() == 1).then_some(()));
    service.send(&Fdv2Events::changes([serving("changed")], "s2").stream());
    eventually_serves(&client, "changed");
    client.close();
    assert_eq!(database.flag("f"), Some(serving("stored").build()));
    assert_eq!(database.inits(), 0);
}

#[test]
fn without_any_source_the_database_is_all_there_is() {
    let service = FakeService::start([serving("received")]);
    let database = Database::with([serving("stored")]);
    let client = started(config(&service, DataSystem::daemon(store(&database))));
    assert_eq!(value(&client), "stored");
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
    database.put(serving("changed"));
    assert_eq!(value(&client), "changed");
    nothing_more_is_asked(&service, &[POLL, STREAM, FDV1]);
    assert!(service.requests(POLL).is_empty() && service.requests(STREAM).is_empty());
}

#[test]
fn a_client_that_starts_without_the_service_serves_what_the_database_has() {
    let service = FakeService::start([]);
    for path in [POLL, STREAM] {
        service.answer_always(path, Answer::status(401));
    }
    let database = Database::with([serving("stored")]);
    let refused: Config = config(&service, DataSystem::persistent_store(store(&database)));
    let client = Client::start(refused).unwrap();
    eventually_in(&client, DataSourceState::Off);
    assert!(!client.wait_until_ready(PATIENCE));
    eventually("the database was read", || (value(&client) == "stored").then_some(()));
}

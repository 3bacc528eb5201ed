//! Daemon mode: a relay writes flags to a database, and programs that know nothing but that database read them.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::support::alone;
use crate::support::api::FLAG;
use crate::support::consul::Consul;
use crate::support::dynamodb::{DynamoDb, TABLE};
use crate::support::eventually;
use crate::support::reader::{Database, FRESH, Reading, readers_of};
use crate::support::redis::Redis;
use crate::support::relay::Relay;
use crate::support::service::Service;

/// Ten times what is expected on a busy machine.
const START: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);
/// The mark: within this an emptied database is whole again.
const REPAIRED: Duration = Duration::from_secs(10);

/// What a reader sees of a boolean flag without rules.
fn fallthrough(value: bool) -> Json {
    json!([value, "FALLTHROUGH", null])
}

fn no_such_flag() -> Json {
    json!([null, "FLAG_NOT_FOUND", null])
}

/// A flag `lamp` that serves true to everybody.
fn make_lamp(service: &Service) -> Vec<String> {
    service.make_flag("lamp", &[json!(true), json!(false)])
}

fn read_all(service: &Service, database: Database<'_>) -> Vec<Reading> {
    let flags = ["lamp", FLAG];
    let start = |reader| Reading::start(reader, database, &flags, service, None, FRESH);
    readers_of(database).into_iter().map(start).collect()
}

/// Flips, a deletion, and a flag that is made again under its old key reach readers.
fn check(database: Database<'_>) {
    let service = Service::start();
    let ids = make_lamp(&service);
    let _relay = Relay::start_with(service.url(), database.for_relay());
    let mut readers = read_all(&service, database);
    let mut all_see = |expected: &Json, limit| {
        for reader in &mut readers {
            reader.until("lamp", expected, limit);
        }
    };
    all_see(&fallthrough(true), START);
    service.serve("lamp", &ids[1]);
    all_see(&fallthrough(false), LIMIT);
    let gone = service.api("DELETE", "flags/demo/lamp", "application/json", "");
    assert_eq!(gone.status, 204, "{gone:?}");
    all_see(&no_such_flag(), LIMIT);
    make_lamp(&service);
    all_see(&fallthrough(true), LIMIT);
}

#[test]
fn programs_in_daemon_mode_read_what_a_relay_wrote_to_redis() {
    let _alone = alone();
    let Some(redis) = Redis::start() else { return };
    check(Database::Redis(&redis));
}

#[test]
fn programs_in_daemon_mode_read_what_a_relay_wrote_to_consul() {
    let _alone = alone();
    let Some(consul) = Consul::start() else { return };
    check(Database::Consul(&consul));
}

#[test]
fn programs_in_daemon_mode_read_what_a_relay_wrote_to_dynamodb() {
    let _alone = alone();
    let Some(dynamo) = DynamoDb::start() else { return };
    check(Database::DynamoDb(&dynamo));
}

/// How many flags there are.
fn flags_in(redis: &Redis) -> usize {
    redis.ask(&["HLEN", "production:features"]).parse().expect("a count")
}

#[test]
fn an_emptied_redis_is_whole_again_within_ten_seconds_and_never_has_a_part() {
    let _alone = alone();
    let Some(redis) = Redis::start() else { return };
    let service = Service::start();
    let ids = make_lamp(&service);
    let _relay = Relay::start_with(service.url(), Database::Redis(&redis).for_relay());
    let mut readers = read_all(&service, Database::Redis(&redis));
    for reader in &mut readers {
        reader.until("lamp", &fallthrough(true), START);
    }
    let whole = flags_in(&redis);
    for round in 0..3 {
        redis.ask(&["FLUSHALL"]);
        let emptied = Instant::now();
        // A single change meanwhile must not become all that there is.
        service.serve("lamp", &ids[1 - round % 2]);
        eventually(REPAIRED, || match flags_in(&redis) {
            count if count == whole => Ok(()),
            0 => Err("it is empty".to_owned()),
            part => panic!("it has {part} of {whole} flags"),
        });
        assert!(emptied.elapsed() <= REPAIRED);
        assert_eq!(redis.ask(&["EXISTS", "production:$inited"]), "1");
        for reader in &mut readers {
            reader.until("lamp", &fallthrough(round % 2 == 1), LIMIT);
        }
    }
}

#[test]
fn what_changed_while_redis_was_away_is_there_once_it_is_back() {
    let _alone = alone();
    let Some(mut redis) = Redis::start() else { return };
    let service = Service::start();
    let ids = make_lamp(&service);
    let _relay = Relay::start_with(service.url(), Database::Redis(&redis).for_relay());
    let whole = eventually(START, || match flags_in(&redis) {
        0 => Err("it is empty".to_owned()),
        whole => Ok(whole),
    });
    redis.kill();
    service.serve("lamp", &ids[1]);
    redis.start_again();
    eventually(LIMIT, || match flags_in(&redis) {
        count if count == whole => Ok(()),
        0 => Err("it is empty".to_owned()),
        part => panic!("it has {part} of {whole} flags"),
    });
    for reader in &mut read_all(&service, Database::Redis(&redis)) {
        reader.until("lamp", &fallthrough(false), START);
    }
}

#[test]
fn an_item_that_dynamodb_does_not_take_is_said_and_all_others_are_stored() {
    let _alone = alone();
    let Some(dynamo) = DynamoDb::start() else { return };
    let service = Service::start();
    make_lamp(&service);
    // 400 KB are what an item may have.
    service.make_flag("huge", &[json!("x".repeat(250_000)), json!("y".repeat(250_000))]);
    let relay = Relay::start_with(service.url(), Database::DynamoDb(&dynamo).for_relay());
    let mut readers = read_all(&service, Database::DynamoDb(&dynamo));
    for reader in &mut readers {
        reader.until("lamp", &fallthrough(true), START);
    }
    let said = relay.log();
    assert!(said.contains("flag `huge` was not written to DynamoDB"), "{said}");
    let asked = json!({
        "TableName": TABLE,
        "KeyConditionExpression": "#namespace = :flags",
        "ExpressionAttributeNames": {"#namespace": "namespace"},
        "ExpressionAttributeValues": {":flags": {"S": "production:features"}},
        "ConsistentRead": true,
    });
    let stored = dynamo.ask("Query", &asked).expect("DynamoDB answers");
    let of_service = service.get("flags/demo")["totalCount"].as_u64();
    assert_eq!(stored["Count"].as_u64().map(|count| count + 1), of_service, "{stored}");
}

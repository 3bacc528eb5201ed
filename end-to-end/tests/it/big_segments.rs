//! Big segments: a relay copies their members into a database, and SDKs that look there get the right values.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::dynamodb::DynamoDb;
use crate::support::http::request;
use crate::support::reader::{Database, FRESH, Reading, readers_of};
use crate::support::redis::Redis;
use crate::support::relay::Relay;
use crate::support::service::Service;
use crate::support::{alone, eventually};

/// Ten times what is expected on a busy machine.
const START: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);
const VIP: &str = "segments/demo/production/vip";
/// The readers' user in base64: `{"kind":"user","key":"ann"}`.
const ANN: &str = "eyJraW5kIjoidXNlciIsImtleSI6ImFubiJ9";

/// A big segment `vip`, and a flag `lounge` that is true for those in it.
fn make_lounge(service: &Service) {
    let json = "application/json";
    let new = json!({"key": "vip", "name": "Very important", "unbounded": true});
    assert_eq!(service.api("POST", "segments/demo/production", json, &new.to_string()).status, 201);
    let ids = service.make_flag("lounge", &[json!(true), json!(false)]);
    service.serve("lounge", &ids[1]);
    let clause = json!({"attribute": "", "op": "segmentMatch", "values": ["vip"], "negate": false});
    let patch = json!([
        {"op": "add", "path": "/environments/production/rules/-", "value": {"variation": 0, "clauses": [clause]}},
        {"op": "replace", "path": "/clientSideAvailability/usingEnvironmentId", "value": true},
    ]);
    let changed = service.api("PATCH", "flags/demo/lounge", json, &patch.to_string());
    assert_eq!(changed.status, 200, "{changed:?}");
}

fn change_members(service: &Service, changes: &Json) {
    let answer = service.api("POST", &format!("{VIP}/contexts"), "application/json", &changes.to_string());
    assert_eq!(answer.status, 204, "{answer:?}");
}

fn add(service: &Service, key: &str) {
    change_members(service, &json!({"included": {"add": [key]}}));
}

fn remove(service: &Service, key: &str) {
    change_members(service, &json!({"included": {"remove": [key]}}));
}

/// What is seen of `lounge` by who is in it, and by who is not.
fn inside(status: &str) -> Json {
    json!([true, "RULE_MATCH", status])
}

fn outside(status: &str) -> Json {
    json!([false, "FALLTHROUGH", status])
}

/// Readers that have flags from `url` and members from the database.
fn read_all(service: &Service, url: &str, database: Database<'_>) -> Vec<Reading> {
    let start = |reader| Reading::start(reader, database, &["lounge"], service, Some(url), FRESH);
    readers_of(database).into_iter().map(start).collect()
}

fn all_see(readers: &mut [Reading], expected: &Json, limit: Duration) {
    for reader in readers {
        reader.until("lounge", expected, limit);
    }
}

/// What a browser gets of `lounge` there.
fn as_browser(url: &str) -> Result<Json, String> {
    let path = format!("{url}/sdk/evalx/demo-production/contexts/{ANN}?withReasons=true");
    let answer = request("GET", &path, &[], "").map_err(|error| error.to_string())?;
    let lounge = &answer.json()["lounge"];
    Ok(json!([lounge["value"], lounge["reason"]["kind"], lounge["reason"]["bigSegmentsStatus"]]))
}

fn browser_sees(url: &str, expected: &Json) {
    eventually(LIMIT, || match as_browser(url)? {
        seen if seen == *expected => Ok(()),
        seen => Err(seen.to_string()),
    });
}

fn status(relay: &Relay) -> Json {
    let answer = request("GET", &format!("{}/status", relay.url()), &[], "");
    answer.expect("a relay says how it is").json()
}

/// Members reach SDKs that stream from the service or from the relay, and values that the relay itself evaluates.
fn check(database: Database<'_>) {
    let service = Service::start();
    make_lounge(&service);
    add(&service, "ann");
    let relay = Relay::start_with(service.url(), database.for_relay());
    let mut of_service = read_all(&service, service.url(), database);
    all_see(&mut of_service, &inside("HEALTHY"), START);
    let mut of_relay = read_all(&service, relay.url(), database);
    all_see(&mut of_relay, &inside("HEALTHY"), START);
    browser_sees(relay.url(), &inside("HEALTHY"));
    browser_sees(service.url(), &inside("HEALTHY"));

    remove(&service, "ann");
    all_see(&mut of_service, &outside("HEALTHY"), LIMIT);
    all_see(&mut of_relay, &outside("HEALTHY"), LIMIT);
    browser_sees(relay.url(), &outside("HEALTHY"));

    // In again, and out as the other list says.
    change_members(&service, &json!({"included": {"add": ["ann"]}, "excluded": {"add": ["ann"]}}));
    all_see(&mut of_service, &inside("HEALTHY"), LIMIT);
    remove(&service, "ann");
    all_see(&mut of_service, &outside("HEALTHY"), LIMIT);
    let status = status(&relay);
    let members = &status["environments"]["production"]["bigSegmentStatus"];
    assert_eq!(
        (&members["available"], &members["potentiallyStale"]),
        (&json!(true), &json!(false)),
        "{status}"
    );
    assert!(members["lastSynchronizedOn"].as_u64().is_some_and(|time| time > 1_600_000_000_000), "{status}");
    assert!(status["environments"]["staging"].get("bigSegmentStatus").is_none(), "it has none: {status}");
}

#[test]
fn members_reach_sdks_through_redis() {
    let _alone = alone();
    let Some(redis) = Redis::start() else { return };
    check(Database::Redis(&redis));
}

#[test]
fn members_reach_sdks_through_dynamodb() {
    let _alone = alone();
    let Some(dynamo) = DynamoDb::start() else { return };
    check(Database::DynamoDb(&dynamo));
}

#[test]
fn an_emptied_redis_has_all_members_again_and_never_a_part() {
    let _alone = alone();
    let Some(redis) = Redis::start() else { return };
    let service = Service::start();
    make_lounge(&service);
    let keys: Vec<String> = (0..2_000).map(|number| format!("user-{number}")).collect();
    change_members(&service, &json!({"included": {"add": keys}}));
    add(&service, "ann");
    let _relay = Relay::start_with(service.url(), Database::Redis(&redis).for_relay());
    let cursor = || redis.ask(&["GET", "production:big_segments_cursor"]);
    let members = || redis.ask(&["KEYS", "production:big_segment_include:*"]).lines().count();
    eventually(START, || if members() == 2_001 { Ok(()) } else { Err(format!("{} members", members())) });
    redis.ask(&["FLUSHALL"]);
    // A single change meanwhile must not become all that there is.
    add(&service, "bob");
    eventually(Duration::from_secs(10), || match members() {
        2_002 => Ok(()),
        count => Err(format!("{count} members up to `{}`", cursor())),
    });
    assert!(!redis.ask(&["GET", "production:big_segments_synchronized_on"]).is_empty());
}

#[test]
fn members_that_nobody_keeps_up_to_date_are_said_to_be_stale() {
    let _alone = alone();
    let Some(redis) = Redis::start() else { return };
    let service = Service::start();
    make_lounge(&service);
    add(&service, "ann");
    let database = Database::Redis(&redis);
    let mut stale_soon = vec!["--big-segments-stale-after".to_owned(), "1".to_owned()];
    stale_soon.push("--big-segments-stale-as-degraded".to_owned());
    stale_soon.extend(database.for_relay());
    let relay = Relay::start_with(service.url(), stale_soon);
    let (url, stale_after) = (Some(service.url()), Duration::from_secs(3));
    // That everything is up to date is said every 30 s.
    for reader in readers_of(database) {
        let mut reader = Reading::start(reader, database, &["lounge"], &service, url, stale_after);
        reader.until("lounge", &inside("STALE"), START);
        reader.until("status", &json!([true, true]), LIMIT);
    }
    let status = status(&relay);
    assert_eq!(status["status"], "degraded", "{status}");
    let members = &status["environments"]["production"]["bigSegmentStatus"];
    assert_eq!(members["potentiallyStale"], true, "{status}");
}

#[test]
fn two_relays_fill_one_redis_and_either_goes_on_alone() {
    let _alone = alone();
    let Some(redis) = Redis::start() else { return };
    let service = Service::start();
    make_lounge(&service);
    let database = Database::Redis(&redis);
    let mut one = Relay::start_with(service.url(), database.for_relay());
    let other = Relay::start_with(service.url(), database.for_relay());
    let mut readers = read_all(&service, service.url(), database);
    for _ in 0..5 {
        add(&service, "ann");
        all_see(&mut readers, &inside("HEALTHY"), START);
        browser_sees(one.url(), &inside("HEALTHY"));
        browser_sees(other.url(), &inside("HEALTHY"));
        remove(&service, "ann");
        all_see(&mut readers, &outside("HEALTHY"), LIMIT);
    }
    one.kill();
    add(&service, "ann");
    all_see(&mut readers, &inside("HEALTHY"), LIMIT);
    browser_sees(other.url(), &inside("HEALTHY"));
    one.start_again();
    remove(&service, "ann");
    all_see(&mut readers, &outside("HEALTHY"), LIMIT);
    browser_sees(one.url(), &outside("HEALTHY"));
    for relay in [&one, &other] {
        assert!(!relay.log().contains("are not kept up to date"), "{}", relay.log());
    }
}

#[test]
fn members_cross_two_relays() {
    let _alone = alone();
    let Some(redis) = Redis::start() else { return };
    let service = Service::start();
    make_lounge(&service);
    add(&service, "ann");
    // It has no database, and passes on what it is asked.
    let near = Relay::start(service.url());
    let database = Database::Redis(&redis);
    let far = Relay::start_with(near.url(), database.for_relay());
    let mut readers = read_all(&service, far.url(), database);
    all_see(&mut readers, &inside("HEALTHY"), START);
    remove(&service, "ann");
    all_see(&mut readers, &outside("HEALTHY"), LIMIT);
    browser_sees(far.url(), &outside("HEALTHY"));
    assert_eq!(as_browser(near.url()).expect("it answers"), outside("NOT_CONFIGURED"));
}

#[test]
fn a_relay_that_was_away_catches_up() {
    let _alone = alone();
    let Some(redis) = Redis::start() else { return };
    let mut service = Service::start();
    make_lounge(&service);
    let database = Database::Redis(&redis);
    let mut relay = Relay::start_with(service.url(), database.for_relay());
    let mut readers = read_all(&service, service.url(), database);
    add(&service, "ann");
    all_see(&mut readers, &inside("HEALTHY"), START);
    relay.kill();
    remove(&service, "ann");
    relay.start_again();
    all_see(&mut readers, &outside("HEALTHY"), LIMIT);

    service.kill();
    service.start_again();
    add(&service, "ann");
    // The relay tries again after ten seconds, readers after up to thirty.
    all_see(&mut readers, &inside("HEALTHY"), START);
    browser_sees(relay.url(), &inside("HEALTHY"));
}

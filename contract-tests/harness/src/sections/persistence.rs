//! Sections 5.1 to 5.4: flags in a database, for three databases and three ways to cache.
//!
//! Here they are read alone, in daemon mode; `persistence_writing` has the rest.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::persistence_writing;
use crate::expect::{ensure, same};
use crate::flags::{data, flag, flags, for_segment, segment, serving, user};
use crate::scene::{A_WHILE, Client, SOON, Scene, only};
use crate::stores::{Database, FEATURES, SEGMENTS};
use crate::suite::{Group, Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    for database in Database::ALL {
        let group = |suite: &mut Suite, name: &str, add: fn(&mut Group, Database)| {
            let name = format!("5 {}: {name}", database.name());
            add(suite.group(name).needs(database.capability()).persistence(), database);
        };
        group(suite, "daemon mode", add_daemon);
        group(suite, "caching in daemon mode", add_caching);
        persistence_writing::add(suite, database);
    }
}

/// A way to cache, by a function, as JSON is no constant.
pub(super) type Mode = (&'static str, fn() -> Value);

/// How long is cached where it is for a time.
const TTL: Duration = Duration::from_secs(1);

pub(super) const OFF: fn() -> Value = || json!({"mode": "off"});
pub(super) const ONE_SECOND: fn() -> Value = || json!({"mode": "ttl", "ttl": TTL.as_secs()});
pub(super) const INFINITE: fn() -> Value = || json!({"mode": "infinite"});
pub(super) const MODES: [Mode; 3] = [("off", OFF), ("ttl", ONE_SECOND), ("infinite", INFINITE)];

/// A place in a database that no other test has.
pub(super) struct Place {
    pub(super) database: Database,
    pub(super) prefix: String,
}

impl Place {
    pub(super) async fn new(database: Database) -> Result<Self, String> {
        database.prepare().await?;
        Ok(Self { database, prefix: database.fresh_prefix() })
    }

    /// The configuration that has an SDK use it.
    pub(super) fn configured(&self, cache: Value) -> Result<Value, String> {
        Ok(json!({
            "store": {"type": self.database.name(), "prefix": self.prefix, "dsn": self.database.dsn()?},
            "cache": cache,
        }))
    }

    pub(super) async fn fill(&self, data: &Value) -> Result<(), String> {
        self.database.fill(&self.prefix, data).await
    }

    pub(super) async fn write(&self, flag: &Value) -> Result<(), String> {
        let key = flag["key"].as_str().unwrap_or_default();
        self.database.write(&self.prefix, FEATURES, key, flag).await
    }

    pub(super) async fn items(&self, kind: &str) -> Result<Value, String> {
        self.database.all(&self.prefix, kind).await
    }

    pub(super) async fn is_marked(&self) -> Result<bool, String> {
        self.database.is_marked(&self.prefix).await
    }

    /// Fails unless the database soon holds these flags and segments, and the mark.
    pub(super) async fn soon_holds(&self, want: &Value) -> Verdict {
        let started = Instant::now();
        loop {
            let (flags, segments) = (self.items(FEATURES).await?, self.items(SEGMENTS).await?);
            let checked = holds(FEATURES, &flags, &want["flags"])
                .and_then(|()| holds(SEGMENTS, &segments, &want["segments"]));
            let marked = self.is_marked().await?;
            let checked = checked.and_then(|()| ensure(marked, || "the mark is not there".to_owned()));
            match checked {
                Ok(()) => return Ok(()),
                Err(what) if started.elapsed() > SOON => return Err(what),
                Err(_) => tokio::time::sleep(Duration::from_millis(30)).await,
            }
        }
    }
}

/// Fails unless the items have these keys, versions and values; SDKs may write more than they read.
fn holds(kind: &str, items: &Value, want: &Value) -> Verdict {
    let told = |items: &Value| {
        let brief = |(key, item): (&String, &Value)| {
            (
                key.clone(),
                json!({"version": item["version"], "deleted": item["deleted"] == true,
                                 "variations": if item["deleted"] == true { Value::Null } else { item["variations"].clone() }}),
            )
        };
        Value::Object(items.as_object().into_iter().flatten().map(brief).collect())
    };
    same(&format!("the {kind} in the database"), &told(items), &told(want))
}

/// A client that takes its flags from the database alone.
pub(super) async fn daemon(scene: &Scene, place: &Place, cache: Value) -> Result<Client, String> {
    scene.client(json!({"persistentDataStore": place.configured(cache)?})).await
}

fn add_daemon(group: &mut Group, database: Database) {
    for (mode, cache) in MODES {
        group.test(format!("flags and segments are read, with the cache {mode}"), move |scene| async move {
            let place = Place::new(database).await?;
            let all = data(
                [serving("f", 1, "stored"), for_segment("g", "s")],
                [segment("s", 1, json!({"included": ["user-key"]}))],
            );
            place.fill(&all).await?;
            let client = daemon(&scene, &place, cache()).await?;
            client.has_value("f", "stored").await?;
            client.has_value("g", true).await?;
            client.has_value("nope", "default").await
        });
    }
    group
        .test("flags are read although the mark is not there", move |scene| async move {
            let place = Place::new(database).await?;
            place.write(&serving("f", 1, "stored")).await?;
            let client = daemon(&scene, &place, OFF()).await?;
            client.has_value("f", "stored").await
        })
        .test("what is not there yet is not found, and appears when it is", move |scene| async move {
            let place = Place::new(database).await?;
            let client = daemon(&scene, &place, OFF()).await?;
            let got = client.detail("f", &user(), json!("default")).await?;
            same("the reason", &got["reason"], &json!({"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}))?;
            place.write(&serving("f", 1, "stored")).await?;
            client.has_value("f", "stored").await
        })
        .test("prerequisites are read", move |scene| async move {
            let place = Place::new(database).await?;
            let needing = flag(
                "f",
                1,
                json!({
                    "on": true, "variations": ["a", "b"], "fallthrough": {"variation": 0}, "offVariation": 1,
                    "prerequisites": [{"key": "p", "variation": 0}],
                }),
            );
            place.fill(&flags([needing, serving("p", 1, true)])).await?;
            let client = daemon(&scene, &place, ONE_SECOND()).await?;
            client.has_value("f", "a").await
        })
        .test("an item that cannot be read is an exception", move |scene| async move {
            let place = Place::new(database).await?;
            place.database.write_text(&place.prefix, FEATURES, "f", 1, "{sorry").await?;
            place.database.mark(&place.prefix).await?;
            let client = daemon(&scene, &place, OFF()).await?;
            let got = client.detail("f", &user(), json!("default")).await?;
            let reason = json!({"kind": "ERROR", "errorKind": "EXCEPTION"});
            same("the detail", &got, &json!({"value": "default", "reason": reason}))
        })
        .test("the database stays as it was", move |scene| async move {
            let place = Place::new(database).await?;
            let all = flags([serving("f", 1, "stored")]);
            place.fill(&all).await?;
            let client = daemon(&scene, &place, ONE_SECOND()).await?;
            client.has_value("f", "stored").await?;
            client.close().await?;
            place.soon_holds(&all).await
        })
        .test("events are still sent", move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([serving("f", 4, "stored")])).await?;
            let sink = scene.sink().await?;
            let client = scene
                .client(json!({
                    "persistentDataStore": place.configured(ONE_SECOND())?,
                    "events": {"baseUri": sink.endpoint.url},
                }))
                .await?;
            client.has_value("f", "stored").await?;
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            same("the version", &summary["features"]["f"]["counters"][0]["version"], &json!(4))
        })
        .test("nothing is connected to for flags", move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([serving("f", 1, "stored")])).await?;
            let service = scene.streaming(&flags([])).await?;
            let client = scene
                .client(json!({
                    "persistentDataStore": place.configured(OFF())?,
                    "serviceEndpoints": {"streaming": service.url, "polling": service.url},
                }))
                .await?;
            client.has_value("f", "stored").await?;
            service.no_request_after(0, A_WHILE).await
        });
    for (name, tombstone) in [
        ("without a key", json!({"version": 5, "deleted": true})),
        ("with its key", json!({"key": "f", "version": 5, "deleted": true})),
        ("that is a whole flag", flag("$deleted", 5, json!({"deleted": true}))),
    ] {
        group.test(format!("a tombstone {name} is no flag"), move |scene| {
            let tombstone = tombstone.clone();
            async move {
                let place = Place::new(database).await?;
                place.database.write(&place.prefix, FEATURES, "f", &tombstone).await?;
                place.write(&serving("g", 1, "live")).await?;
                place.database.mark(&place.prefix).await?;
                let client = daemon(&scene, &place, OFF()).await?;
                client.has_value("f", "default").await?;
                let all = client.all_flags(&user(), json!({})).await?;
                ensure(all.get("f").is_none() && all["g"] == "live", || all.to_string())
            }
        });
    }
    group.test("without a prefix the usual one is used", move |scene| async move {
        // There is one such place in a database: one test at a time may have it.
        static TURN: Mutex<()> = Mutex::const_new(());
        let _turn = TURN.lock().await;
        let prefix = database.default_prefix();
        database.prepare().await?;
        database.clear(prefix).await?;
        database.fill(prefix, &flags([serving("f", 1, "by default")])).await?;
        let store = json!({"type": database.name(), "dsn": database.dsn()?});
        let client = scene.client(json!({"persistentDataStore": {"store": store, "cache": OFF()}})).await?;
        let checked = client.has_value("f", "by default").await;
        database.clear(prefix).await?;
        checked
    });
}

/// The database changes behind the client's back: what it says at once, after half a second, and
/// after two.
pub(super) struct Seen {
    pub(super) at_once: &'static str,
    pub(super) later: &'static str,
    pub(super) at_last: &'static str,
}

/// `cached` is when the client was about to get the flag for the first time.
pub(super) async fn watched(client: &Client, key: &str, cached: Instant, seen: &Seen) -> Verdict {
    let says = async |when: &str, want: &str| {
        let checked = client.has_value(key, want).await;
        // On a busy machine the time of what is cached may be over before it is looked at.
        let checked = match checked {
            Err(_) if cached.elapsed() > TTL => client.has_value(key, seen.at_last).await,
            checked => checked,
        };
        checked.map_err(|error| format!("{when}: {error}"))
    };
    says("at once", seen.at_once).await?;
    tokio::time::sleep(TTL / 2).await;
    says("after half a second", seen.later).await?;
    tokio::time::sleep(TTL * 3 / 2).await;
    says("after two seconds", seen.at_last).await
}

fn add_caching(group: &mut Group, database: Database) {
    let seen = |mode: &str, old: &'static str, new: &'static str| match mode {
        "off" => Seen { at_once: new, later: new, at_last: new },
        "ttl" => Seen { at_once: old, later: old, at_last: new },
        _ => Seen { at_once: old, later: old, at_last: old },
    };
    for (mode, cache) in MODES {
        group.test(format!("{mode}: a flag that changes"), move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([serving("f", 1, "old")])).await?;
            let client = daemon(&scene, &place, cache()).await?;
            let cached = Instant::now();
            client.has_value("f", "old").await?;
            place.write(&serving("f", 2, "new")).await?;
            watched(&client, "f", cached, &seen(mode, "old", "new")).await
        });
        group.test(format!("{mode}: a flag that was not there"), move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([])).await?;
            let client = daemon(&scene, &place, cache()).await?;
            let cached = Instant::now();
            client.has_value("f", "default").await?;
            place.write(&serving("f", 1, "new")).await?;
            watched(&client, "f", cached, &seen(mode, "default", "new")).await
        });
        group.test(format!("{mode}: a flag that is deleted"), move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([serving("f", 1, "old")])).await?;
            let client = daemon(&scene, &place, cache()).await?;
            let cached = Instant::now();
            client.has_value("f", "old").await?;
            place.write(&json!({"key": "f", "version": 2, "deleted": true})).await?;
            watched(&client, "f", cached, &seen(mode, "old", "default")).await
        });
    }
}

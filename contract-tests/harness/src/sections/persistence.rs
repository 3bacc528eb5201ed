//! Sections 5.1 to 5.4: flags in a database, for three databases and three ways to cache.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::fdv2::{full, intent, put_flag, sse, transferred};
use crate::expect::{ensure, same};
use crate::flags::{data, delete, flag, flags, for_segment, patch_flag, put, segment, serving, user, with};
use crate::mock::{Answer, Endpoint};
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
        group(suite, "reading and writing", add_writing);
        group(suite, "caching while writing", add_caching_while_writing);
        group(suite, "before the first flags", add_early);
        let name = format!("5 {}: FDv2", database.name());
        let group = suite.group(name).needs(database.capability()).needs("fdv1-fallback").persistence();
        add_fdv2(group, database);
    }
}

const OFF: fn() -> Value = || json!({"mode": "off"});
const ONE_SECOND: fn() -> Value = || json!({"mode": "ttl", "ttl": 1});
const INFINITE: fn() -> Value = || json!({"mode": "infinite"});
const MODES: [(&str, fn() -> Value); 3] = [("off", OFF), ("ttl", ONE_SECOND), ("infinite", INFINITE)];

/// A place in a database that no other test has.
struct Place {
    database: Database,
    prefix: String,
}

impl Place {
    async fn new(database: Database) -> Result<Self, String> {
        database.prepare().await?;
        Ok(Self { database, prefix: database.fresh_prefix() })
    }

    /// The configuration that has an SDK use it.
    fn configured(&self, cache: Value) -> Result<Value, String> {
        Ok(json!({
            "store": {"type": self.database.name(), "prefix": self.prefix, "dsn": self.database.dsn()?},
            "cache": cache,
        }))
    }

    async fn fill(&self, data: &Value) -> Result<(), String> {
        self.database.fill(&self.prefix, data).await
    }

    async fn write(&self, flag: &Value) -> Result<(), String> {
        let key = flag["key"].as_str().unwrap_or_default();
        self.database.write(&self.prefix, FEATURES, key, flag).await
    }

    async fn items(&self, kind: &str) -> Result<Value, String> {
        self.database.all(&self.prefix, kind).await
    }

    async fn is_marked(&self) -> Result<bool, String> {
        self.database.is_marked(&self.prefix).await
    }

    /// Fails unless the database soon holds these flags and segments, and the mark.
    async fn soon_holds(&self, want: &Value) -> Verdict {
        let started = std::time::Instant::now();
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
async fn daemon(scene: &Scene, place: &Place, cache: Value) -> Result<Client, String> {
    scene.client(json!({"persistentDataStore": place.configured(cache)?})).await
}

/// A client that writes what it streams into the database.
async fn writing(
    scene: &Scene,
    place: &Place,
    data: &Value,
    cache: Value,
) -> Result<(Client, Endpoint), String> {
    let service = scene.streaming(data).await?;
    let client = scene
        .client(
            json!({"streaming": {"baseUri": service.url}, "persistentDataStore": place.configured(cache)?}),
        )
        .await?;
    Ok((client, service))
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
struct Seen {
    at_once: &'static str,
    later: &'static str,
    at_last: &'static str,
}

async fn watched(client: &Client, key: &str, seen: &Seen) -> Verdict {
    client.has_value(key, seen.at_once).await.map_err(|error| format!("at once: {error}"))?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.has_value(key, seen.later).await.map_err(|error| format!("after half a second: {error}"))?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    client.has_value(key, seen.at_last).await.map_err(|error| format!("after two seconds: {error}"))
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
            client.has_value("f", "old").await?;
            place.write(&serving("f", 2, "new")).await?;
            watched(&client, "f", &seen(mode, "old", "new")).await
        });
        group.test(format!("{mode}: a flag that was not there"), move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([])).await?;
            let client = daemon(&scene, &place, cache()).await?;
            client.has_value("f", "default").await?;
            place.write(&serving("f", 1, "new")).await?;
            watched(&client, "f", &seen(mode, "default", "new")).await
        });
        group.test(format!("{mode}: a flag that is deleted"), move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([serving("f", 1, "old")])).await?;
            let client = daemon(&scene, &place, cache()).await?;
            client.has_value("f", "old").await?;
            place.write(&json!({"key": "f", "version": 2, "deleted": true})).await?;
            watched(&client, "f", &seen(mode, "old", "default")).await
        });
    }
}

fn add_writing(group: &mut Group, database: Database) {
    for (mode, cache) in MODES {
        group.test(format!("{mode}: a put, patches and deletes are written"), move |scene| async move {
            let place = Place::new(database).await?;
            let first = data([serving("f", 1, "a"), serving("g", 1, "b")], [segment("s", 1, json!({}))]);
            let (client, service) = writing(&scene, &place, &first, cache()).await?;
            client.has_value("f", "a").await?;
            place.soon_holds(&first).await?;
            let stream = service.stream(0, SOON).await?;
            stream.send(patch_flag(&serving("f", 2, "patched")));
            stream.send(patch_flag(&serving("h", 1, "new")));
            stream.send(delete("/flags/g", 2));
            stream.send(delete("/segments/s", 3));
            client.soon_has_value("f", "patched").await?;
            place
                .soon_holds(&json!({
                    "flags": {"f": serving("f", 2, "patched"), "h": serving("h", 1, "new"),
                              "g": {"version": 2, "deleted": true}},
                    "segments": {"s": {"version": 3, "deleted": true}},
                }))
                .await
        });
    }
    group
        .test("a put takes the place of what was there", move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&data([serving("old", 9, 0)], [segment("old", 9, json!({}))])).await?;
            let first = flags([serving("f", 1, "a")]);
            let (client, service) = writing(&scene, &place, &first, ONE_SECOND()).await?;
            client.has_value("f", "a").await?;
            place.soon_holds(&first).await?;
            let second = flags([serving("g", 1, "b")]);
            service.stream(0, SOON).await?.send(put(&second));
            client.soon_has_value("g", "b").await?;
            place.soon_holds(&second).await
        })
        .test("another place stays as it was", move |scene| async move {
            let (place, other) = (Place::new(database).await?, Place::new(database).await?);
            let theirs = flags([serving("f", 1, "theirs")]);
            other.fill(&theirs).await?;
            let ours = flags([serving("g", 1, "ours")]);
            let (_client, _service) = writing(&scene, &place, &ours, OFF()).await?;
            place.soon_holds(&ours).await?;
            other.soon_holds(&theirs).await
        })
        .test("a newer version that another process wrote stays", move |scene| async move {
            let place = Place::new(database).await?;
            let first = flags([serving("f", 1, "a"), serving("mark", 1, 0)]);
            let (client, service) = writing(&scene, &place, &first, OFF()).await?;
            place.soon_holds(&first).await?;
            place.write(&serving("f", 100, "theirs")).await?;
            let stream = service.stream(0, SOON).await?;
            stream.send(patch_flag(&serving("f", 2, "ours")));
            stream.send(patch_flag(&serving("mark", 2, 1)));
            client.soon_has_value("mark", 1).await?;
            place.soon_holds(&flags([serving("f", 100, "theirs"), serving("mark", 2, 1)])).await?;
            client.soon_has_value("f", "theirs").await
        })
        .test("a delete does not remove a newer version", move |scene| async move {
            let place = Place::new(database).await?;
            let first = flags([serving("f", 1, "a"), serving("mark", 1, 0)]);
            let (client, service) = writing(&scene, &place, &first, OFF()).await?;
            place.soon_holds(&first).await?;
            place.write(&serving("f", 100, "theirs")).await?;
            let stream = service.stream(0, SOON).await?;
            stream.send(delete("/flags/f", 2));
            stream.send(patch_flag(&serving("mark", 2, 1)));
            client.soon_has_value("mark", 1).await?;
            place.soon_holds(&flags([serving("f", 100, "theirs"), serving("mark", 2, 1)])).await
        })
        .test("what polls bring is written too", move |scene| async move {
            let place = Place::new(database).await?;
            let all = flags([serving("f", 1, "polled")]);
            let service = scene.polling(&all).await?;
            let client = scene
                .client(json!({
                    "polling": {"baseUri": service.url, "pollIntervalMs": 60_000},
                    "persistentDataStore": place.configured(ONE_SECOND())?,
                }))
                .await?;
            client.has_value("f", "polled").await?;
            place.soon_holds(&all).await
        })
        .test("hundreds of flags and odd keys are written and read back", move |scene| async move {
            let place = Place::new(database).await?;
            let odd = ["a b", "ünïcødé", "50%", "a:b", "$x"].map(|key| serving(key, 1, "odd"));
            let many = (0..200).map(|number| serving(&format!("flag-{number}"), number + 1, number));
            let all = flags(many.chain(odd));
            let (client, _service) = writing(&scene, &place, &all, OFF()).await?;
            place.soon_holds(&all).await?;
            client.has_value("a b", "odd").await?;
            client.close().await?;
            let reader = daemon(&scene, &place, OFF()).await?;
            reader.has_value("flag-199", 199).await?;
            reader.has_value("ünïcødé", "odd").await?;
            let read = reader.all_flags(&user(), json!({})).await?;
            let count = read["$flagsState"].as_object().map_or(0, serde_json::Map::len);
            ensure(count == 205, || format!("{count} flags came back"))
        });
}

fn add_caching_while_writing(group: &mut Group, database: Database) {
    for (mode, cache) in MODES {
        let seen = match mode {
            "off" => Seen { at_once: "theirs", later: "theirs", at_last: "theirs" },
            "ttl" => Seen { at_once: "streamed", later: "streamed", at_last: "theirs" },
            _ => Seen { at_once: "streamed", later: "streamed", at_last: "streamed" },
        };
        let seen = std::sync::Arc::new(seen);
        group.test(format!("{mode}: a flag that another process changes"), move |scene| {
            let seen = seen.clone();
            async move {
                let place = Place::new(database).await?;
                let first = flags([serving("f", 1, "streamed")]);
                let (client, _service) = writing(&scene, &place, &first, cache()).await?;
                place.soon_holds(&first).await?;
                client.has_value("f", "streamed").await?;
                place.write(&serving("f", 100, "theirs")).await?;
                watched(&client, "f", &seen).await
            }
        });
        group.test(
            format!("{mode}: a patch is seen at once, whatever was remembered"),
            move |scene| async move {
                let place = Place::new(database).await?;
                let first = flags([serving("f", 1, "a")]);
                let (client, service) = writing(&scene, &place, &first, cache()).await?;
                client.has_value("f", "a").await?;
                client.has_value("g", "default").await?;
                let stream = service.stream(0, SOON).await?;
                stream.send(patch_flag(&serving("f", 2, "b")));
                stream.send(patch_flag(&serving("g", 1, "new")));
                client.has_value_within("f", "b", Duration::from_millis(900)).await?;
                client.has_value_within("g", "new", Duration::from_millis(900)).await?;
                stream.send(delete("/flags/f", 3));
                client.has_value_within("f", "default", Duration::from_millis(900)).await
            },
        );
    }
}

fn add_early(group: &mut Group, database: Database) {
    let silent = |scene: Scene, place: Place, more: Value| async move {
        let service = scene.endpoint("stream", Answer::events(Vec::<String>::new())).await?;
        let config = json!({
            "streaming": {"baseUri": service.url}, "startWaitTimeMs": 300, "initCanFail": true,
            "persistentDataStore": place.configured(OFF())?,
        });
        let client = scene.client(with(config, more)).await?;
        Ok::<_, String>((client, service, place))
    };
    group
        .test("a database that is filled serves until the stream does", move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([serving("f", 1, "stored")])).await?;
            let (client, service, place) = silent(scene, place, json!({})).await?;
            client.has_value("f", "stored").await?;
            let streamed = flags([serving("f", 2, "streamed")]);
            service.stream(0, SOON).await?.send(put(&streamed));
            client.soon_has_value("f", "streamed").await?;
            place.soon_holds(&streamed).await
        })
        .test("a database without the mark means that the client is not ready", move |scene| async move {
            let (client, _service, _place) = silent(scene, Place::new(database).await?, json!({})).await?;
            let got = client.detail("f", &user(), json!("default")).await?;
            same("the reason", &got["reason"], &json!({"kind": "ERROR", "errorKind": "CLIENT_NOT_READY"}))
        })
        .test("all flags come from it too", move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([serving("f", 1, "stored")])).await?;
            let (client, _service, _place) = silent(scene, place, json!({})).await?;
            let all = client.all_flags(&user(), json!({})).await?;
            same("the value", &all["f"], &json!("stored"))?;
            same("the validity", &all["$valid"], &json!(true))
        });
}

fn add_fdv2(group: &mut Group, database: Database) {
    let config = |place: &Place, stream: &Endpoint, mode: u8| {
        Ok::<_, String>(json!({
            "startWaitTimeMs": 500, "initCanFail": true,
            "dataSystem": {
                "store": {"persistentDataStore": place.configured(OFF())?}, "storeMode": mode,
                "synchronizers": [{"streaming": {"baseUri": stream.url, "initialRetryDelayMs": 1}}],
            },
        }))
    };
    group
        .test("the database serves until there is data, and then no more", move |scene| async move {
            let place = Place::new(database).await?;
            place.fill(&flags([serving("f", 1, "stored")])).await?;
            let stream = scene.endpoint("FDv2 stream", Answer::events(Vec::<String>::new())).await?;
            let client = scene.client(config(&place, &stream, 1)?).await?;
            client.has_value("f", "stored").await?;
            stream.stream(0, SOON).await?.send(sse(&full(&[serving("f", 2, "streamed")], "s1")));
            client.soon_has_value("f", "streamed").await?;
            place.soon_holds(&flags([serving("f", 2, "streamed")])).await?;
            place.write(&serving("f", 100, "theirs")).await?;
            client.has_value("f", "streamed").await
        })
        .test("what is received is written", move |scene| async move {
            let place = Place::new(database).await?;
            let first = Answer::events([sse(&full(&[serving("f", 1, "a"), serving("g", 1, "b")], "s1"))]);
            let stream = scene.endpoint("FDv2 stream", first).await?;
            let client = scene.client(config(&place, &stream, 1)?).await?;
            client.has_value("f", "a").await?;
            place.soon_holds(&flags([serving("f", 1, "a"), serving("g", 1, "b")])).await?;
            let delete = ("delete-object", json!({"version": 3, "kind": "flag", "key": "g"}));
            let changes =
                [intent("xfer-changes"), put_flag(&serving("f", 3, "c")), delete, transferred("s2")];
            stream.stream(0, SOON).await?.send(sse(&changes));
            client.soon_has_value("f", "c").await?;
            let gone = json!({"version": 3, "deleted": true});
            place.soon_holds(&json!({"flags": {"f": serving("f", 3, "c"), "g": gone}, "segments": {}})).await
        })
        .test("in read-only mode nothing is written", move |scene| async move {
            let place = Place::new(database).await?;
            let stored = flags([serving("f", 1, "stored")]);
            place.fill(&stored).await?;
            let first = Answer::events([sse(&full(&[serving("f", 2, "streamed")], "s1"))]);
            let stream = scene.endpoint("FDv2 stream", first).await?;
            let client = scene.client(config(&place, &stream, 0)?).await?;
            client.soon_has_value("f", "streamed").await?;
            tokio::time::sleep(A_WHILE).await;
            place.soon_holds(&stored).await
        });
}

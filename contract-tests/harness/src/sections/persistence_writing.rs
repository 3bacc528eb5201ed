//! Sections 5.1 to 5.4: flags that are received, and written to a database.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fdv2::{full, intent, put_flag, sse, transferred};
use super::persistence::{MODES, OFF, ONE_SECOND, Place, Seen, daemon, watched};
use crate::expect::{ensure, same};
use crate::flags::{data, delete, flags, patch_flag, put, segment, serving, user, with};
use crate::mock::{Answer, Endpoint, Relay};
use crate::scene::{A_WHILE, Client, SOON, Scene};
use crate::stores::Database;
use crate::suite::{Group, Suite};

pub(super) fn add(suite: &mut Suite, database: Database) {
    let group = |suite: &mut Suite, name: &str, add: fn(&mut Group, Database)| {
        let name = format!("5 {}: {name}", database.name());
        add(suite.group(name).needs(database.capability()).persistence(), database);
    };
    group(suite, "reading and writing", add_writing);
    group(suite, "caching while writing", add_caching_while_writing);
    group(suite, "before the first flags", add_early);
    group(suite, "outages", add_outages);
    let name = format!("5 {}: FDv2", database.name());
    let group = suite.group(name).needs(database.capability()).needs("fdv1-fallback").persistence();
    add_fdv2(group, database);
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
                let cached = Instant::now();
                let (client, _service) = writing(&scene, &place, &first, cache()).await?;
                place.soon_holds(&first).await?;
                client.has_value("f", "streamed").await?;
                place.write(&serving("f", 100, "theirs")).await?;
                watched(&client, "f", cached, &seen).await
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

/// A client that writes what it streams into a database that can be cut off.
async fn cut_off(scene: &Scene, place: &Place, cache: Value) -> Result<(Client, Endpoint, Relay), String> {
    let (own, _) = place.database.behind("")?;
    let relay = Relay::start(own).await?;
    let (_, dsn) = place.database.behind(&relay.address)?;
    let service = scene.streaming(&flags([serving("f", 1, "a"), serving("g", 1, "b")])).await?;
    let store = json!({"type": place.database.name(), "prefix": place.prefix, "dsn": dsn});
    let client = scene
        .client(json!({
            "streaming": {"baseUri": service.url, "initialRetryDelayMs": 1},
            "persistentDataStore": {"store": store, "cache": cache},
        }))
        .await?;
    Ok((client, service, relay))
}

/// Section 5.4.
fn add_outages(group: &mut Group, database: Database) {
    group
        .test(
            "what is remembered for ever is served meanwhile, and written afterwards",
            move |scene| async move {
                let place = Place::new(database).await?;
                let (client, service, relay) = cut_off(&scene, &place, json!({"mode": "infinite"})).await?;
                place.soon_holds(&flags([serving("f", 1, "a"), serving("g", 1, "b")])).await?;
                relay.cut();
                service.stream(0, SOON).await?.send(patch_flag(&serving("f", 2, "meanwhile")));
                client.soon_has_value("f", "meanwhile").await?;
                client.has_value("g", "b").await?;
                // An SDK that did not notice yet is given the time to.
                tokio::time::sleep(Duration::from_secs(1)).await;
                relay.mend();
                place.soon_holds(&flags([serving("f", 2, "meanwhile"), serving("g", 1, "b")])).await
            },
        )
        .test("afterwards the database holds every flag, even if it was wiped", move |scene| async move {
            let place = Place::new(database).await?;
            let (client, service, relay) = cut_off(&scene, &place, ONE_SECOND()).await?;
            place.soon_holds(&flags([serving("f", 1, "a"), serving("g", 1, "b")])).await?;
            // An SDK writes what it has in memory, or fetches everything anew: then it gets this.
            let meanwhile = flags([serving("f", 2, "meanwhile"), serving("g", 1, "b")]);
            service.answer(Answer::events([put(&meanwhile)]));
            relay.cut();
            service.stream(0, SOON).await?.send(patch_flag(&serving("f", 2, "meanwhile")));
            tokio::time::sleep(Duration::from_secs(2)).await;
            database.clear(&place.prefix).await?;
            relay.mend();
            place.soon_holds(&meanwhile).await?;
            client.soon_has_value("f", "meanwhile").await
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

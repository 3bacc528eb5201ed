//! Sections 2.6 and 5.5: segments too large to stream, whose members a store knows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::expect::{ensure, same};
use crate::flags::{big_segment, data, flag, for_segment, segment, user_with, with};
use crate::mock::{Answer, Endpoint, Request};
use crate::scene::{A_WHILE, Client, SOON, Scene};
use crate::suite::{Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    add_membership(suite);
    add_queries(suite);
    add_cache(suite);
    add_status(suite);
    add_evaluation_status(suite);
}

/// The key of the usual context, and its hash as the protocol reference has it.
const USER: (&str, &str) = ("user1", "CgQblGLKpKMbrDVn4Lbm/ZEAeH2yq0M9lvbReMq/zpA=");

fn hash(key: &str) -> String {
    STANDARD.encode(Sha256::digest(key.as_bytes()))
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// A store that was brought up to date this long ago, with the members of one context.
fn store(age: Duration, member: &str, values: Value) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    let member = member.to_owned();
    move |request| {
        if request.path.ends_with("/getMetadata") {
            return metadata(age);
        }
        let asked = request.json().unwrap_or_default();
        let values = if asked["contextHash"] == json!(member) { values.clone() } else { json!({}) };
        Answer::json(json!({"values": values}).to_string())
    }
}

fn metadata(age: Duration) -> Answer {
    Answer::json(json!({"lastUpToDate": now_ms() - age.as_millis() as u64}).to_string())
}

/// A client whose big segments come from this store.
async fn client(
    scene: &Scene,
    all: &Value,
    store: &Endpoint,
    more: Value,
) -> Result<(Client, Endpoint), String> {
    let service = scene.streaming(all).await?;
    let settings = with(json!({"callbackUri": store.url}), more);
    let client =
        scene.client(json!({"streaming": {"baseUri": service.url}, "bigSegments": settings})).await?;
    Ok((client, service))
}

async fn start_store(
    scene: &Scene,
    decide: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> Result<Endpoint, String> {
    let store = scene.endpoint("big segments", Answer::status(500)).await?;
    store.answer_by(decide);
    Ok(store)
}

/// The questions for a context's members so far.
fn questions(store: &Endpoint) -> Vec<Request> {
    store.requests().into_iter().filter(|request| request.path.ends_with("/getMembership")).collect()
}

fn add_membership(suite: &mut Suite) {
    let group = suite.group("2.6 big segments: members").needs("big-segments");
    let matching = json!([{"clauses": [
        {"contextKind": "user", "attribute": "key", "op": "in", "values": ["user1"], "negate": false}]}]);
    let cases = [
        ("an included context is a member", json!({"s.g2": true}), json!({}), true),
        ("an excluded context is none", json!({"s.g2": false}), json!({}), false),
        ("a context the store does not name is none", json!({}), json!({}), false),
        ("another generation does not count", json!({"s.g1": true, "s.g3": true}), json!({}), false),
        ("another segment does not count", json!({"t.g2": true}), json!({}), false),
        ("a context the store does not name may match a rule", json!({}), json!({"rules": matching}), true),
        ("null is not to be named", json!({"s.g2": null}), json!({"rules": matching}), true),
        (
            "an excluded context does not match by a rule",
            json!({"s.g2": false}),
            json!({"rules": matching}),
            false,
        ),
        ("the lists of the segment itself do not count", json!({}), json!({"included": ["user1"]}), false),
    ];
    for (name, values, properties, want) in cases {
        group.test(name, move |scene| {
            let (values, properties) = (values.clone(), properties.clone());
            async move {
                let store = start_store(&scene, store(Duration::ZERO, USER.1, values)).await?;
                let all = data([for_segment("f", "s")], [big_segment("s", properties)]);
                let (client, _service) = client(&scene, &all, &store, json!({})).await?;
                let got = client.detail("f", &user_with(USER.0, json!({})), json!("default")).await?;
                same("the value", &got["value"], &json!(want))?;
                same("the status", &got["reason"]["bigSegmentsStatus"], &json!("HEALTHY"))
            }
        });
    }
    group
        .test("the key of the kind that the segment names is asked for", |scene| async move {
            let store = start_store(&scene, store(Duration::ZERO, &hash("o"), json!({"s.g2": true}))).await?;
            let all =
                data([for_segment("f", "s")], [big_segment("s", json!({"unboundedContextKind": "org"}))]);
            let (client, _service) = client(&scene, &all, &store, json!({})).await?;
            let org = json!({"kind": "org", "key": "o"});
            same("the value", &client.value_for("f", &org, "default").await?, &json!(true))?;
            let both = json!({"kind": "multi", "user": {"key": "u"}, "org": {"key": "o"}});
            same("the value", &client.value_for("f", &both, "default").await?, &json!(true))
        })
        .test("a context without that kind is none, and the store is not asked", |scene| async move {
            let store = start_store(&scene, store(Duration::ZERO, USER.1, json!({"s.g2": true}))).await?;
            let all =
                data([for_segment("f", "s")], [big_segment("s", json!({"unboundedContextKind": "org"}))]);
            let (client, _service) = client(&scene, &all, &store, json!({})).await?;
            let got = client.detail("f", &user_with(USER.0, json!({})), json!("default")).await?;
            same(
                "the detail",
                &got,
                &json!({"value": false, "variationIndex": 0, "reason": {"kind": "FALLTHROUGH"}}),
            )?;
            ensure(questions(&store).is_empty(), || "it was asked".to_owned())
        });
}

fn add_queries(suite: &mut Suite) {
    let group = suite.group("5.5 big segments: questions").needs("big-segments");
    group
        .test("the store is asked for the hash of the key, with POST", |scene| async move {
            for (key, want) in [
                USER,
                ("user2", "YCXRj+SKvUUWhSjxioLiZd2Y1CGnCEqgn2GzQXA5AaM="),
                ("user-key", "CEXjZY7cHJG/ydFy7q4+YEFwVrG3/pkJwA4FAjrbfx0="),
            ] {
                let store = start_store(&scene, store(Duration::ZERO, want, json!({}))).await?;
                let all = data([for_segment("f", "s")], [big_segment("s", json!({}))]);
                let (client, _service) = client(&scene, &all, &store, json!({})).await?;
                client.value_for("f", &user_with(key, json!({})), "default").await?;
                let asked = questions(&store);
                ensure(asked.len() == 1, || format!("it was asked {} times", asked.len()))?;
                same("the question", &asked[0].json()?, &json!({"contextHash": want}))?;
            }
            Ok(())
        })
        .test("several segments of one key are one question", |scene| async move {
            let store = start_store(&scene, store(Duration::ZERO, USER.1, json!({"t.g2": true}))).await?;
            let clause =
                |key: &str| json!({"attribute": "", "op": "segmentMatch", "values": [key], "negate": false});
            let f = flag(
                "f",
                1,
                json!({
                    "on": true, "variations": [0, 1, 2], "fallthrough": {"variation": 0},
                    "rules": [{"id": "1", "variation": 1, "clauses": [clause("s")]},
                              {"id": "2", "variation": 2, "clauses": [clause("t")]}],
                }),
            );
            let all = data([f], [big_segment("s", json!({})), big_segment("t", json!({}))]);
            // Without a cache, so that it is the evaluation that remembers.
            let (client, _service) = client(&scene, &all, &store, json!({"userCacheTimeMs": 1})).await?;
            same("the value", &client.value_for("f", &user_with(USER.0, json!({})), "d").await?, &json!(2))?;
            let asked = questions(&store).len();
            ensure(asked == 1, || format!("it was asked {asked} times"))
        })
        .test("two keys are two questions", |scene| async move {
            let store = start_store(&scene, store(Duration::ZERO, &hash("o"), json!({"t.g2": true}))).await?;
            let clause =
                |key: &str| json!({"attribute": "", "op": "segmentMatch", "values": [key], "negate": false});
            let f = flag(
                "f",
                1,
                json!({
                    "on": true, "variations": [0, 1, 2], "fallthrough": {"variation": 0},
                    "rules": [{"id": "1", "variation": 1, "clauses": [clause("s")]},
                              {"id": "2", "variation": 2, "clauses": [clause("t")]}],
                }),
            );
            let all = data(
                [f],
                [big_segment("s", json!({})), big_segment("t", json!({"unboundedContextKind": "org"}))],
            );
            let (client, _service) = client(&scene, &all, &store, json!({})).await?;
            let both = json!({"kind": "multi", "user": {"key": "u"}, "org": {"key": "o"}});
            same("the value", &client.value_for("f", &both, "d").await?, &json!(2))?;
            let mut asked = Vec::new();
            for request in questions(&store) {
                asked.push(request.json()?["contextHash"].clone());
            }
            crate::expect::same_set("the questions", &asked, &[json!(hash("u")), json!(hash("o"))])
        })
        .test("an ordinary segment asks nothing", |scene| async move {
            let store = start_store(&scene, store(Duration::ZERO, USER.1, json!({}))).await?;
            let all = data([for_segment("f", "s")], [segment("s", 1, json!({"included": [USER.0]}))]);
            let (client, _service) = client(&scene, &all, &store, json!({})).await?;
            let got = client.detail("f", &user_with(USER.0, json!({})), json!("d")).await?;
            let reason = json!({"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r"});
            same("the detail", &got, &json!({"value": true, "variationIndex": 1, "reason": reason}))?;
            ensure(questions(&store).is_empty(), || "it was asked".to_owned())
        });
}

fn add_cache(suite: &mut Suite) {
    let group = suite.group("5.5 big segments: cache").needs("big-segments");
    group
        .test("a context is asked for once while it is remembered", |scene| async move {
            asked_for(&scene, json!({"s.g2": true}), json!({}), &["user1", "user1", "user1"], 1).await
        })
        .test("that a context has no segments is remembered too", |scene| async move {
            asked_for(&scene, json!({}), json!({}), &["user1", "user1"], 1).await
        })
        .test("the context that was asked for longest ago makes room", |scene| async move {
            let order = ["a", "b", "c", "a", "a"];
            asked_for(&scene, json!({}), json!({"userCacheSize": 2}), &order, 4).await
        })
        .test("within the size all are remembered", |scene| async move {
            let order = ["a", "b", "c", "a", "b", "c"];
            asked_for(&scene, json!({}), json!({"userCacheSize": 3}), &order, 3).await
        })
        .test("after the time that was set it is asked for again", |scene| async move {
            let store = start_store(&scene, store(Duration::ZERO, USER.1, json!({"s.g2": false}))).await?;
            let all = data([for_segment("f", "s")], [big_segment("s", json!({}))]);
            let (client, _service) = client(&scene, &all, &store, json!({"userCacheTimeMs": 500})).await?;
            let who = user_with(USER.0, json!({}));
            same("the value", &client.value_for("f", &who, "d").await?, &json!(false))?;
            store.answer_by(self::store(Duration::ZERO, USER.1, json!({"s.g2": true})));
            same("the value at once", &client.value_for("f", &who, "d").await?, &json!(false))?;
            tokio::time::sleep(Duration::from_millis(700)).await;
            same("the value later", &client.value_for("f", &who, "d").await?, &json!(true))
        })
        .test("a failure is not remembered", |scene| async move {
            let store = start_store(&scene, |request| {
                if request.path.ends_with("/getMetadata") {
                    metadata(Duration::ZERO)
                } else {
                    Answer::status(500)
                }
            })
            .await?;
            let all = data([for_segment("f", "s")], [big_segment("s", json!({}))]);
            let (client, _service) = client(&scene, &all, &store, json!({})).await?;
            let who = user_with(USER.0, json!({}));
            let got = client.detail("f", &who, json!("d")).await?;
            same("the value", &got["value"], &json!(false))?;
            same("the status", &got["reason"]["bigSegmentsStatus"], &json!("STORE_ERROR"))?;
            store.answer_by(self::store(Duration::ZERO, USER.1, json!({"s.g2": true})));
            let got = client.detail("f", &who, json!("d")).await?;
            same("the value", &got["value"], &json!(true))
        });
}

/// Evaluates for these keys, one after the other; the store must have been asked this many times.
async fn asked_for(scene: &Scene, values: Value, settings: Value, keys: &[&str], times: usize) -> Verdict {
    let store = start_store(scene, store(Duration::ZERO, USER.1, values)).await?;
    let all = data([for_segment("f", "s")], [big_segment("s", json!({}))]);
    let settings = with(json!({"userCacheTimeMs": 600_000}), settings);
    let (client, _service) = client(scene, &all, &store, settings).await?;
    for key in keys {
        client.value_for("f", &user_with(key, json!({})), "d").await?;
    }
    let asked = questions(&store).len();
    ensure(asked == times, || format!("it was asked {asked} times, not {times}"))
}

fn add_status(suite: &mut Suite) {
    let group = suite.group("5.5 big segments: status").needs("big-segments");
    let cases = [
        ("up to date", Some(Duration::ZERO), 120_000, json!({"available": true, "stale": false})),
        ("too old", Some(Duration::from_secs(1_000)), 120_000, json!({"available": true, "stale": true})),
        (
            "older, but not too old",
            Some(Duration::from_secs(1_000)),
            5_000_000,
            json!({"available": true, "stale": false}),
        ),
        ("unavailable", None, 120_000, json!({"available": false, "stale": false})),
    ];
    for (name, age, stale_after, want) in cases {
        group.test(format!("a store that is {name} is said to be"), move |scene| {
            let want = want.clone();
            async move {
                let store = start_store(&scene, move |_| match age {
                    Some(age) => metadata(age),
                    None => Answer::status(500),
                })
                .await?;
                let (client, _service) =
                    client(&scene, &data([], []), &store, json!({"staleAfterMs": stale_after})).await?;
                let status = client.command("getBigSegmentStoreStatus", json!({})).await?;
                same("the status", &status, &want)
            }
        });
    }
    group
        .test("it is asked for in the interval that was set", |scene| async move {
            let store = start_store(&scene, |_| metadata(Duration::ZERO)).await?;
            let (_client, _service) =
                client(&scene, &data([], []), &store, json!({"statusPollIntervalMs": 100})).await?;
            store.request(4, SOON).await.map(|_| ())
        })
        .test("it is not asked for more often", |scene| async move {
            let store = start_store(&scene, |_| metadata(Duration::ZERO)).await?;
            let (client, _service) =
                client(&scene, &data([], []), &store, json!({"statusPollIntervalMs": 60_000})).await?;
            client.command("getBigSegmentStoreStatus", json!({})).await?;
            client.command("getBigSegmentStoreStatus", json!({})).await?;
            tokio::time::sleep(A_WHILE).await;
            let count = store.request_count();
            ensure(count == 1, || format!("it was asked for {count} times"))
        })
        .test("it follows the store", |scene| async move {
            let store = start_store(&scene, |_| metadata(Duration::ZERO)).await?;
            let (client, _service) =
                client(&scene, &data([], []), &store, json!({"statusPollIntervalMs": 50})).await?;
            let steps = [
                (Answer::status(500), json!({"available": false, "stale": false})),
                (metadata(Duration::from_secs(1_000)), json!({"available": true, "stale": true})),
                (metadata(Duration::ZERO), json!({"available": true, "stale": false})),
            ];
            for (answer, want) in steps {
                store.answer(answer);
                let started = std::time::Instant::now();
                loop {
                    let status = client.command("getBigSegmentStoreStatus", json!({})).await?;
                    if status == want {
                        break;
                    }
                    ensure(started.elapsed() < SOON, || format!("the status is {status}, not {want}"))?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Ok(())
        });
}

fn add_evaluation_status(suite: &mut Suite) {
    let group = suite.group("2.6 big segments: status of an evaluation").needs("big-segments");
    for (name, age, want) in
        [("fresh", Duration::ZERO, "HEALTHY"), ("old", Duration::from_secs(1_000), "STALE")]
    {
        group.test(format!("of a store that is {name} it is {want}"), move |scene| async move {
            let store = start_store(&scene, store(age, USER.1, json!({"s.g2": true}))).await?;
            let all = data([for_segment("f", "s")], [big_segment("s", json!({}))]);
            let (client, _service) = client(&scene, &all, &store, json!({})).await?;
            let got = client.detail("f", &user_with(USER.0, json!({})), json!("d")).await?;
            let reason =
                json!({"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r", "bigSegmentsStatus": want});
            same("the detail", &got, &json!({"value": true, "variationIndex": 1, "reason": reason}))
        });
    }
    group
        .test("without a store it is NOT_CONFIGURED", |scene| async move {
            let all = data([for_segment("f", "s")], [big_segment("s", json!({}))]);
            let (client, _service) = scene.streaming_client(&all).await?;
            let got = client.detail("f", &user_with(USER.0, json!({})), json!("d")).await?;
            same("the value", &got["value"], &json!(false))?;
            same("the status", &got["reason"]["bigSegmentsStatus"], &json!("NOT_CONFIGURED"))
        })
        .test(
            "of a segment without a generation it is NOT_CONFIGURED, and the store is not asked",
            |scene| async move {
                let store = start_store(&scene, store(Duration::ZERO, USER.1, json!({"s.g2": true}))).await?;
                let all = data([for_segment("f", "s")], [big_segment("s", json!({"generation": null}))]);
                let (client, _service) = client(&scene, &all, &store, json!({})).await?;
                let got = client.detail("f", &user_with(USER.0, json!({})), json!("d")).await?;
                same("the value", &got["value"], &json!(false))?;
                same("the status", &got["reason"]["bigSegmentsStatus"], &json!("NOT_CONFIGURED"))?;
                ensure(questions(&store).is_empty(), || "it was asked".to_owned())
            },
        )
        .test("it is in all flags with reasons too", |scene| async move {
            let store = start_store(&scene, store(Duration::ZERO, USER.1, json!({"s.g2": true}))).await?;
            let all = data([for_segment("f", "s")], [big_segment("s", json!({}))]);
            let (client, _service) = client(&scene, &all, &store, json!({})).await?;
            let who = user_with(USER.0, json!({}));
            let got = client.all_flags(&who, json!({"withReasons": true})).await?;
            same("the value", &got["f"], &json!(true))?;
            let reason = &got["$flagsState"]["f"]["reason"];
            same("the status", &reason["bigSegmentsStatus"], &json!("HEALTHY"))
        });
}

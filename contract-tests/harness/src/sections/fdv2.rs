//! Section 3.6: second-generation delivery by one source: what is asked for, and what messages do.
//!
//! How several sources take turns is in `data_system`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expect::ensure;
use crate::flags::{event, segment, serving};
use crate::mock::{Answer, Endpoint};
use crate::scene::{A_WHILE, Client, SOON, Scene};
use crate::suite::Suite;

pub(crate) fn add(suite: &mut Suite) {
    add_requests(suite);
    add_messages(suite);
    add_malformed(suite);
    add_polling(suite);
}

/// An event of second-generation delivery: its name, and its data.
pub(super) type Message = (&'static str, Value);

pub(super) fn intent(code: &str) -> Message {
    let payload = json!({"id": "p1", "target": 1, "intentCode": code, "reason": "payload-missing"});
    ("server-intent", json!({"payloads": [payload]}))
}

pub(super) fn put_flag(flag: &Value) -> Message {
    ("put-object", json!({"version": flag["version"], "kind": "flag", "key": flag["key"], "object": flag}))
}

pub(super) fn transferred(state: &str) -> Message {
    ("payload-transferred", json!({"state": state, "version": 1, "id": "p1"}))
}

/// Everything, with this selector.
pub(super) fn full(flags: &[Value], state: &str) -> Vec<Message> {
    let puts = flags.iter().map(put_flag);
    [intent("xfer-full")].into_iter().chain(puts).chain([transferred(state)]).collect()
}

pub(super) fn sse(messages: &[Message]) -> String {
    messages.iter().map(|(name, data)| event(name, data)).collect()
}

/// The same messages as the answer to a poll.
pub(super) fn polled(messages: &[Message]) -> Answer {
    let events: Vec<Value> =
        messages.iter().map(|(name, data)| json!({"event": name, "data": data})).collect();
    Answer::json(json!({"events": events}).to_string())
}

/// A client that streams from `service` and reopens broken streams at once.
pub(super) async fn streaming(scene: &Scene, service: &Endpoint) -> Result<Client, String> {
    scene
        .client(json!({"dataSystem": {
            "synchronizers": [{"streaming": {"baseUri": service.url, "initialRetryDelayMs": 1}}]}}))
        .await
}

async fn polling(scene: &Scene, service: &Endpoint) -> Result<Client, String> {
    scene
        .client(json!({"dataSystem": {
            "synchronizers": [{"polling": {"baseUri": service.url, "pollIntervalMs": 50}}]}}))
        .await
}

async fn service(scene: &Scene, messages: &[Message]) -> Result<Endpoint, String> {
    scene.endpoint("FDv2 stream", Answer::events([sse(messages)])).await
}

fn add_requests(suite: &mut Suite) {
    suite
        .group("3.6 FDv2 streaming: requests")
        .needs("fdv1-fallback")
        .test("the stream is opened at `/sdk/stream`, at first without a basis", |scene| async move {
            let service = service(&scene, &full(&[serving("f", 1, "a")], "s1")).await?;
            let client = streaming(&scene, &service).await?;
            client.has_value("f", "a").await?;
            let request = service.request(0, SOON).await?;
            ensure(request.method == "GET" && request.path == "/sdk/stream", || request.to_string())?;
            ensure(request.parameter("basis").is_none(), || request.to_string())?;
            let accept = request.header("accept").unwrap_or_default();
            ensure(accept.contains("text/event-stream"), || format!("`Accept` is {accept}"))
        })
        .test("a stream that is opened again names the newest state, whatever is in it", |scene| async move {
            let state = "(p:p1:53) &x=1/ü%";
            let service = service(&scene, &full(&[serving("f", 1, "a")], "older")).await?;
            let client = streaming(&scene, &service).await?;
            let stream = service.stream(0, SOON).await?;
            stream.send(sse(&[put_flag(&serving("f", 2, "b")), transferred(state)]));
            client.soon_has_value("f", "b").await?;
            service.answer(Answer::events([sse(&[intent("none")])]));
            stream.end();
            let request = service.request(1, SOON).await?;
            let basis = request.parameter("basis");
            ensure(basis.as_deref() == Some(state), || format!("the basis is {basis:?}"))?;
            client.has_value("f", "b").await
        })
        .test("a filter is sent along", |scene| async move {
            let service = service(&scene, &full(&[], "s1")).await?;
            let _client = scene
                .client(json!({"dataSystem": {
                    "synchronizers": [{"streaming": {"baseUri": service.url, "filter": "mine"}}]}}))
                .await?;
            let request = service.request(0, SOON).await?;
            let filter = request.parameter("filter");
            ensure(filter.as_deref() == Some("mine"), || request.to_string())
        });
}

fn add_messages(suite: &mut Suite) {
    let group = suite.group("3.6 FDv2 streaming: messages").needs("fdv1-fallback");
    let f = |version, value: &str| serving("f", version, value);
    let delete =
        |key: &str, version: u64| ("delete-object", json!({"version": version, "kind": "flag", "key": key}));
    let first = full(&[f(10, "old"), serving("g", 10, "g")], "s1");
    // What comes after everything, and what `f` and `g` are then.
    let cases: Vec<(&str, Vec<Message>, &str, &str)> = vec![
        (
            "changes change what they name, and nothing else",
            vec![intent("xfer-changes"), put_flag(&f(11, "new")), transferred("s2")],
            "new",
            "g",
        ),
        ("later payloads need no intent", vec![put_flag(&f(11, "new")), transferred("s2")], "new", "g"),
        (
            "changes are taken whatever their versions",
            vec![put_flag(&f(3, "new")), transferred("s2")],
            "new",
            "g",
        ),
        ("a deleted flag is gone", vec![delete("f", 11), transferred("s2")], "default", "g"),
        (
            "everything replaces everything, also by lower versions",
            vec![intent("xfer-full"), put_flag(&f(1, "new")), transferred("s2")],
            "new",
            "default",
        ),
        (
            "an intent of none changes nothing",
            vec![intent("none"), put_flag(&f(11, "new")), transferred("s2")],
            "new",
            "g",
        ),
        (
            "after an error what was sent is dropped",
            vec![
                put_flag(&f(11, "bad")),
                ("error", json!({"payloadId": "p1", "reason": "sorry"})),
                put_flag(&serving("g", 11, "after")),
                transferred("s2"),
            ],
            "old",
            "after",
        ),
        (
            "an error may say `id`",
            vec![
                put_flag(&f(11, "bad")),
                ("error", json!({"id": "p1", "reason": "sorry"})),
                transferred("s2"),
            ],
            "old",
            "g",
        ),
        (
            "a heartbeat changes nothing",
            vec![
                put_flag(&f(11, "new")),
                ("heart-beat", json!({})),
                ("heartbeat", json!({})),
                transferred("s2"),
            ],
            "new",
            "g",
        ),
        (
            "an event nobody has heard of changes nothing",
            vec![put_flag(&f(11, "new")), ("unheard-of", json!([1])), transferred("s2")],
            "new",
            "g",
        ),
        (
            "a kind nobody has heard of is passed over",
            vec![
                ("put-object", json!({"version": 1, "kind": "gadget", "key": "x", "object": {}})),
                put_flag(&f(11, "new")),
                transferred("s2"),
            ],
            "new",
            "g",
        ),
        (
            "the last of several puts counts",
            vec![put_flag(&f(11, "first")), put_flag(&f(12, "last")), transferred("s2")],
            "last",
            "g",
        ),
        (
            "properties nobody has heard of are ignored",
            vec![
                (
                    "server-intent",
                    json!({"more": 1, "payloads": [{"id": "p1", "target": 1, "intentCode": "xfer-changes", "reason": "stale", "more": 1}]}),
                ),
                put_flag(&f(11, "new")),
                transferred("s2"),
            ],
            "new",
            "g",
        ),
    ];
    for (name, messages, want_f, want_g) in cases {
        let first = first.clone();
        group.test(name, move |scene| {
            let (first, messages) = (first.clone(), messages.clone());
            async move {
                let service = service(&scene, &first).await?;
                let client = streaming(&scene, &service).await?;
                let stream = service.stream(0, SOON).await?;
                stream.send(sse(&messages));
                // Messages are taken in order: once this one was, so were those before it.
                stream.send(sse(&[put_flag(&serving("mark", 1, 1)), transferred("s3")]));
                client.soon_has_value("mark", 1).await?;
                client.has_value("f", want_f).await?;
                client.has_value("g", want_g).await?;
                service.no_request_after(1, Duration::from_millis(100)).await
            }
        });
    }
    let with_first = first.clone();
    group.test("nothing of a payload is seen before it is complete", move |scene| {
        let first = with_first.clone();
        async move {
            let service = service(&scene, &first).await?;
            let client = streaming(&scene, &service).await?;
            let stream = service.stream(0, SOON).await?;
            stream.send(sse(&[put_flag(&serving("f", 11, "new")), put_flag(&serving("g", 11, "new"))]));
            tokio::time::sleep(A_WHILE).await;
            client.has_value("f", "old").await?;
            stream.send(sse(&[transferred("s2")]));
            client.soon_has_value("f", "new").await?;
            client.has_value("g", "new").await
        }
    });
    let with_first = first.clone();
    group.test("a payload that is cut off leaves no trace", move |scene| {
        let first = with_first.clone();
        async move {
            let service = service(&scene, &first).await?;
            let client = streaming(&scene, &service).await?;
            service.answer(Answer::events([sse(&[
                intent("xfer-changes"),
                put_flag(&serving("g", 12, "after")),
                transferred("s2"),
            ])]));
            let stream = service.stream(0, SOON).await?;
            stream.send(sse(&[put_flag(&serving("f", 11, "cut"))]));
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.end();
            client.soon_has_value("g", "after").await?;
            client.has_value("f", "old").await?;
            let basis = service.request(1, SOON).await?.parameter("basis");
            ensure(basis.as_deref() == Some("s1"), || format!("the basis was {basis:?}"))
        }
    });
    group.test("segments come the same way", |scene| async move {
        let member = segment("s", 1, json!({"included": ["user-key"]}));
        let put = ("put-object", json!({"version": 1, "kind": "segment", "key": "s", "object": member}));
        let messages =
            [intent("xfer-full"), put_flag(&crate::flags::for_segment("f", "s")), put, transferred("s1")];
        let service = service(&scene, &messages).await?;
        let client = streaming(&scene, &service).await?;
        client.has_value("f", true).await?;
        let delete = ("delete-object", json!({"version": 2, "kind": "segment", "key": "s"}));
        service.stream(0, SOON).await?.send(sse(&[delete, transferred("s2")]));
        client.soon_has_value("f", false).await
    });
    group.test("a goodbye drops what was sent; the stream is opened again", move |scene| {
        let first = first.clone();
        async move {
            let service = service(&scene, &first).await?;
            let client = streaming(&scene, &service).await?;
            service.answer(Answer::events([sse(&[
                intent("xfer-changes"),
                put_flag(&serving("g", 12, "after")),
                transferred("s2"),
            ])]));
            let stream = service.stream(0, SOON).await?;
            stream.send(sse(&[
                put_flag(&serving("f", 11, "dropped")),
                ("goodbye", json!({"reason": "maintenance", "silent": true, "catastrophe": false})),
            ]));
            // Not every SDK hangs up on it: the service does.
            stream.end();
            client.soon_has_value("g", "after").await?;
            client.has_value("f", "old").await
        }
    });
}

fn add_malformed(suite: &mut Suite) {
    let group = suite.group("3.6 FDv2 streaming: malformed messages").needs("fdv1-fallback");
    let cases: Vec<(&str, String)> = vec![
        ("an intent that is no JSON", event("server-intent", "{sorry")),
        ("an intent nobody has heard of", sse(&[intent("xfer-sideways")])),
        ("a put that is no JSON", event("put-object", "{sorry")),
        ("a put without a key", event("put-object", r#"{"version":1,"kind":"flag","object":{}}"#)),
        ("a delete without a key", event("delete-object", r#"{"version":1,"kind":"flag"}"#)),
        ("a transfer that is no JSON", event("payload-transferred", "{sorry")),
    ];
    for (name, message) in cases {
        group.test(format!("{name} restarts the stream; until then the flags stay"), move |scene| {
            let message = message.clone();
            async move {
                let service = service(&scene, &full(&[serving("f", 1, "old")], "s1")).await?;
                let client = streaming(&scene, &service).await?;
                let again = Answer::events([sse(&full(&[serving("f", 2, "again")], "s2"))]);
                service.answer(again.after(Duration::from_millis(300)));
                service.stream(0, SOON).await?.send(message);
                service.request(1, SOON).await?;
                client.has_value("f", "old").await?;
                client.soon_has_value("f", "again").await
            }
        });
    }
    group.test("a transfer without an intent restarts the stream", |scene| async move {
        let service = service(&scene, &full(&[serving("f", 1, "good")], "s1")).await?;
        service
            .answer_first([Answer::events([sse(&[put_flag(&serving("f", 9, "bad")), transferred("s0")])])]);
        let client = streaming(&scene, &service).await?;
        service.request(1, SOON).await?;
        client.has_value("f", "good").await
    });
    for status in [400, 408, 429, 500, 503] {
        group.test(format!("after status {status} it is tried again"), move |scene| async move {
            let service = service(&scene, &full(&[serving("f", 1, "a")], "s1")).await?;
            service.answer_first([Answer::status(status), Answer::status(status)]);
            let client = streaming(&scene, &service).await?;
            client.has_value("f", "a").await
        });
    }
    for status in [401, 403, 404] {
        group.test(format!("after status {status} nothing is asked any more"), move |scene| async move {
            let service = scene.endpoint("FDv2 stream", Answer::status(status)).await?;
            let config = json!({
                "startWaitTimeMs": 500, "initCanFail": true,
                "dataSystem": {"synchronizers": [
                    {"streaming": {"baseUri": service.url, "initialRetryDelayMs": 1}}]},
            });
            let _client = scene.client(config).await?;
            service.no_request_after(1, Duration::from_secs(1)).await
        });
    }
}

fn add_polling(suite: &mut Suite) {
    let group = suite.group("3.6 FDv2 polling").needs("fdv1-fallback");
    group
        .test("it is asked for at `/sdk/poll`, with the state once there is one", |scene| async move {
            let service = scene.endpoint("FDv2 poll", polled(&full(&[serving("f", 1, "a")], "s1"))).await?;
            let client = polling(&scene, &service).await?;
            client.has_value("f", "a").await?;
            let first = service.request(0, SOON).await?;
            ensure(first.method == "GET" && first.path == "/sdk/poll", || first.to_string())?;
            ensure(first.parameter("basis").is_none(), || first.to_string())?;
            let second = service.request(1, SOON).await?;
            ensure(second.parameter("basis").as_deref() == Some("s1"), || second.to_string())
        })
        .test("changes come with later polls", |scene| async move {
            let service = scene.endpoint("FDv2 poll", polled(&full(&[serving("f", 1, "a")], "s1"))).await?;
            let client = polling(&scene, &service).await?;
            service.answer(polled(&[
                intent("xfer-changes"),
                put_flag(&serving("f", 2, "b")),
                transferred("s2"),
            ]));
            client.soon_has_value("f", "b").await
        })
        .test("an answer with nothing new changes nothing", |scene| async move {
            let service = scene.endpoint("FDv2 poll", polled(&[intent("none")])).await?;
            service.answer_first([polled(&full(&[serving("f", 1, "a")], "s1"))]);
            let client = polling(&scene, &service).await?;
            service.request(3, SOON).await?;
            client.has_value("f", "a").await
        })
        .test("ETags are sent back, and 304 changes nothing", |scene| async move {
            let service = scene.endpoint("FDv2 poll", Answer::status(304)).await?;
            let first = polled(&full(&[serving("f", 1, "a")], "s1")).header("ETag", "\"one\"");
            service.answer_first([first]);
            let client = polling(&scene, &service).await?;
            let request = service.request(2, SOON).await?;
            let etag = request.header("if-none-match");
            ensure(etag == Some("\"one\""), || format!("it sent {etag:?}"))?;
            client.has_value("f", "a").await
        })
        .test("a malformed answer changes nothing, and it is polled again", |scene| async move {
            let service =
                scene.endpoint("FDv2 poll", polled(&full(&[serving("f", 2, "b")], "s2"))).await?;
            service.answer_first([polled(&full(&[serving("f", 1, "a")], "s1")), Answer::json("{sorry")]);
            let client = polling(&scene, &service).await?;
            client.soon_has_value("f", "b").await
        })
        .test("after status 503 it is polled again", |scene| async move {
            let service =
                scene.endpoint("FDv2 poll", polled(&full(&[serving("f", 1, "a")], "s1"))).await?;
            service.answer_first([Answer::status(503)]);
            let client = polling(&scene, &service).await?;
            client.has_value("f", "a").await
        })
        .test("after status 401 nothing is asked any more", |scene| async move {
            let service = scene.endpoint("FDv2 poll", Answer::status(401)).await?;
            let config = json!({
                "startWaitTimeMs": 500, "initCanFail": true,
                "dataSystem": {"synchronizers": [{"polling": {"baseUri": service.url, "pollIntervalMs": 50}}]},
            });
            let _client = scene.client(config).await?;
            service.no_request_after(1, Duration::from_secs(1)).await
        });
}

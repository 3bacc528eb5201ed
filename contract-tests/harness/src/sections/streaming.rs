//! Section 3.2: flags by stream.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expect::ensure;
use crate::flags::{
    data, delete, event, flags, for_segment, patch_flag, patch_segment, put, segment, serving,
};
use crate::mock::{Answer, Endpoint};
use crate::scene::{A_WHILE, Client, SOON, Scene};
use crate::suite::{Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    add_requests(suite);
    add_updates(suite);
    add_versions(suite);
    add_malformed(suite);
    add_parsing(suite);
}

fn add_requests(suite: &mut Suite) {
    suite
        .group("3.2 streaming: requests")
        .test("the stream is opened with GET at `/all`, and nothing else is asked", |scene| async move {
            let (_client, service) = scene.streaming_client(&flags([])).await?;
            let request = service.request(0, SOON).await?;
            ensure(request.method == "GET" && request.path == "/all", || format!("it is {request}"))?;
            ensure(request.query.is_empty(), || format!("it is {request}"))?;
            ensure(request.body.is_empty(), || "there is a body".to_owned())?;
            service.no_request_after(1, A_WHILE).await
        })
        .test("the stream is asked for as one", |scene| async move {
            let (_client, service) = scene.streaming_client(&flags([])).await?;
            let request = service.request(0, SOON).await?;
            let accept = request.header("accept").unwrap_or("nothing");
            ensure(accept.contains("text/event-stream"), || format!("`Accept` is {accept}"))?;
            let control = request.header("cache-control").unwrap_or("nothing");
            ensure(control.contains("no-cache"), || format!("`Cache-Control` is {control}"))
        })
        .test("with both configured, flags are streamed", |scene| async move {
            let service = scene.streaming(&flags([serving("f", 1, "streamed")])).await?;
            let other = scene.polling(&flags([serving("f", 1, "polled")])).await?;
            let config = json!({
                "streaming": {"baseUri": service.url}, "polling": {"baseUri": other.url, "pollIntervalMs": 100},
            });
            let client = scene.client(config).await?;
            client.has_value("f", "streamed").await?;
            other.no_request_after(0, A_WHILE).await
        })
        .test("a redirect is followed", |scene| async move {
            let target = scene.streaming(&flags([serving("f", 1, "a")])).await?;
            let answer = Answer::status(307).header("Location", &format!("{}/all", target.url));
            let service = scene.endpoint("redirecting stream", answer).await?;
            let client = scene.client(json!({"streaming": {"baseUri": service.url}})).await?;
            client.has_value("f", "a").await
        });
}

/// A client that streams these flags; then this is sent, and the flag must soon have that value.
async fn sent(scene: Scene, data: Value, messages: Vec<String>, key: &str, want: Value) -> Verdict {
    let (client, service) = scene.streaming_client(&data).await?;
    let stream = service.stream(0, SOON).await?;
    messages.into_iter().for_each(|message| stream.send(message));
    client.has_value_within(key, want, Duration::from_secs(5)).await
}

fn add_updates(suite: &mut Suite) {
    let group = suite.group("3.2 streaming: updates");
    let f = |version, value: &str| serving("f", version, value);
    let cases: Vec<(&str, Value, Vec<String>, &str, Value)> = vec![
        ("a patch changes a flag", flags([f(1, "old")]), vec![patch_flag(&f(2, "new"))], "f", json!("new")),
        ("a patch adds a flag", flags([]), vec![patch_flag(&f(1, "new"))], "f", json!("new")),
        ("a delete removes a flag", flags([f(1, "old")]), vec![delete("/flags/f", 2)], "f", json!("default")),
        (
            "a deleted flag comes back with a higher version",
            flags([f(1, "old")]),
            vec![delete("/flags/f", 2), patch_flag(&f(3, "back"))],
            "f",
            json!("back"),
        ),
        (
            "a second put replaces everything, also by lower versions",
            flags([f(10, "old")]),
            vec![put(&flags([f(1, "new")]))],
            "f",
            json!("new"),
        ),
        (
            "a flag that a second put leaves out is gone",
            flags([f(10, "old")]),
            vec![put(&flags([serving("g", 1, "x")]))],
            "f",
            json!("default"),
        ),
        (
            "a put without `path` is taken",
            flags([f(1, "old")]),
            vec![event("put", json!({"data": flags([f(2, "new")])}))],
            "f",
            json!("new"),
        ),
        (
            "a put with an empty `path` is taken",
            flags([f(1, "old")]),
            vec![event("put", json!({"path": "", "data": flags([f(2, "new")])}))],
            "f",
            json!("new"),
        ),
        (
            "properties of a put that nobody has heard of are ignored",
            flags([f(1, "old")]),
            vec![event(
                "put",
                json!({"path": "/", "more": 1,
                       "data": {"flags": {"f": f(2, "new")}, "segments": {}, "unheardOf": {"x": 3}}}),
            )],
            "f",
            json!("new"),
        ),
        (
            "a patch of a path nobody has heard of is ignored",
            flags([f(1, "old")]),
            vec![
                event("patch", json!({"path": "/unheardOf/f", "data": {"x": 3}})),
                delete("/unheardOf/f", 99),
                patch_flag(&f(2, "new")),
            ],
            "f",
            json!("new"),
        ),
        (
            "events nobody has heard of are ignored, whatever they hold",
            flags([f(1, "old")]),
            vec![event("unheardOf", "{no JSON"), event("", "x"), patch_flag(&f(2, "new"))],
            "f",
            json!("new"),
        ),
        (
            "a comment is ignored",
            flags([f(1, "old")]),
            vec![":\n\n".to_owned(), ": heartbeat\n".to_owned(), patch_flag(&f(2, "new"))],
            "f",
            json!("new"),
        ),
        (
            "a patched segment changes the flags that use it",
            data([for_segment("f", "s")], [segment("s", 1, json!({}))]),
            vec![patch_segment(&segment("s", 2, json!({"included": ["user-key"]})))],
            "f",
            json!(true),
        ),
        (
            "a patch adds a segment",
            data([for_segment("f", "s")], []),
            vec![patch_segment(&segment("s", 2, json!({"included": ["user-key"]})))],
            "f",
            json!(true),
        ),
        (
            "a deleted segment has no members",
            data([for_segment("f", "s")], [segment("s", 1, json!({"included": ["user-key"]}))]),
            vec![delete("/segments/s", 2)],
            "f",
            json!(false),
        ),
    ];
    for (name, data, messages, key, want) in cases {
        group.test(name, move |scene| sent(scene, data.clone(), messages.clone(), key, want.clone()));
    }
    for key in ["a/b", "flags/f", "with space", "ünïcødé", "a%2Fb", "$f", "/", "segments/s"] {
        group.test(format!("a flag whose key is `{key}` is patched and deleted"), move |scene| async move {
            let (client, service) = scene.streaming_client(&flags([serving(key, 1, "old")])).await?;
            let stream = service.stream(0, SOON).await?;
            stream.send(patch_flag(&serving(key, 2, "new")));
            client.soon_has_value(key, "new").await?;
            stream.send(delete(&format!("/flags/{key}"), 3));
            client.soon_has_value(key, "default").await
        });
    }
    group.test("a patch before the first put is taken", |scene| async move {
        let service =
            scene.endpoint("stream", Answer::events([patch_flag(&serving("f", 1, "early"))])).await?;
        let config =
            json!({"streaming": {"baseUri": service.url}, "startWaitTimeMs": 200, "initCanFail": true});
        let client = scene.client(config).await?;
        let stream = service.stream(0, SOON).await?;
        stream.send(put(&flags([serving("g", 1, "put")])));
        client.soon_has_value("g", "put").await?;
        client.has_value("f", "default").await
    });
    group.test("a change is visible within a second", |scene| async move {
        let (client, service) = scene.streaming_client(&flags([serving("f", 1, "old")])).await?;
        service.stream(0, SOON).await?.send(patch_flag(&serving("f", 2, "new")));
        client.has_value_within("f", "new", Duration::from_secs(1)).await
    });
}

fn add_versions(suite: &mut Suite) {
    let group = suite.group("3.2 streaming: versions");
    let f = |version, value: &str| serving("f", version, value);
    // What comes after the put of version 10, and what the flag is then.
    let cases: Vec<(&str, Vec<String>, &str)> = vec![
        ("a patch of the same version is dropped", vec![patch_flag(&f(10, "new"))], "old"),
        ("a patch of a lower version is dropped", vec![patch_flag(&f(9, "new"))], "old"),
        ("a delete of the same version is dropped", vec![delete("/flags/f", 10)], "old"),
        ("a delete of a lower version is dropped", vec![delete("/flags/f", 9)], "old"),
        (
            "a patch of a lower version than a delete is dropped",
            vec![delete("/flags/f", 12), patch_flag(&f(11, "new"))],
            "default",
        ),
        (
            "a patch of the version of a delete is dropped",
            vec![delete("/flags/f", 12), patch_flag(&f(12, "new"))],
            "default",
        ),
        (
            "of patches in the wrong order the highest version stays",
            vec![patch_flag(&f(13, "13")), patch_flag(&f(12, "12"))],
            "13",
        ),
    ];
    for (name, messages, want) in cases {
        group.test(name, move |scene| {
            let messages = messages.clone();
            async move {
                let first = flags([serving("f", 10, "old"), serving("mark", 1, 0)]);
                let (client, service) = scene.streaming_client(&first).await?;
                let stream = service.stream(0, SOON).await?;
                messages.into_iter().for_each(|message| stream.send(message));
                // Messages are taken in order: once this one was, so were those before it.
                stream.send(patch_flag(&serving("mark", 2, 1)));
                client.soon_has_value("mark", 1).await?;
                client.has_value("f", want).await?;
                service.no_request_after(1, Duration::from_millis(100)).await
            }
        });
    }
    group.test("the delete of an unknown flag keeps older patches out", |scene| async move {
        let (client, service) = scene.streaming_client(&flags([])).await?;
        let stream = service.stream(0, SOON).await?;
        stream.send(delete("/flags/f", 5));
        stream.send(patch_flag(&serving("f", 4, "late")));
        stream.send(patch_flag(&serving("mark", 2, 1)));
        client.soon_has_value("mark", 1).await?;
        client.has_value("f", "default").await
    });
    for (name, tombstone) in [
        ("without a key", json!({"version": 5, "deleted": true})),
        ("with its key", json!({"key": "f", "version": 5, "deleted": true})),
        ("that is a whole flag", crate::flags::flag("$deleted", 5, json!({"deleted": true}))),
    ] {
        group.test(format!("a tombstone {name} is no flag, and keeps older patches out"), move |scene| {
            let first = json!({"flags": {"f": tombstone}, "segments": {}});
            async move {
                let (client, service) = scene.streaming_client(&first).await?;
                client.has_value("f", "default").await?;
                let stream = service.stream(0, SOON).await?;
                stream.send(patch_flag(&serving("f", 5, "late")));
                stream.send(patch_flag(&serving("mark", 2, 1)));
                client.soon_has_value("mark", 1).await?;
                client.has_value("f", "default").await?;
                stream.send(patch_flag(&serving("f", 6, "new")));
                client.soon_has_value("f", "new").await
            }
        });
    }
}

fn add_malformed(suite: &mut Suite) {
    let group = suite.group("3.2 streaming: malformed messages");
    let cases: Vec<(&str, String)> = vec![
        ("a put that is no JSON", event("put", "{sorry")),
        ("a put that is no object", event("put", "[]")),
        ("a put whose flags are a list", event("put", r#"{"path":"/","data":{"flags":[1],"segments":{}}}"#)),
        (
            "a put with a flag that is a text",
            event("put", r#"{"path":"/","data":{"flags":{"f":"x"},"segments":{}}}"#),
        ),
        (
            "a put with a property of the wrong type",
            event(
                "put",
                r#"{"path":"/","data":{"flags":{"f":{"key":"f","version":9,"on":"yes"}},"segments":{}}}"#,
            ),
        ),
        ("a patch that is no JSON", event("patch", "{sorry")),
        ("a patch without a path", event("patch", r#"{"data":{"key":"f","version":9}}"#)),
        ("a patch that is a number", event("patch", "3")),
        (
            "a patch with a property of the wrong type",
            event("patch", r#"{"path":"/flags/f","data":{"key":"f","version":9,"variations":true}}"#),
        ),
        ("a patch whose data is a text", event("patch", r#"{"path":"/flags/f","data":"x"}"#)),
        (
            "a patch of a segment with a property of the wrong type",
            event("patch", r#"{"path":"/segments/s","data":{"key":"s","version":9,"included":"x"}}"#),
        ),
        ("a delete that is no JSON", event("delete", "{sorry")),
        ("a delete without a path", event("delete", r#"{"version":9}"#)),
        ("a delete whose version is a text", event("delete", r#"{"path":"/flags/f","version":"x"}"#)),
    ];
    for (name, message) in cases {
        group.test(format!("{name} restarts the stream; until then the flags stay"), move |scene| {
            let message = message.clone();
            async move {
                let (client, service) = reconnecting(&scene, &flags([serving("f", 1, "old")])).await?;
                let again = Answer::events([put(&flags([serving("f", 2, "again")]))]);
                service.answer(again.after(Duration::from_millis(300)));
                let first = service.stream(0, SOON).await?;
                first.send(message);
                service.request(1, SOON).await?;
                client.has_value("f", "old").await?;
                ensure(first.is_closed_within(SOON).await, || "the first stream is still open".to_owned())?;
                client.soon_has_value("f", "again").await
            }
        });
    }
}

/// A client that reconnects after a millisecond.
async fn reconnecting(scene: &Scene, data: &Value) -> Result<(Client, Endpoint), String> {
    let service = scene.streaming(data).await?;
    let config = json!({"streaming": {"baseUri": service.url, "initialRetryDelayMs": 1}});
    Ok((scene.client(config).await?, service))
}

fn add_parsing(suite: &mut Suite) {
    let group = suite.group("3.2 streaming: server-sent events");
    let message = put(&flags([serving("f", 1, "ünïcødé ☃ 𝄞")]));
    let value = "ünïcødé ☃ 𝄞";
    let crlf = message.replace('\n', "\r\n");
    let cr = message.replace('\n', "\r");
    let json = json!({"path": "/", "data": flags([serving("f", 1, value)])}).to_string();
    let (head, tail) = json.split_once(',').unwrap_or((&json, ""));
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("in one piece", vec![message.clone().into_bytes()]),
        ("byte by byte, letters split", message.bytes().map(|byte| vec![byte]).collect()),
        ("in pieces of seven bytes", message.as_bytes().chunks(7).map(<[u8]>::to_vec).collect()),
        ("with CRLF", vec![crlf.clone().into_bytes()]),
        ("with CRLF, byte by byte", crlf.bytes().map(|byte| vec![byte]).collect()),
        ("with CR", vec![cr.clone().into_bytes(), b":\n".to_vec()]),
        ("with CR, byte by byte", cr.bytes().chain(*b":\n").map(|byte| vec![byte]).collect()),
        ("after a byte order mark", vec![format!("\u{feff}{message}").into_bytes()]),
        (
            "with its data on several lines",
            vec![format!("event: put\ndata: {head},\ndata: {tail}\n\n").into_bytes()],
        ),
        ("without a space after the colon", vec![format!("event:put\ndata:{json}\n\n").into_bytes()]),
        ("with its data before its name", vec![format!("data: {json}\nevent: put\n\n").into_bytes()]),
        (
            "with comments, an id and fields nobody has heard of between its lines",
            vec![format!(": hello\nid: 7\nevent: put\n: x\nother: y\nlonely\ndata: {json}\n\n").into_bytes()],
        ),
        ("after blank lines", vec![format!("\n\n\n{message}").into_bytes()]),
        (
            "after an event that has a name and no data",
            vec![format!("event: patch\n\n{message}").into_bytes()],
        ),
    ];
    for (name, pieces) in cases {
        group.test(format!("a put is read {name}"), move |scene| {
            let pieces = pieces.clone();
            async move {
                let service = scene.endpoint("stream", Answer::events(pieces)).await?;
                let client = scene.client(json!({"streaming": {"baseUri": service.url}})).await?;
                client.has_value("f", value).await
            }
        });
    }
    group
        .test("an event that is cut off by the end of the stream is dropped", |scene| async move {
            let (client, service) =
                reconnecting(&scene, &flags([serving("f", 1, "old"), serving("mark", 1, 0)])).await?;
            service.answer(Answer::events([patch_flag(&serving("mark", 2, 1))]));
            let stream = service.stream(0, SOON).await?;
            let whole = patch_flag(&serving("f", 2, "cut"));
            stream.send(whole.trim_end().to_owned());
            stream.end();
            client.soon_has_value("mark", 1).await?;
            client.has_value("f", "old").await
        })
        .test("a put of several megabytes is read", |scene| async move {
            let many = (0..8_000).map(|number| serving(&format!("flag-{number}"), 1, "x".repeat(500)));
            let all = flags(many.chain([serving("f", 1, "big")]));
            let (client, _service) = scene.streaming_client(&all).await?;
            client.has_value("f", "big").await
        })
        .test("the last id is sent along when the stream is opened again", |scene| async move {
            let (_client, service) = reconnecting(&scene, &flags([])).await?;
            let stream = service.stream(0, SOON).await?;
            stream.send(format!("id: seven\n{}", patch_flag(&serving("f", 1, "a"))));
            stream.end();
            let request = service.request(1, SOON).await?;
            let id = request.header("last-event-id").unwrap_or("nothing");
            ensure(id == "seven", || format!("`Last-Event-ID` is {id}"))
        })
        .test("`retry` sets the delay before the stream is opened again", |scene| async move {
            let service = scene.streaming(&flags([])).await?;
            let config = json!({"streaming": {"baseUri": service.url, "initialRetryDelayMs": 60_000}});
            let _client = scene.client(config).await?;
            let stream = service.stream(0, SOON).await?;
            stream.send(format!("retry: 100\n{}", patch_flag(&serving("f", 1, "a"))));
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.end();
            service.request(1, SOON).await.map(|_| ())
        });
}

//! Section 4.6: how events are sent.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expect::ensure;
use crate::flags::{flags, serving, user, user_with};
use crate::mock::Answer;
use crate::scene::{A_WHILE, SOON, Scene, of_kind, only};
use crate::suite::{Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    add_requests(suite);
    add_flushing(suite);
    add_capacity(suite);
    add_errors(suite);
    add_compression(suite);
}

fn add_requests(suite: &mut Suite) {
    suite
        .group("4.6 events: requests")
        .test("they are posted to `/bulk` as JSON, schema 4, with a payload id", |scene| async move {
            let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
            client.identify(&user()).await?;
            client.flush().await?;
            let payload = sink.next_payload(SOON).await?;
            ensure(payload.method == "POST" && payload.path == "/bulk", || payload.to_string())?;
            for (name, want) in [("content-type", "application/json"), ("x-launchdarkly-event-schema", "4")] {
                let got = payload.header(name).unwrap_or("nothing");
                ensure(got.starts_with(want), || format!("`{name}` is {got}"))?;
            }
            let id = payload.header("x-launchdarkly-payload-id").unwrap_or_default();
            ensure(id.len() == 36, || format!("the payload id is `{id}`"))
        })
        .test("each payload has an id of its own", |scene| async move {
            let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
            let mut ids = Vec::new();
            for _ in 0..2 {
                client.identify(&user()).await?;
                client.flush().await?;
                let payload = sink.next_payload(SOON).await?;
                ids.push(payload.header("x-launchdarkly-payload-id").unwrap_or_default().to_owned());
            }
            ensure(ids[0] != ids[1], || format!("both are {}", ids[0]))
        })
        .test("without events configured nothing is sent", |scene| async move {
            let sink = scene.sink().await?;
            let service = scene.streaming(&flags([serving("f", 1, "a")])).await?;
            let client = scene
                .client(json!({
                    "streaming": {"baseUri": service.url}, "serviceEndpoints": {"events": sink.endpoint.url},
                }))
                .await?;
            client.has_value("f", "a").await?;
            client.identify(&user()).await?;
            client.flush().await?;
            client.close().await?;
            sink.endpoint.no_request_after(0, A_WHILE).await
        });
}

fn add_flushing(suite: &mut Suite) {
    suite
        .group("4.6 events: flushing")
        .test("they are sent by themselves in the interval that was set", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([]), json!({"flushIntervalMs": 100})).await?;
            for _ in 0..2 {
                client.identify(&user()).await?;
                only(&sink.next_within(Duration::from_secs(3)).await?, "identify")?;
            }
            Ok(())
        })
        .test("they are not sent before", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([]), json!({"flushIntervalMs": 60_000})).await?;
            client.identify(&user()).await?;
            sink.nothing_within(Duration::from_millis(700)).await
        })
        .test("a flush sends them within five seconds", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([]), json!({"flushIntervalMs": 60_000})).await?;
            client.identify(&user()).await?;
            client.flush().await?;
            only(&sink.next_within(Duration::from_secs(5)).await?, "identify").map(|_| ())
        })
        .test("a slow service keeps nobody waiting", |scene| async move {
            let (client, sink, _service) = scene
                .reporting_client(&flags([serving("f", 1, "a")]), json!({"flushIntervalMs": 50}))
                .await?;
            sink.endpoint.answer(Answer::status(202).after(Duration::from_secs(60)));
            let started = std::time::Instant::now();
            for number in 0..50 {
                client.identify(&user_with(&format!("u{number}"), json!({}))).await?;
                client.has_value("f", "a").await?;
            }
            ensure(started.elapsed() < Duration::from_secs(40), || format!("it took {:?}", started.elapsed()))
        });
}

fn add_capacity(suite: &mut Suite) {
    suite
        .group("4.6 events: capacity")
        .test("events beyond the capacity are dropped, evaluations are still counted", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([serving("f", 1, "a")]), json!({"capacity": 20})).await?;
            for number in 0..25 {
                client.identify(&user_with(&format!("u{number}"), json!({}))).await?;
            }
            for _ in 0..5 {
                client.value_for("f", &user_with("u0", json!({})), "d").await?;
            }
            let events = client.flushed(&sink).await?;
            let count = of_kind(&events, "identify").len();
            ensure(count == 20, || format!("there are {count}"))?;
            let counted = &only(&events, "summary")?["features"]["f"]["counters"][0]["count"];
            ensure(*counted == json!(5), || format!("{counted} evaluations are counted"))
        })
        .test("after a flush there is room again", |scene| async move {
            let (client, sink, _service) = scene.reporting_client(&flags([]), json!({"capacity": 5})).await?;
            for _ in 0..2 {
                for number in 0..7 {
                    client.identify(&user_with(&format!("u{number}"), json!({}))).await?;
                }
                let events = client.flushed(&sink).await?;
                ensure(events.len() == 5, || format!("there are {}", events.len()))?;
            }
            Ok(())
        });
}

fn add_errors(suite: &mut Suite) {
    let group = suite.group("4.6 events: errors");
    for status in [400, 408, 429, 500, 503] {
        group.test(
            format!("after status {status} the payload is sent once more a second later"),
            move |scene| tried_twice(scene, Answer::status(status)),
        );
        group.test(
            format!("after status {status} twice the payload is dropped, and later ones are sent"),
            move |scene| async move {
                let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
                sink.endpoint.answer_first([Answer::status(status), Answer::status(status)]);
                client.identify(&user_with("first", json!({}))).await?;
                client.flush().await?;
                sink.next_payload(SOON).await?;
                sink.next_payload(SOON).await?;
                sink.nothing_within(Duration::from_millis(1_500)).await?;
                client.identify(&user_with("second", json!({}))).await?;
                let events = client.flushed(&sink).await?;
                let keys: Vec<&Value> = events.iter().map(|event| &event["context"]["key"]).collect();
                ensure(keys == ["second"], || format!("then those of {keys:?} were sent"))
            },
        );
    }
    group.test("after a connection that breaks the payload is sent once more a second later", |scene| {
        tried_twice(scene, Answer::HangUp)
    });
    for status in [401, 403, 404] {
        group.test(
            format!("after status {status} the payload is dropped, and nothing more is sent soon"),
            move |scene| async move {
                let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
                sink.endpoint.answer(Answer::status(status));
                client.identify(&user()).await?;
                client.flush().await?;
                sink.next_payload(SOON).await?;
                // A flush need not wait for the answer, without which nobody knows better.
                tokio::time::sleep(A_WHILE).await;
                client.identify(&user()).await?;
                client.flush().await?;
                sink.nothing_within(Duration::from_millis(1_500)).await
            },
        );
    }
}

/// The first answer is this; the second attempt must be the same payload.
async fn tried_twice(scene: Scene, first: Answer) -> Verdict {
    let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
    sink.endpoint.answer_first([first]);
    client.identify(&user()).await?;
    client.flush().await?;
    let one = sink.next_payload(SOON).await?;
    let two = sink.next_payload(SOON).await?;
    let id = |payload: &crate::mock::Request| {
        payload.header("x-launchdarkly-payload-id").unwrap_or_default().to_owned()
    };
    ensure(id(&one) == id(&two), || format!("the ids are {} and {}", id(&one), id(&two)))?;
    ensure(one.json()? == two.json()?, || "the events are not the same".to_owned())?;
    let delay = two.at - one.at;
    let good = delay >= Duration::from_millis(400) && delay <= Duration::from_secs(4);
    ensure(good, || format!("it was sent again after {delay:?}"))?;
    sink.nothing_within(Duration::from_millis(1_500)).await
}

fn add_compression(suite: &mut Suite) {
    suite
        .group("4.6 events: compression")
        .needs("event-gzip")
        .test("events are sent compressed when it is on", |scene| async move { encoded(&scene, true).await });
    suite
        .group("4.6 events: compression can be off")
        .needs("optional-event-gzip")
        .test("events are sent plain when it is off", |scene| async move { encoded(&scene, false).await });
}

async fn encoded(scene: &Scene, gzip: bool) -> Verdict {
    let (client, sink, _service) =
        scene.reporting_client(&flags([]), json!({"enableGzip": gzip, "enableDiagnostics": true})).await?;
    client.identify(&user()).await?;
    client.flush().await?;
    let payload = sink.next_payload(SOON).await?;
    let diagnostic = sink.diagnostic(0).await?;
    for request in [payload, diagnostic] {
        let encoding = request.header("content-encoding");
        ensure(encoding == gzip.then_some("gzip"), || format!("{request} is encoded as {encoding:?}"))?;
        request.json()?;
    }
    Ok(())
}

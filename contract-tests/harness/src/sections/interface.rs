//! Section 8.1: the adapter's own interface, and starting and ending clients.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::expect::ensure;
use crate::flags::{flags, serving};
use crate::mock::Answer;
use crate::scene::{SOON, Scene};
use crate::suite::{Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    suite
        .group("8.1 clients")
        .test("an unknown command is answered with 400", |scene| async move {
            refuses(&scene, r#"{"command": "noSuchCommand", "noSuchCommand": {}}"#).await
        })
        .test("a body that is no JSON is answered with 400", |scene| async move {
            refuses(&scene, r#"{"command": "#).await
        })
        .test("a parameter of the wrong type is answered with 400", |scene| async move {
            refuses(&scene, r#"{"command": "evaluate", "evaluate": {"flagKey": 3}}"#).await
        })
        .test("a closed client is unknown", |scene| async move {
            let (client, _service) = scene.streaming_client(&flags([])).await?;
            client.close().await?;
            let reply = client.raw(json!({"command": "flushEvents"}).to_string()).await?;
            ensure(reply.status == 404, || format!("it answered {}", reply.status))
        })
        .test("two clients know nothing of each other", |scene| async move {
            let (one, _first) = scene.streaming_client(&flags([serving("f", 1, "one")])).await?;
            let (two, _second) = scene.streaming_client(&flags([serving("f", 1, "two")])).await?;
            one.has_value("f", "one").await?;
            two.has_value("f", "two").await?;
            one.close().await?;
            two.has_value("f", "two").await
        });

    suite
        .group("8.1 starting and ending")
        .test("a client whose stream says nothing is not created", |scene| async move {
            let service = scene.endpoint("stream", Answer::Silence).await?;
            let started = Instant::now();
            let config = json!({"streaming": {"baseUri": service.url}, "startWaitTimeMs": 300});
            match scene.try_client(config).await? {
                Ok(_) => Err("it was".to_owned()),
                Err(reply) => {
                    ensure(reply.status == 500, || format!("the status is {}", reply.status))?;
                    ensure(started.elapsed() < SOON, || "it took too long".to_owned())
                }
            }
        })
        .test("a client that may fail to start answers with defaults, and gets its flags later", |scene| async move {
            let late = Answer::events([crate::flags::put(&flags([serving("f", 1, "late")]))]);
            let service = scene.endpoint("stream", late.after(Duration::from_millis(1_500))).await?;
            let client = scene
                .client(json!({
                    "streaming": {"baseUri": service.url}, "startWaitTimeMs": 100, "initCanFail": true,
                }))
                .await?;
            let early = client.detail("f", &crate::flags::user(), json!("default")).await?;
            crate::expect::same(
                "the answer before there are flags",
                &early,
                &json!({"value": "default", "reason": {"kind": "ERROR", "errorKind": "CLIENT_NOT_READY"}}),
            )?;
            client.soon_has_value("f", "late").await
        })
        .test("closing a client closes its stream", |scene| async move {
            let (client, service) = scene.streaming_client(&flags([])).await?;
            let stream = service.stream(0, SOON).await?;
            client.close().await?;
            ensure(stream.is_closed_within(SOON).await, || "the connection is still open".to_owned())
        })
        .test("closing a client ends its polls", |scene| async move {
            let service = scene.polling(&flags([])).await?;
            let config = json!({"polling": {"baseUri": service.url, "pollIntervalMs": 100}});
            let client = scene.client(config).await?;
            service.request(2, SOON).await?;
            client.close().await?;
            let seen = service.request_count();
            service.no_request_after(seen, Duration::from_millis(500)).await
        })
        .test("closing a client sends its last events", |scene| async move {
            let never = json!({"flushIntervalMs": 3_600_000});
            let (client, sink, _service) =
                scene.reporting_client(&flags([serving("f", 1, "a")]), never).await?;
            client.has_value("f", "a").await?;
            client.close().await?;
            let events = sink.next().await?;
            crate::scene::only(&events, "summary").map(|_| ())
        });
}

async fn refuses(scene: &Scene, body: &str) -> Verdict {
    let (client, _service) = scene.streaming_client(&flags([])).await?;
    let reply = client.raw(body.to_owned()).await?;
    ensure(reply.status == 400, || format!("it was answered with {}: {}", reply.status, reply.body))
}

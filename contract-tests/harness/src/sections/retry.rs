//! Sections 3.2 and 8.6: when a stream is opened again, and when not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expect::ensure;
use crate::flags::{flags, put, serving};
use crate::mock::{Answer, Endpoint};
use crate::scene::{Client, SOON, Scene};
use crate::suite::{Suite, Verdict};

/// Statuses that time alone may mend, and those that it does not.
const RECOVERABLE: [u16; 5] = [400, 408, 429, 500, 503];
const UNRECOVERABLE: [u16; 5] = [401, 403, 404, 405, 418];

pub(crate) fn add(suite: &mut Suite) {
    add_ordinary(suite);
    add_first_connection(suite);
    add_extended(suite);
    add_long(suite);
}

fn good() -> Answer {
    Answer::events([put(&flags([serving("f", 1, "a")]))])
}

/// A client that streams from `service` and first waits for `delay` before it does so again.
async fn client(scene: &Scene, service: &Endpoint, delay_ms: u64) -> Result<Client, String> {
    scene.client(json!({"streaming": {"baseUri": service.url, "initialRetryDelayMs": delay_ms}})).await
}

/// The same, where the first flags may not come in time.
async fn waiting(scene: &Scene, service: &Endpoint, delay_ms: u64) -> Result<Client, String> {
    let config: Value = json!({
        "streaming": {"baseUri": service.url, "initialRetryDelayMs": delay_ms},
        "startWaitTimeMs": 500, "initCanFail": true,
    });
    scene.client(config).await
}

fn add_ordinary(suite: &mut Suite) {
    let group = suite.group("3.2 streaming: opening again");
    group
        .test(
            "a stream that ends is opened again within two seconds of a delay of a millisecond",
            |scene| async move {
                let service = scene.endpoint("stream", good()).await?;
                let client = client(&scene, &service, 1).await?;
                service.answer(Answer::events([put(&flags([serving("f", 1, "b")]))]));
                service.stream(0, SOON).await?.end();
                service.request(1, Duration::from_secs(2)).await?;
                client.soon_has_value("f", "b").await
            },
        )
        .test("a stream that ends is not opened again at once", |scene| async move {
            let service = scene.endpoint("stream", good()).await?;
            let client = client(&scene, &service, 10_000).await?;
            service.stream(0, SOON).await?.end();
            service.no_request_after(1, Duration::from_millis(100)).await?;
            client.has_value("f", "a").await
        })
        .test("a delay of a second is cut by half at most", |scene| async move {
            let service = scene.endpoint("stream", good()).await?;
            let _client = client(&scene, &service, 1_000).await?;
            service.stream(0, SOON).await?.end();
            service.no_request_after(1, Duration::from_millis(450)).await?;
            service.request(1, Duration::from_secs(3)).await.map(|_| ())
        })
        .test("the delay grows from failure to failure", |scene| async move {
            let service = scene.endpoint("stream", good()).await?;
            let client = client(&scene, &service, 100).await?;
            service.answer(Answer::status(503));
            service.stream(0, SOON).await?.end();
            // At most 100 + 200 + 400 ms for three more, at least half of it; then at least 400 ms.
            let third = service.request(3, SOON).await?.at;
            let fourth = service.request(4, SOON).await?.at;
            ensure(fourth - third >= Duration::from_millis(350), || {
                format!("the fourth delay is {:?}", fourth - third)
            })?;
            client.has_value("f", "a").await
        })
        .test("a connection that breaks is opened again", |scene| async move {
            let service = scene.endpoint("stream", good()).await?;
            let client = client(&scene, &service, 1).await?;
            service.answer(Answer::events([put(&flags([serving("f", 1, "b")]))]));
            service.answer_first([Answer::HangUp, Answer::HangUp]);
            service.stream(0, SOON).await?.end();
            service.request(3, SOON).await?;
            client.soon_has_value("f", "b").await
        });
    for status in RECOVERABLE {
        group.test(format!("after status {status} on the way it is tried again"), move |scene| async move {
            let service = scene.endpoint("stream", good()).await?;
            let client = client(&scene, &service, 1).await?;
            service.answer(Answer::events([put(&flags([serving("f", 1, "b")]))]));
            service.answer_first([Answer::status(status), Answer::status(status)]);
            service.stream(0, SOON).await?.end();
            service.request(3, SOON).await?;
            client.soon_has_value("f", "b").await
        });
    }
}

fn add_first_connection(suite: &mut Suite) {
    let group = suite.group("3.2 streaming: the first connection");
    for status in RECOVERABLE {
        group.test(format!("after status {status} it is tried again"), move |scene| async move {
            let service = scene.endpoint("stream", good()).await?;
            service.answer_first([Answer::status(status), Answer::status(status)]);
            let client = client(&scene, &service, 1).await?;
            client.has_value("f", "a").await
        });
    }
    group
        .test("after a connection that breaks it is tried again", |scene| async move {
            let service = scene.endpoint("stream", good()).await?;
            service.answer_first([Answer::HangUp, Answer::HangUp]);
            let client = client(&scene, &service, 1).await?;
            client.has_value("f", "a").await
        })
        .test("a malformed first put is tried again", |scene| async move {
            let service = scene.endpoint("stream", good()).await?;
            service.answer_first([Answer::events(["event: put\ndata: {sorry\n\n"])]);
            let client = client(&scene, &service, 1).await?;
            client.has_value("f", "a").await
        });
    for status in UNRECOVERABLE {
        group.test(format!("after status {status} the client has not started"), move |scene| async move {
            let service = scene.endpoint("stream", Answer::status(status)).await?;
            let config = json!({
                "streaming": {"baseUri": service.url, "initialRetryDelayMs": 1}, "startWaitTimeMs": 1000,
            });
            match scene.try_client(config).await? {
                Ok(_) => Err("it has".to_owned()),
                Err(reply) => ensure(reply.status == 500, || format!("it answered {}", reply.status)),
            }
        });
    }
}

/// Section 3.2's extended regime; without the capability, these statuses end it for good: the same,
/// as far as can be watched in a moment.
fn add_extended(suite: &mut Suite) {
    let group = suite.group("8.6 streaming: statuses that time does not mend");
    for status in UNRECOVERABLE {
        group.test(
            format!("after status {status} at first it is not tried again soon"),
            move |scene| async move {
                let service = scene.endpoint("stream", Answer::status(status)).await?;
                let _client = waiting(&scene, &service, 1).await?;
                service.no_request_after(1, Duration::from_secs(1)).await
            },
        );
        group.test(
            format!("after status {status} on the way it is not tried again soon, and the flags stay"),
            move |scene| async move {
                let service = scene.endpoint("stream", good()).await?;
                let client = client(&scene, &service, 1).await?;
                service.answer(Answer::status(status));
                service.stream(0, SOON).await?.end();
                service.request(1, SOON).await?;
                service.no_request_after(2, Duration::from_secs(1)).await?;
                client.has_value("f", "a").await
            },
        );
    }
}

/// A first delay of 5 min is cut by half at most.
fn add_long(suite: &mut Suite) {
    let group = suite
        .group("3.2 streaming: retry conformance, in full")
        .needs("retry-conformance-fdv1-streaming")
        .long_running();
    for status in [401, 403] {
        group.test(
            format!("after status {status} it is tried again between 2.5 and 5 minutes later"),
            move |scene| minutes_later(scene, status),
        );
    }
}

async fn minutes_later(scene: Scene, status: u16) -> Verdict {
    let service = scene.endpoint("stream", Answer::status(status)).await?;
    let client = waiting(&scene, &service, 1).await?;
    let first = service.request(0, SOON).await?.at;
    service.answer(good());
    let second = service.request(1, Duration::from_secs(310)).await?.at;
    let delay = second - first;
    ensure(delay >= Duration::from_secs(149), || format!("it was tried again after {delay:?}"))?;
    client.soon_has_value("f", "a").await
}

//! Section 3.6: how initializers, synchronizers and the FDv1 fallback take turns.

use std::time::Duration;

use serde_json::{Value, json};

use super::fdv2::{full, intent, polled, put_flag, sse, transferred};
use crate::expect::ensure;
use crate::flags::{flags, serving};
use crate::mock::{Answer, Endpoint};
use crate::scene::{A_WHILE, SOON, Scene};
use crate::suite::Suite;

pub(crate) fn add(suite: &mut Suite) {
    add_initializers(suite);
    add_synchronizers(suite);
    add_fallback(suite);
    add_long(suite);
}

async fn polls(scene: &Scene, answer: Answer) -> Result<Endpoint, String> {
    scene.endpoint("FDv2 poll", answer).await
}

async fn streams(scene: &Scene, answer: Answer) -> Result<Endpoint, String> {
    scene.endpoint("FDv2 stream", answer).await
}

fn polling(service: &Endpoint) -> Value {
    json!({"polling": {"baseUri": service.url, "pollIntervalMs": 100}})
}

fn streaming(service: &Endpoint) -> Value {
    json!({"streaming": {"baseUri": service.url, "initialRetryDelayMs": 1}})
}

fn a_flag(value: &str) -> Vec<Value> {
    vec![serving("f", 1, value)]
}

fn add_initializers(suite: &mut Suite) {
    let group = suite.group("3.6 FDv2: initializers").needs("fdv1-fallback");
    group
        .test("one that brings flags and a state is enough; the synchronizer goes on from there", |scene| async move {
            let first = polls(&scene, polled(&full(&a_flag("initial"), "s1"))).await?;
            let second = polls(&scene, polled(&full(&a_flag("second"), "s2"))).await?;
            let stream = streams(&scene, Answer::events([sse(&[intent("none")])])).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "initializers": [polling(&first), polling(&second)], "synchronizers": [streaming(&stream)]}}))
                .await?;
            client.has_value("f", "initial").await?;
            let basis = stream.request(0, SOON).await?.parameter("basis");
            ensure(basis.as_deref() == Some("s1"), || format!("the basis is {basis:?}"))?;
            first.no_request_after(1, A_WHILE).await?;
            second.no_request_after(0, Duration::from_millis(1)).await
        })
        .test("after one that fails the next is asked", |scene| async move {
            let first = polls(&scene, Answer::status(503)).await?;
            let second = polls(&scene, polled(&full(&a_flag("second"), "s2"))).await?;
            let stream = streams(&scene, Answer::events([sse(&[intent("none")])])).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "initializers": [polling(&first), polling(&second)], "synchronizers": [streaming(&stream)]}}))
                .await?;
            client.has_value("f", "second").await?;
            first.no_request_after(1, A_WHILE).await
        })
        .test("when all fail the synchronizer brings everything", |scene| async move {
            let first = polls(&scene, Answer::status(401)).await?;
            let stream = streams(&scene, Answer::events([sse(&full(&a_flag("streamed"), "s1"))])).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "initializers": [polling(&first)], "synchronizers": [streaming(&stream)]}}))
                .await?;
            client.has_value("f", "streamed").await?;
            let basis = stream.request(0, SOON).await?.parameter("basis");
            ensure(basis.is_none(), || format!("the basis is {basis:?}"))
        })
        .test("flags of an initializer are served before the stream says anything", |scene| async move {
            let first = polls(&scene, polled(&full(&a_flag("initial"), "s1"))).await?;
            let stream = streams(&scene, Answer::Silence).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "initializers": [polling(&first)], "synchronizers": [streaming(&stream)]}}))
                .await?;
            client.has_value("f", "initial").await
        });
}

fn add_synchronizers(suite: &mut Suite) {
    let group = suite.group("3.6 FDv2: synchronizers").needs("fdv1-fallback");
    group
        .test("after a status that time does not mend the next takes over, for good", |scene| async move {
            let stream = streams(&scene, Answer::status(401)).await?;
            let poll = polls(&scene, polled(&full(&a_flag("polled"), "s1"))).await?;
            let client = scene
                .client(json!({"dataSystem": {"synchronizers": [streaming(&stream), polling(&poll)]}}))
                .await?;
            client.has_value("f", "polled").await?;
            stream.no_request_after(1, A_WHILE).await
        })
        .test("the next goes on from the state of the one before", |scene| async move {
            let stream = streams(&scene, Answer::status(403)).await?;
            stream.answer_first([Answer::events([sse(&full(&a_flag("streamed"), "s1"))])]);
            let poll = polls(
                &scene,
                polled(&[intent("xfer-changes"), put_flag(&serving("f", 2, "polled")), transferred("s2")]),
            )
            .await?;
            let client = scene
                .client(json!({"dataSystem": {"synchronizers": [streaming(&stream), polling(&poll)]}}))
                .await?;
            client.has_value("f", "streamed").await?;
            stream.stream(0, SOON).await?.end();
            client.soon_has_value("f", "polled").await?;
            let basis = poll.request(0, SOON).await?.parameter("basis");
            ensure(basis.as_deref() == Some("s1"), || format!("the basis is {basis:?}"))
        })
        .test("while the first works the next is not asked", |scene| async move {
            let stream = streams(&scene, Answer::events([sse(&full(&a_flag("streamed"), "s1"))])).await?;
            let poll = polls(&scene, polled(&full(&a_flag("polled"), "s2"))).await?;
            let client = scene
                .client(json!({"dataSystem": {"synchronizers": [streaming(&stream), polling(&poll)]}}))
                .await?;
            client.has_value("f", "streamed").await?;
            poll.no_request_after(0, A_WHILE).await
        })
        .test("the default system asks a poll, then opens a stream", |scene| async move {
            let service = scene.endpoint("FDv2", Answer::status(404)).await?;
            let answers = (polled(&full(&a_flag("polled"), "s1")), Answer::events([sse(&[intent("none")])]));
            service.answer_by(move |request| match request.path.as_str() {
                "/sdk/poll" => answers.0.clone(),
                "/sdk/stream" => answers.1.clone(),
                _ => Answer::status(404),
            });
            let client = scene
                .client(json!({
                    "serviceEndpoints": {"streaming": service.url, "polling": service.url},
                    "dataSystem": {"useDefaultDataSystem": true},
                }))
                .await?;
            client.has_value("f", "polled").await?;
            service.request(1, SOON).await?;
            let paths: Vec<String> = service.requests().into_iter().map(|request| request.path).collect();
            ensure(paths == ["/sdk/poll", "/sdk/stream"], || format!("{paths:?}"))
        })
        .test("a connection mode of one's own names its sources", |scene| async move {
            let stream = streams(&scene, Answer::events([sse(&full(&a_flag("streamed"), "s1"))])).await?;
            let modes = json!({"mine": {"initializers": [], "synchronizers": [streaming(&stream)]}});
            let client = scene
                .client(json!({"dataSystem": {"connectionModeConfig": {
                    "initialConnectionMode": "mine", "customConnectionModes": modes}}}))
                .await?;
            client.has_value("f", "streamed").await
        });
}

/// An answer that sends the SDK back to first-generation delivery.
fn falling_back(answer: Answer) -> Answer {
    answer.header("X-LD-FD-Fallback", "true")
}

fn add_fallback(suite: &mut Suite) {
    let group = suite.group("3.6 FDv2: FDv1 fallback").needs("fdv1-fallback");
    group
        .test("a stream that asks for it is left after its flags were taken", |scene| async move {
            let stream =
                streams(&scene, falling_back(Answer::events([sse(&full(&a_flag("streamed"), "s1"))]))).await?;
            let old = scene.polling(&flags([serving("f", 2, "first generation")])).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "synchronizers": [streaming(&stream)],
                    "fdv1Fallback": {"baseUri": old.url, "pollIntervalMs": 100}}}))
                .await?;
            client.soon_has_value("f", "first generation").await?;
            let request = old.request(0, SOON).await?;
            ensure(request.path == "/sdk/latest-all", || request.to_string())?;
            stream.no_request_after(1, A_WHILE).await?;
            let live = stream.stream(0, SOON).await?;
            ensure(live.is_closed_within(SOON).await, || "the stream is still open".to_owned())
        })
        .test("a status with it means the fallback at once", |scene| async move {
            let stream = streams(&scene, falling_back(Answer::status(503))).await?;
            let other = polls(&scene, polled(&full(&a_flag("polled"), "s1"))).await?;
            let old = scene.polling(&flags([serving("f", 2, "first generation")])).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "synchronizers": [streaming(&stream), polling(&other)],
                    "fdv1Fallback": {"baseUri": old.url, "pollIntervalMs": 100}}}))
                .await?;
            client.has_value("f", "first generation").await?;
            stream.no_request_after(1, A_WHILE).await?;
            other.no_request_after(0, Duration::from_millis(1)).await
        })
        .test("an initializer with it skips the rest", |scene| async move {
            let first = polls(&scene, falling_back(Answer::status(500))).await?;
            let second = polls(&scene, polled(&full(&a_flag("second"), "s1"))).await?;
            let stream = streams(&scene, Answer::events([sse(&full(&a_flag("streamed"), "s1"))])).await?;
            let old = scene.polling(&flags([serving("f", 2, "first generation")])).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "initializers": [polling(&first), polling(&second)], "synchronizers": [streaming(&stream)],
                    "fdv1Fallback": {"baseUri": old.url, "pollIntervalMs": 100}}}))
                .await?;
            client.has_value("f", "first generation").await?;
            second.no_request_after(0, A_WHILE).await?;
            stream.no_request_after(0, Duration::from_millis(1)).await
        })
        .test("a poll with it is applied first", |scene| async move {
            let poll = polls(&scene, falling_back(polled(&full(&a_flag("polled"), "s1")))).await?;
            let old = scene.endpoint("FDv1 poll", Answer::Silence).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "synchronizers": [polling(&poll)],
                    "fdv1Fallback": {"baseUri": old.url, "pollIntervalMs": 100}}}))
                .await?;
            client.has_value("f", "polled").await?;
            old.request(0, SOON).await?;
            poll.no_request_after(1, A_WHILE).await
        })
        .test("without a fallback nothing is asked any more, and the flags stay", |scene| async move {
            let poll = polls(&scene, falling_back(polled(&full(&a_flag("polled"), "s1")))).await?;
            let other = polls(&scene, polled(&full(&a_flag("other"), "s2"))).await?;
            let client = scene
                .client(json!({
                    "initCanFail": true, "startWaitTimeMs": 1_000,
                    "dataSystem": {"synchronizers": [polling(&poll), polling(&other)]},
                }))
                .await?;
            client.soon_has_value("f", "polled").await?;
            poll.no_request_after(1, A_WHILE).await?;
            other.no_request_after(0, Duration::from_millis(1)).await
        })
        .test("the name and the value of the header may be written in any case", |scene| async move {
            let stream = streams(&scene, Answer::status(503).header("x-ld-fd-fallback", "TRUE")).await?;
            let old = scene.polling(&flags([serving("f", 2, "first generation")])).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "synchronizers": [streaming(&stream)],
                    "fdv1Fallback": {"baseUri": old.url, "pollIntervalMs": 100}}}))
                .await?;
            client.has_value("f", "first generation").await
        })
        .test("a header that does not say true is none", |scene| async move {
            let stream = streams(&scene, Answer::events([sse(&full(&a_flag("streamed"), "s1"))])
                .header("X-LD-FD-Fallback", "false")).await?;
            let old = scene.polling(&flags([serving("f", 2, "first generation")])).await?;
            let client = scene
                .client(json!({"dataSystem": {
                    "synchronizers": [streaming(&stream)],
                    "fdv1Fallback": {"baseUri": old.url, "pollIntervalMs": 100}}}))
                .await?;
            client.has_value("f", "streamed").await?;
            old.no_request_after(0, A_WHILE).await
        });
}

/// What takes its minutes: the conditions are tested every 10 s.
fn add_long(suite: &mut Suite) {
    let group = suite.group("3.6 FDv2: taking over, in full").needs("fdv1-fallback").long_running();
    group
        .test("a synchronizer that brings nothing for 10 s gives way to the next", |scene| async move {
            let stream = streams(&scene, Answer::Silence).await?;
            let poll = polls(&scene, polled(&full(&a_flag("polled"), "s1"))).await?;
            let client = scene
                .client(json!({
                    "initCanFail": true, "startWaitTimeMs": 100,
                    "dataSystem": {"synchronizers": [streaming(&stream), polling(&poll)]},
                }))
                .await?;
            poll.no_request_after(0, Duration::from_secs(8)).await?;
            client.has_value_within("f", "polled", Duration::from_secs(30)).await
        })
        .test(
            "one that is interrupted for 60 s gives way to the next, and comes back after 300 s",
            |scene| async move {
                let stream = streams(&scene, Answer::status(503)).await?;
                stream.answer_first([Answer::events([sse(&full(&a_flag("streamed"), "s1"))])]);
                let poll = polls(&scene, polled(&full(&a_flag("polled"), "s2"))).await?;
                let client = scene
                    .client(json!({"dataSystem": {"synchronizers": [streaming(&stream), polling(&poll)]}}))
                    .await?;
                client.has_value("f", "streamed").await?;
                stream.stream(0, SOON).await?.end();
                poll.no_request_after(0, Duration::from_secs(45)).await?;
                client.has_value("f", "streamed").await?;
                client.has_value_within("f", "polled", Duration::from_secs(50)).await?;
                stream.answer(Answer::events([sse(&full(&a_flag("streamed again"), "s3"))]));
                client.has_value_within("f", "streamed again", Duration::from_secs(340)).await
            },
        );
}

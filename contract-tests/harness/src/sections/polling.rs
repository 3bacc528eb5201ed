//! Sections 3.3 and 3.4: flags by polls, and payload filters.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::expect::ensure;
use crate::flags::{flags, serving};
use crate::mock::{Answer, Endpoint, Request};
use crate::scene::{A_WHILE, Client, SOON, Scene};
use crate::suite::{Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    add_requests(suite);
    add_etags(suite);
    add_errors(suite);
    add_gzip(suite);
    add_extended(suite);
    add_filters(suite);
}

/// Flags whose `f` is this.
fn answer(value: &str) -> Answer {
    Answer::json(flags([serving("f", 1, value)]).to_string())
}

async fn client(scene: &Scene, service: &Endpoint, interval_ms: u64) -> Result<Client, String> {
    scene.client(json!({"polling": {"baseUri": service.url, "pollIntervalMs": interval_ms}})).await
}

fn add_requests(suite: &mut Suite) {
    suite
        .group("3.3 polling: requests")
        .needs("server-side-polling")
        .test("flags are polled with GET at `/sdk/latest-all`", |scene| async move {
            let service = scene.endpoint("poll", answer("a")).await?;
            let client = client(&scene, &service, 60_000).await?;
            let request = service.request(0, SOON).await?;
            ensure(request.method == "GET" && request.path == "/sdk/latest-all", || {
                format!("it is {request}")
            })?;
            ensure(request.query.is_empty(), || format!("it is {request}"))?;
            client.has_value("f", "a").await?;
            service.no_request_after(1, A_WHILE).await
        })
        .test("changes come with the next poll", |scene| async move {
            let service = scene.endpoint("poll", answer("a")).await?;
            let client = client(&scene, &service, 50).await?;
            client.has_value("f", "a").await?;
            service.answer(answer("b"));
            client.soon_has_value("f", "b").await
        })
        .test("a flag that is no longer there is gone", |scene| async move {
            let service = scene.endpoint("poll", answer("a")).await?;
            let client = client(&scene, &service, 50).await?;
            service.answer(Answer::json(flags([]).to_string()));
            client.soon_has_value("f", "default").await
        })
        .test("polls come in the interval that was set", |scene| async move {
            let service = scene.endpoint("poll", answer("a")).await?;
            let _client = client(&scene, &service, 500).await?;
            let first = service.request(0, SOON).await?.at;
            let fourth = service.request(3, SOON).await?.at;
            let took = fourth - first;
            // On a busy machine a request is noticed late. Otherwise it would be 30 s each.
            let good = took > Duration::from_millis(700) && took < Duration::from_secs(15);
            ensure(good, || format!("three intervals of 500 ms took {took:?}"))
        })
        .test("a service that is slow delays polls, and they do not pile up", |scene| async move {
            let service = scene.endpoint("poll", answer("a").after(Duration::from_millis(300))).await?;
            let _client = client(&scene, &service, 10).await?;
            service.request(3, SOON).await?;
            for pair in service.requests().windows(2) {
                let between = pair[1].at - pair[0].at;
                let good = between >= Duration::from_millis(300);
                ensure(good, || format!("a poll was begun {between:?} after another that took 300 ms"))?;
            }
            Ok(())
        });
}

fn add_etags(suite: &mut Suite) {
    suite
        .group("3.3 polling: ETags")
        .needs("server-side-polling")
        .test("the first poll has none, the next ones send what came", |scene| async move {
            let service = scene.endpoint("poll", answer("a").header("ETag", "\"one\"")).await?;
            let client = client(&scene, &service, 50).await?;
            let first = service.request(0, SOON).await?;
            ensure(first.header("if-none-match").is_none(), || "the first poll has one".to_owned())?;
            for number in 1..3 {
                let request = service.request(number, SOON).await?;
                let etag = request.header("if-none-match");
                ensure(etag == Some("\"one\""), || format!("poll {number} sent {etag:?}"))?;
            }
            client.has_value("f", "a").await
        })
        .test("304 changes nothing, and the ETag is kept", |scene| async move {
            let service = scene.endpoint("poll", Answer::status(304)).await?;
            service.answer_first([answer("a").header("ETag", "\"one\"")]);
            let client = client(&scene, &service, 50).await?;
            let request = service.request(3, SOON).await?;
            let etag = request.header("if-none-match");
            ensure(etag == Some("\"one\""), || format!("it sent {etag:?}"))?;
            client.has_value("f", "a").await
        })
        .test("a new ETag takes the place of the old one", |scene| async move {
            let service = scene.endpoint("poll", answer("b").header("ETag", "\"two\"")).await?;
            service.answer_first([answer("a").header("ETag", "\"one\"")]);
            let client = client(&scene, &service, 50).await?;
            let request = service.request(2, SOON).await?;
            let etag = request.header("if-none-match");
            ensure(etag == Some("\"two\""), || format!("it sent {etag:?}"))?;
            client.soon_has_value("f", "b").await
        })
        .test("the ETag of flags that could not be read is not sent", |scene| async move {
            let service = scene.endpoint("poll", answer("b")).await?;
            service.answer_first([
                answer("a").header("ETag", "\"good\""),
                Answer::json("{sorry").header("ETag", "\"bad\""),
            ]);
            let client = client(&scene, &service, 50).await?;
            let request = service.request(2, SOON).await?;
            let etag = request.header("if-none-match");
            ensure(etag != Some("\"bad\""), || "it was".to_owned())?;
            client.soon_has_value("f", "b").await
        });
}

fn add_errors(suite: &mut Suite) {
    let group = suite.group("3.3 polling: errors").needs("server-side-polling");
    for status in [400, 408, 429, 500, 503] {
        group.test(
            format!("after status {status} the flags stay, and it is polled again"),
            move |scene| async move { stays(&scene, Answer::status(status)).await },
        );
        group.test(format!("after status {status} at first it is polled again"), move |scene| async move {
            let service = scene.endpoint("poll", answer("a")).await?;
            service.answer_first([Answer::status(status)]);
            let client = client(&scene, &service, 100).await?;
            client.has_value("f", "a").await
        });
    }
    for (name, body) in [
        ("no JSON", "{sorry"),
        ("a list", "[]"),
        ("a flag of the wrong shape", r#"{"flags":{"f":{"key":"f","version":1,"on":"yes"}},"segments":{}}"#),
    ] {
        group.test(
            format!("a body that is {name} changes nothing, and it is polled again"),
            move |scene| async move { stays(&scene, Answer::json(body)).await },
        );
    }
    group.test("a connection that breaks changes nothing, and it is polled again", |scene| async move {
        stays(&scene, Answer::HangUp).await
    });
}

/// After the first poll this is all that comes, for a while: the flags stay, and are polled again.
async fn stays(scene: &Scene, trouble: Answer) -> Verdict {
    let service = scene.endpoint("poll", trouble).await?;
    service.answer_first([answer("a")]);
    let client = client(scene, &service, 100).await?;
    service.request(3, SOON).await?;
    client.has_value("f", "a").await?;
    service.answer(answer("b"));
    client.soon_has_value("f", "b").await
}

fn add_gzip(suite: &mut Suite) {
    suite
        .group("3.3 polling: compression")
        .needs("polling-gzip")
        .test("it is asked for, and read", |scene| async move {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(flags([serving("f", 1, "small")]).to_string().as_bytes()).map_err(told)?;
            let body = encoder.finish().map_err(told)?;
            let service =
                scene.endpoint("poll", Answer::json(body).header("Content-Encoding", "gzip")).await?;
            let client = client(&scene, &service, 60_000).await?;
            let request = service.request(0, SOON).await?;
            let accepted = request.header("accept-encoding").unwrap_or("nothing");
            ensure(accepted.contains("gzip"), || format!("`Accept-Encoding` is {accepted}"))?;
            client.has_value("f", "small").await
        })
        .test("what comes uncompressed is read too", |scene| async move {
            let service = scene.endpoint("poll", answer("plain")).await?;
            let client = client(&scene, &service, 60_000).await?;
            client.has_value("f", "plain").await
        });
}

fn told(error: std::io::Error) -> String {
    error.to_string()
}

fn add_extended(suite: &mut Suite) {
    let group = suite.group("8.6 polling: statuses that time does not mend").needs("server-side-polling");
    for status in [401, 403, 404, 405] {
        group.test(
            format!("after status {status} at first it is not polled again soon"),
            move |scene| async move {
                let service = scene.endpoint("poll", Answer::status(status)).await?;
                let config = json!({
                    "polling": {"baseUri": service.url, "pollIntervalMs": 50}, "startWaitTimeMs": 500,
                    "initCanFail": true,
                });
                let _client = scene.client(config).await?;
                service.no_request_after(1, Duration::from_secs(1)).await
            },
        );
        group.test(
            format!("after status {status} on the way it is not polled again soon, and the flags stay"),
            move |scene| async move {
                let service = scene.endpoint("poll", Answer::status(status)).await?;
                service.answer_first([answer("a")]);
                let client = client(&scene, &service, 50).await?;
                service.request(1, SOON).await?;
                service.no_request_after(2, Duration::from_secs(1)).await?;
                client.has_value("f", "a").await
            },
        );
    }
    suite
        .group("3.3 polling: retry conformance, in full")
        .needs("retry-conformance-fdv1-polling")
        .long_running()
        .test("after status 401 it is polled again between 2.5 and 5 minutes later", |scene| async move {
            let service = scene.endpoint("poll", Answer::status(401)).await?;
            let config = json!({
                "polling": {"baseUri": service.url, "pollIntervalMs": 50}, "startWaitTimeMs": 500,
                "initCanFail": true,
            });
            let client = scene.client(config).await?;
            let first = service.request(0, SOON).await?.at;
            service.answer(answer("a"));
            let delay = service.request(1, Duration::from_secs(310)).await?.at - first;
            ensure(delay >= Duration::from_secs(149), || format!("it was polled again after {delay:?}"))?;
            client.soon_has_value("f", "a").await
        });
}

fn add_filters(suite: &mut Suite) {
    let group = suite.group("3.4 filters").needs("filtering");
    for key in ["a", "Abc-1._2", "7", "x..y"] {
        group.test(format!("`{key}` is sent with streams and polls"), move |scene| async move {
            for request in filtered(&scene, key).await? {
                let got = request.parameter("filter");
                ensure(got.as_deref() == Some(key), || format!("{request} has the filter {got:?}"))?;
            }
            Ok(())
        });
    }
    let group = suite.group("3.4 filters: strict").needs("filtering-strict");
    for key in ["", " ", "a b", "-a", ".a", "_a", "a/b", "a$b", "a&b=c", "ø"] {
        group.test(format!("`{key}` is ignored"), move |scene| async move {
            for request in filtered(&scene, key).await? {
                ensure(!request.query.contains("filter"), || format!("it is {request}"))?;
            }
            Ok(())
        });
    }
}

/// What a client with this filter asks for, by stream and by poll.
async fn filtered(scene: &Scene, key: &str) -> Result<[Request; 2], String> {
    let streams = scene.streaming(&flags([])).await?;
    let polls = scene.polling(&flags([])).await?;
    let _one = scene.client(json!({"streaming": {"baseUri": streams.url, "filter": key}})).await?;
    let _two = scene.client(json!({"polling": {"baseUri": polls.url, "filter": key}})).await?;
    Ok([streams.request(0, SOON).await?, polls.request(0, SOON).await?])
}

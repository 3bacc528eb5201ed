//! Section 4.7: what an SDK reports of itself.

use serde_json::{Value, json};

use crate::expect::{ensure, same};
use crate::flags::{flags, with};
use crate::mock::Answer;
use crate::scene::{A_WHILE, SDK_KEY, Scene};
use crate::suite::{Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    let group = suite.group("4.7 diagnostics");
    group
        .test("a client reports when it starts, once", |scene| async move {
            let (_client, sink, _service) =
                scene.reporting_client(&flags([]), json!({"enableDiagnostics": true})).await?;
            let request = sink.diagnostic(0).await?;
            ensure(request.method == "POST" && request.path == "/diagnostic", || request.to_string())?;
            for name in ["x-launchdarkly-event-schema", "x-launchdarkly-payload-id"] {
                ensure(request.header(name).is_none(), || format!("it has `{name}`"))?;
            }
            let report = request.json()?;
            same("the kind", &report["kind"], &json!("diagnostic-init"))?;
            let date = report["creationDate"].as_f64().unwrap_or_default();
            ensure(date > 1_577_836_800_000.0, || format!("`creationDate` is {date}"))?;
            let id = &report["id"];
            ensure(id["diagnosticId"].as_str().is_some_and(|id| id.len() == 36), || id.to_string())?;
            let suffix = &SDK_KEY[SDK_KEY.len() - 6..];
            same("the end of the key", &id["sdkKeySuffix"], &json!(suffix))?;
            sink.endpoint.no_request_after(1, A_WHILE).await
        })
        .test("it does not unless that is on", |scene| async move {
            let (_client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
            sink.endpoint.no_request_after(0, A_WHILE).await
        })
        .test("it says which SDK it is and what it runs on", |scene| async move {
            let report = report(&scene, json!({}), json!({})).await?;
            for (part, names) in
                [("sdk", vec!["name", "version"]), ("platform", vec!["name", "osArch", "osName"])]
            {
                for name in names {
                    let text = report[part][name].as_str().unwrap_or_default();
                    ensure(!text.is_empty(), || format!("`{part}.{name}` is {}", report[part][name]))?;
                }
            }
            Ok(())
        })
        .test("another client has another id", |scene| async move {
            let one = report(&scene, json!({}), json!({})).await?;
            let two = report(&scene, json!({}), json!({})).await?;
            let (one, two) = (&one["id"]["diagnosticId"], &two["id"]["diagnosticId"]);
            ensure(one != two, || format!("both have {one}"))
        })
        .test("after an error it is sent once more", |scene| async move {
            let service = scene.streaming(&flags([])).await?;
            let sink = scene.sink().await?;
            sink.endpoint.answer_first([Answer::status(503)]);
            let _client = scene
                .client(json!({
                    "streaming": {"baseUri": service.url},
                    "events": {"baseUri": sink.endpoint.url, "enableDiagnostics": true},
                }))
                .await?;
            let one = sink.diagnostic(0).await?.json()?;
            let two = sink.diagnostic(1).await?.json()?;
            same("the second", &two, &one)?;
            sink.endpoint.no_request_after(2, A_WHILE).await
        });
    let cases = [
        (
            "the defaults",
            json!({}),
            json!({}),
            json!({
                "allAttributesPrivate": false, "streamingDisabled": false, "usingRelayDaemon": false,
                "customEventsURI": true, "customStreamURI": true, "eventsCapacity": 10_000,
                "eventsFlushIntervalMillis": 5_000, "diagnosticRecordingIntervalMillis": 900_000,
                "reconnectTimeMillis": 1_000, "dataStoreType": "memory", "usingProxy": false,
            }),
        ),
        ("the capacity", json!({"capacity": 999}), json!({}), json!({"eventsCapacity": 999})),
        (
            "the flush interval",
            json!({"flushIntervalMs": 7_000}),
            json!({}),
            json!({"eventsFlushIntervalMillis": 7_000}),
        ),
        (
            "all attributes private",
            json!({"allAttributesPrivate": true}),
            json!({}),
            json!({"allAttributesPrivate": true}),
        ),
        ("the start wait", json!({}), json!({"startWaitTimeMs": 4_321}), json!({"startWaitMillis": 4_321})),
    ];
    for (name, events, configuration, want) in cases {
        group.test(format!("it says the configuration: {name}"), move |scene| {
            let (events, configuration, want) = (events.clone(), configuration.clone(), want.clone());
            async move {
                let report = report(&scene, events, configuration).await?;
                says(&report["configuration"], &want)
            }
        });
    }
    group.test("it says the first delay of a stream", |scene| async move {
        let service = scene.streaming(&flags([])).await?;
        let delayed = json!({"streaming": {"baseUri": service.url, "initialRetryDelayMs": 4_567}});
        let report = report(&scene, json!({}), delayed).await?;
        says(&report["configuration"], &json!({"reconnectTimeMillis": 4_567}))
    });
    group.test("it says that it polls, and how often", |scene| async move {
        let service = scene.polling(&flags([])).await?;
        let sink = scene.sink().await?;
        let _client = scene
            .client(json!({
                "polling": {"baseUri": service.url, "pollIntervalMs": 44_000},
                "events": {"baseUri": sink.endpoint.url, "enableDiagnostics": true},
            }))
            .await?;
        let report = sink.diagnostic(0).await?.json()?;
        says(&report["configuration"], &json!({"streamingDisabled": true, "pollingIntervalMillis": 44_000}))
    });
    suite.group("4.7 diagnostics: wrapper").needs("wrapper").test(
        "it names the wrapper",
        |scene| async move {
            let wrapped = json!({"wrapper": {"name": "w", "version": "2"}});
            let report = report(&scene, json!({}), wrapped).await?;
            says(&report["sdk"], &json!({"wrapperName": "w", "wrapperVersion": "2"}))
        },
    );
}

/// What a client with this configuration reports when it starts.
async fn report(scene: &Scene, events: Value, configuration: Value) -> Result<Value, String> {
    let service = scene.streaming(&flags([])).await?;
    let sink = scene.sink().await?;
    let base = json!({
        "streaming": {"baseUri": service.url},
        "events": with(json!({"baseUri": sink.endpoint.url, "enableDiagnostics": true}), events),
    });
    let _client = scene.client(with(base, configuration)).await?;
    sink.diagnostic(0).await?.json()
}

fn says(part: &Value, want: &Value) -> Verdict {
    for (name, value) in want.as_object().into_iter().flatten() {
        same(&format!("`{name}`"), &part[name], value)?;
    }
    Ok(())
}

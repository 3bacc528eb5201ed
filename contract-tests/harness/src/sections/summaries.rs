//! Section 4.2: counts of evaluations.

use serde_json::{Value, json};

use crate::expect::{ensure, same, same_set};
use crate::flags::{flag, flags, patch_flag, serving, user, user_with};
use crate::scene::{A_WHILE, SOON, only};
use crate::suite::{Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    let group = suite.group("4.2 events: summary");
    group
        .test("evaluations are counted by flag, variation and version", |scene| async move {
            let f = flag(
                "f",
                11,
                json!({
                    "on": true, "variations": ["a", "b"], "fallthrough": {"variation": 0},
                    "targets": [{"variation": 1, "values": ["targeted"]}],
                }),
            );
            let all = flags([f, serving("g", 5, 1)]);
            let (client, sink, _service) = scene.reporting_client(&all, json!({})).await?;
            for (key, who, times) in [("f", "someone", 3), ("f", "targeted", 2), ("g", "someone", 1)] {
                for _ in 0..times {
                    client.value_for(key, &user_with(who, json!({})), "d").await?;
                }
            }
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            counts(
                &summary,
                "f",
                "d",
                &[
                    json!({"variation": 0, "version": 11, "value": "a", "count": 3}),
                    json!({"variation": 1, "version": 11, "value": "b", "count": 2}),
                ],
            )?;
            counts(&summary, "g", "d", &[json!({"variation": 0, "version": 5, "value": 1, "count": 1})])?;
            dates(&summary)
        })
        .test("a new version of a flag has its own count", |scene| async move {
            let all = flags([serving("f", 1, "a")]);
            let (client, sink, service) = scene.reporting_client(&all, json!({})).await?;
            client.value("f", "d").await?;
            service.stream(0, SOON).await?.send(patch_flag(&serving("f", 2, "b")));
            client.soon_has_value("f", "b").await?;
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            let versions: Vec<Value> = summary["features"]["f"]["counters"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|counter| counter["version"].clone())
                .collect();
            same_set("the versions", &versions, &[json!(1), json!(2)])
        })
        .test("an unknown flag is counted as unknown, with its default", |scene| async move {
            let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
            client.value("nope", 1).await?;
            client.value("nope", 1).await?;
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            counts(&summary, "nope", 1, &[json!({"unknown": true, "value": 1, "count": 2})])
        })
        .test("a malformed flag is counted with its version and the default", |scene| async move {
            let f = flag("f", 3, json!({"on": true, "variations": ["a"], "fallthrough": {"variation": 7}}));
            let (client, sink, _service) = scene.reporting_client(&flags([f]), json!({})).await?;
            client.value("f", "d").await?;
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            counts(&summary, "f", "d", &[json!({"version": 3, "value": "d", "count": 1})])
        })
        .test("a flag without a variation is counted with the default", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([flag("f", 3, json!({}))]), json!({})).await?;
            client.value("f", "d").await?;
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            counts(&summary, "f", "d", &[json!({"version": 3, "value": "d", "count": 1})])
        })
        .test("the default is that of the first evaluation since the last flush", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([serving("f", 1, "a")]), json!({})).await?;
            client.value("f", "first").await?;
            client.value("f", "second").await?;
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            same("the default", &summary["features"]["f"]["default"], &json!("first"))?;
            client.value("f", "second").await?;
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            same("the default", &summary["features"]["f"]["default"], &json!("second"))
        })
        .test("every kind that was seen is named, once", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([serving("f", 1, "a")]), json!({})).await?;
            for context in [
                user(),
                json!({"kind": "org", "key": "o"}),
                json!({"kind": "multi", "org": {"key": "o"}, "device": {"key": "x"}}),
                user(),
            ] {
                client.value_for("f", &context, "d").await?;
            }
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            let kinds = summary["features"]["f"]["contextKinds"].as_array().cloned().unwrap_or_default();
            same_set("the kinds", &kinds, &[json!("user"), json!("org"), json!("device")])
        })
        .test("counts begin anew after a flush", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([serving("f", 1, "a")]), json!({})).await?;
            for times in [3, 2] {
                for _ in 0..times {
                    client.value("f", "d").await?;
                }
                let summary = only(&client.flushed(&sink).await?, "summary")?;
                let count = json!({"variation": 0, "version": 1, "value": "a", "count": times});
                counts(&summary, "f", "d", &[count])?;
            }
            Ok(())
        })
        .test("with nothing to report there is no payload", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([serving("f", 1, "a")]), json!({})).await?;
            client.flush().await?;
            sink.nothing_within(A_WHILE).await?;
            client.value("f", "d").await?;
            client.flushed(&sink).await?;
            client.flush().await?;
            sink.nothing_within(A_WHILE).await
        })
        .test("an evaluation before there are flags is counted as unknown", |scene| async move {
            let service = scene.endpoint("stream", crate::mock::Answer::events(Vec::<String>::new())).await?;
            let sink = scene.sink().await?;
            let client = scene
                .client(json!({
                    "streaming": {"baseUri": service.url}, "events": {"baseUri": sink.endpoint.url},
                    "startWaitTimeMs": 100, "initCanFail": true,
                }))
                .await?;
            client.value("f", "d").await?;
            let summary = only(&client.flushed(&sink).await?, "summary")?;
            counts(&summary, "f", "d", &[json!({"unknown": true, "value": "d", "count": 1})])
        });
}

fn counts(summary: &Value, key: &str, default: impl Into<Value>, want: &[Value]) -> Verdict {
    let feature = &summary["features"][key];
    same("the default", &feature["default"], &default.into())?;
    let counters = feature["counters"].as_array().cloned().unwrap_or_default();
    same_set(&format!("the counters of `{key}`"), &counters, want)
}

fn dates(summary: &Value) -> Verdict {
    let (start, end) = (summary["startDate"].as_f64(), summary["endDate"].as_f64());
    let good = start.zip(end).is_some_and(|(start, end)| start > 1_577_836_800_000.0 && start <= end);
    ensure(good, || format!("the dates are {start:?} and {end:?}"))?;
    ensure(summary.get("creationDate").is_none_or(Value::is_null), || "it has a `creationDate`".to_owned())
}

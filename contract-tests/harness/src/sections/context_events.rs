//! Sections 4.1 and 4.3: what is reported of contexts, and of what happens in the program: index,
//! identify and custom events.

use serde_json::{Value, json};

use super::events::{inlined, is_event, on};
use crate::expect::{ensure, same_set};
use crate::flags::{flags, user, user_with};
use crate::scene::{A_WHILE, Scene, of_kind, only};
use crate::suite::Suite;

pub(crate) fn add(suite: &mut Suite) {
    add_index(suite);
    add_identify(suite);
    add_custom(suite);
}

fn add_index(suite: &mut Suite) {
    let group = suite.group("4.3 events: index");
    group
        .test("a context is reported whole when it is first evaluated", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([on("f", json!({}))]), json!({})).await?;
            let who = user_with("a", json!({"name": "n", "x": [1, {"y": null}], "anonymous": true}));
            client.value_for("f", &who, "d").await?;
            let events = client.flushed(&sink).await?;
            is_event(&only(&events, "index")?, &json!({"kind": "index", "context": who}))
        })
        .test("it is reported once, also from flush to flush", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([on("f", json!({}))]), json!({})).await?;
            client.value("f", "d").await?;
            client.value("f", "d").await?;
            only(&client.flushed(&sink).await?, "index")?;
            client.value("f", "d").await?;
            let events = client.flushed(&sink).await?;
            ensure(of_kind(&events, "index").is_empty(), || "it is reported again".to_owned())
        })
        .test("other attributes do not make another context", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([on("f", json!({}))]), json!({})).await?;
            client.value_for("f", &user_with("a", json!({"x": 1})), "d").await?;
            client.value_for("f", &user_with("a", json!({"x": 2})), "d").await?;
            only(&client.flushed(&sink).await?, "index").map(|_| ())
        })
        .test("another key, another kind and several kinds are other contexts", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([on("f", json!({}))]), json!({})).await?;
            let contexts = [
                json!({"kind": "user", "key": "a"}),
                json!({"kind": "user", "key": "b"}),
                json!({"kind": "org", "key": "a"}),
                json!({"kind": "multi", "user": {"key": "a"}, "org": {"key": "a"}}),
            ];
            for context in contexts.iter().chain(&contexts) {
                client.value_for("f", context, "d").await?;
            }
            let events = client.flushed(&sink).await?;
            let found: Vec<Value> =
                of_kind(&events, "index").iter().map(|event| event["context"].clone()).collect();
            same_set("the contexts", &found, &contexts)
        })
        .test("an unknown flag reports the context too", |scene| async move {
            let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
            client.value("f", "d").await?;
            only(&client.flushed(&sink).await?, "index").map(|_| ())
        })
        .test("one that was identified is known already", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([on("f", json!({}))]), json!({})).await?;
            client.identify(&user()).await?;
            client.value("f", "d").await?;
            let events = client.flushed(&sink).await?;
            ensure(of_kind(&events, "index").is_empty(), || "it is reported again".to_owned())
        })
        .test("one thousand contexts are remembered", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([on("f", json!({}))]), json!({})).await?;
            for number in 0..100 {
                client.value_for("f", &user_with(&format!("u{number}"), json!({})), "d").await?;
            }
            client.flushed(&sink).await?;
            for number in 0..100 {
                client.value_for("f", &user_with(&format!("u{number}"), json!({})), "d").await?;
            }
            let events = client.flushed(&sink).await?;
            let count = of_kind(&events, "index").len();
            ensure(count == 0, || format!("{count} are reported again"))
        });
}

fn add_identify(suite: &mut Suite) {
    let group = suite.group("4.1 events: identify");
    for (name, context) in [
        ("a user", user_with("a", json!({"name": "n", "x": {"y": 1}}))),
        ("another kind", json!({"kind": "org", "key": "o", "name": "n"})),
        ("several kinds", json!({"kind": "multi", "user": {"key": "u", "x": 1}, "org": {"key": "o"}})),
        ("an anonymous context", user_with("a", json!({"anonymous": true}))),
    ] {
        group.test(format!("{name} is reported whole"), move |scene| {
            let context = context.clone();
            async move {
                let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
                client.identify(&context).await?;
                let events = client.flushed(&sink).await?;
                ensure(events.len() == 1, || {
                    format!("there are more events: {}", Value::from(events.clone()))
                })?;
                is_event(&events[0], &json!({"kind": "identify", "context": context}))
            }
        });
    }
    group.test("it is reported each time", |scene| async move {
        let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
        client.identify(&user()).await?;
        client.identify(&user()).await?;
        let events = client.flushed(&sink).await?;
        ensure(of_kind(&events, "identify").len() == 2, || Value::from(events).to_string())
    });
    group.test("an impossible context is not reported", |scene| async move {
        let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
        client.identify(&json!({"kind": "user", "key": ""})).await?;
        client.flush().await?;
        sink.nothing_within(A_WHILE).await
    });
    suite.group("4.1 events: identify, users of old").needs("user-type").test(
        "a user is reported as a context",
        |scene| async move {
            let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
            client.command("identifyEvent", json!({"user": {"key": "a", "custom": {"x": 1}}})).await?;
            let events = client.flushed(&sink).await?;
            let want = json!({"kind": "identify", "context": {"kind": "user", "key": "a", "x": 1}});
            is_event(&only(&events, "identify")?, &want)
        },
    );
}

/// Reports something, and gives the custom event of it.
async fn tracked_as(scene: &Scene, parameters: Value) -> Result<(Value, Vec<Value>), String> {
    let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
    let parameters = crate::flags::with(json!({"eventKey": "bought", "context": user()}), parameters);
    client.command("customEvent", parameters).await?;
    let events = client.flushed(&sink).await?;
    Ok((only(&events, "custom")?, events))
}

fn add_custom(suite: &mut Suite) {
    let group = suite.group("4.1 events: custom");
    let cases = [
        ("nothing", json!({}), json!({})),
        ("null data, to be omitted", json!({"data": null, "omitNullData": true}), json!({})),
        ("a text", json!({"data": "x"}), json!({"data": "x"})),
        ("an empty text", json!({"data": ""}), json!({"data": ""})),
        ("a number", json!({"data": 0}), json!({"data": 0})),
        ("a fraction", json!({"data": 1.5}), json!({"data": 1.5})),
        ("false", json!({"data": false}), json!({"data": false})),
        ("a list", json!({"data": [1, null, "a"]}), json!({"data": [1, null, "a"]})),
        ("an object", json!({"data": {"a": {"b": null}}}), json!({"data": {"a": {"b": null}}})),
        ("a metric", json!({"metricValue": 9.5}), json!({"metricValue": 9.5})),
        ("a metric of zero", json!({"metricValue": 0}), json!({"metricValue": 0})),
        ("a negative metric", json!({"metricValue": -2}), json!({"metricValue": -2})),
        ("both", json!({"data": {"a": 1}, "metricValue": 1}), json!({"data": {"a": 1}, "metricValue": 1})),
    ];
    for (name, parameters, want) in cases {
        group.test(format!("with {name}"), move |scene| {
            let (parameters, want) = (parameters.clone(), want.clone());
            async move {
                let (event, _) = tracked_as(&scene, parameters).await?;
                let event = inlined(&scene, &event);
                let base = json!({"kind": "custom", "key": "bought", "context": user()});
                let want = crate::flags::with(base, want);
                is_event(&event, &want)?;
                for name in ["data", "metricValue"] {
                    let wrong =
                        want.get(name).is_none() && event.get(name).is_some_and(|value| !value.is_null());
                    ensure(!wrong, || format!("`{name}` is there"))?;
                }
                Ok(())
            }
        });
    }
    group
        .test("the context is reported first if it is new", |scene| async move {
            let (_, events) = tracked_as(&scene, json!({})).await?;
            is_event(&only(&events, "index")?, &json!({"kind": "index", "context": user()}))
        })
        .test("there is no summary of it", |scene| async move {
            let (_, events) = tracked_as(&scene, json!({})).await?;
            ensure(of_kind(&events, "summary").is_empty(), || Value::from(events).to_string())
        })
        .test("an impossible context is not reported", |scene| async move {
            let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
            let context = json!({"kind": "kind", "key": "a"});
            client.command("customEvent", json!({"eventKey": "k", "context": context})).await?;
            client.flush().await?;
            sink.nothing_within(A_WHILE).await
        });
}

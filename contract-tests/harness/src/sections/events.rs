//! Section 4.1: what is reported of evaluations: feature and debug events, and when there are none.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expect::{ensure, has, same, same_set};
use crate::flags::{flag, flags, serving, user, user_with};
use crate::mock::Answer;
use crate::scene::{A_WHILE, Client, Scene, of_kind, only};
use crate::suite::{Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    add_feature(suite);
    add_debug(suite);
    add_prerequisites(suite);
    add_experiments(suite);
    add_sampling(suite);
}

/// A flag that is on and serves its key, with these properties besides.
pub(super) fn on(key: &str, properties: Value) -> Value {
    let base =
        json!({"on": true, "variations": [key, "other"], "fallthrough": {"variation": 0}, "offVariation": 1});
    flag(key, 7, crate::flags::with(base, properties))
}

fn tracked(key: &str, properties: Value) -> Value {
    on(key, crate::flags::with(json!({"trackEvents": true}), properties))
}

/// An event without its date, which must be one.
pub(super) fn undated(event: &Value) -> Result<Value, String> {
    let date = event["creationDate"].as_f64().unwrap_or_default();
    // After 2020: in milliseconds.
    ensure(date > 1_577_836_800_000.0, || format!("`creationDate` is {}", event["creationDate"]))?;
    let mut event = event.clone();
    event.as_object_mut().into_iter().for_each(|event| {
        event.remove("creationDate");
    });
    Ok(event)
}

/// Fails unless the event is this one, whatever its date.
pub(super) fn is_event(event: &Value, want: &Value) -> Verdict {
    same("the event", &undated(event)?, want)
}

fn add_feature(suite: &mut Suite) {
    let group = suite.group("4.1 events: feature");
    group
        .test("an evaluation of a flag that is not tracked has none", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([on("f", json!({}))]), json!({})).await?;
            client.has_value("f", "f").await?;
            let events = client.flushed(&sink).await?;
            ensure(of_kind(&events, "feature").is_empty(), || format!("{}", Value::from(events)))
        })
        .test("an evaluation of a tracked flag has one", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([tracked("f", json!({}))]), json!({})).await?;
            client.value("f", "d").await?;
            let events = client.flushed(&sink).await?;
            let want = json!({"kind": "feature", "key": "f", "version": 7, "variation": 0, "value": "f",
                              "default": "d", "context": user()});
            is_event(&inlined(&scene, &only(&events, "feature")?), &want)
        })
        .test("it has the reason if details were asked for", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([tracked("f", json!({}))]), json!({})).await?;
            client.detail("f", &user(), json!("d")).await?;
            let events = client.flushed(&sink).await?;
            has("the event", &only(&events, "feature")?, &json!({"reason": {"kind": "FALLTHROUGH"}}))
        })
        .test("each evaluation has its own", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([tracked("f", json!({}))]), json!({})).await?;
            for _ in 0..3 {
                client.value("f", "d").await?;
            }
            let events = client.flushed(&sink).await?;
            let count = of_kind(&events, "feature").len();
            ensure(count == 3, || format!("there are {count}"))
        })
        .test("a malformed flag has one without a variation, with the default", |scene| async move {
            let bad = tracked("f", json!({"fallthrough": {"variation": 9}}));
            let (client, sink, _service) = scene.reporting_client(&flags([bad]), json!({})).await?;
            client.detail("f", &user(), json!("d")).await?;
            let events = client.flushed(&sink).await?;
            let want = json!({"kind": "feature", "key": "f", "version": 7, "value": "d", "default": "d",
                              "reason": {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}, "context": user()});
            is_event(&inlined(&scene, &only(&events, "feature")?), &want)
        })
        .test("an unknown flag has none", |scene| async move {
            let (client, sink, _service) = scene.reporting_client(&flags([]), json!({})).await?;
            client.value("f", "d").await?;
            let events = client.flushed(&sink).await?;
            ensure(of_kind(&events, "feature").is_empty(), || format!("{}", Value::from(events)))
        })
        .test("an impossible context has nothing at all", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([tracked("f", json!({}))]), json!({})).await?;
            client.value_for("f", &json!({"kind": "user", "key": ""}), "d").await?;
            client.flush().await?;
            sink.nothing_within(A_WHILE).await
        })
        .test("a multi-context stands in it whole", |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([tracked("f", json!({}))]), json!({})).await?;
            let both = json!({"kind": "multi", "user": {"key": "u", "name": "n"}, "org": {"key": "o"}});
            client.value_for("f", &both, "d").await?;
            let events = client.flushed(&sink).await?;
            let event = only(&events, "feature")?;
            if scene.can("inline-context") || scene.can("inline-context-all") {
                same("the context", &event["context"], &both)
            } else {
                same("the keys", &event["contextKeys"], &json!({"user": "u", "org": "o"}))
            }
        });
    suite.group("4.1 events: feature, typed").needs("strongly-typed").test(
        "a value of another type is reported as the default, without a variation",
        |scene| async move {
            let (client, sink, _service) =
                scene.reporting_client(&flags([tracked("f", json!({}))]), json!({})).await?;
            client.typed("f", &user(), "bool", json!(true), true).await?;
            let events = client.flushed(&sink).await?;
            let want = json!({"kind": "feature", "key": "f", "version": 7, "value": true, "default": true,
                              "reason": {"kind": "ERROR", "errorKind": "WRONG_TYPE"}, "context": user()});
            is_event(&inlined(&scene, &only(&events, "feature")?), &want)
        },
    );
}

/// The event with the usual context inline, also where the SDK may name its keys alone.
pub(super) fn inlined(scene: &Scene, event: &Value) -> Value {
    let mut event = event.clone();
    let by_keys = match event["kind"].as_str() {
        Some("feature") => !scene.can("inline-context") && !scene.can("inline-context-all"),
        _ => !scene.can("inline-context-all"),
    };
    if by_keys && event["contextKeys"] == json!({"user": "user-key"}) {
        event["contextKeys"] = Value::Null;
        event["context"] = user();
    }
    event
}

fn add_debug(suite: &mut Suite) {
    let group = suite.group("4.1 events: debug");
    const FAR_OFF: u64 = 4_000_000_000_000;
    group
        .test("a flag that is debugged has one, and no feature event", |scene| async move {
            let f = on("f", json!({"debugEventsUntilDate": FAR_OFF}));
            let (client, sink, _service) = scene.reporting_client(&flags([f]), json!({})).await?;
            let who = user_with("user-key", json!({"name": "n"}));
            client.value_for("f", &who, "d").await?;
            let events = client.flushed(&sink).await?;
            ensure(of_kind(&events, "feature").is_empty(), || "there is a feature event".to_owned())?;
            let want = json!({"kind": "debug", "key": "f", "version": 7, "variation": 0, "value": "f",
                              "default": "d", "context": who});
            is_event(&only(&events, "debug")?, &want)
        })
        .test("a flag that is tracked and debugged has both", |scene| async move {
            let f = tracked("f", json!({"debugEventsUntilDate": FAR_OFF}));
            let (client, sink, _service) = scene.reporting_client(&flags([f]), json!({})).await?;
            client.value("f", "d").await?;
            let events = client.flushed(&sink).await?;
            only(&events, "feature")?;
            only(&events, "debug").map(|_| ())
        })
        .test("it has the reason if details were asked for", |scene| async move {
            let f = on("f", json!({"debugEventsUntilDate": FAR_OFF}));
            let (client, sink, _service) = scene.reporting_client(&flags([f]), json!({})).await?;
            client.detail("f", &user(), json!("d")).await?;
            let events = client.flushed(&sink).await?;
            has("the event", &only(&events, "debug")?, &json!({"reason": {"kind": "FALLTHROUGH"}}))
        })
        .test("there is none once its time is over", |scene| async move {
            let f = on("f", json!({"debugEventsUntilDate": 1_600_000_000_000_u64}));
            let (client, sink, _service) = scene.reporting_client(&flags([f]), json!({})).await?;
            client.value("f", "d").await?;
            let events = client.flushed(&sink).await?;
            ensure(of_kind(&events, "debug").is_empty(), || "there is one".to_owned())
        });
    // The service's time as it answers, and the flag's end of debugging, of which the local clock knows.
    for (name, date, until, debugged) in [
        (
            "the service's clock is ahead, and it is over there",
            "Tue, 19 Jan 2055 03:14:07 GMT",
            2_600_000_000_000_u64,
            false,
        ),
        (
            "the service's clock is ahead, and it is not over there",
            "Tue, 19 Jan 2038 03:14:07 GMT",
            2_600_000_000_000,
            true,
        ),
        (
            "the service's clock is behind, but it is over here",
            "Sat, 01 Jan 2000 00:00:00 GMT",
            1_600_000_000_000,
            false,
        ),
        (
            "the service's clock is behind, and it is not over here",
            "Sat, 01 Jan 2000 00:00:00 GMT",
            2_600_000_000_000,
            true,
        ),
        ("the service's time cannot be read", "yesterday", 2_600_000_000_000, true),
    ] {
        group.test(
            format!("{name}: {}", if debugged { "it is debugged" } else { "it is not debugged" }),
            move |scene| async move {
                let f = on("f", json!({"debugEventsUntilDate": until}));
                let (client, sink, _service) = scene.reporting_client(&flags([f]), json!({})).await?;
                sink.endpoint.answer(Answer::status(202).header("Date", date));
                client.identify(&user()).await?;
                client.flushed(&sink).await?;
                // The answer may still be on its way to the SDK.
                tokio::time::sleep(Duration::from_millis(200)).await;
                client.value("f", "d").await?;
                let events = client.flushed(&sink).await?;
                let found = of_kind(&events, "debug").len();
                ensure(found == usize::from(debugged), || format!("there are {found} debug events"))
            },
        );
    }
}

fn add_prerequisites(suite: &mut Suite) {
    let group = suite.group("4.1 events: prerequisites");
    let needs = |key: &str, other: &str, properties: Value| {
        on(key, crate::flags::with(json!({"prerequisites": [{"key": other, "variation": 0}]}), properties))
    };
    let all = flags([
        needs("f", "g", json!({"trackEvents": true})),
        needs("g", "h", json!({"trackEvents": true})),
        tracked("h", json!({})),
    ]);
    let with_all = all.clone();
    group.test("each names the flag that needs it", move |scene| {
        let all = with_all.clone();
        async move {
            let (client, sink, _service) = scene.reporting_client(&all, json!({})).await?;
            client.value("f", "d").await?;
            let events = client.flushed(&sink).await?;
            let found: Result<Vec<Value>, String> =
                of_kind(&events, "feature").iter().map(|event| undated(&inlined(&scene, event))).collect();
            let event = |key: &str, more: Value| {
                let base = json!({"kind": "feature", "key": key, "version": 7, "variation": 0, "value": key,
                                  "context": user()});
                crate::flags::with(base, more)
            };
            same_set(
                "the events",
                &found?,
                &[
                    event("f", json!({"default": "d"})),
                    event("g", json!({"prereqOf": "f"})),
                    event("h", json!({"prereqOf": "g"})),
                ],
            )
        }
    });
    let with_all = all.clone();
    group.test("they have reasons if details were asked for", move |scene| {
        let all = with_all.clone();
        async move {
            let (client, sink, _service) = scene.reporting_client(&all, json!({})).await?;
            client.detail("f", &user(), json!("d")).await?;
            let events = client.flushed(&sink).await?;
            for event in of_kind(&events, "feature") {
                has("the event", &event, &json!({"reason": {"kind": "FALLTHROUGH"}}))?;
            }
            ensure(of_kind(&events, "feature").len() == 3, || Value::from(events).to_string())
        }
    });
    group.test("they are counted under their own keys, with no default", move |scene| {
        let all = all.clone();
        async move {
            let (client, sink, _service) = scene.reporting_client(&all, json!({})).await?;
            client.value("f", "d").await?;
            let events = client.flushed(&sink).await?;
            let summary = only(&events, "summary")?;
            for (key, default) in [("f", json!("d")), ("g", Value::Null), ("h", Value::Null)] {
                let counters = json!([{"variation": 0, "version": 7, "value": key, "count": 1}]);
                let want = json!({"default": default, "contextKinds": ["user"], "counters": counters});
                same(&format!("the counts of `{key}`"), &summary["features"][key], &want)?;
            }
            Ok(())
        }
    });
    let off = flags([
        needs("f", "g", json!({"trackEvents": true})),
        tracked("g", json!({"on": false, "offVariation": 0})),
    ]);
    group.test("one that is off is reported with its off value", move |scene| {
        let off = off.clone();
        async move {
            let (client, sink, _service) = scene.reporting_client(&off, json!({})).await?;
            client.has_value("f", "other").await?;
            let events = client.flushed(&sink).await?;
            let found = of_kind(&events, "feature");
            let of_g = found.iter().find(|event| event["key"] == "g").cloned().unwrap_or_default();
            has("the event", &of_g, &json!({"variation": 0, "value": "g", "prereqOf": "f"}))
        }
    });
}

fn add_experiments(suite: &mut Suite) {
    let group = suite.group("4.1 events: experiments");
    let rollout = |untracked: bool| {
        json!({"fallthrough": {"rollout": {"kind": "experiment", "contextKind": "user", "variations": [
            {"variation": 0, "weight": 100_000, "untracked": untracked}]}}})
    };
    let rule =
        |track: bool| json!({"rules": [{"id": "r", "variation": 0, "trackEvents": track, "clauses": []}]});
    let cases = [
        (
            "a context in an experiment is reported with the reason",
            rollout(false),
            Some(json!({"kind": "FALLTHROUGH", "inExperiment": true})),
        ),
        ("one in an untracked part of it is not", rollout(true), None),
        (
            "a tracked fallthrough is reported with the reason",
            json!({"trackEventsFallthrough": true}),
            Some(json!({"kind": "FALLTHROUGH"})),
        ),
        (
            "a tracked fallthrough that is not reached is not",
            json!({"trackEventsFallthrough": true, "targets": [{"variation": 0, "values": ["user-key"]}]}),
            None,
        ),
        (
            "a tracked rule is reported with the reason",
            rule(true),
            Some(json!({"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r"})),
        ),
        ("a rule that is not tracked is not", rule(false), None),
    ];
    for (name, properties, reason) in cases {
        group.test(name, move |scene| {
            let (all, reason) = (flags([on("f", properties.clone())]), reason.clone());
            async move {
                let (client, sink, _service) = scene.reporting_client(&all, json!({})).await?;
                client.value("f", "d").await?;
                let events = client.flushed(&sink).await?;
                match reason {
                    Some(reason) => same("the reason", &only(&events, "feature")?["reason"], &reason),
                    None => {
                        let none = of_kind(&events, "feature").is_empty();
                        ensure(none, || "there is a feature event".to_owned())
                    }
                }
            }
        });
    }
}

fn add_sampling(suite: &mut Suite) {
    let group = suite.group("4.1 events: sampling").needs("event-sampling");
    for (name, kind, properties) in [
        ("feature", "feature", json!({"trackEvents": true})),
        ("debug", "debug", json!({"debugEventsUntilDate": 4_000_000_000_000_u64})),
    ] {
        for (ratio, least, most) in
            [(json!(0), 0, 0), (json!(1), 200, 200), (json!(null), 200, 200), (json!(2), 40, 160)]
        {
            let f = on("f", crate::flags::with(json!({"samplingRatio": ratio}), properties.clone()));
            let ratio = ratio.clone();
            group.test(
                format!("{name}: of 200 at a ratio of {ratio} there are {least} to {most}"),
                move |scene| {
                    let (all, ratio) = (flags([f.clone()]), ratio.clone());
                    async move {
                        let (client, sink, _service) = scene.reporting_client(&all, json!({})).await?;
                        evaluate_often(&client, 200).await?;
                        let events = client.flushed(&sink).await?;
                        let found = of_kind(&events, kind);
                        let good = (least..=most).contains(&found.len());
                        ensure(good, || format!("there are {}", found.len()))?;
                        let stated = if ratio == json!(2) { ratio } else { Value::Null };
                        for event in &found {
                            same("the ratio stated", &event["samplingRatio"], &stated)?;
                        }
                        let counted = &only(&events, "summary")?["features"]["f"]["counters"][0]["count"];
                        same("the count of the summary", counted, &json!(200))
                    }
                },
            );
        }
    }
    group
        .test("index and custom events are not sampled", |scene| async move {
            let f = on("f", json!({"samplingRatio": 0, "trackEvents": true}));
            let (client, sink, _service) = scene.reporting_client(&flags([f]), json!({})).await?;
            client.value("f", "d").await?;
            client.command("customEvent", json!({"eventKey": "k", "context": user()})).await?;
            let events = client.flushed(&sink).await?;
            only(&events, "index")?;
            only(&events, "custom").map(|_| ())
        })
        .test("a flag excluded from summaries is not counted, but its events are sent", |scene| async move {
            let f = tracked("f", json!({"excludeFromSummaries": true}));
            let all = flags([f, serving("g", 1, "g")]);
            let (client, sink, _service) = scene.reporting_client(&all, json!({})).await?;
            client.value("f", "d").await?;
            client.value("g", "d").await?;
            let events = client.flushed(&sink).await?;
            only(&events, "feature")?;
            let features = &only(&events, "summary")?["features"];
            ensure(features.get("f").is_none() && features.get("g").is_some(), || features.to_string())
        })
        .test("with nothing but such flags there is no summary", |scene| async move {
            let f = on("f", json!({"excludeFromSummaries": true}));
            let (client, sink, _service) = scene.reporting_client(&flags([f]), json!({})).await?;
            client.value("f", "d").await?;
            let events = client.flushed(&sink).await?;
            ensure(of_kind(&events, "summary").is_empty(), || Value::from(events).to_string())
        });
}

async fn evaluate_often(client: &Client, times: usize) -> Verdict {
    for _ in 0..times {
        client.value("f", "d").await?;
    }
    Ok(())
}

//! Section 9: migrations: every stage, operation and order, and what is reported of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::events::undated;
use crate::expect::{ensure, has, same};
use crate::flags::{flag, flags, serving, user, with};
use crate::mock::{Answer, Endpoint};
use crate::scene::{A_WHILE, Client, Scene, Sink, only};
use crate::suite::{Suite, Verdict};

const STAGES: [&str; 6] = ["off", "dualwrite", "shadow", "live", "rampdown", "complete"];
const ORDERS: [&str; 3] = ["serial", "random", "concurrent"];

pub(crate) fn add(suite: &mut Suite) {
    add_variation(suite);
    add_calls(suite);
    add_reports(suite);
    add_consistency(suite);
    add_errors(suite);
}

/// A flag whose value is a stage.
fn staged(stage: &str, properties: Value) -> Value {
    with(serving("m", 7, stage), properties)
}

fn add_variation(suite: &mut Suite) {
    let group = suite.group("9 migrations: stage").needs("migrations");
    for stage in STAGES {
        group.test(format!("`{stage}` is the flag's"), move |scene| {
            stage_is(scene, flags([staged(stage, json!({}))]), "off", stage)
        });
        group.test(format!("`{stage}` is the default's"), move |scene| {
            stage_is(scene, flags([]), stage, stage)
        });
    }
    for (name, value) in [("a text that is no stage", json!("sideways")), ("a number", json!(3))] {
        group.test(format!("for {name} the default counts"), move |scene| {
            stage_is(scene, flags([serving("m", 1, value.clone())]), "live", "live")
        });
    }
    group.test("a default that is no stage counts as `off`", |scene| {
        stage_is(scene, flags([]), "sideways", "off")
    });
}

async fn stage_is(scene: Scene, all: Value, default: &'static str, want: &'static str) -> Verdict {
    let (client, _service) = scene.streaming_client(&all).await?;
    let parameters = json!({"key": "m", "context": user(), "defaultStage": default});
    let answer = client.command("migrationVariation", parameters).await?;
    same("the stage", &answer, &json!({"result": want}))
}

/// A client, two systems it moves between, and what it reports.
struct Move {
    client: Client,
    sink: Sink,
    old: Endpoint,
    new: Endpoint,
    _service: Endpoint,
}

impl Move {
    async fn begin(scene: &Scene, flag: Value) -> Result<Self, String> {
        let (client, sink, service) = scene.reporting_client(&flags([flag]), json!({})).await?;
        let body = |text: &str| Answer::Reply {
            status: 200,
            headers: Vec::new(),
            body: text.as_bytes().to_vec().into(),
        };
        let old = scene.endpoint("old", body("of old")).await?;
        let new = scene.endpoint("new", body("of new")).await?;
        Ok(Self { client, sink, old, new, _service: service })
    }

    async fn run(&self, operation: &str, more: Value) -> Result<Value, String> {
        let base = json!({
            "key": "m", "context": user(), "defaultStage": "off", "readExecutionOrder": "concurrent",
            "operation": operation, "oldEndpoint": self.old.url, "newEndpoint": self.new.url,
            "trackLatency": false, "trackErrors": false, "trackConsistency": false,
        });
        let answer = self.client.command("migrationOperation", with(base, more)).await?;
        Ok(answer["result"].clone())
    }

    /// The event of the operation, without its date.
    async fn event(&self) -> Result<Value, String> {
        let events = self.client.flushed(&self.sink).await?;
        let mut event = undated(&only(&events, "migration_op")?)?;
        // Lists without an order are compared as objects.
        let list = event["measurements"].take();
        let named = list.as_array().into_iter().flatten();
        let map =
            named.map(|one| (one["key"].as_str().unwrap_or_default().to_owned(), one.clone())).collect();
        event["measurements"] = Value::Object(map);
        Ok(event)
    }
}

/// Which origin is believed, and the other one if it is called too.
fn reads(stage: &str) -> (&'static str, Option<&'static str>) {
    match stage {
        "off" | "dualwrite" => ("old", None),
        "shadow" => ("old", Some("new")),
        "live" => ("new", Some("old")),
        _ => ("new", None),
    }
}

fn writes(stage: &str) -> (&'static str, Option<&'static str>) {
    match stage {
        "off" => ("old", None),
        "dualwrite" | "shadow" => ("old", Some("new")),
        "live" | "rampdown" => ("new", Some("old")),
        _ => ("new", None),
    }
}

fn add_calls(suite: &mut Suite) {
    let group = suite.group("9 migrations: calls").needs("migrations");
    for stage in STAGES {
        for (operation, orders) in [("read", &ORDERS[..]), ("write", &ORDERS[..1])] {
            let (believed, other) = if operation == "read" { reads(stage) } else { writes(stage) };
            for order in orders {
                for payload in [None, Some("a payload")] {
                    let name = format!(
                        "{operation} at `{stage}`, {order}{}: {believed} is believed, {} called",
                        if payload.is_some() { ", with a payload" } else { "" },
                        other.unwrap_or("nothing else is"),
                    );
                    group.test(name, move |scene| async move {
                        let step = Move::begin(&scene, staged(stage, json!({}))).await?;
                        let more = json!({"readExecutionOrder": order, "payload": payload});
                        let result = step.run(operation, more).await?;
                        same("the result", &result, &json!(format!("of {believed}")))?;
                        for (origin, endpoint) in [("old", &step.old), ("new", &step.new)] {
                            let called = origin == believed || Some(origin) == other;
                            let requests = endpoint.requests();
                            ensure(requests.len() == usize::from(called), || {
                                format!("{origin} was called {} times", requests.len())
                            })?;
                            for request in requests {
                                ensure(request.method == "POST", || request.to_string())?;
                                let body = String::from_utf8_lossy(&request.body).into_owned();
                                ensure(body == payload.unwrap_or_default(), || {
                                    format!("the body is `{body}`")
                                })?;
                            }
                        }
                        let first =
                            |endpoint: &Endpoint| endpoint.requests().first().map(|request| request.at);
                        if let (Some(old), Some(new)) = (first(&step.old), first(&step.new)) {
                            let believed_first = if believed == "old" { old <= new } else { new <= old };
                            let ordered = operation == "write" || *order == "serial";
                            ensure(believed_first || !ordered, || {
                                "the other one was called first".to_owned()
                            })?;
                        }
                        Ok(())
                    });
                }
            }
        }
    }
    group.test("a concurrent read calls both at once", |scene| async move {
        let step = Move::begin(&scene, staged("shadow", json!({}))).await?;
        let slow = |text: &'static str| {
            Answer::Reply { status: 200, headers: Vec::new(), body: text.as_bytes().into() }
                .after(Duration::from_millis(800))
        };
        step.old.answer(slow("of old"));
        step.new.answer(slow("of new"));
        let started = std::time::Instant::now();
        same("the result", &step.run("read", json!({})).await?, &json!("of old"))?;
        let took = started.elapsed();
        ensure(took < Duration::from_millis(1_500), || format!("two calls of 0.8 s took {took:?}"))
    });
}

fn add_reports(suite: &mut Suite) {
    let group = suite.group("9 migrations: reports").needs("migrations");
    for stage in STAGES {
        for operation in ["read", "write"] {
            let (believed, other) = if operation == "read" { reads(stage) } else { writes(stage) };
            group.test(format!("{operation} at `{stage}`: the stage and who was called"), move |scene| async move {
                let step = Move::begin(&scene, staged(stage, json!({}))).await?;
                step.run(operation, json!({})).await?;
                let event = step.event().await?;
                let mut invoked = json!({believed: true});
                if let Some(other) = other {
                    invoked[other] = json!(true);
                }
                let want = json!({
                    "kind": "migration_op", "operation": operation,
                    "evaluation": {"key": "m", "value": stage, "default": "off", "variation": 0, "version": 7,
                                   "reason": {"kind": "FALLTHROUGH"}},
                    "measurements": {"invoked": {"key": "invoked", "values": invoked}},
                });
                let mut event = event;
                let context = event["context"].take();
                if scene.can("inline-context-all") {
                    same("the context", &context, &user())?;
                } else {
                    same("the keys", &event["contextKeys"].take(), &json!({"user": "user-key"}))?;
                }
                same("the event", &event, &want)
            });
            group.test(format!("{operation} at `{stage}`: how long it took"), move |scene| async move {
                let step = Move::begin(&scene, staged(stage, json!({}))).await?;
                let delay = Duration::from_millis(50);
                for endpoint in [&step.old, &step.new] {
                    endpoint.answer(Answer::status(200).after(delay));
                }
                step.run(operation, json!({"trackLatency": true})).await?;
                let latency = step.event().await?["measurements"]["latency_ms"]["values"].clone();
                let measured = |origin: &str| latency[origin].as_f64();
                for origin in ["old", "new"] {
                    let called = origin == believed || Some(origin) == other;
                    let good = match measured(origin) {
                        Some(ms) => called && (45.0..10_000.0).contains(&ms),
                        None => !called,
                    };
                    ensure(good, || format!("the latencies are {latency}"))?;
                }
                Ok(())
            });
        }
    }
    group
        .test("of a flag that does not exist the reason says so", |scene| async move {
            let step = Move::begin(&scene, serving("other", 1, 0)).await?;
            step.run("read", json!({"defaultStage": "live"})).await?;
            let event = step.event().await?;
            let want = json!({"key": "m", "value": "live", "default": "live",
                              "reason": {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}});
            same("the evaluation", &event["evaluation"], &want)
        })
        .test("of a flag whose value is no stage the type is said to be wrong", |scene| async move {
            let step = Move::begin(&scene, serving("m", 7, "sideways")).await?;
            step.run("read", json!({"defaultStage": "live"})).await?;
            let event = step.event().await?;
            let want = json!({"value": "live", "default": "live",
                              "reason": {"kind": "ERROR", "errorKind": "WRONG_TYPE"}});
            has("the evaluation", &event["evaluation"], &want)?;
            let none = event["evaluation"].get("variation").is_none_or(Value::is_null);
            ensure(none, || "there is a variation".to_owned())
        })
        .test("the stage is counted like any evaluation", |scene| async move {
            let step = Move::begin(&scene, staged("live", json!({}))).await?;
            step.run("read", json!({})).await?;
            let events = step.client.flushed(&step.sink).await?;
            let counters = &only(&events, "summary")?["features"]["m"]["counters"];
            same(
                "the counts",
                counters,
                &json!([{"variation": 0, "version": 7, "value": "live", "count": 1}]),
            )
        });
    let group = suite.group("9 migrations: sampling").needs("migrations").needs("event-sampling");
    group
        .test("a flag with a sampling ratio of 0 reports no operation", |scene| async move {
            let step = Move::begin(&scene, staged("live", json!({"samplingRatio": 0}))).await?;
            step.run("read", json!({})).await?;
            let events = step.client.flushed(&step.sink).await?;
            ensure(crate::scene::of_kind(&events, "migration_op").is_empty(), || {
                Value::from(events).to_string()
            })
        })
        .test("a sampling ratio is stated, unless it is 1", |scene| async move {
            for (ratio, want) in [(json!(1), Value::Null), (json!(2), json!(2))] {
                let step = Move::begin(&scene, staged("off", json!({"samplingRatio": ratio}))).await?;
                for _ in 0..40 {
                    step.run("read", json!({})).await?;
                }
                let events = step.client.flushed(&step.sink).await?;
                let found = crate::scene::of_kind(&events, "migration_op");
                ensure(!found.is_empty(), || "of 40 none was reported".to_owned())?;
                for event in found {
                    same("the ratio", &event["samplingRatio"], &want)?;
                }
            }
            Ok(())
        });
}

fn add_consistency(suite: &mut Suite) {
    let group = suite.group("9 migrations: consistency").needs("migrations");
    for stage in ["shadow", "live"] {
        for order in ORDERS {
            for consistent in [true, false] {
                let name =
                    format!("{order} at `{stage}`: they {}", if consistent { "agree" } else { "differ" });
                group.test(name, move |scene| async move {
                    let step = Move::begin(&scene, staged(stage, json!({}))).await?;
                    if consistent {
                        let same: &[u8] = b"of old";
                        step.new.answer(Answer::Reply {
                            status: 200,
                            headers: Vec::new(),
                            body: same.into(),
                        });
                    }
                    step.run("read", json!({"readExecutionOrder": order, "trackConsistency": true})).await?;
                    let event = step.event().await?;
                    let want = json!({"key": "consistent", "value": consistent});
                    same("the measurement", &event["measurements"]["consistent"], &want)
                });
            }
        }
    }
    for stage in ["off", "dualwrite", "rampdown", "complete"] {
        group.test(format!("at `{stage}` nothing is compared"), move |scene| async move {
            not_compared(&scene, staged(stage, json!({})), "read").await
        });
    }
    group
        .test("writes are not compared", |scene| async move {
            not_compared(&scene, staged("live", json!({})), "write").await
        })
        .test("with a check ratio of 0 nothing is compared", |scene| async move {
            not_compared(&scene, staged("live", json!({"migration": {"checkRatio": 0}})), "read").await
        })
        .test("a check ratio is stated, unless it is 1", |scene| async move {
            for (ratio, want) in [(1, Value::Null), (2, json!(2))] {
                let flag = staged("live", json!({"migration": {"checkRatio": ratio}}));
                let step = Move::begin(&scene, flag).await?;
                for _ in 0..40 {
                    step.run("read", json!({"trackConsistency": true})).await?;
                }
                let events = step.client.flushed(&step.sink).await?;
                let compared: Vec<Value> = crate::scene::of_kind(&events, "migration_op")
                    .iter()
                    .flat_map(|event| event["measurements"].as_array().cloned().unwrap_or_default())
                    .filter(|measurement| measurement["key"] == "consistent")
                    .collect();
                let good = if ratio == 1 { compared.len() == 40 } else { (1..40).contains(&compared.len()) };
                ensure(good, || format!("of 40 reads {} were compared", compared.len()))?;
                for measurement in compared {
                    same("the ratio", &measurement["samplingRatio"], &want)?;
                }
            }
            Ok(())
        })
        .test("when one fails nothing is compared", |scene| async move {
            let step = Move::begin(&scene, staged("live", json!({}))).await?;
            step.old.answer(Answer::status(500));
            step.run("read", json!({"trackConsistency": true})).await?;
            let event = step.event().await?;
            ensure(event["measurements"]["consistent"].is_null(), || event.to_string())
        });
}

async fn not_compared(scene: &Scene, flag: Value, operation: &str) -> Verdict {
    let step = Move::begin(scene, flag).await?;
    step.run(operation, json!({"trackConsistency": true})).await?;
    let event = step.event().await?;
    ensure(event["measurements"]["consistent"].is_null(), || event.to_string())
}

fn add_errors(suite: &mut Suite) {
    let group = suite.group("9 migrations: errors").needs("migrations");
    for stage in STAGES {
        for (operation, (believed, other)) in [("read", reads(stage)), ("write", writes(stage))] {
            let cases = [(vec![believed], "the one that is believed fails")]
                .into_iter()
                .chain(other.map(|other| (vec![other], "the other one fails")))
                .chain(other.map(|other| (vec![believed, other], "both fail")));
            for (failing, name) in cases {
                group.test(format!("{operation} at `{stage}`: {name}"), move |scene| {
                    let failing = failing.clone();
                    async move {
                        let step = Move::begin(&scene, staged(stage, json!({}))).await?;
                        for (origin, endpoint) in [("old", &step.old), ("new", &step.new)] {
                            if failing.contains(&origin) {
                                endpoint.answer(Answer::status(500));
                            }
                        }
                        let result = step.run(operation, json!({"trackErrors": true})).await?;
                        let fails = |origin: &str| failing.contains(&origin);
                        let got_through = result == json!(format!("of {believed}"));
                        ensure(got_through != fails(believed), || format!("the result is {result}"))?;
                        // A write that fails ends there; a read goes on.
                        let other_called = other.is_some() && (operation == "read" || !fails(believed));
                        let mut invoked = json!({believed: true});
                        let mut errors = json!({});
                        if fails(believed) {
                            errors[believed] = json!(true);
                        }
                        if let Some(other) = other.filter(|_| other_called) {
                            invoked[other] = json!(true);
                            if fails(other) {
                                errors[other] = json!(true);
                            }
                        }
                        let event = step.event().await?;
                        let measured = |key: &str| event["measurements"][key]["values"].clone();
                        same("who was called", &measured("invoked"), &invoked)?;
                        same("who failed", &measured("error"), &errors)
                    }
                });
            }
        }
    }
    group
        .test("errors are not reported unless that is on", |scene| async move {
            let step = Move::begin(&scene, staged("off", json!({}))).await?;
            step.old.answer(Answer::status(500));
            step.run("read", json!({})).await?;
            let event = step.event().await?;
            ensure(event["measurements"]["error"].is_null(), || event.to_string())
        })
        .test("how long a failure took is reported too", |scene| async move {
            let step = Move::begin(&scene, staged("off", json!({}))).await?;
            step.old.answer(Answer::status(500).after(Duration::from_millis(30)));
            step.run("read", json!({"trackLatency": true})).await?;
            let event = step.event().await?;
            let latency = &event["measurements"]["latency_ms"]["values"]["old"];
            ensure(latency.as_f64().is_some_and(|ms| ms >= 25.0), || event.to_string())
        })
        .test("nothing is reported to a client without events", |scene| async move {
            let (client, service) = scene.streaming_client(&flags([flag("m", 1, json!({}))])).await?;
            let target = scene.endpoint("both", Answer::status(200)).await?;
            let parameters = json!({
                "key": "m", "context": user(), "defaultStage": "live", "readExecutionOrder": "serial",
                "operation": "write", "oldEndpoint": target.url, "newEndpoint": target.url,
            });
            client.command("migrationOperation", parameters).await?;
            ensure(target.request_count() == 2, || "both should have been called".to_owned())?;
            service.no_request_after(1, A_WHILE).await
        });
}

//! Section 9: hooks around evaluations and after `track`, and the environment's id.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expect::{ensure, has, same};
use crate::flags::{flag, flags, put, serving, user, with};
use crate::mock::{Answer, Endpoint};
use crate::scene::{A_WHILE, Client, SOON, Scene};
use crate::suite::Suite;

pub(crate) fn add(suite: &mut Suite) {
    add_evaluation(suite);
    add_data(suite);
    add_track(suite);
    add_environment_id(suite);
}

/// A client with hooks, and where they tell of their stages. `hooks` are completed with a name and
/// that place.
struct Hooked {
    client: Client,
    told: Endpoint,
    _service: Endpoint,
}

async fn hooked(scene: &Scene, hooks: Value) -> Result<Hooked, String> {
    let f = flag(
        "f",
        3,
        json!({
            "on": true, "variations": ["a", "b"], "fallthrough": {"variation": 1},
            "prerequisites": [{"key": "p", "variation": 0}],
        }),
    );
    let service = scene.streaming(&flags([f, serving("p", 1, true)])).await?;
    let told = scene.endpoint("hooks", Answer::status(202)).await?;
    let hooks: Vec<Value> = hooks
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(number, hook)| {
            let name = format!("hook-{number}");
            with(json!({"callbackUri": format!("{}/{name}", told.url), "name": name}), hook.clone())
        })
        .collect();
    let client =
        scene.client(json!({"streaming": {"baseUri": service.url}, "hooks": {"hooks": hooks}})).await?;
    Ok(Hooked { client, told, _service: service })
}

impl Hooked {
    /// What was told so far: of which hook, and what.
    fn told(&self) -> Result<Vec<(String, Value)>, String> {
        self.told.requests().iter().map(|request| Ok((request.path.clone(), request.json()?))).collect()
    }

    /// The stages that were told of, in order, as `/hook-0 beforeEvaluation`.
    async fn stages(&self, count: usize) -> Result<Vec<String>, String> {
        self.told.request(count - 1, SOON).await?;
        let stage =
            |(path, told): (String, Value)| format!("{path} {}", told["stage"].as_str().unwrap_or_default());
        Ok(self.told()?.into_iter().map(stage).collect())
    }
}

fn add_evaluation(suite: &mut Suite) {
    let group = suite.group("9 hooks: evaluation").needs("evaluation-hooks");
    group
        .test("both stages are told what is asked, and the second what came of it", |scene| async move {
            let hooked = hooked(&scene, json!([{}])).await?;
            hooked.client.detail("f", &user(), json!("d")).await?;
            hooked.told.request(1, SOON).await?;
            let told = hooked.told()?;
            let series = json!({"flagKey": "f", "context": user(), "defaultValue": "d"});
            has(
                "before",
                &told[0].1,
                &json!({"stage": "beforeEvaluation", "evaluationSeriesContext": series}),
            )?;
            has(
                "after",
                &told[1].1,
                &json!({"stage": "afterEvaluation", "evaluationSeriesContext": series}),
            )?;
            let method = told[0].1["evaluationSeriesContext"]["method"].as_str().unwrap_or_default();
            ensure(!method.is_empty(), || "no method is named".to_owned())?;
            let detail = json!({"value": "b", "variationIndex": 1, "reason": {"kind": "FALLTHROUGH"}});
            same("the detail", &told[1].1["evaluationDetail"], &detail)
        })
        .test("prerequisites and all flags have none", |scene| async move {
            let hooked = hooked(&scene, json!([{}])).await?;
            hooked.client.all_flags(&user(), json!({})).await?;
            hooked.client.value("f", "d").await?;
            hooked.told.request(1, SOON).await?;
            hooked.told.no_request_after(2, A_WHILE).await
        })
        .test("before-stages run in order, after-stages in reverse", |scene| async move {
            let hooked = hooked(&scene, json!([{}, {}, {}])).await?;
            hooked.client.value("f", "d").await?;
            let stages = hooked.stages(6).await?;
            let want = [
                "/hook-0 beforeEvaluation",
                "/hook-1 beforeEvaluation",
                "/hook-2 beforeEvaluation",
                "/hook-2 afterEvaluation",
                "/hook-1 afterEvaluation",
                "/hook-0 afterEvaluation",
            ];
            ensure(stages == want, || format!("{stages:?}"))
        })
        .test("an unknown flag has both stages, with the error", |scene| async move {
            let hooked = hooked(&scene, json!([{}])).await?;
            hooked.client.value("nope", "d").await?;
            hooked.told.request(1, SOON).await?;
            let detail = json!({"value": "d", "reason": {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}});
            same("the detail", &hooked.told()?[1].1["evaluationDetail"], &detail)
        })
        .test("what a before-stage fails with keeps nobody from the value", |scene| async move {
            let failing = json!([{"errors": {"beforeEvaluation": "on purpose"}}, {}]);
            let hooked = hooked(&scene, failing).await?;
            hooked.client.has_value("f", "b").await?;
            let stages = hooked.stages(3).await?;
            let want = ["/hook-1 beforeEvaluation", "/hook-1 afterEvaluation", "/hook-0 afterEvaluation"];
            ensure(stages == want, || format!("{stages:?}"))
        })
        .test("what an after-stage fails with keeps nobody from the value", |scene| async move {
            let failing = json!([{}, {"errors": {"afterEvaluation": "on purpose"}}]);
            let hooked = hooked(&scene, failing).await?;
            hooked.client.has_value("f", "b").await?;
            let stages = hooked.stages(3).await?;
            let want = ["/hook-0 beforeEvaluation", "/hook-1 beforeEvaluation", "/hook-0 afterEvaluation"];
            ensure(stages == want, || format!("{stages:?}"))
        });
    for (value_type, default, want) in [
        ("bool", json!(false), json!(false)),
        ("int", json!(4), json!(4)),
        ("double", json!(4.5), json!(4.5)),
        ("string", json!("d"), json!("b")),
        ("any", json!({"a": 1}), json!("b")),
    ] {
        for detail in [false, true] {
            let (default, want) = (default.clone(), want.clone());
            let name =
                format!("they run for the type `{value_type}`{}", if detail { ", with details" } else { "" });
            group.test(name, move |scene| {
                let (default, want) = (default.clone(), want.clone());
                async move {
                    if value_type != "any" && !scene.can("strongly-typed") {
                        return Ok(());
                    }
                    let hooked = hooked(&scene, json!([{}])).await?;
                    hooked.client.typed("f", &user(), value_type, default.clone(), detail).await?;
                    hooked.told.request(1, SOON).await?;
                    let told = hooked.told()?;
                    same("the default", &told[0].1["evaluationSeriesContext"]["defaultValue"], &default)?;
                    same("the value", &told[1].1["evaluationDetail"]["value"], &want)
                }
            });
        }
    }
    let group = suite.group("9 hooks: migrations").needs("evaluation-hooks").needs("migrations");
    group.test("they run for the stage of a migration", |scene| async move {
        let hooked = hooked(&scene, json!([{}])).await?;
        let parameters = json!({"key": "nope", "context": user(), "defaultStage": "live"});
        hooked.client.command("migrationVariation", parameters).await?;
        hooked.told.request(1, SOON).await?;
        let told = hooked.told()?;
        has(
            "before",
            &told[0].1["evaluationSeriesContext"],
            &json!({"flagKey": "nope", "defaultValue": "live"}),
        )?;
        same("the value", &told[1].1["evaluationDetail"]["value"], &json!("live"))
    });
}

fn add_data(suite: &mut Suite) {
    let group = suite.group("9 hooks: data").needs("evaluation-hooks");
    let data = |name: &str, value: Value| json!({"data": {"beforeEvaluation": {name: value}}});
    let plain = [("a text", json!("x")), ("a number", json!(3)), ("an object", json!({"a": [1, null]}))];
    for (name, value) in plain {
        let hook = data("mine", value.clone());
        group.test(format!("{name} goes from the before-stage to the after-stage"), move |scene| {
            let (hook, value) = (hook.clone(), value.clone());
            async move {
                let hooked = hooked(&scene, json!([hook])).await?;
                hooked.client.value("f", "d").await?;
                hooked.told.request(1, SOON).await?;
                let told = hooked.told()?;
                let nothing =
                    told[0].1["evaluationSeriesData"].as_object().is_none_or(|data| data.is_empty());
                ensure(nothing, || format!("before: {}", told[0].1))?;
                same("the data", &told[1].1["evaluationSeriesData"], &json!({"mine": value}))
            }
        });
    }
    let (one, two) = (data("of-0", json!(0)), data("of-1", json!(1)));
    let both = json!([one, two]);
    group.test("it goes to the same hook only", move |scene| {
        let both = both.clone();
        async move {
            let hooked = hooked(&scene, both).await?;
            hooked.client.value("f", "d").await?;
            hooked.told.request(3, SOON).await?;
            let told = hooked.told()?;
            same("the data of the second", &told[2].1["evaluationSeriesData"], &json!({"of-1": 1}))?;
            same("the data of the first", &told[3].1["evaluationSeriesData"], &json!({"of-0": 0}))
        }
    });
    let failing =
        json!([with(data("mine", json!(1)), json!({"errors": {"beforeEvaluation": "on purpose"}}))]);
    group.test("after a before-stage that failed there is none", move |scene| {
        let failing = failing.clone();
        async move {
            let hooked = hooked(&scene, failing).await?;
            hooked.client.value("f", "d").await?;
            hooked.told.request(0, SOON).await?;
            let told = hooked.told()?;
            has("the stage", &told[0].1, &json!({"stage": "afterEvaluation"}))?;
            let nothing = told[0].1["evaluationSeriesData"].as_object().is_none_or(|data| data.is_empty());
            ensure(nothing, || told[0].1.to_string())
        }
    });
}

fn add_track(suite: &mut Suite) {
    let group = suite.group("9 hooks: track").needs("track-hooks");
    for (name, parameters, want) in [
        ("the key and the context", json!({}), json!({})),
        ("the data", json!({"data": {"a": 1}}), json!({"data": {"a": 1}})),
        ("the metric", json!({"metricValue": 2.5}), json!({"metricValue": 2.5})),
        ("both", json!({"data": "x", "metricValue": 0}), json!({"data": "x", "metricValue": 0})),
    ] {
        group.test(format!("afterTrack is told {name}"), move |scene| {
            let (parameters, want) = (parameters.clone(), want.clone());
            async move {
                let hooked = hooked(&scene, json!([{}])).await?;
                let base = json!({"eventKey": "bought", "context": user()});
                hooked.client.command("customEvent", with(base, parameters)).await?;
                let told = hooked.told.request(0, SOON).await?.json()?;
                same("the stage", &told["stage"], &json!("afterTrack"))?;
                let mut series = told["trackSeriesContext"].clone();
                series.as_object_mut().into_iter().for_each(|series| {
                    series.remove("environmentId");
                });
                same("the series", &series, &with(json!({"key": "bought", "context": user()}), want))
            }
        });
    }
    group
        .test("hooks are told in order, and one that fails keeps none from it", |scene| async move {
            let failing = json!([{}, {"errors": {"afterTrack": "on purpose"}}, {}]);
            let hooked = hooked(&scene, failing).await?;
            hooked.client.command("customEvent", json!({"eventKey": "k", "context": user()})).await?;
            let stages = hooked.stages(2).await?;
            ensure(stages == ["/hook-0 afterTrack", "/hook-2 afterTrack"], || format!("{stages:?}"))
        })
        .test("an impossible context is not told", |scene| async move {
            let hooked = hooked(&scene, json!([{}])).await?;
            let context = json!({"kind": "kind", "key": "a"});
            hooked.client.command("customEvent", json!({"eventKey": "k", "context": context})).await?;
            hooked.told.no_request_after(0, Duration::from_millis(200)).await
        });
}

fn add_environment_id(suite: &mut Suite) {
    let group = suite.group("9 hooks: environment id").needs("hook-environment-id").needs("evaluation-hooks");
    for source in ["streaming", "polling"] {
        for (name, id) in
            [("is told once it is known", Some("env-1")), ("is not told if it is not known", None)]
        {
            group.test(format!("{source}: it {name}"), move |scene| async move {
                let data = flags([serving("f", 1, "a")]);
                let mut answer = if source == "polling" {
                    Answer::json(data.to_string())
                } else {
                    Answer::events([put(&data)])
                };
                if let Some(id) = id {
                    answer = answer.header("X-Ld-EnvId", id);
                }
                let service = scene.endpoint("flags", answer).await?;
                let told = scene.endpoint("hooks", Answer::status(202)).await?;
                let client = scene
                    .client(json!({
                        source: {"baseUri": service.url},
                        "hooks": {"hooks": [{"name": "hook", "callbackUri": told.url}]},
                    }))
                    .await?;
                client.has_value("f", "a").await?;
                for number in 0..2 {
                    let series = told.request(number, SOON).await?.json()?["evaluationSeriesContext"].clone();
                    same("the environment's id", &series["environmentId"], &json!(id))?;
                }
                if scene.can("track-hooks") {
                    client.command("customEvent", json!({"eventKey": "k", "context": user()})).await?;
                    let series = told.request(2, SOON).await?.json()?["trackSeriesContext"].clone();
                    same("the environment's id", &series["environmentId"], &json!(id))?;
                }
                Ok(())
            });
        }
    }
}

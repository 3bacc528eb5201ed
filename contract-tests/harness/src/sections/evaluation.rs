//! Section 2: which value a context gets, and why.
//!
//! The published cases are run through the adapter when they are there: a file at a time, as one test.

use std::path::PathBuf;

use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

use crate::expect::{ensure, equal, same};
use crate::flags::{data, flag, flags, segment, serving, user, user_with};
use crate::mock::Answer;
use crate::scene::{SOON, Scene};
use crate::suite::{Suite, Verdict};

use self::expand::expand;

#[path = "../../../../crates/flagstaff-eval/tests/it/expand.rs"]
mod expand;

pub(crate) fn add(suite: &mut Suite) -> Result<(), String> {
    add_published(suite)?;
    add_types(suite);
    add_order(suite);
    add_buckets(suite);
    Ok(())
}

/// The folder of published cases, if it is there.
fn published() -> Option<PathBuf> {
    let root = std::env::var_os("FLAGSTAFF_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    Some(root.join("sdk-test-data/server-side-eval")).filter(|folder| folder.is_dir())
}

fn add_published(suite: &mut Suite) -> Result<(), String> {
    let Some(folder) = published() else { return Ok(()) };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(|error| error.to_string())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    let mut typed = Vec::new();
    let mut any = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        for (number, document) in expand(&text).into_iter().enumerate() {
            let file = file.file_stem().unwrap_or_default().to_string_lossy();
            let name = document["name"].as_str().unwrap_or_default();
            let name = format!("published: {file} {}: {name}", number + 1);
            let list = if document.get("requireCapability").is_some() { &mut typed } else { &mut any };
            list.push((name, document));
        }
    }
    let group = suite.group("2 evaluation: published cases");
    for (name, document) in any {
        group.test(name, move |scene| run_published(scene, document.clone()));
    }
    let group = suite.group("2 evaluation: published cases, typed").needs("strongly-typed");
    for (name, document) in typed {
        group.test(name, move |scene| run_published(scene, document.clone()));
    }
    Ok(())
}

async fn run_published(scene: Scene, document: Yaml) -> Verdict {
    let (client, _service) = scene.streaming_client(&sdk_data(&document["sdkData"])?).await?;
    let mut wrong = Vec::new();
    for evaluation in document["evaluations"].as_sequence().into_iter().flatten() {
        let context =
            evaluation.get("context").or_else(|| evaluation.get("user")).or_else(|| document.get("context"));
        let context = to_json(context.unwrap_or(&Yaml::Null))?;
        let key = evaluation["flagKey"].as_str().unwrap_or_default();
        let value_type = evaluation.get("valueType").and_then(Yaml::as_str).unwrap_or("any");
        let default = evaluation.get("default").map_or(Ok(json!(false)), to_json)?;
        let name = if context.get("kind").is_some() { "context" } else { "user" };
        if name == "user" && !scene.can("user-type") {
            continue;
        }
        let got = client
            .command(
                "evaluate",
                json!({"flagKey": key, name: context, "valueType": value_type, "defaultValue": default,
                       "detail": true}),
            )
            .await?;
        let want = to_json(&evaluation["expect"])?;
        if !equal(&got, &want) {
            let case = evaluation.get("name").and_then(Yaml::as_str).unwrap_or_default();
            wrong.push(format!("{case} ({key} for {context}): expected {want}, got {got}"));
        }
        let skip = document.get("skipEvaluateAllFlags").and_then(Yaml::as_bool) == Some(true);
        if value_type == "any" && !skip && scene.can("all-flags-with-reasons") {
            let all = client.command("evaluateAll", json!({name: context, "withReasons": true})).await?;
            check_in_all(&all["state"], key, &want, &mut wrong);
        }
    }
    ensure(wrong.is_empty(), || wrong.join("\n"))
}

/// The same answer is expected among all flags: with null for the default, and an unknown flag absent.
fn check_in_all(state: &Value, key: &str, want: &Value, wrong: &mut Vec<String>) {
    let error = want["reason"]["errorKind"].as_str().unwrap_or_default();
    if error == "USER_NOT_SPECIFIED" || error == "FLAG_NOT_FOUND" {
        return;
    }
    let value = if want["variationIndex"].is_null() { &Value::Null } else { &want["value"] };
    let about = &state["$flagsState"][key];
    let agrees = equal(&state[key], value)
        && equal(&about["variation"], &want["variationIndex"])
        && equal(&about["reason"], &want["reason"]);
    if !agrees {
        wrong.push(format!("{key} among all flags: expected {want}, got {} and {about}", state[key]));
    }
}

fn sdk_data(sdk_data: &Yaml) -> Result<Value, String> {
    let items = |name: &str| -> Result<Vec<Value>, String> {
        let Value::Object(items) = to_json(sdk_data.get(name).unwrap_or(&Yaml::Null))? else {
            return Ok(Vec::new());
        };
        let named = |(key, item)| crate::flags::with(json!({"key": key, "version": 1}), item);
        Ok(items.into_iter().map(named).collect())
    };
    Ok(complete(data(items("flags")?, items("segments")?)))
}

/// With what writers must never omit: the published cases leave some of it out.
fn complete(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            if map.contains_key("op") {
                map.entry("attribute").or_insert_with(|| json!(""));
                map.entry("values").or_insert_with(|| json!([]));
            }
            for (name, value) in map.iter_mut() {
                if name == "rules" {
                    for rule in value.as_array_mut().into_iter().flatten() {
                        if let Some(rule) = rule.as_object_mut() {
                            rule.entry("clauses").or_insert_with(|| json!([]));
                        }
                    }
                }
                if matches!(name.as_str(), "targets" | "contextTargets") {
                    for target in value.as_array_mut().into_iter().flatten() {
                        if let Some(target) = target.as_object_mut() {
                            target.entry("values").or_insert_with(|| json!([]));
                        }
                    }
                }
                // Whatever a variation holds is not ours to complete.
                if name != "variations" || value.as_array().is_some_and(|list| list.iter().all(is_weighted)) {
                    *value = complete(value.take());
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| *value = complete(value.take())),
        _ => {}
    }
    value
}

fn is_weighted(value: &Value) -> bool {
    value.get("weight").is_some()
}

fn to_json(yaml: &Yaml) -> Result<Value, String> {
    serde_json::to_value(yaml).map_err(|error| error.to_string())
}

fn add_types(suite: &mut Suite) {
    let group = suite.group("2.2 evaluation: types").needs("strongly-typed");
    let values = json!({
        "true": true, "whole": 3, "fraction": 3.75, "negative": -3.75, "text": "a", "null": null,
        "list": [1, null], "object": {"a": null}, "empty": "", "zero": 0,
    });
    // Flag, type, default, value, whether it is the flag's.
    let cases = [
        ("true", "bool", json!(false), json!(true), true),
        ("whole", "int", json!(9), json!(3), true),
        ("fraction", "int", json!(9), json!(3), true),
        ("negative", "int", json!(9), json!(-3), true),
        ("fraction", "double", json!(9.5), json!(3.75), true),
        ("whole", "double", json!(9.5), json!(3), true),
        ("zero", "int", json!(9), json!(0), true),
        ("text", "string", json!("z"), json!("a"), true),
        ("empty", "string", json!("z"), json!(""), true),
        ("list", "any", json!("z"), json!([1, null]), true),
        ("object", "any", json!("z"), json!({"a": null}), true),
        ("null", "any", json!(null), json!(null), true),
        ("whole", "bool", json!(true), json!(true), false),
        ("text", "bool", json!(true), json!(true), false),
        ("true", "int", json!(9), json!(9), false),
        ("text", "int", json!(9), json!(9), false),
        ("true", "double", json!(9.5), json!(9.5), false),
        ("text", "double", json!(9.5), json!(9.5), false),
        ("whole", "string", json!("z"), json!("z"), false),
        ("object", "string", json!("z"), json!("z"), false),
        ("null", "bool", json!(true), json!(true), false),
        ("null", "int", json!(9), json!(9), false),
        ("null", "string", json!("z"), json!("z"), false),
    ];
    for (key, value_type, default, value, is_flags) in cases {
        let all = flags(values.as_object().into_iter().flatten().map(|(key, value)| {
            flag(key, 1, json!({"on": true, "fallthrough": {"variation": 0}, "variations": [value]}))
        }));
        let name = format!("`{key}` asked for as {value_type} is {value}");
        group.test(name, move |scene| {
            let (all, default, value) = (all.clone(), default.clone(), value.clone());
            async move {
                let (client, _service) = scene.streaming_client(&all).await?;
                let want = if is_flags {
                    json!({"value": value, "variationIndex": 0, "reason": {"kind": "FALLTHROUGH"}})
                } else {
                    json!({"value": value, "reason": {"kind": "ERROR", "errorKind": "WRONG_TYPE"}})
                };
                let got = client.typed(key, &user(), value_type, default.clone(), true).await?;
                same("the detail", &got, &want)?;
                let got = client.typed(key, &user(), value_type, default, false).await?;
                same("the value alone", &got, &json!({"value": value}))
            }
        });
    }
}

fn add_order(suite: &mut Suite) {
    let group = suite.group("2.2 evaluation: defaults and errors");
    group
        .test("an unknown flag gives the default", |scene| async move {
            let (client, _service) = scene.streaming_client(&flags([])).await?;
            let got = client.detail("nope", &user(), json!({"a": [1]})).await?;
            let reason = json!({"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"});
            same("the detail", &got, &json!({"value": {"a": [1]}, "reason": reason}))
        })
        .test("a deleted flag is unknown", |scene| async move {
            let deleted = json!({"flags": {"f": {"key": "f", "version": 5, "deleted": true}}, "segments": {}});
            let (client, _service) = scene.streaming_client(&deleted).await?;
            let got = client.detail("f", &user(), json!(1)).await?;
            let reason = json!({"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"});
            same("the detail", &got, &json!({"value": 1, "reason": reason}))
        })
        .test("an impossible context gives the default", |scene| async move {
            let (client, _service) = scene.streaming_client(&flags([serving("f", 1, "a")])).await?;
            for context in [json!({"kind": "user", "key": ""}), json!({"kind": "kind", "key": "a"})] {
                let got = client.detail("f", &context, json!("default")).await?;
                let reason = json!({"kind": "ERROR", "errorKind": "USER_NOT_SPECIFIED"});
                same("the detail", &got, &json!({"value": "default", "reason": reason}))?;
            }
            Ok(())
        })
        .test("an off flag without off variation gives the default, and says off", |scene| async move {
            let off = flag("f", 1, json!({"variations": ["a"]}));
            let (client, _service) = scene.streaming_client(&flags([off])).await?;
            let got = client.detail("f", &user(), json!("default")).await?;
            same("the detail", &got, &json!({"value": "default", "reason": {"kind": "OFF"}}))
        })
        .test("a client that has no flags yet gives the default", |scene| async move {
            let service = scene.endpoint("stream", Answer::events(Vec::<String>::new())).await?;
            let config = json!({
                "streaming": {"baseUri": service.url}, "startWaitTimeMs": 100, "initCanFail": true,
            });
            let client = scene.client(config).await?;
            let got = client.detail("f", &user(), json!("default")).await?;
            let reason = json!({"kind": "ERROR", "errorKind": "CLIENT_NOT_READY"});
            same("the detail", &got, &json!({"value": "default", "reason": reason}))
        })
        .test("a cycle of prerequisites is a malformed flag", |scene| async move {
            let needs = |key: &str, other: &str| {
                flag(key, 1, json!({
                    "on": true, "variations": ["a"], "fallthrough": {"variation": 0},
                    "prerequisites": [{"key": other, "variation": 0}],
                }))
            };
            let (client, _service) =
                scene.streaming_client(&flags([needs("f", "g"), needs("g", "h"), needs("h", "g")])).await?;
            let got = client.detail("f", &user(), json!("default")).await?;
            let reason = json!({"kind": "ERROR", "errorKind": "MALFORMED_FLAG"});
            same("the detail", &got, &json!({"value": "default", "reason": reason}))
        })
        .test("a prerequisite that two flags share is no cycle", |scene| async move {
            let needs = |key: &str, others: &[&str]| {
                let list: Vec<Value> =
                    others.iter().map(|other| json!({"key": other, "variation": 0})).collect();
                flag(key, 1, json!({
                    "on": true, "variations": [key], "fallthrough": {"variation": 0}, "prerequisites": list,
                }))
            };
            let all = [needs("f", &["g", "h"]), needs("g", &["h"]), needs("h", &[])];
            let (client, _service) = scene.streaming_client(&flags(all)).await?;
            client.has_value("f", "f").await
        })
        .test("a prerequisite that is off fails, whatever it serves", |scene| async move {
            let off = flag("p", 1, json!({"variations": ["a"], "offVariation": 0}));
            let needing = flag("f", 1, json!({
                "on": true, "variations": ["on", "off"], "offVariation": 1, "fallthrough": {"variation": 0},
                "prerequisites": [{"key": "p", "variation": 0}],
            }));
            let (client, _service) = scene.streaming_client(&flags([off, needing])).await?;
            let got = client.detail("f", &user(), json!("default")).await?;
            let reason = json!({"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "p"});
            same("the detail", &got, &json!({"value": "off", "variationIndex": 1, "reason": reason}))
        })
        .test("a segment that refers to itself is a malformed flag", |scene| async move {
            let clause = json!({"attribute": "", "op": "segmentMatch", "values": ["s"], "negate": false});
            let itself = segment("s", 1, json!({"rules": [{"clauses": [clause]}]}));
            let all = data([crate::flags::for_segment("f", "s")], [itself]);
            let (client, _service) = scene.streaming_client(&all).await?;
            let got = client.detail("f", &user(), json!("default")).await?;
            let reason = json!({"kind": "ERROR", "errorKind": "MALFORMED_FLAG"});
            same("the detail", &got, &json!({"value": "default", "reason": reason}))
        })
        .test("properties nobody has heard of are ignored", |scene| async move {
            let odd = crate::flags::with(serving("f", 1, "a"), json!({"unheardOf": {"x": [1]}}));
            let (client, _service) = scene.streaming_client(&flags([odd])).await?;
            client.has_value("f", "a").await
        });
    suite.group("2.2 evaluation: users of old").needs("user-type").test(
        "a user is evaluated as a context of kind `user`",
        |scene| async move {
            let clause = |attribute: &str, value: &str| {
                json!([{"attribute": attribute, "op": "in", "values": [value], "negate": false}])
            };
            let f = flag("f", 1, json!({
                "on": true, "variations": ["no", "email", "custom"], "fallthrough": {"variation": 0},
                "rules": [
                    {"id": "1", "variation": 1, "clauses": clause("email", "e")},
                    {"id": "2", "variation": 2, "clauses": clause("x", "y")},
                ],
            }));
            let (client, _service) = scene.streaming_client(&flags([f])).await?;
            for (user, want) in [
                (json!({"key": "a"}), "no"),
                (json!({"key": "a", "email": "e"}), "email"),
                (json!({"key": "", "custom": {"x": "y"}}), "custom"),
            ] {
                let answer = client
                    .command("evaluate", json!({
                        "flagKey": "f", "user": user, "valueType": "any", "defaultValue": 0, "detail": false,
                    }))
                    .await?;
                same(&format!("the value for {user}"), &answer, &json!({"value": want}))?;
            }
            Ok(())
        },
    );
}

/// Section 2.7's worked values: hash input, as flag key, salt, seed and attribute, and the bucket.
fn add_buckets(suite: &mut Suite) {
    let group = suite.group("2.7 evaluation: buckets");
    let cases = [
        (None, json!({}), "userKeyA", 42_157),
        (None, json!({}), "userKeyB", 67_084),
        (None, json!({}), "userKeyC", 10_343),
        (Some(61), json!({}), "userKeyA", 9_801),
        (Some(61), json!({}), "userKeyB", 14_483),
        (Some(61), json!({}), "userKeyC", 92_426),
        (Some(0), json!({}), "userKeyA", 61_562),
        (Some(-5), json!({}), "userKeyA", 12_902),
        (None, json!({"n": 33_333}), "userKeyA", 54_771),
        (None, json!({"n": 99_999}), "userKeyA", 73_096),
    ];
    for (seed, attributes, key, bucket) in cases {
        let by = if attributes == json!({}) { "key" } else { "n" };
        let context = user_with(key, attributes);
        let name = format!("{context} by `{by}` with seed {seed:?} is in bucket {bucket}");
        group.test(name, move |scene| {
            let context = context.clone();
            async move {
                // Room for what single precision makes of it.
                for (first, want) in [(bucket - 5, 1), (bucket + 5, 0)] {
                    let mut rollout = json!({"contextKind": "user", "bucketBy": by, "variations": [
                        {"variation": 0, "weight": first}, {"variation": 1, "weight": 100_000 - first}]});
                    if let Some(seed) = seed {
                        rollout["seed"] = json!(seed);
                    }
                    let f = flag("hashKey", 1, json!({
                        "on": true, "salt": "saltyA", "variations": [0, 1], "fallthrough": {"rollout": rollout},
                    }));
                    let (client, _service) = scene.streaming_client(&flags([f])).await?;
                    let got = client.value_for("hashKey", &context, "default").await?;
                    same(&format!("the value at a weight of {first}"), &got, &json!(want))?;
                }
                Ok(())
            }
        });
    }
    group.test("an experiment says so, unless the variation is untracked", |scene| async move {
        let experiment = |untracked: bool| {
            flag(
                "f",
                1,
                json!({
                    "on": true, "variations": ["a"], "fallthrough": {"rollout": {
                        "kind": "experiment", "contextKind": "user", "variations": [
                            {"variation": 0, "weight": 100_000, "untracked": untracked}]}},
                }),
            )
        };
        let (client, service) = scene.streaming_client(&flags([experiment(false)])).await?;
        let got = client.detail("f", &user(), json!("default")).await?;
        let reason = json!({"kind": "FALLTHROUGH", "inExperiment": true});
        same("the reason", &got["reason"], &reason)?;
        let mut untracked = experiment(true);
        untracked["version"] = json!(2);
        untracked["variations"] = json!(["b"]);
        service.stream(0, SOON).await?.send(crate::flags::patch_flag(&untracked));
        client.soon_has_value("f", "b").await?;
        let got = client.detail("f", &user(), json!("default")).await?;
        same("the reason", &got["reason"], &json!({"kind": "FALLTHROUGH"}))
    });
}

//! The published evaluation cases that every server-side SDK must agree on, unmodified.
//!
//! They are read from `FLAGSTAFF_TEST_DATA` or `../shared/data` beside the checkout.

use std::io::Write as _;
use std::path::PathBuf;

use flagstaff_eval::explain::Explainer;
use flagstaff_eval::model::{Flag, FlagData, Segment};
use flagstaff_eval::{Context, Value, evaluate};
use serde_json::json;
use serde_yaml_ng::Value as Yaml;

use crate::expand::expand;

/// The published data's own count.
const EXPECTED_CASES: usize = 728;

#[test]
fn every_published_case_agrees() {
    let Some(folder) = test_data() else { return };
    let mut cases = 0;
    let mut typed = 0;
    let mut failures = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder can be listed")
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("the file can be read");
        for document in expand(&text) {
            let is_typed = document.get("requireCapability").is_some();
            let count = run(&document, &mut failures);
            cases += count;
            typed += if is_typed { count } else { 0 };
        }
    }
    say(format_args!(
        "published cases: {cases} run in {} files, {typed} of them strongly typed",
        files.len()
    ));
    assert!(failures.is_empty(), "{} of {cases} failed:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(cases, EXPECTED_CASES);
}

/// Says it to whoever runs the tests: what `println!` prints is kept back unless the test fails.
fn say(text: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "{text}").expect("stderr is open");
}

/// The folder of cases. Absent: the test says so and passes, unless the data is required.
fn test_data() -> Option<PathBuf> {
    let root = std::env::var_os("FLAGSTAFF_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let folder = root.join("sdk-test-data/server-side-eval");
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("FLAGSTAFF_REQUIRE_TEST_DATA").is_some_and(|value| value == "1");
    assert!(!required, "no test data at {}", folder.display());
    say(format_args!("published cases: 0 run, as there is no test data at {}", folder.display()));
    None
}

fn run(document: &Yaml, failures: &mut Vec<String>) -> usize {
    let data = data_set(&document["sdkData"]);
    let evaluations = document["evaluations"].as_sequence().expect("a list of evaluations");
    for evaluation in evaluations {
        let expected = to_json(&evaluation["expect"]);
        let found = answer(&data, document, evaluation);
        if !same(&found, &expected) {
            failures.push(format!(
                "{} / {}: expected {expected}, found {found}",
                document["name"].as_str().unwrap_or_default(),
                evaluation.get("name").and_then(Yaml::as_str).unwrap_or_default(),
            ));
        }
    }
    evaluations.len()
}

fn data_set(sdk_data: &Yaml) -> Explainer {
    let items = |name: &str| -> Vec<(String, Value)> {
        let Value::Object(items) = to_json(sdk_data.get(name).unwrap_or(&Yaml::Null)) else {
            return Vec::new();
        };
        items
            .into_iter()
            .map(|(key, mut item)| {
                let properties = item.as_object_mut().expect("an item is an object");
                properties.entry("key").or_insert_with(|| json!(key));
                properties.entry("version").or_insert_with(|| json!(1));
                (key, item)
            })
            .collect()
    };
    let flag = |(key, item)| (key, serde_json::from_value::<Flag>(item).expect("a flag"));
    let segment = |(key, item)| (key, serde_json::from_value::<Segment>(item).expect("a segment"));
    Explainer::new(FlagData {
        flags: items("flags").into_iter().map(flag).collect(),
        segments: items("segments").into_iter().map(segment).collect(),
    })
}

/// What an SDK answers around the evaluator: defaults for no value, and types as asked for.
fn answer(explainer: &Explainer, document: &Yaml, evaluation: &Yaml) -> Value {
    let value_type = evaluation.get("valueType").and_then(Yaml::as_str).unwrap_or("any");
    let key = evaluation["flagKey"].as_str().expect("a flag key");
    let default = evaluation.get("default").map_or(json!(false), to_json);
    let error = |kind: &str| json!({"value": default, "reason": {"kind": "ERROR", "errorKind": kind}});

    let context =
        evaluation.get("context").or_else(|| evaluation.get("user")).or_else(|| document.get("context"));
    let Ok(context) = Context::from_json(&to_json(context.unwrap_or(&Yaml::Null))) else {
        return error("USER_NOT_SPECIFIED");
    };
    let data = explainer.data();
    let Some(flag) = data.flag(key) else {
        return error("FLAG_NOT_FOUND");
    };
    let detail = evaluate(data, flag, &context, &mut |_| {});
    let told = explainer.explain(key, &context).expect("the flag is there");
    assert_eq!((told.value.as_ref(), told.variation), (detail.value, detail.variation_index), "{key}, told");
    assert_eq!(told.reason, detail.reason, "{key}, told");
    let fits = |value: &Value| match value_type {
        "bool" => value.is_boolean(),
        "int" | "double" => value.is_number(),
        "string" => value.is_string(),
        _ => true,
    };
    if detail.value.is_some_and(|value| !fits(value)) {
        return error("WRONG_TYPE");
    }
    let value = match detail.value {
        Some(value) if value_type == "int" => json!(value.as_f64().unwrap_or_default().trunc() as i64),
        Some(value) => value.clone(),
        None => default,
    };
    let mut answer = json!({"value": value, "reason": detail.reason});
    if let Some(index) = detail.variation_index {
        answer["variationIndex"] = json!(index);
    }
    answer
}

/// Equal as JSON, where a null property counts as absent and 1 equals 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys());
            names
                .into_iter()
                .all(|name| same(a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn to_json(yaml: &Yaml) -> Value {
    serde_json::to_value(yaml).expect("the file's values are JSON values")
}

//! R29: the published evaluation cases that every SDK must agree on, and so every door.
//!
//! They are read from `FLAGSTAFF_TEST_DATA`, or from `../shared/data` beside the checkout; never copied.

use std::path::PathBuf;

use flagstaff_eval::{Context, Value};
use serde_json::{Map, json};
use serde_yaml_ng::Value as Yaml;

use self::expand::expand;

#[path = "../../flagstaff-eval/tests/it/expand.rs"]
mod expand;

/// Flags and segments, and what is expected of them.
#[derive(Clone, Debug)]
pub struct PublishedData {
    /// The file, and which copy of it.
    pub name: String,
    /// `{"flags": {…}, "segments": {…}}`, complete with keys and versions.
    pub data: Value,
    /// What is asked.
    pub cases: Vec<PublishedCase>,
}

/// One evaluation.
#[derive(Clone, Debug)]
pub struct PublishedCase {
    /// What is special about it.
    pub name: String,
    /// The flag that is asked for.
    pub flag_key: String,
    /// The context as it is given: without a `kind` it is a user of the time before contexts.
    pub context: Value,
    /// What is expected.
    pub expected: Expected,
}

/// What is expected of an evaluation, by whoever knows neither the program's default nor the type it wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// A value with its variation; none of both where the program's default is to be used.
    Served {
        /// The value.
        value: Value,
        /// The variation index.
        variation: Value,
        /// Why.
        reason: Value,
    },
    /// There is no such flag.
    NoFlag,
    /// The context is none.
    NoContext,
    /// The value is of another type than the program wants, which no door but an SDK is told.
    WrongType,
}

/// All of them; none, with a line that says so, where there is no test data.
///
/// # Panics
/// If there is none, but `FLAGSTAFF_REQUIRE_TEST_DATA` asks for it; or if it cannot be read.
pub fn published_cases() -> Option<Vec<PublishedData>> {
    let root = std::env::var_os("FLAGSTAFF_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let folder = root.join("sdk-test-data/server-side-eval");
    if !folder.is_dir() {
        let required = std::env::var_os("FLAGSTAFF_REQUIRE_TEST_DATA").is_some_and(|value| value == "1");
        assert!(!required, "no test data at {}", folder.display());
        eprintln!("R29: no case is run, as there is no test data at {}", folder.display());
        return None;
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder can be listed")
        .map(|entry| entry.expect("the folder can be listed").path())
        .collect();
    files.sort();
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).expect("the file can be read");
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let documents = expand(&text).into_iter().enumerate();
        documents
            .map(|(number, document)| read(format!("{stem} {}", number + 1), &document))
            .collect::<Vec<_>>()
    };
    Some(files.iter().flat_map(read).collect())
}

fn read(name: String, document: &Yaml) -> PublishedData {
    let items = |kind: &str| -> Map<String, Value> {
        let items = document["sdkData"].get(kind).map_or(Value::Null, to_json);
        let items = items.as_object().cloned().unwrap_or_default().into_iter();
        let complete = |(key, mut item): (String, Value)| {
            let properties = item.as_object_mut().expect("an item is an object");
            properties.entry("key").or_insert_with(|| json!(key));
            properties.entry("version").or_insert_with(|| json!(1));
            (key, item)
        };
        items.map(complete).collect()
    };
    let evaluations = document["evaluations"].as_sequence().expect("a list of evaluations");
    let cases = evaluations.iter().map(|evaluation| {
        let context = evaluation.get("context").or_else(|| evaluation.get("user"));
        PublishedCase {
            name: evaluation.get("name").and_then(Yaml::as_str).unwrap_or_default().to_owned(),
            flag_key: evaluation["flagKey"].as_str().expect("a flag key").to_owned(),
            context: to_json(context.or_else(|| document.get("context")).unwrap_or(&Yaml::Null)),
            expected: expected(&to_json(&evaluation["expect"])),
        }
    });
    PublishedData {
        name,
        cases: cases.collect(),
        data: json!({"flags": items("flags"), "segments": items("segments")}),
    }
}

fn expected(expect: &Value) -> Expected {
    match expect["reason"]["errorKind"].as_str() {
        Some("FLAG_NOT_FOUND") => return Expected::NoFlag,
        Some("USER_NOT_SPECIFIED") => return Expected::NoContext,
        Some("WRONG_TYPE") => return Expected::WrongType,
        _ => {}
    }
    let variation = expect["variationIndex"].clone();
    // What is served without a variation is the program's default.
    let value = if variation.is_null() { Value::Null } else { expect["value"].clone() };
    Expected::Served { value, variation, reason: expect["reason"].clone() }
}

impl PublishedCase {
    /// The context as contexts are written today; none if it is none.
    pub fn context_of_today(&self) -> Option<Value> {
        let context = match self.context.get("kind") {
            Some(_) => Context::from_json(&self.context),
            None => Context::from_legacy_user(&self.context),
        };
        context.ok().map(|context| json!(context))
    }

    /// Whether this answer is as expected; else both in words.
    ///
    /// # Errors
    /// The difference.
    pub fn check(&self, value: &Value, variation: &Value, reason: &Value) -> Result<(), String> {
        let found =
            Expected::Served { value: value.clone(), variation: variation.clone(), reason: reason.clone() };
        let agrees = match &self.expected {
            Expected::Served { value: wanted, variation: index, reason: why } => {
                same(value, wanted) && same(variation, index) && same(reason, why)
            }
            _ => false,
        };
        if agrees { Ok(()) } else { Err(format!("expected {:?}, found {found:?}", self.expected)) }
    }
}

/// Equal as JSON, where a null property counts as absent and 1 equals 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let of = |map: &Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or_default();
            a.keys().chain(b.keys()).all(|name| same(&of(a, name), &of(b, name)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn to_json(yaml: &Yaml) -> Value {
    serde_json::to_value(yaml).expect("the file's values are JSON values")
}

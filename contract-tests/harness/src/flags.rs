//! Flags, segments and contexts in one line, and the messages that bring them.

use serde_json::{Map, Value, json};

/// A flag that is on and serves `value` to everybody.
pub(crate) fn serving(key: &str, version: u64, value: impl Into<Value>) -> Value {
    flag(key, version, json!({"on": true, "fallthrough": {"variation": 0}, "variations": [value.into()]}))
}

/// A flag with these properties; what they leave out is as writers must have it.
pub(crate) fn flag(key: &str, version: u64, properties: Value) -> Value {
    with(
        json!({
            "key": key, "version": version, "on": false, "prerequisites": [], "targets": [],
            "contextTargets": [], "rules": [], "fallthrough": {}, "offVariation": null, "variations": [],
            "salt": "salt", "clientSide": false, "trackEvents": false, "trackEventsFallthrough": false,
            "debugEventsUntilDate": null, "deleted": false,
        }),
        properties,
    )
}

/// A segment with these properties.
pub(crate) fn segment(key: &str, version: u64, properties: Value) -> Value {
    with(
        json!({
            "key": key, "version": version, "included": [], "excluded": [], "includedContexts": [],
            "excludedContexts": [], "rules": [], "salt": "salt", "generation": null, "deleted": false,
        }),
        properties,
    )
}

/// A big segment of generation 2.
pub(crate) fn big_segment(key: &str, properties: Value) -> Value {
    segment(key, 1, with(json!({"unbounded": true, "generation": 2}), properties))
}

/// A flag that serves true to members of a segment and false to others.
pub(crate) fn for_segment(key: &str, segment: &str) -> Value {
    flag(
        key,
        1,
        json!({
            "on": true, "variations": [false, true], "fallthrough": {"variation": 0}, "offVariation": 0,
            "rules": [{"id": "r", "variation": 1, "clauses": [
                {"attribute": "", "op": "segmentMatch", "values": [segment], "negate": false}]}],
        }),
    )
}

/// The first object with the properties of the second on top.
pub(crate) fn with(mut base: Value, properties: Value) -> Value {
    if let (Value::Object(base), Value::Object(properties)) = (&mut base, properties) {
        base.extend(properties);
    }
    base
}

/// All flags and segments, as a poll brings them.
pub(crate) fn data(
    flags: impl IntoIterator<Item = Value>,
    segments: impl IntoIterator<Item = Value>,
) -> Value {
    json!({"flags": by_key(flags), "segments": by_key(segments)})
}

/// Flags alone.
pub(crate) fn flags(flags: impl IntoIterator<Item = Value>) -> Value {
    data(flags, [])
}

fn by_key(items: impl IntoIterator<Item = Value>) -> Value {
    let mut map = Map::new();
    for item in items {
        map.insert(item["key"].as_str().unwrap_or_default().to_owned(), item);
    }
    map.into()
}

/// A server-sent event.
pub(crate) fn event(name: &str, data: impl std::fmt::Display) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

pub(crate) fn put(data: &Value) -> String {
    event("put", json!({"path": "/", "data": data}))
}

pub(crate) fn patch_flag(flag: &Value) -> String {
    let path = format!("/flags/{}", flag["key"].as_str().unwrap_or_default());
    event("patch", json!({"path": path, "data": flag}))
}

pub(crate) fn patch_segment(segment: &Value) -> String {
    let path = format!("/segments/{}", segment["key"].as_str().unwrap_or_default());
    event("patch", json!({"path": path, "data": segment}))
}

pub(crate) fn delete(path: &str, version: u64) -> String {
    event("delete", json!({"path": path, "version": version}))
}

/// The context that most tests use.
pub(crate) fn user() -> Value {
    user_with("user-key", json!({}))
}

/// A context of kind `user` with these attributes.
pub(crate) fn user_with(key: &str, attributes: Value) -> Value {
    with(json!({"kind": "user", "key": key}), attributes)
}

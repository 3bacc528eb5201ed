//! Flags and contexts in one line.

use flagstaff_eval::{Context, Value};
use serde_json::{Map, json};

/// A flag as it travels.
#[derive(Clone, Debug)]
#[must_use]
pub struct FlagBuilder {
    json: Value,
}

/// A flag that is on and serves `true`, the first of the variations true and false; off it serves the
/// second. Version 1.
pub fn flag(key: &str) -> FlagBuilder {
    FlagBuilder {
        json: json!({
            "key": key, "version": 1, "on": true, "salt": "salt", "variations": [true, false],
            "fallthrough": {"variation": 0}, "offVariation": 1,
        }),
    }
}

impl FlagBuilder {
    /// Sets the version.
    pub fn version(self, version: u64) -> Self {
        self.with("version", version)
    }

    /// Serves this value to everybody, the only variation.
    pub fn serving(self, value: impl Into<Value>) -> Self {
        self.with("variations", json!([value.into()])).with("offVariation", 0)
    }

    /// Turns targeting off.
    pub fn off(self) -> Self {
        self.with("on", false)
    }

    /// Has each evaluation reported by an event of its own.
    pub fn tracked(self) -> Self {
        self.with("trackEvents", true)
    }

    /// Sets any property.
    pub fn with(mut self, property: &str, value: impl Into<Value>) -> Self {
        self.json[property] = value.into();
        self
    }

    /// The flag's key.
    ///
    /// # Panics
    /// If the key was set to something other than text.
    pub fn key(&self) -> &str {
        self.json["key"].as_str().expect("a key is text")
    }

    /// The JSON form.
    pub fn build(self) -> Value {
        self.json
    }
}

/// These flags, and no segments, as a poll gives them.
pub fn all_data(flags: impl IntoIterator<Item = FlagBuilder>) -> Value {
    let flags: Map<String, Value> =
        flags.into_iter().map(|flag| (flag.key().to_owned(), flag.build())).collect();
    json!({"flags": flags, "segments": {}})
}

/// A context of kind `user` with nothing but a key.
///
/// # Panics
/// If the key is empty.
pub fn user(key: &str) -> Context {
    Context::from_key(key).expect("the key is not empty")
}

//! Reading contexts from JSON, and users of the time before contexts.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::{Map, Value};

use super::builder::from_members;
use super::kind::{MULTI, USER};
use super::{AttributeRef, Context, ContextBuilder, ContextError, SingleContext};

impl Context {
    /// Reads the JSON form. An object without `kind` is a user of the time before contexts and is
    /// converted; no user-era rule applies to the result.
    ///
    /// # Errors
    /// If the value breaks a rule of contexts; the message names the property.
    pub fn from_json(json: &Value) -> Result<Self, ContextError> {
        let properties = json.as_object().ok_or_else(|| not_an_object(json))?;
        match properties.get("kind") {
            None => Ok(Context::single(user_member(properties)?)),
            Some(Value::String(kind)) if kind == MULTI => multi(properties),
            Some(Value::String(kind)) => Ok(Context::single(member(kind, properties)?)),
            Some(_) => Err(ContextError::wrong_type("kind")),
        }
    }

    /// Reads a user of the time before contexts and keeps to its rules: `secondary` takes part in
    /// bucketing, a clause on an `anonymous` that was never given does not match, and a key or
    /// `secondary` that is a number or a bool becomes text.
    ///
    /// # Errors
    /// If there is no key, or a property has the wrong JSON type.
    pub fn from_legacy_user(json: &Value) -> Result<Self, ContextError> {
        let properties = json.as_object().ok_or_else(|| not_an_object(json))?;
        let secondary = properties.get("secondary").and_then(legacy_text).map(Into::into);
        let anonymous_given = properties.get("anonymous").is_some_and(|given| !given.is_null());
        let mut properties = Cow::Borrowed(properties);
        for name in ["key", "secondary"] {
            if let Some(value @ (Value::Number(_) | Value::Bool(_))) = properties.get(name) {
                let text = legacy_text(value).into();
                properties.to_mut().insert(name.to_owned(), text);
            }
        }
        let member = user_member(&properties)?;
        Ok(Context::legacy_user(member, secondary, anonymous_given))
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Context::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Reads JSON text: see [`Context::from_json`].
impl std::str::FromStr for Context {
    type Err = ContextError;

    fn from_str(text: &str) -> Result<Self, ContextError> {
        let json: Value =
            serde_json::from_str(text).map_err(|error| ContextError::NotAnObject(error.to_string()))?;
        Context::from_json(&json)
    }
}

fn not_an_object(json: &Value) -> ContextError {
    let found = match json {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        _ => "an array",
    };
    ContextError::NotAnObject(format!("found {found}"))
}

fn multi(properties: &Map<String, Value>) -> Result<Context, ContextError> {
    let mut members = Vec::with_capacity(properties.len() - 1);
    let mut errors = Vec::new();
    for (kind, value) in properties.iter().filter(|(name, _)| *name != "kind") {
        let read = match value {
            Value::Object(properties) => member(kind, properties),
            _ => Err(ContextError::wrong_type(kind)),
        };
        match read {
            Ok(member) => members.push(member),
            Err(error) => errors.push(error),
        }
    }
    match errors.len() {
        0 => from_members(members),
        1 => Err(errors.remove(0)),
        _ => Err(ContextError::Members(
            errors.iter().map(ContextError::to_string).collect::<Vec<_>>().join(", "),
        )),
    }
}

/// One member; a `kind` among the properties is not looked at.
fn member(kind: &str, properties: &Map<String, Value>) -> Result<SingleContext, ContextError> {
    let mut builder = Context::builder(key(properties)?).kind(kind);
    for (name, value) in properties {
        match (name.as_str(), value) {
            ("kind" | "key", _) => {}
            ("_meta", meta) => builder = with_meta(builder, meta)?,
            ("", _) => {}
            ("name" | "anonymous", _) => {
                if !builder.try_set(name, value.clone()) {
                    return Err(ContextError::wrong_type(name));
                }
            }
            (_, Value::Null) => {}
            _ => builder.push(name, value),
        }
    }
    builder.build_member()
}

fn key(properties: &Map<String, Value>) -> Result<&str, ContextError> {
    match properties.get("key") {
        None | Some(Value::Null) => Err(ContextError::EmptyKey),
        Some(Value::String(key)) => Ok(key),
        Some(_) => Err(ContextError::wrong_type("key")),
    }
}

fn with_meta(builder: ContextBuilder, meta: &Value) -> Result<ContextBuilder, ContextError> {
    let list = match meta {
        Value::Null => return Ok(builder),
        Value::Object(meta) => meta.get("privateAttributes"),
        _ => return Err(ContextError::wrong_type("_meta")),
    };
    private_attributes(builder, "privateAttributes", list, AttributeRef::new)
}

fn private_attributes(
    mut builder: ContextBuilder,
    property: &str,
    list: Option<&Value>,
    reference: fn(&str) -> AttributeRef,
) -> Result<ContextBuilder, ContextError> {
    let list = match list {
        None | Some(Value::Null) => return Ok(builder),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ContextError::wrong_type(property)),
    };
    for name in list {
        let name = name.as_str().ok_or_else(|| ContextError::wrong_type(property))?;
        builder = builder.private(reference(name));
    }
    Ok(builder)
}

/// A user as a member of kind `user`. The key may be empty, only here.
fn user_member(properties: &Map<String, Value>) -> Result<SingleContext, ContextError> {
    let mut builder = Context::builder(key(properties)?).kind(USER).allow_empty_key();
    let no_custom = Map::new();
    let custom = match properties.get("custom") {
        None | Some(Value::Null) => &no_custom,
        Some(Value::Object(custom)) => custom,
        Some(_) => return Err(ContextError::wrong_type("custom")),
    };
    for (name, value) in custom {
        if !matches!(name.as_str(), "" | "kind" | "key" | "name" | "anonymous" | "_meta") && !value.is_null()
        {
            builder.push(name, value);
        }
    }
    for name in ["name", "firstName", "lastName", "email", "avatar", "country", "ip"] {
        let in_custom = name != "name" && custom.get(name).is_some_and(|value| !value.is_null());
        match properties.get(name) {
            None | Some(Value::Null) => {}
            // Of two attributes with one name the custom one counts.
            Some(Value::String(_)) if in_custom => {}
            Some(text @ Value::String(_)) => {
                builder.try_set(name, text.clone());
            }
            Some(_) => return Err(ContextError::wrong_type(name)),
        }
    }
    match properties.get("secondary") {
        None | Some(Value::Null | Value::String(_)) => {}
        Some(_) => return Err(ContextError::wrong_type("secondary")),
    }
    match properties.get("anonymous") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(anonymous)) => builder = builder.anonymous(*anonymous),
        Some(_) => return Err(ContextError::wrong_type("anonymous")),
    }
    let private = properties.get("privateAttributeNames");
    private_attributes(builder, "privateAttributeNames", private, AttributeRef::literal)?.build_member()
}

/// What user-era programs made of a key: `str()` of it.
fn legacy_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        _ => None,
    }
}

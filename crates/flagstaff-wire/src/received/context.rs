//! Users and contexts inside received events, in one form.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// One member of a received context, or a user, which is a member of kind `user`.
///
/// Attributes stand as in a context: `name`, `email` and what a user has under `custom` side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedMember {
    /// The kind.
    pub kind: String,
    /// The key; never empty.
    pub key: String,
    /// Whether it must not be remembered.
    pub anonymous: bool,
    /// All attributes but `kind`, `key` and `anonymous`; none is null, none is private.
    pub attributes: Map<String, Value>,
    /// The private attributes that were taken out, as references.
    pub redacted: Vec<String>,
}

impl ReceivedMember {
    /// The members of a context. What is not a context gives none; of a multi-context, members that are
    /// not valid are left out.
    pub fn of_context(context: &RawValue) -> Vec<Self> {
        let Some(Value::Object(mut properties)) = parse(context) else {
            return Vec::new();
        };
        match properties.remove("kind") {
            Some(Value::String(kind)) if kind == "multi" => properties
                .into_iter()
                .filter_map(|(kind, member)| match member {
                    Value::Object(properties) => member_of_kind(kind, properties),
                    _ => None,
                })
                .collect(),
            Some(Value::String(kind)) => member_of_kind(kind, properties).into_iter().collect(),
            // Some SDKs send user-era users in the place of contexts.
            None => user(properties).into_iter().collect(),
            Some(_) => Vec::new(),
        }
    }

    /// The user in a user-era event; none if it has no key.
    pub fn of_user(user_json: &RawValue) -> Option<Self> {
        match parse(user_json) {
            Some(Value::Object(properties)) => user(properties),
            _ => None,
        }
    }

    /// The text attribute `name`; none if it is absent or of another type.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }

    /// Whether the attribute `name` was taken out.
    pub fn keeps_private(&self, name: &str) -> bool {
        self.redacted.iter().any(|reference| reference.strip_prefix('/').unwrap_or(reference) == name)
    }
}

fn parse(raw: &RawValue) -> Option<Value> {
    Value::deserialize(&mut serde_json::Deserializer::from_str(raw.get())).ok()
}

fn member_of_kind(kind: String, mut properties: Map<String, Value>) -> Option<ReceivedMember> {
    if matches!(kind.as_str(), "" | "kind" | "multi") {
        return None;
    }
    properties.remove("kind");
    let key = key(properties.remove("key")?)?;
    let anonymous = properties.remove("anonymous") == Some(Value::Bool(true));
    let meta = properties.remove("_meta").unwrap_or_default();
    let mut redacted = texts(meta.get("redactedAttributes"));
    // An SDK redacts before it sends. Should one not have done so, what is private ends here.
    for reference in redacted.iter().cloned().chain(texts(meta.get("privateAttributes"))).collect::<Vec<_>>()
    {
        if take_out(&mut properties, &reference) && !redacted.contains(&reference) {
            redacted.push(reference);
        }
    }
    properties.retain(|_, value| !value.is_null());
    Some(ReceivedMember { kind, key, anonymous, attributes: properties, redacted })
}

fn user(mut properties: Map<String, Value>) -> Option<ReceivedMember> {
    let key = key(properties.remove("key")?)?;
    let anonymous = properties.remove("anonymous") == Some(Value::Bool(true));
    let mut redacted = texts(properties.get("privateAttrs"));
    let private = texts(properties.get("privateAttributeNames"));
    let mut attributes = Map::new();
    for name in ["name", "firstName", "lastName", "email", "avatar", "country", "ip", "secondary"] {
        if let Some(value) = properties.remove(name) {
            attributes.insert(name.to_owned(), value);
        }
    }
    if let Some(Value::Object(custom)) = properties.remove("custom") {
        let reserved = |name: &str| matches!(name, "" | "kind" | "key" | "name" | "anonymous" | "_meta");
        attributes.extend(custom.into_iter().filter(|(name, value)| !reserved(name) && !value.is_null()));
    }
    for name in redacted.iter().cloned().chain(private).collect::<Vec<_>>() {
        if attributes.remove(&name).is_some() && !redacted.contains(&name) {
            redacted.push(name);
        }
    }
    attributes.retain(|_, value| !value.is_null());
    Some(ReceivedMember { kind: "user".to_owned(), key, anonymous, attributes, redacted })
}

/// A key is a text; numbers were keys, too, in the user era.
fn key(value: Value) -> Option<String> {
    match value {
        Value::String(key) if !key.is_empty() => Some(key),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let elements = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    elements.iter().filter_map(|element| element.as_str().map(str::to_owned)).collect()
}

/// Removes what `reference` points at, and says whether there was anything.
fn take_out(properties: &mut Map<String, Value>, reference: &str) -> bool {
    let reference = flagstaff_eval::AttributeRef::new(reference);
    if !reference.is_valid() {
        return false;
    }
    let mut components = vec![reference.name()];
    components.extend(reference.below().iter().map(|component| &**component));
    let Some((last, path)) = components.split_last() else {
        return false;
    };
    let mut object = properties;
    for component in path {
        match object.get_mut(*component) {
            Some(Value::Object(below)) => object = below,
            _ => return false,
        }
    }
    object.remove(*last).is_some()
}

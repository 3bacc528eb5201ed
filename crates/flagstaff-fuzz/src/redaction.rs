//! Redaction: what leaves the program is exactly the context without what is private.

use flagstaff_eval::{AttributeRef, Context, Value};
use flagstaff_wire::redaction::{RedactedContext, Redaction};
use serde_json::{Map, json};

/// The input is a JSON object: `context`, `private` (a list of references), `all` and `anonymous`
/// (whether everything is private, or everything of anonymous members).
pub(crate) fn check(input: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(input) else { return };
    let Ok(context) = Context::from_json(&json["context"]) else { return };
    let private = json["private"].as_array().into_iter().flatten();
    let redaction = Redaction {
        all_attributes_private: json["all"] == true,
        private_attributes: private.filter_map(Value::as_str).map(AttributeRef::new).collect(),
    };
    let redact_anonymous = json["anonymous"] == true;
    let redacted = RedactedContext { context: &context, redaction: &redaction, redact_anonymous };
    let text = serde_json::to_string(&redacted).expect("a context can be written");
    let written: Value = serde_json::from_str(&text).expect("what is written is JSON");
    assert_eq!(written, plainly_redacted(&context, &redaction, redact_anonymous), "{json}");
}

fn plainly_redacted(context: &Context, redaction: &Redaction, redact_anonymous: bool) -> Value {
    let mut whole = serde_json::to_value(context).expect("a context can be written");
    let is_multi = context.is_multi();
    for member in context.members() {
        let place = if is_multi { &mut whole[member.kind()] } else { &mut whole };
        let properties = place.as_object_mut().expect("a member is an object");
        let everything = redaction.all_attributes_private || (redact_anonymous && member.is_anonymous());
        let own = member.private_attributes().iter();
        let references: Vec<AttributeRef> = if everything {
            let names = ["name"].into_iter().filter(|_| member.name().is_some());
            names.chain(member.attributes().map(|(name, _)| name)).map(AttributeRef::literal).collect()
        } else {
            redaction.private_attributes.iter().chain(own).cloned().collect()
        };
        redact(properties, &references);
    }
    whole
}

fn redact(properties: &mut Map<String, Value>, references: &[AttributeRef]) {
    properties.remove("_meta");
    let original = properties.clone();
    let paths: Vec<(String, Vec<&str>)> = references
        .iter()
        .map(|reference| {
            (reference.to_string(), (0..reference.depth()).filter_map(|i| reference.component(i)).collect())
        })
        .filter(|(_, path): &(_, Vec<&str>)| {
            !path.is_empty()
                && !matches!(path[0], "kind" | "key" | "anonymous")
                && find(&original, path).is_some()
        })
        .collect();
    let mut named: Vec<&str> = Vec::new();
    for (spelling, path) in &paths {
        remove(properties, path);
        let is_inside = paths.iter().any(|(_, outer)| outer.len() < path.len() && path.starts_with(outer));
        if !is_inside && !named.contains(&spelling.as_str()) {
            named.push(spelling);
        }
    }
    if !named.is_empty() {
        properties.insert("_meta".to_owned(), json!({ "redactedAttributes": named }));
    }
}

fn find<'v>(properties: &'v Map<String, Value>, path: &[&str]) -> Option<&'v Value> {
    let (last, outer) = path.split_last()?;
    let inner = outer.iter().try_fold(properties, |object, name| object.get(*name)?.as_object())?;
    inner.get(*last)
}

fn remove(properties: &mut Map<String, Value>, path: &[&str]) {
    let Some((last, outer)) = path.split_last() else { return };
    let inner = outer.iter().try_fold(properties, |object, name| object.get_mut(*name)?.as_object_mut());
    inner.map(|object| object.remove(*last));
}

//! Attribute references: split as the protocol words it, the same after being written and read
//! again, and finding what they name.

use std::sync::LazyLock;

use flagstaff_eval::{AttributeRef, AttributeValue, Context, ContextRead, Value};
use regex::Regex;
use serde_json::json;

/// Contexts nested deeper than this are not built.
const DEEPEST: usize = 50;

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let reference = AttributeRef::new(text);
    let expected = plainly_split(text);
    let found: Vec<&str> = (0..reference.depth()).filter_map(|index| reference.component(index)).collect();
    assert_eq!(found, expected.clone().unwrap_or_default(), "{text:?}");
    assert_eq!(reference.is_valid(), expected.is_some(), "{text:?}");
    assert_eq!(AttributeRef::new(&reference.to_string()), reference, "{text:?} written and read again");

    let literal = AttributeRef::literal(text);
    assert_eq!(literal.component(0), (!text.is_empty()).then_some(text));
    assert!(literal.depth() <= 1);
    assert_eq!(AttributeRef::new(&literal.to_string()), literal, "literal {text:?} written and read again");

    if let Some(components) = expected.filter(|components| components.len() <= DEEPEST) {
        finds(&reference, &components);
    }
    finds(&literal, &[text.to_owned()]);
}

fn plainly_split(text: &str) -> Option<Vec<String>> {
    if text.is_empty() {
        return None;
    }
    let Some(path) = text.strip_prefix('/') else {
        return Some(vec![text.to_owned()]);
    };
    static COMPONENT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("^(?s:[^~]|~[01])+$").expect("the pattern is right"));
    let unescape = |component: &str| component.replace("~1", "/").replace("~0", "~");
    path.split('/').map(|component| COMPONENT.is_match(component).then(|| unescape(component))).collect()
}

/// A context that has something at these components answers it, and another does not.
fn finds(reference: &AttributeRef, components: &[String]) {
    let [name, below @ ..] = components else { return };
    if matches!(name.as_str(), "" | "kind" | "key" | "name" | "anonymous" | "_meta") {
        return;
    }
    let value = below.iter().rev().fold(Value::from("here"), |inner, name| json!({ name.as_str(): inner }));
    let context = Context::builder("u").set(name, value).build().expect("the context is valid");
    let found = context.attribute("user", reference);
    assert!(matches!(found, AttributeValue::String("here")), "{reference}");
    assert!(matches!(context.attribute("org", reference), AttributeValue::Missing), "{reference}");
}

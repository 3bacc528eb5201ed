//! One event as a sentence.

use serde_json::{Map, Value};

use crate::dashboard::words::{count, joined, shortened};

/// Longer texts are cut: the whole event is one click away.
const LONGEST: usize = 80;

/// The kinds of events that there are, as they are on the wire, and as people call them.
pub(super) const KINDS: [(&str, &str); 9] = [
    ("feature", "Evaluations"),
    ("debug", "Debugged evaluations"),
    ("summary", "Summaries"),
    ("identify", "Identified"),
    ("index", "Seen"),
    ("custom", "Custom"),
    ("click", "Clicks"),
    ("pageview", "Page views"),
    ("migration_op", "Migrations"),
];

/// What happened, in words.
pub(super) fn sentence(event: &Map<String, Value>) -> String {
    let who = who(event).unwrap_or_else(|| "Somebody".to_owned());
    let key = text(event, "key").unwrap_or_default();
    match kind(event) {
        "feature" | "debug" => format!("{who} got {} of {key}{}", value(event.get("value")), reason(event)),
        "identify" => format!("{who} was identified"),
        "index" => format!("{who} was seen"),
        "custom" => {
            let metric = event.get("metricValue").map(|metric| format!(", {metric}")).unwrap_or_default();
            format!("{who} did {key}{metric}")
        }
        "click" => format!("{who} clicked {key}"),
        "pageview" => format!("{who} viewed {key}"),
        "summary" => summary(event),
        "migration_op" => {
            let operation = text(event, "operation").unwrap_or_default();
            let evaluation = event.get("evaluation").and_then(|evaluation| evaluation.get("key"));
            format!(
                "{who}: {operation} of the migration {}",
                evaluation.and_then(Value::as_str).unwrap_or_default()
            )
        }
        other => format!("{who}: an event of the kind {}", shortened(other, LONGEST)),
    }
}

/// The kind of an event.
pub(super) fn kind(event: &Map<String, Value>) -> &str {
    event.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// The keys of flags that an event is about.
pub(super) fn flags(event: &Map<String, Value>) -> Vec<&str> {
    match kind(event) {
        "feature" | "debug" => event.get("key").and_then(Value::as_str).into_iter().collect(),
        "summary" => features(event).map(|(key, _)| key.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// The keys of the contexts that an event is about.
pub(super) fn contexts(event: &Map<String, Value>) -> Vec<String> {
    let named = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(member) => member.get("key").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let context = event.get("context").and_then(Value::as_object);
    let whole = context.and_then(|context| named(&Value::Object(context.clone())));
    let members =
        context.into_iter().flat_map(Map::values).filter(|member| member.is_object()).filter_map(named);
    let keys = event.get("contextKeys").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let user = event.get("userKey").into_iter();
    whole.into_iter().chain(members).chain(keys.chain(user).filter_map(named)).collect()
}

/// Whether a program keeps something of the context private.
pub(super) fn has_private(event: &Map<String, Value>) -> bool {
    fn has(value: &Value) -> bool {
        match value {
            Value::Object(object) => object.contains_key("redactedAttributes") || object.values().any(has),
            _ => false,
        }
    }
    event.get("context").is_some_and(has)
}

fn who(event: &Map<String, Value>) -> Option<String> {
    let context = event.get("context").and_then(Value::as_object);
    let name = context.and_then(|context| context.get("name")).and_then(Value::as_str);
    let anonymous = context.is_some_and(|context| context.get("anonymous") == Some(&Value::Bool(true)));
    let keys: Vec<String> = contexts(event).iter().map(|key| shortened(key, LONGEST)).collect();
    match name {
        _ if anonymous => Some("An anonymous user".to_owned()),
        Some(name) if !name.trim().is_empty() => Some(shortened(name, LONGEST)),
        _ => (!keys.is_empty()).then(|| joined(&keys, "and")),
    }
}

fn summary(event: &Map<String, Value>) -> String {
    let counters = |feature: &Value| {
        let counters = feature.get("counters").and_then(Value::as_array).cloned().unwrap_or_default();
        counters.iter().filter_map(|counter| counter.get("count")?.as_u64()).sum::<u64>()
    };
    let total = features(event).map(|(_, feature)| counters(feature)).sum();
    let names: Vec<String> = features(event).map(|(key, _)| key.clone()).collect();
    let shown = match names.as_slice() {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!(
                "{first}, {second}, {third} and {}",
                count(rest.len() as u64, "other flag", "other flags")
            )
        }
        few => joined(few, "and"),
    };
    format!("{} of {}", count(total, "evaluation", "evaluations"), shortened(&shown, 2 * LONGEST))
}

fn features(event: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    event.get("features").and_then(Value::as_object).into_iter().flatten()
}

fn reason(event: &Map<String, Value>) -> String {
    let reason = event.get("reason").and_then(|reason| reason.get("kind")).and_then(Value::as_str);
    match reason {
        Some("OFF") => ": it is off".to_owned(),
        Some("FALLTHROUGH") => ": the default rule".to_owned(),
        Some("TARGET_MATCH") => ": an individual target".to_owned(),
        Some("RULE_MATCH") => {
            let index =
                event.get("reason").and_then(|reason| reason.get("ruleIndex")).and_then(Value::as_u64);
            index.map_or_else(|| ": a rule".to_owned(), |index| format!(": rule {}", index + 1))
        }
        Some("PREREQUISITE_FAILED") => ": a prerequisite failed".to_owned(),
        Some("ERROR") => ": it could not be evaluated".to_owned(),
        _ => String::new(),
    }
}

fn value(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "no value".to_owned(),
        Some(value) => shortened(&value.to_string(), LONGEST),
    }
}

fn text(event: &Map<String, Value>, name: &str) -> Option<String> {
    event.get(name).and_then(Value::as_str).map(|text| shortened(text, LONGEST))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_event_is_a_sentence() {
        let ada = json!({"kind": "user", "key": "ada", "name": "Ada Lovelace"});
        let counters = json!([{"count": 2}, {"count": 3}]);
        for (event, words) in [
            (
                json!({"kind": "feature", "key": "f", "value": true, "context": ada,
                    "reason": {"kind": "RULE_MATCH", "ruleIndex": 1}}),
                "Ada Lovelace got true of f: rule 2",
            ),
            (
                json!({"kind": "feature", "key": "f", "contextKeys": {"user": "a", "org": "o"}}),
                "o and a got no value of f",
            ),
            (
                json!({"kind": "identify", "context": {"kind": "user", "key": "x", "anonymous": true}}),
                "An anonymous user was identified",
            ),
            (json!({"kind": "index", "context": {"kind": "multi", "user": {"key": "a"}}}), "a was seen"),
            (
                json!({"kind": "custom", "key": "bought", "userKey": "a", "metricValue": 12.5}),
                "a did bought, 12.5",
            ),
            (json!({"kind": "summary", "features": {"f": {"counters": counters}}}), "5 evaluations of f"),
            (
                json!({"kind": "summary", "features": {"a": {}, "b": {}, "c": {}, "d": {}, "e": {}}}),
                "0 evaluations of a, b, c and 2 other flags",
            ),
            (json!({"kind": "moon"}), "Somebody: an event of the kind moon"),
            (json!({}), "Somebody: an event of the kind "),
        ] {
            assert_eq!(sentence(event.as_object().unwrap()), words, "{event}");
        }
    }

    #[test]
    fn an_event_says_which_flags_and_contexts_it_is_about() {
        let event = json!({"kind": "summary", "features": {"b": {}, "a": {}}});
        assert_eq!(flags(event.as_object().unwrap()).len(), 2);
        let event = json!({"kind": "feature", "key": "f", "contextKeys": {"user": "a"},
            "context": {"kind": "multi", "org": {"key": "o", "_meta": {"redactedAttributes": ["x"]}}}});
        let event = event.as_object().unwrap();
        assert_eq!((flags(event), contexts(event)), (vec!["f"], vec!["o".to_owned(), "a".to_owned()]));
        assert!(has_private(event));
    }
}

//! What of a context stays out of events.
//!
//! Source: the protocol's private attributes. `key`, `kind` and `anonymous` always stay; what is
//! left out is named in `_meta.redactedAttributes`.

use flagstaff_eval::context::SingleContext;
use flagstaff_eval::{AttributeRef, Context};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// Which attributes are private, besides those that a context itself calls so.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    /// All but `key`, `kind` and `anonymous`.
    pub all_attributes_private: bool,
    /// These; one that is not valid is none.
    pub private_attributes: Vec<AttributeRef>,
}

/// A context as events carry it.
pub struct RedactedContext<'a> {
    /// The context.
    pub context: &'a Context,
    /// What is private.
    pub redaction: &'a Redaction,
    /// Whether everything of an anonymous member is private, as it is in feature and custom events.
    pub redact_anonymous: bool,
}

impl Serialize for RedactedContext<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.context.kind())?;
        match self.context.members() {
            [member] => self.member(member).write(&mut map)?,
            members => {
                for member in members {
                    map.serialize_entry(member.kind(), &self.member(member))?;
                }
            }
        }
        map.end()
    }
}

impl<'a> RedactedContext<'a> {
    fn member(&self, member: &'a SingleContext) -> RedactedMember<'a> {
        let everything =
            self.redaction.all_attributes_private || (self.redact_anonymous && member.is_anonymous());
        if everything {
            return RedactedMember { member, everything, named: Vec::new(), redacted: Vec::new() };
        }
        let private = self.redaction.private_attributes.iter().chain(member.private_attributes());
        let mut found: Vec<(usize, &AttributeRef)> =
            private.enumerate().filter(|(_, reference)| points_at_something(member, reference)).collect();
        // What points into something follows on what points at it, so that one pass finds it: a
        // context may name a hundred thousand attributes.
        found.sort_by(|(a_place, a), (b_place, b)| path(a).cmp(path(b)).then(a_place.cmp(b_place)));
        found.dedup_by(|(_, inner), (_, outer)| path(outer).eq(path(inner).take(outer.depth())));
        let redacted = found.iter().map(|(_, reference)| *reference).collect();
        found.sort_by_key(|(place, _)| *place);
        let named = found.into_iter().map(|(_, reference)| reference).collect();
        RedactedMember { member, everything, named, redacted }
    }
}

/// One member, without what is `redacted`, or without everything.
struct RedactedMember<'a> {
    member: &'a SingleContext,
    everything: bool,
    /// In the order in which they were called private.
    named: Vec<&'a AttributeRef>,
    /// In the order of their paths, none inside another.
    redacted: Vec<&'a AttributeRef>,
}

impl Serialize for RedactedMember<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write(&mut map)?;
        map.end()
    }
}

impl RedactedMember<'_> {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("key", self.member.key())?;
        if self.member.is_anonymous() {
            map.serialize_entry("anonymous", &true)?;
        }
        let name = self.member.name();
        if self.everything {
            let all = name.map(|_| "name").into_iter().chain(self.member.attributes().map(|(name, _)| name));
            return write_meta(map, all.map(|name| AttributeRef::literal(name).to_string()));
        }
        if let Some(name) = name
            && below(&self.redacted, 0, "name").is_empty()
        {
            map.serialize_entry("name", name)?;
        }
        for (name, value) in self.member.attributes() {
            write_unless_redacted(map, name, value, &self.redacted, 0)?;
        }
        write_meta(map, self.named.iter().map(|reference| reference.to_string()))
    }
}

fn write_meta<M: SerializeMap>(map: &mut M, names: impl Iterator<Item = String>) -> Result<(), M::Error> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        redacted_attributes: Vec<String>,
    }
    let redacted_attributes: Vec<String> = names.collect();
    if redacted_attributes.is_empty() {
        return Ok(());
    }
    map.serialize_entry("_meta", &Meta { redacted_attributes })
}

/// Writes `name` at `depth` with what is left of `value`; nothing if all of it is redacted.
fn write_unless_redacted<M: SerializeMap>(
    map: &mut M,
    name: &str,
    value: &Value,
    redacted: &[&AttributeRef],
    depth: usize,
) -> Result<(), M::Error> {
    match below(redacted, depth, name) {
        [] => map.serialize_entry(name, value),
        [whole] if whole.depth() == depth + 1 => Ok(()),
        within => map.serialize_entry(name, &Pruned { value, redacted: within, depth: depth + 1 }),
    }
}

/// An object without some of its members.
struct Pruned<'a> {
    value: &'a Value,
    redacted: &'a [&'a AttributeRef],
    depth: usize,
}

impl Serialize for Pruned<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Value::Object(object) = self.value else {
            return self.value.serialize(serializer);
        };
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in object {
            write_unless_redacted(&mut map, name, value, self.redacted, self.depth)?;
        }
        map.end()
    }
}

/// The components of a reference.
fn path(reference: &AttributeRef) -> impl Iterator<Item = &str> {
    (0..reference.depth()).filter_map(|index| reference.component(index))
}

/// Those of `redacted`, which agree in the components before `depth`, that go on with `name`.
fn below<'a, 'r>(redacted: &'a [&'r AttributeRef], depth: usize, name: &str) -> &'a [&'r AttributeRef] {
    let start = redacted.partition_point(|reference| reference.component(depth) < Some(name));
    let rest = &redacted[start..];
    &rest[..rest.partition_point(|reference| reference.component(depth) == Some(name))]
}

/// Whether there is anything to leave out: built-in attributes but the name are not, nor is what
/// does not exist.
fn points_at_something(member: &SingleContext, reference: &AttributeRef) -> bool {
    match reference.name() {
        "" | "kind" | "key" | "anonymous" | "_meta" => false,
        "name" => member.name().is_some() && reference.depth() == 1,
        name => reference
            .below()
            .iter()
            .try_fold(member.attribute(name), |value, component| {
                value?.as_object()?.get(&**component).map(Some)
            })
            .flatten()
            .is_some(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(private: &[&str], context: Value, expected: Value) {
        let redaction = Redaction {
            all_attributes_private: private == ["*"],
            private_attributes: private.iter().map(|text| AttributeRef::new(text)).collect(),
        };
        let context = Context::from_json(&context).unwrap();
        let written = RedactedContext { context: &context, redaction: &redaction, redact_anonymous: true };
        assert_eq!(serde_json::to_value(written).unwrap(), expected);
    }

    #[test]
    fn private_attributes_are_left_out_and_named() {
        check(
            &["email", "/address/city", "/nothing/here", "key", "kind", "/odd~"],
            json!({"kind": "user", "key": "u", "name": "U", "email": "u@x", "address": {"city": "Oslo", "zip": 1}}),
            json!({"kind": "user", "key": "u", "name": "U", "address": {"zip": 1},
                   "_meta": {"redactedAttributes": ["email", "/address/city"]}}),
        );
    }

    #[test]
    fn an_object_whose_members_are_all_private_stays_empty() {
        check(
            &["/a/b", "/a/c/d", "/list/0"],
            json!({"kind": "user", "key": "u", "a": {"b": null, "c": {"d": 1}}, "list": [1]}),
            json!({"kind": "user", "key": "u", "a": {"c": {}}, "list": [1],
                   "_meta": {"redactedAttributes": ["/a/b", "/a/c/d"]}}),
        );
    }

    #[test]
    fn what_is_inside_something_private_is_not_named_again() {
        check(
            &["/a/b", "a", "/a"],
            json!({"kind": "user", "key": "u", "a": {"b": 1}}),
            json!({"kind": "user", "key": "u", "_meta": {"redactedAttributes": ["a"]}}),
        );
    }

    #[test]
    fn names_that_begin_alike_are_told_apart() {
        check(
            &["/a/b/c", "/ab", "/a-", "/a/bc"],
            json!({"kind": "user", "key": "u", "a": {"b": {"c": 1, "d": 2}, "bc": 3, "b-": 4}, "a-": 5, "ab": 6, "abc": 7}),
            json!({"kind": "user", "key": "u", "a": {"b": {"d": 2}, "b-": 4}, "abc": 7,
                   "_meta": {"redactedAttributes": ["/a/b/c", "ab", "a-", "/a/bc"]}}),
        );
    }

    #[test]
    fn a_hundred_thousand_private_attributes_take_a_moment() {
        let attributes: serde_json::Map<String, Value> =
            (0..100_000).map(|i| (format!("a{i}"), json!({"b": i}))).collect();
        let private: Vec<String> = (0..100_000).map(|i| format!("/a{i}/b")).collect();
        let mut context = json!({"kind": "user", "key": "u", "_meta": {"privateAttributes": private}});
        context.as_object_mut().unwrap().extend(attributes);
        let context = Context::from_json(&context).unwrap();
        let redaction = Redaction::default();
        let start = std::time::Instant::now();
        let redacted = RedactedContext { context: &context, redaction: &redaction, redact_anonymous: false };
        let written = serde_json::to_value(redacted).unwrap();
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!(written["a77"], json!({}));
        assert_eq!(written["_meta"]["redactedAttributes"].as_array().map(Vec::len), Some(100_000));
    }

    #[test]
    fn a_context_speaks_for_its_own_kind_only() {
        check(
            &[],
            json!({"kind": "multi",
                   "org": {"key": "o", "tier": "gold", "_meta": {"privateAttributes": ["tier"]}},
                   "user": {"key": "u", "tier": "x", "/odd": 1, "_meta": {"privateAttributes": ["/~1odd"]}}}),
            json!({"kind": "multi",
                   "org": {"key": "o", "_meta": {"redactedAttributes": ["tier"]}},
                   "user": {"key": "u", "tier": "x", "_meta": {"redactedAttributes": ["/~1odd"]}}}),
        );
    }

    #[test]
    fn everything_may_be_private() {
        check(
            &["*"],
            json!({"kind": "user", "key": "u", "name": "U", "a": {"b": 1}}),
            json!({"kind": "user", "key": "u", "_meta": {"redactedAttributes": ["name", "a"]}}),
        );
        check(
            &[],
            json!({"kind": "multi", "org": {"key": "o", "tier": 1}, "user": {"key": "u", "anonymous": true, "a": 1}}),
            json!({"kind": "multi", "org": {"key": "o", "tier": 1},
                   "user": {"key": "u", "anonymous": true, "_meta": {"redactedAttributes": ["a"]}}}),
        );
    }
}

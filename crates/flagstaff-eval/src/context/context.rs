//! The owned form of a context, valid from the moment it exists.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::kind::{MULTI, USER};
use super::{
    AttributeRef, AttributeValue, BuiltIn, ContextBuilder, ContextError, ContextRead, MultiContextBuilder,
};

/// Who or what is evaluated: one member of some kind, or several of different kinds.
///
/// Always valid: every way to make one checks the rules and returns [`ContextError`].
///
/// ```
/// use flagstaff_eval::Context;
///
/// let context = Context::builder("aa0ceb").set("email", "ernestina@example.com").build()?;
/// assert_eq!(context.canonical_key(), "aa0ceb");
/// # Ok::<(), flagstaff_eval::ContextError>(())
/// ```
#[derive(Clone)]
pub struct Context {
    /// One member, or several sorted by kind.
    members: Members,
    /// `org:o%3A1:user:u`; empty for a single context of kind `user`, whose key it is.
    canonical_key: Box<str>,
    /// Set for a legacy user only.
    legacy: Option<Box<LegacyUser>>,
}

#[derive(Clone)]
enum Members {
    One(SingleContext),
    Several(Box<[SingleContext]>),
}

/// What user-era programs expect of a user that contexts do away with.
#[derive(Clone, Debug, Default)]
struct LegacyUser {
    /// Hashed after the key in plain rollouts.
    secondary: Option<Box<str>>,
    /// Whether `anonymous` was given at all: if not, a clause on it does not match.
    anonymous_given: bool,
}

/// One member of a context: a kind, a key and attributes.
#[derive(Clone)]
pub struct SingleContext {
    pub(super) kind: Box<str>,
    pub(super) key: Box<str>,
    pub(super) name: Option<Box<str>>,
    pub(super) anonymous: bool,
    /// Custom attributes sorted by name; never null.
    pub(super) attributes: Vec<(Box<str>, Value)>,
    pub(super) private_attributes: Vec<AttributeRef>,
}

impl Context {
    /// Starts a context of kind `user`.
    pub fn builder(key: impl Into<String>) -> ContextBuilder {
        ContextBuilder::new(key.into())
    }

    /// Starts a context of several kinds.
    pub fn multi_builder() -> MultiContextBuilder {
        MultiContextBuilder::default()
    }

    /// A context of kind `user` with nothing but a key.
    ///
    /// # Errors
    /// If the key is empty.
    pub fn from_key(key: impl Into<String>) -> Result<Self, ContextError> {
        Self::builder(key).build()
    }

    pub(super) fn single(member: SingleContext) -> Self {
        let canonical_key = if &*member.kind == USER {
            Box::default()
        } else {
            let mut text = String::with_capacity(member.kind.len() + 1 + member.key.len());
            push_canonical(&mut text, &member);
            text.into()
        };
        Self { members: Members::One(member), canonical_key, legacy: None }
    }

    /// `members` are of different kinds, in the order of these, at least two.
    pub(super) fn several(members: Vec<SingleContext>) -> Self {
        let mut text = String::new();
        for member in &members {
            if !text.is_empty() {
                text.push(':');
            }
            push_canonical(&mut text, member);
        }
        Self { members: Members::Several(members.into()), canonical_key: text.into(), legacy: None }
    }

    pub(super) fn legacy_user(
        member: SingleContext,
        secondary: Option<Box<str>>,
        anonymous_given: bool,
    ) -> Self {
        let mut context = Self::single(member);
        context.legacy = Some(Box::new(LegacyUser { secondary, anonymous_given }));
        context
    }

    /// The kind, or `multi`.
    pub fn kind(&self) -> &str {
        match &self.members {
            Members::One(member) => &member.kind,
            Members::Several(_) => MULTI,
        }
    }

    /// Whether this context holds several kinds.
    pub fn is_multi(&self) -> bool {
        matches!(self.members, Members::Several(_))
    }

    /// The members: one, or several sorted by kind.
    pub fn members(&self) -> &[SingleContext] {
        match &self.members {
            Members::One(member) => std::slice::from_ref(member),
            Members::Several(members) => members,
        }
    }

    /// The member of `kind`.
    #[inline]
    pub fn member(&self, kind: &str) -> Option<&SingleContext> {
        match &self.members {
            Members::One(member) => (*member.kind == *kind).then_some(member),
            Members::Several(members) => members.iter().find(|member| *member.kind == *kind),
        }
    }

    /// The text that tells contexts apart, also called the fully-qualified key: the key of a user,
    /// else `kind:key` of each member in the order of kinds, with `%` and `:` in keys escaped.
    #[inline]
    pub fn canonical_key(&self) -> &str {
        match &self.members {
            Members::One(member) if self.canonical_key.is_empty() => &member.key,
            _ => &self.canonical_key,
        }
    }

    /// Whether user-era rules apply: see [`Context::from_legacy_user`].
    pub fn is_legacy_user(&self) -> bool {
        self.legacy.is_some()
    }

    /// This context without its anonymous members; none if nothing is left.
    pub fn without_anonymous(&self) -> Option<Self> {
        let mut kept: Vec<SingleContext> =
            self.members().iter().filter(|member| !member.anonymous).cloned().collect();
        match kept.len() {
            0 => None,
            1 => kept.pop().map(Self::single),
            _ => Some(Self::several(kept)),
        }
    }
}

impl SingleContext {
    /// The kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether the context is left out of lists of known contexts.
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Custom attributes, sorted by name.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.attributes.iter().map(|(name, value)| (&**name, value))
    }

    /// The custom attribute `name`.
    #[inline]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        // A scan beats a search as long as the names fit a few cache lines.
        if self.attributes.len() <= 8 {
            return self.attributes.iter().find(|(own, _)| **own == *name).map(|(_, value)| value);
        }
        let index = self.attributes.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        Some(&self.attributes[index].1)
    }

    /// Attributes that are used to evaluate but removed from events.
    pub fn private_attributes(&self) -> &[AttributeRef] {
        &self.private_attributes
    }

    /// The JSON form without `kind` and with `_meta`, as inside a multi-context.
    fn write_properties<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("key", &*self.key)?;
        if let Some(name) = &self.name {
            map.serialize_entry("name", &**name)?;
        }
        if self.anonymous {
            map.serialize_entry("anonymous", &true)?;
        }
        for (name, value) in &self.attributes {
            map.serialize_entry(&**name, value)?;
        }
        if !self.private_attributes.is_empty() {
            let private: Vec<Value> =
                self.private_attributes.iter().map(|reference| reference.to_string().into()).collect();
            let meta: Map<String, Value> =
                [("privateAttributes".to_owned(), private.into())].into_iter().collect();
            map.serialize_entry("_meta", &meta)?;
        }
        Ok(())
    }
}

impl ContextRead for Context {
    #[inline]
    fn key(&self, kind: &str) -> Option<&str> {
        self.member(kind).map(|member| &*member.key)
    }

    #[inline]
    fn attribute<'c>(&'c self, kind: &str, reference: &AttributeRef) -> AttributeValue<'c> {
        let Some(member) = self.member(kind) else {
            return AttributeValue::Missing;
        };
        let below = reference.below();
        let Some(built_in) = reference.built_in() else {
            return below
                .iter()
                .fold(member.attribute(reference.name()), |value, name| value?.as_object()?.get(&**name))
                .map_or(AttributeValue::Missing, AttributeValue::from);
        };
        if !below.is_empty() {
            return AttributeValue::Missing;
        }
        match built_in {
            BuiltIn::Kind => AttributeValue::String(&member.kind),
            BuiltIn::Key => AttributeValue::String(&member.key),
            BuiltIn::Name => member.name.as_deref().map_or(AttributeValue::Missing, AttributeValue::String),
            BuiltIn::Anonymous => match &self.legacy {
                Some(legacy) if !legacy.anonymous_given => AttributeValue::Missing,
                _ => AttributeValue::Bool(member.anonymous),
            },
        }
    }

    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.members().iter().any(|member| test(&member.kind))
    }

    fn secondary(&self) -> Option<&str> {
        self.legacy.as_ref()?.secondary.as_deref()
    }
}

/// Contexts are equal if they say the same, whatever the order of attributes, members and private
/// attributes.
impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        self.members() == other.members()
    }
}

impl PartialEq for SingleContext {
    fn eq(&self, other: &Self) -> bool {
        let attributes_within = |a: &Self, b: &Self| {
            a.attributes
                .iter()
                .all(|(name, value)| b.attribute(name).is_some_and(|own| same_value(own, value)))
        };
        let private_within =
            |a: &Self, b: &Self| a.private_attributes.iter().all(|one| b.private_attributes.contains(one));
        self.kind == other.kind
            && self.key == other.key
            && self.name == other.name
            && self.anonymous == other.anonymous
            && self.attributes.len() == other.attributes.len()
            && attributes_within(self, other)
            && private_within(self, other)
            && private_within(other, self)
    }
}

/// Equality of JSON values in which 1 equals 1.0.
fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|own| same_value(own, value)))
        }
        _ => a == b,
    }
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Member<'a>(&'a SingleContext);
        impl Serialize for Member<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                self.0.write_properties(&mut map)?;
                map.end()
            }
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind())?;
        match &self.members {
            Members::One(member) => member.write_properties(&mut map)?,
            Members::Several(members) => {
                for member in members {
                    map.serialize_entry(&*member.kind, &Member(member))?;
                }
            }
        }
        map.end()
    }
}

/// The JSON form.
impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// The JSON form.
impl fmt::Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

fn push_canonical(text: &mut String, member: &SingleContext) {
    text.push_str(&member.kind);
    text.push(':');
    for character in member.key.chars() {
        match character {
            '%' => text.push_str("%25"),
            ':' => text.push_str("%3A"),
            other => text.push(other),
        }
    }
}

//! Building contexts in code.

use serde_json::Value;

use super::kind::{USER, check_kind};
use super::{AttributeRef, Context, ContextError, SingleContext};

/// Builds a context of one kind. Can be built from more than once.
#[derive(Clone)]
#[must_use]
pub struct ContextBuilder {
    kind: String,
    key: String,
    name: Option<String>,
    anonymous: bool,
    attributes: Vec<(Box<str>, Value)>,
    private_attributes: Vec<AttributeRef>,
    allow_empty_key: bool,
}

impl ContextBuilder {
    pub(super) fn new(key: String) -> Self {
        Self {
            kind: USER.to_owned(),
            key,
            name: None,
            anonymous: false,
            attributes: Vec::new(),
            private_attributes: Vec::new(),
            allow_empty_key: false,
        }
    }

    /// Sets the kind; `user` if it is not called.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Sets the key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Sets the name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets whether the context is left out of lists of known contexts.
    pub fn anonymous(mut self, anonymous: bool) -> Self {
        self.anonymous = anonymous;
        self
    }

    /// Sets any attribute by name; null removes it. See [`ContextBuilder::try_set`] for what is refused.
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.try_set(name, value);
        self
    }

    /// As [`ContextBuilder::set`], in place; false if it was refused, and nothing was changed then:
    /// an empty name or `_meta`, or a built-in attribute (`kind`, `key`, `name`, `anonymous`) of the
    /// wrong type.
    pub fn try_set(&mut self, name: &str, value: impl Into<Value>) -> bool {
        match (name, value.into()) {
            ("" | "_meta", _) => return false,
            ("kind", Value::String(kind)) => self.kind = kind,
            ("key", Value::String(key)) => self.key = key,
            ("name", Value::String(text)) => self.name = Some(text),
            ("name", Value::Null) => self.name = None,
            ("anonymous", Value::Bool(anonymous)) => self.anonymous = anonymous,
            ("kind" | "key" | "name" | "anonymous", _) => return false,
            (_, Value::Null) => self.attributes.retain(|(own, _)| **own != *name),
            (_, value) => match self.attributes.iter_mut().find(|(own, _)| **own == *name) {
                Some((_, own)) => *own = value,
                None => self.attributes.push((name.into(), value)),
            },
        }
        true
    }

    /// Adds an attribute that is used to evaluate but removed from events.
    pub fn private(mut self, reference: impl Into<AttributeRef>) -> Self {
        self.private_attributes.push(reference.into());
        self
    }

    /// Adds a custom attribute that was not set before and is not null, without looking for it: a
    /// document with a million properties is read in a moment.
    pub(super) fn push(&mut self, name: &str, value: &Value) {
        self.attributes.push((name.into(), value.clone()));
    }

    /// Lets the key be empty, as only a legacy user's may be.
    pub(super) fn allow_empty_key(mut self) -> Self {
        self.allow_empty_key = true;
        self
    }

    /// Makes the context.
    ///
    /// # Errors
    /// If the key is empty, or the kind breaks a rule of kinds.
    pub fn build(&self) -> Result<Context, ContextError> {
        self.build_member().map(Context::single)
    }

    pub(super) fn build_member(&self) -> Result<SingleContext, ContextError> {
        check_kind(&self.kind)?;
        if self.key.is_empty() && !self.allow_empty_key {
            return Err(ContextError::EmptyKey);
        }
        let mut attributes = self.attributes.clone();
        attributes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(SingleContext {
            kind: self.kind.as_str().into(),
            key: self.key.as_str().into(),
            name: self.name.as_deref().map(Into::into),
            anonymous: self.anonymous,
            attributes,
            private_attributes: self.private_attributes.clone(),
        })
    }
}

impl From<&SingleContext> for ContextBuilder {
    fn from(member: &SingleContext) -> Self {
        Self {
            kind: member.kind.to_string(),
            key: member.key.to_string(),
            name: member.name.as_deref().map(str::to_owned),
            anonymous: member.anonymous,
            attributes: member.attributes.clone(),
            private_attributes: member.private_attributes.clone(),
            allow_empty_key: false,
        }
    }
}

/// Builds a context of several kinds.
#[derive(Clone, Default)]
#[must_use]
pub struct MultiContextBuilder {
    contexts: Vec<Context>,
}

impl MultiContextBuilder {
    /// Adds a context; the members of a multi-context are added one by one.
    #[allow(clippy::should_implement_trait, reason = "the name every SDK in the field gives it")]
    pub fn add(mut self, context: Context) -> Self {
        self.contexts.push(context);
        self
    }

    /// Makes the context. One single-kind context comes out as it went in.
    ///
    /// # Errors
    /// If nothing was added, or two members are of one kind.
    pub fn build(&self) -> Result<Context, ContextError> {
        if let [context] = self.contexts.as_slice() {
            return Ok(context.clone());
        }
        let members = self.contexts.iter().flat_map(|context| context.members().iter().cloned()).collect();
        from_members(members)
    }
}

/// A context of these members, single if there is one.
pub(super) fn from_members(mut members: Vec<SingleContext>) -> Result<Context, ContextError> {
    members.sort_by(|a, b| a.kind.cmp(&b.kind));
    if members.windows(2).any(|pair| pair[0].kind == pair[1].kind) {
        return Err(ContextError::DuplicateKind);
    }
    match members.len() {
        0 => Err(ContextError::NoKinds),
        1 => members.pop().map(Context::single).ok_or(ContextError::NoKinds),
        _ => Ok(Context::several(members)),
    }
}

//! The evaluator's view of a context.

use serde_json::Value;

use super::AttributeRef;

/// A context as the evaluator reads it. Implemented by whatever holds one: [`Context`](super::Context),
/// or a form of the caller's own that is read in place.
///
/// Answers must not change while an evaluation runs. Everything is borrowed from the context.
pub trait ContextRead {
    /// The key of the member of `kind`; none if there is no such member.
    fn key(&self, kind: &str) -> Option<&str>;

    /// An attribute of the member of `kind`, built-in ones (`kind`, `key`, `name`, `anonymous`)
    /// included. Paths descend objects only. [`AttributeValue::Missing`] if there is no such member
    /// or attribute, or if it is null.
    fn attribute<'c>(&'c self, kind: &str, reference: &AttributeRef) -> AttributeValue<'c>;

    /// Whether `test` holds for any kind that has a member.
    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool;

    /// The second bucketing key of a *legacy user*, which is hashed after the key in plain rollouts.
    fn secondary(&self) -> Option<&str> {
        None
    }
}

/// The value of an attribute, as far as operators tell values apart.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum AttributeValue<'c> {
    /// Absent, or null.
    Missing,
    /// True or false.
    Bool(bool),
    /// A number, as double precision.
    Number(f64),
    /// Text.
    String(&'c str),
    /// A list: any element may match.
    List(&'c dyn ListRead),
    /// An object, which no operator matches.
    Object,
}

/// The elements of a list attribute.
pub trait ListRead {
    /// Whether `test` holds for any element; stops at the first that it holds for.
    fn any(&self, test: &mut dyn FnMut(AttributeValue<'_>) -> bool) -> bool;
}

impl ListRead for Vec<Value> {
    fn any(&self, test: &mut dyn FnMut(AttributeValue<'_>) -> bool) -> bool {
        self.iter().any(|element| test(element.into()))
    }
}

impl<'c> From<&'c Value> for AttributeValue<'c> {
    #[inline]
    fn from(value: &'c Value) -> Self {
        match value {
            Value::Null => AttributeValue::Missing,
            Value::Bool(value) => AttributeValue::Bool(*value),
            Value::Number(number) => number.as_f64().map_or(AttributeValue::Missing, AttributeValue::Number),
            Value::String(text) => AttributeValue::String(text),
            Value::Array(list) => AttributeValue::List(list),
            Value::Object(_) => AttributeValue::Object,
        }
    }
}

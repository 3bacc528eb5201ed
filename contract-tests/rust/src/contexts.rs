//! Contexts built, converted and compared.

use flagstaff_sdk::{AttributeRef, Context, ContextError};
use serde_json::{Value, json};

use crate::parameters::{ComparedContext, ComparedParts, ContextBuild, ContextConvert, ContextParts};
use crate::service::Refusal;

/// The context of a command: in the present form, or as a user of the time before contexts.
///
/// An impossible one is none, as it is in a program: the SDK's own type cannot hold it.
pub(crate) fn of(context: Option<Value>, user: Option<Value>) -> Result<Option<Context>, Refusal> {
    match context.or(user) {
        Some(json) => Ok(Context::from_json(&json).ok()),
        None => Err(Refusal::Bad("a context is missing".to_owned())),
    }
}

pub(crate) fn build(parameters: ContextBuild) -> Result<Value, Refusal> {
    let context = match (parameters.single, parameters.multi) {
        (Some(parts), None) => single(parts),
        (None, Some(members)) => {
            members.into_iter().map(single).collect::<Result<Vec<_>, _>>().and_then(multi)
        }
        _ => return Err(Refusal::Bad("one of `single` and `multi` is needed".to_owned())),
    };
    Ok(told(context))
}

pub(crate) fn convert(parameters: &ContextConvert) -> Value {
    told(parameters.input.parse())
}

pub(crate) fn compare(one: ComparedContext, other: ComparedContext) -> Result<Value, Refusal> {
    let read = |context: ComparedContext| {
        let built = match (context.single, context.multi) {
            (Some(parts), None) => compared(parts),
            (None, Some(members)) => {
                members.into_iter().map(compared).collect::<Result<Vec<_>, _>>().and_then(multi)
            }
            _ => return Err(Refusal::Bad("one of `single` and `multi` is needed".to_owned())),
        };
        built.map_err(|error| Refusal::Failed(error.to_string()))
    };
    Ok(json!({"equals": read(one)? == read(other)?}))
}

fn single(parts: ContextParts) -> Result<Context, ContextError> {
    let mut builder = Context::builder(parts.key.unwrap_or_default());
    if let Some(kind) = parts.kind {
        builder = builder.kind(kind);
    }
    if let Some(name) = parts.name {
        builder = builder.name(name);
    }
    if let Some(anonymous) = parts.anonymous {
        builder = builder.anonymous(anonymous);
    }
    for (name, value) in parts.custom.unwrap_or_default() {
        builder = builder.set(&name, value);
    }
    for reference in parts.private.unwrap_or_default() {
        builder = builder.private(reference.as_str());
    }
    builder.build()
}

fn compared(parts: ComparedParts) -> Result<Context, ContextError> {
    let mut builder = Context::builder(parts.key).kind(parts.kind);
    for attribute in parts.attributes.unwrap_or_default() {
        builder = builder.set(&attribute.name, attribute.value);
    }
    for private in parts.private_attributes.unwrap_or_default() {
        let literal = private.literal.unwrap_or(false);
        let reference = if literal { AttributeRef::literal } else { AttributeRef::new };
        builder = builder.private(reference(&private.value));
    }
    builder.build()
}

fn multi(members: Vec<Context>) -> Result<Context, ContextError> {
    members.into_iter().fold(Context::multi_builder(), |builder, member| builder.add(member)).build()
}

fn told(context: Result<Context, ContextError>) -> Value {
    match context {
        Ok(context) => json!({"output": context.to_string()}),
        Err(error) => json!({"error": error.to_string()}),
    }
}

//! From OpenFeature's context to Flagstaff's. The rules stand in the crate's documentation.

use std::collections::HashMap;

use flagstaff_sdk::{AttributeRef, Context, ContextError, Value};
use open_feature::{EvaluationContext, EvaluationContextFieldValue, EvaluationError, EvaluationErrorCode};

use crate::answer::error;
use crate::value::structure_to_json;

const TARGETING_KEY: &str = "targetingKey";
const KEY: &str = "key";
const KIND: &str = "kind";
const MULTI: &str = "multi";
const PRIVATE_ATTRIBUTES: &str = "privateAttributes";

/// The context that flags are evaluated for.
pub(crate) fn convert(context: &EvaluationContext) -> Result<Context, EvaluationError> {
    let mut fields = fields(context)?;
    match fields.remove(KIND) {
        None => single("user", fields),
        Some(Value::String(kind)) if kind == MULTI => multi(fields),
        Some(Value::String(kind)) => single(&kind, fields),
        Some(_) => Err(invalid("the field `kind` of the context is no text".to_owned())),
    }
}

/// All that the context says, as JSON, its targeting key included.
pub(crate) fn fields(context: &EvaluationContext) -> Result<HashMap<String, Value>, EvaluationError> {
    let mut fields = HashMap::with_capacity(context.custom_fields.len() + 1);
    for (name, value) in &context.custom_fields {
        fields.insert(name.clone(), field(name, value)?);
    }
    if let Some(key) = &context.targeting_key {
        fields.insert(TARGETING_KEY.to_owned(), key.as_str().into());
    }
    Ok(fields)
}

fn field(name: &str, value: &EvaluationContextFieldValue) -> Result<Value, EvaluationError> {
    Ok(match value {
        EvaluationContextFieldValue::Bool(value) => (*value).into(),
        EvaluationContextFieldValue::Int(number) => (*number).into(),
        EvaluationContextFieldValue::Float(number) => (*number).into(),
        EvaluationContextFieldValue::String(text) => text.as_str().into(),
        EvaluationContextFieldValue::DateTime(time) => {
            let ms = time.unix_timestamp_nanos().div_euclid(1_000_000);
            // The years that fit into a time also fit into a number of milliseconds.
            i64::try_from(ms).map_or(Value::Null, Value::from)
        }
        EvaluationContextFieldValue::Struct(structure) => structure_to_json(&**structure).ok_or_else(|| {
            invalid(format!(
                "the field `{name}` of the context holds a structure of a type that cannot be read; a `StructValue` can"
            ))
        })?,
    })
}

fn multi(fields: HashMap<String, Value>) -> Result<Context, EvaluationError> {
    let mut context = Context::multi_builder();
    for (kind, value) in fields {
        if let Value::Object(member) = value {
            context = context.add(single(&kind, member.into_iter().collect())?);
        }
    }
    context.build().map_err(|problem| not_a_context(&problem))
}

fn single(kind: &str, mut fields: HashMap<String, Value>) -> Result<Context, EvaluationError> {
    let key = match (fields.remove(TARGETING_KEY), fields.remove(KEY)) {
        (Some(Value::String(key)), _) | (None, Some(Value::String(key))) => key,
        (None, None) => return Err(keyless(kind)),
        _ => return Err(invalid(format!("the key of the context of kind `{kind}` is no text"))),
    };
    let mut context = Context::builder(key).kind(kind);
    if let Some(references) = fields.remove(PRIVATE_ATTRIBUTES) {
        context = private_attributes(&references)?
            .into_iter()
            .fold(context, |context, reference| context.private(reference));
    }
    // The kind of a member of a multi-context is the name that it has there.
    fields.remove(KIND);
    for (name, value) in fields {
        if !context.try_set(&name, value) {
            return Err(invalid(format!("the field `{name}` of the context cannot have this value")));
        }
    }
    context.build().map_err(|problem| match problem {
        ContextError::EmptyKey => keyless(kind),
        problem => not_a_context(&problem),
    })
}

fn private_attributes(references: &Value) -> Result<Vec<AttributeRef>, EvaluationError> {
    let texts =
        references.as_array().and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let Some(texts) = texts else {
        return Err(invalid("the field `privateAttributes` of the context is no list of texts".to_owned()));
    };
    let read = |text| {
        let reference = AttributeRef::new(text);
        if reference.is_valid() {
            Ok(reference)
        } else {
            Err(invalid(format!(
                "`{text}` in the field `privateAttributes` of the context is no attribute reference"
            )))
        }
    };
    texts.into_iter().map(read).collect()
}

fn keyless(kind: &str) -> EvaluationError {
    let message = format!("the context of kind `{kind}` has neither a targeting key nor a field `key`");
    error(EvaluationErrorCode::TargetingKeyMissing, message)
}

fn not_a_context(problem: &ContextError) -> EvaluationError {
    invalid(format!("the context is not valid: {problem}"))
}

fn invalid(message: String) -> EvaluationError {
    error(EvaluationErrorCode::InvalidContext, message)
}

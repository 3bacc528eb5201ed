//! From OpenFeature's context to Flagstaff's. The rules stand in the crate's documentation.

use std::collections::HashMap;

use flagstaff_sdk::openfeature::{self, ContextProblem, TARGETING_KEY};
use flagstaff_sdk::{Context, Value};
use open_feature::{EvaluationContext, EvaluationContextFieldValue, EvaluationError, EvaluationErrorCode};

use crate::answer::error;
use crate::value::structure_to_json;

/// The context that flags are evaluated for.
pub(crate) fn convert(context: &EvaluationContext) -> Result<Context, EvaluationError> {
    openfeature::context(fields(context)?.into_iter().collect()).map_err(|problem| {
        let code = match problem {
            ContextProblem::TargetingKeyMissing(_) => EvaluationErrorCode::TargetingKeyMissing,
            ContextProblem::Invalid(_) => EvaluationErrorCode::InvalidContext,
        };
        error(code, problem.to_string())
    })
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

fn invalid(message: String) -> EvaluationError {
    error(EvaluationErrorCode::InvalidContext, message)
}

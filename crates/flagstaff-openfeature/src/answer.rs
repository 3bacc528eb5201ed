//! Reasons and errors, as OpenFeature spells them. The rules stand in the crate's documentation.

use flagstaff_sdk::{ErrorKind, Reason, Value, openfeature};
use open_feature::{EvaluationError, EvaluationErrorCode, EvaluationReason, FlagMetadata};

pub(crate) fn reason(reason: &Reason<'_>) -> EvaluationReason {
    match &*openfeature::reason(reason) {
        "SPLIT" => EvaluationReason::Split,
        "DISABLED" => EvaluationReason::Disabled,
        "DEFAULT" => EvaluationReason::Default,
        "TARGETING_MATCH" => EvaluationReason::TargetingMatch,
        "ERROR" => EvaluationReason::Error,
        other => EvaluationReason::Other(other.to_owned()),
    }
}

/// What else is known of an answer.
pub(crate) fn metadata(
    reason: &Reason<'_>,
    variation_index: Option<usize>,
    context_key: &str,
    environment_id: Option<&str>,
) -> FlagMetadata {
    let mut metadata = FlagMetadata::default();
    for (name, value) in openfeature::metadata(reason, variation_index, context_key, environment_id) {
        match value {
            Value::Bool(value) => metadata.add_value(name, value),
            Value::Number(number) => metadata.add_value(name, number.as_i64().unwrap_or(i64::MAX)),
            Value::String(text) => metadata.add_value(name, text),
            // There is nothing else in it.
            _ => {}
        }
    }
    metadata
}

/// Why there is no value of this flag.
pub(crate) fn no_value(flag_key: &str, reason: &Reason<'_>) -> EvaluationError {
    let (code, what) = match reason.error_kind() {
        Some(ErrorKind::ClientNotReady) => {
            (EvaluationErrorCode::ProviderNotReady, "cannot be evaluated yet, or any more")
        }
        Some(ErrorKind::FlagNotFound) => (EvaluationErrorCode::FlagNotFound, "does not exist"),
        Some(ErrorKind::UserNotSpecified) => (EvaluationErrorCode::TargetingKeyMissing, "needs a context"),
        Some(ErrorKind::MalformedFlag) => (EvaluationErrorCode::ParseError, "contradicts itself"),
        Some(ErrorKind::WrongType) => (EvaluationErrorCode::TypeMismatch, "has a value of another type"),
        Some(_) => (general(), "could not be evaluated"),
        None => (general(), "serves no variation"),
    };
    error(code, format!("flag `{flag_key}` {what}: {}", reason.kind.as_str()))
}

/// There is a value, but OpenFeature has no structure for it.
pub(crate) fn no_structure(flag_key: &str) -> EvaluationError {
    let message = format!("flag `{flag_key}` has a value that is no structure of OpenFeature's");
    error(EvaluationErrorCode::TypeMismatch, message)
}

pub(crate) fn error(code: EvaluationErrorCode, message: String) -> EvaluationError {
    EvaluationError { code, message: Some(message) }
}

fn general() -> EvaluationErrorCode {
    EvaluationErrorCode::General("GENERAL".to_owned())
}

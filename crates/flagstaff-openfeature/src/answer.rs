//! Reasons and errors, as OpenFeature spells them. The rules stand in the crate's documentation.

use flagstaff_sdk::{ErrorKind, Reason, ReasonKind};
use open_feature::{EvaluationError, EvaluationErrorCode, EvaluationReason, FlagMetadata};

pub(crate) fn reason(reason: &Reason<'_>) -> EvaluationReason {
    if reason.in_experiment {
        return EvaluationReason::Split;
    }
    match &reason.kind {
        ReasonKind::Off => EvaluationReason::Disabled,
        ReasonKind::Fallthrough => EvaluationReason::Default,
        ReasonKind::TargetMatch | ReasonKind::RuleMatch { .. } => EvaluationReason::TargetingMatch,
        ReasonKind::Error(_) => EvaluationReason::Error,
        other => EvaluationReason::Other(other.as_str().to_owned()),
    }
}

/// What else is known of an answer.
pub(crate) fn metadata(
    reason: &Reason<'_>,
    variation_index: Option<usize>,
    context_key: &str,
    environment_id: Option<&str>,
) -> FlagMetadata {
    let mut metadata = FlagMetadata::default()
        .with_value("reasonKind", reason.kind.as_str())
        .with_value("contextId", context_key);
    let number = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    if let Some(index) = variation_index {
        metadata.add_value("variationIndex", number(index));
    }
    match &reason.kind {
        ReasonKind::RuleMatch { index, id } => {
            metadata.add_value("ruleIndex", number(*index));
            if !id.is_empty() {
                metadata.add_value("ruleId", &**id);
            }
        }
        ReasonKind::PrerequisiteFailed { key } => metadata.add_value("prerequisiteKey", &**key),
        _ => {}
    }
    if reason.in_experiment {
        metadata.add_value("inExperiment", true);
    }
    if let Some(status) = reason.big_segments_status {
        metadata.add_value("bigSegmentsStatus", status.as_str());
    }
    if let Some(id) = environment_id {
        metadata.add_value("flagSetId", id);
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

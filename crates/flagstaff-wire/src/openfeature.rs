//! OpenFeature's words for contexts, reasons and what else is known of an answer: the same for a provider
//! within a program, and for a service that is asked over OpenFeature's remote evaluation protocol.

use std::borrow::Cow;

use flagstaff_eval::{AttributeRef, Context, ContextError, Reason, ReasonKind};
use serde_json::{Map, Value};

/// The field of a context that holds its key.
pub const TARGETING_KEY: &str = "targetingKey";
const KEY: &str = "key";
const KIND: &str = "kind";
const MULTI: &str = "multi";
const PRIVATE_ATTRIBUTES: &str = "privateAttributes";

/// Why something is no context. Each is one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextProblem {
    /// It has no key.
    #[error("{0}")]
    TargetingKeyMissing(String),
    /// Anything else.
    #[error("{0}")]
    Invalid(String),
}

/// The context that flags are evaluated for.
///
/// # Errors
/// If it has no key, or breaks another rule of contexts.
pub fn context(mut fields: Map<String, Value>) -> Result<Context, ContextProblem> {
    match fields.remove(KIND) {
        None => single("user", fields),
        Some(Value::String(kind)) if kind == MULTI => multi(fields),
        Some(Value::String(kind)) => single(&kind, fields),
        Some(_) => Err(ContextProblem::Invalid("the field `kind` of the context is no text".to_owned())),
    }
}

fn multi(fields: Map<String, Value>) -> Result<Context, ContextProblem> {
    let mut context = Context::multi_builder();
    for (kind, value) in fields {
        if let Value::Object(member) = value {
            context = context.add(single(&kind, member)?);
        }
    }
    context.build().map_err(|problem| not_a_context(&problem))
}

fn single(kind: &str, mut fields: Map<String, Value>) -> Result<Context, ContextProblem> {
    let key = match (fields.remove(TARGETING_KEY), fields.remove(KEY)) {
        (Some(Value::String(key)), _) | (None, Some(Value::String(key))) => key,
        (None, None) => return Err(keyless(kind)),
        _ => {
            let message = format!("the key of the context of kind `{kind}` is no text");
            return Err(ContextProblem::Invalid(message));
        }
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
            let message = format!("the field `{name}` of the context cannot have this value");
            return Err(ContextProblem::Invalid(message));
        }
    }
    context.build().map_err(|problem| match problem {
        ContextError::EmptyKey => keyless(kind),
        problem => not_a_context(&problem),
    })
}

fn private_attributes(references: &Value) -> Result<Vec<AttributeRef>, ContextProblem> {
    let texts =
        references.as_array().and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let Some(texts) = texts else {
        let message = "the field `privateAttributes` of the context is no list of texts";
        return Err(ContextProblem::Invalid(message.to_owned()));
    };
    let read = |text| {
        let reference = AttributeRef::new(text);
        if reference.is_valid() {
            Ok(reference)
        } else {
            Err(ContextProblem::Invalid(format!(
                "`{text}` in the field `privateAttributes` of the context is no attribute reference"
            )))
        }
    };
    texts.into_iter().map(read).collect()
}

fn keyless(kind: &str) -> ContextProblem {
    let message = format!("the context of kind `{kind}` has neither a targeting key nor a field `key`");
    ContextProblem::TargetingKeyMissing(message)
}

fn not_a_context(problem: &ContextError) -> ContextProblem {
    ContextProblem::Invalid(format!("the context is not valid: {problem}"))
}

/// The reason. What OpenFeature has no word for keeps ours.
pub fn reason(reason: &Reason<'_>) -> Cow<'static, str> {
    if reason.in_experiment {
        return "SPLIT".into();
    }
    match &reason.kind {
        ReasonKind::Off => "DISABLED".into(),
        ReasonKind::Fallthrough => "DEFAULT".into(),
        ReasonKind::TargetMatch | ReasonKind::RuleMatch { .. } => "TARGETING_MATCH".into(),
        other => other.as_str().into(),
    }
}

/// What else is known of an answer: texts, numbers and bools.
pub fn metadata(
    reason: &Reason<'_>,
    variation_index: Option<usize>,
    context_key: &str,
    environment_id: Option<&str>,
) -> Map<String, Value> {
    let mut metadata = Map::new();
    let mut add = |name: &str, value: Value| {
        metadata.insert(name.to_owned(), value);
    };
    add("reasonKind", reason.kind.as_str().into());
    add("contextId", context_key.into());
    if let Some(index) = variation_index {
        add("variationIndex", index.into());
    }
    match &reason.kind {
        ReasonKind::RuleMatch { index, id } => {
            add("ruleIndex", (*index).into());
            if !id.is_empty() {
                add("ruleId", (**id).into());
            }
        }
        ReasonKind::PrerequisiteFailed { key } => add("prerequisiteKey", (**key).into()),
        _ => {}
    }
    if reason.in_experiment {
        add("inExperiment", true.into());
    }
    if let Some(status) = reason.big_segments_status {
        add("bigSegmentsStatus", status.as_str().into());
    }
    if let Some(id) = environment_id {
        add("flagSetId", id.into());
    }
    metadata
}

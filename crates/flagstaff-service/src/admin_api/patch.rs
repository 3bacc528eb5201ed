//! What patches of all kinds of items have in common: a JSON patch with or without a comment, a semantic
//! patch, and the version that the writer read.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::body::{JsonBody, in_words_of_json};
use super::json_patch::{self, Operation};
use crate::error::ApiError;
use crate::management::ChangeError;

/// The content type's parameter that tells a semantic patch from a JSON patch.
const SEMANTIC: &str = "launchdarkly.semanticpatch";

/// Instructions, each a typed change.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SemanticPatch {
    #[serde(default)]
    pub(super) environment_key: Option<String>,
    #[serde(default)]
    pub(super) comment: String,
    instructions: Vec<Value>,
}

/// Whether the body is a semantic patch.
pub(super) fn is_semantic(body: &JsonBody) -> bool {
    body.has_domain_model(SEMANTIC)
}

/// The operations of a JSON patch, and the comment.
pub(super) fn read_json_patch(body: &JsonBody) -> Result<(Vec<Operation>, String), ApiError> {
    #[derive(Deserialize)]
    struct WithComment {
        patch: Vec<Value>,
        #[serde(default)]
        comment: String,
    }

    let value: Value = body.read_list_or_object()?;
    let with_comment = match value {
        Value::Array(patch) => Ok(WithComment { patch, comment: String::new() }),
        other => serde_json::from_value(other),
    };
    let WithComment { patch, comment } = with_comment.map_err(|_| {
        ApiError::bad_request(
            "the body has to be a JSON patch, a list of operations with `op` and `path`, or an object with such \
             a list as `patch`; for a semantic patch, add `domain-model=launchdarkly.semanticpatch` to the content type",
        )
    })?;
    let operation = |(place, operation): (usize, Value)| {
        serde_json::from_value(operation).map_err(|error| {
            let why = in_words_of_json(&error);
            ApiError::bad_request(format!("operation {place} of the patch: {why}"))
        })
    };
    Ok((patch.into_iter().enumerate().map(operation).collect::<Result<_, _>>()?, comment))
}

/// What a JSON patch makes of a document, of which it may change no more than these properties.
pub(super) fn patched<T: DeserializeOwned>(
    before: &Value,
    operations: &[Operation],
    names: &[&str],
) -> Result<T, ChangeError> {
    let mut after = before.clone();
    json_patch::apply(&mut after, operations)?;
    changeable("patch", before, after, names)
}

/// What of a patched document may have changed; anything else that did is refused. `place` names the document.
pub(super) fn changeable<T: DeserializeOwned>(
    place: &str,
    before: &Value,
    after: Value,
    names: &[&str],
) -> Result<T, ChangeError> {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        return Err(ChangeError::invalid(place, "what comes out is no object"));
    };
    let fixed = |name: &&String| !names.contains(&name.as_str());
    if let Some(name) =
        old.keys().chain(new.keys()).filter(fixed).find(|name| old.get(*name) != new.get(*name))
    {
        let shown = name.escape_debug();
        return Err(ChangeError::invalid(place, format!("`/{shown}` cannot be changed")));
    }
    T::deserialize(after)
        .map_err(|error| ChangeError::invalid(place, format!("what comes out is not right: {error}")))
}

impl SemanticPatch {
    /// The instructions as changes of `what`, which knows these `kinds`.
    pub(super) fn changes<T: DeserializeOwned>(
        &self,
        what: &str,
        kinds: &[&str],
    ) -> Result<Vec<T>, ApiError> {
        if self.instructions.is_empty() {
            return Err(ApiError::bad_request("instructions: at least one is needed"));
        }
        let instructions = self.instructions.iter().enumerate();
        instructions.map(|(place, instruction)| read(what, kinds, place, instruction)).collect()
    }
}

fn read<T: DeserializeOwned>(
    what: &str,
    kinds: &[&str],
    place: usize,
    instruction: &Value,
) -> Result<T, ApiError> {
    let Some(kind) = instruction.get("kind").and_then(Value::as_str) else {
        return Err(ApiError::bad_request(format!(
            "instructions[{place}]: `kind` is missing; it says what to do"
        )));
    };
    if !kinds.contains(&kind) {
        let shown = kind.escape_debug();
        let known = kinds.join(", ");
        let message = format!(
            "instructions[{place}]: there is no instruction `{shown}` for a {what}; there are {known}"
        );
        return Err(ApiError::bad_request(message));
    }
    T::deserialize(instruction)
        .map_err(|error| ApiError::bad_request(format!("instructions[{place}], `{kind}`: {error}")))
}

/// `If-Match` holds the version that the writer read, which is also the ETag; `property` is its name.
pub(super) fn expected_version(headers: &HeaderMap, property: &str) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let bare = text.trim_start_matches("W/").trim_matches('"');
    bare.parse().map(Some).map_err(|_| {
        let shown = text.escape_debug();
        ApiError::bad_request(format!("`If-Match` holds the {property}, like \"3\", not `{shown}`"))
    })
}

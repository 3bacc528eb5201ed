//! The semantic patch of a flag: instructions, each a typed change.

use serde::Deserialize;
use serde_json::Value;

use crate::SharedApp;
use crate::admin_api::body::JsonBody;
use crate::auth::Actor;
use crate::error::ApiError;
use crate::management::flag::{self as rules, Edit, FlagChange, FlagState, change::KINDS};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SemanticPatch {
    #[serde(default)]
    environment_key: Option<String>,
    #[serde(default)]
    comment: String,
    instructions: Vec<Value>,
}

/// Carries out all instructions or none.
pub(super) async fn apply(
    app: &SharedApp,
    actor: &Actor,
    edit: &Edit<'_>,
    body: &JsonBody,
) -> Result<FlagState, ApiError> {
    let patch: SemanticPatch = body.read()?;
    if patch.instructions.is_empty() {
        return Err(ApiError::bad_request("instructions: at least one is needed"));
    }
    let changes = patch
        .instructions
        .into_iter()
        .enumerate()
        .map(|(place, instruction)| read(place, instruction))
        .collect::<Result<Vec<_>, _>>()?;
    let edit = Edit { comment: &patch.comment, ..*edit };
    let environment_key = patch.environment_key.as_deref().filter(|key| !key.is_empty());
    Ok(rules::change(app, actor, &edit, environment_key, &changes).await?)
}

fn read(place: usize, instruction: Value) -> Result<FlagChange, ApiError> {
    let kind = instruction.get("kind").and_then(Value::as_str).map(str::to_owned);
    let Some(kind) = kind else {
        return Err(ApiError::bad_request(format!(
            "instructions[{place}]: `kind` is missing; it says what to do"
        )));
    };
    if !KINDS.contains(&kind.as_str()) {
        let shown = kind.escape_debug();
        let message = format!(
            "instructions[{place}]: there is no instruction `{shown}` for a flag; there are {}",
            KINDS.join(", ")
        );
        return Err(ApiError::bad_request(message));
    }
    serde_json::from_value(instruction)
        .map_err(|error| ApiError::bad_request(format!("instructions[{place}], `{kind}`: {error}")))
}

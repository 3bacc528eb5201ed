//! The semantic patch of a flag.

use crate::SharedApp;
use crate::admin_api::body::JsonBody;
use crate::admin_api::patch::SemanticPatch;
use crate::auth::Actor;
use crate::error::ApiError;
use crate::management::flag::{self as rules, Edit, FlagState, change::KINDS};

/// Carries out all instructions or none.
pub(super) async fn apply(
    app: &SharedApp,
    actor: &Actor,
    edit: &Edit<'_>,
    body: &JsonBody,
) -> Result<FlagState, ApiError> {
    let patch: SemanticPatch = body.read()?;
    let changes = patch.changes("flag", &KINDS)?;
    let edit = Edit { comment: &patch.comment, ..*edit };
    let environment_key = patch.environment_key.as_deref().filter(|key| !key.is_empty());
    Ok(rules::change(app, actor, &edit, environment_key, &changes).await?)
}

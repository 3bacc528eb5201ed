//! The rules for users that were seen.

use std::time::Duration;

use super::{ChangeError, environment};
use crate::auth::{Action, Actor};
use crate::store::audit::{self, AuditEntry};
use crate::{App, now_ms};

/// How long events that came in before are waited for.
const COUNTED: Duration = Duration::from_secs(5);

/// Deletes all that is known of a user, and says in the audit log who did. False if nothing was known.
///
/// A user who is seen again afterwards is known again.
pub async fn delete(
    app: &App,
    actor: &Actor,
    project_key: &str,
    environment_key: &str,
    user_key: &str,
) -> Result<bool, ChangeError> {
    actor.may(Action::ChangeFlags)?;
    let (project, environment) = environment::get(app, project_key, environment_key).await?;
    // What came in before is known by now, and deleted with the rest. If counting is far behind, a user may come back.
    app.analytics.wait_until_counted(COUNTED).await;
    let mut write = app.store.write().await?;
    let entry = AuditEntry {
        project_key: Some(&project.key),
        environment_key: Some(&environment.key),
        kind: "user",
        key: user_key,
        action: "delete",
        ..AuditEntry::default()
    };
    // Written first and kept last: a deletion without an entry would be the worse mistake.
    audit::append(&mut write, actor, now_ms(), entry).await?;
    let known = app.analytics.delete_user(environment.id, user_key).await?;
    if known {
        write.commit().await?;
    }
    Ok(known)
}

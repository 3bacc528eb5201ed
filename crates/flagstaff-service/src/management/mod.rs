//! The rules for changing projects, environments and flags. Both faces call it; nothing else changes
//! one.
//!
//! Each change is checked and written in one transaction: the row, its version, an audit entry, and
//! an entry in the change log that live environments follow. Nothing has been written when one of
//! these functions fails, and what changes nothing writes nothing. When one returns, the live
//! environments of this process have the change.

pub mod access_token;
pub mod big_segment;
pub mod demo;
pub mod environment;
mod error;
pub mod flag;
pub mod metric;
pub mod name;
pub mod payload_filter;
pub mod project;
pub mod relay_auto_config;
mod rule_edits;
pub mod segment;
pub mod setup;
pub mod transfer;
pub mod user;

pub use error::ChangeError;

use crate::App;
use crate::auth::Actor;
use crate::store::audit::{self, AuditEntry};
use crate::store::connection::Connection;
use crate::store::{EnvironmentId, Write, environment as environments};

/// Has the live environments take over what was just committed. If that fails, they do it on their
/// own a moment later: the change is saved all the same.
async fn publish(app: &App) {
    if let Err(error) = app.catch_up().await {
        tracing::warn!(error = %crate::error::chain(&error), "a change is saved and reaches SDKs a moment later");
    }
}

/// Commits a change of something that all environments of a project share, and that is no flag.
async fn finish(
    app: &App,
    mut write: Write,
    actor: &Actor,
    project_id: i64,
    entry: AuditEntry<'_>,
) -> Result<(), ChangeError> {
    note(&mut write, actor, project_id, entry).await?;
    write.commit().await?;
    publish(app).await;
    Ok(())
}

/// Writes the audit entry of such a change, and has every environment look at its settings again.
async fn note(
    connection: &mut Connection,
    actor: &Actor,
    project_id: i64,
    entry: AuditEntry<'_>,
) -> Result<(), ChangeError> {
    audit::append(connection, actor, crate::now_ms(), entry).await?;
    Ok(environments::touch_all(connection, project_id).await?)
}

/// Commits the deletion of environments, of which nothing that was counted may be left: the ids of
/// deleted environments are given again.
async fn forget_counted(app: &App, environments: &[EnvironmentId], write: Write) -> Result<(), ChangeError> {
    // First, so that there is no deletion without it.
    for environment in environments {
        app.analytics.forget_environment(*environment).await?;
    }
    write.commit().await?;
    publish(app).await;
    // Once more, for what came in before the SDK keys were unknown.
    for environment in environments {
        if let Err(error) = app.analytics.forget_environment(*environment).await {
            tracing::warn!(%environment, error = %crate::error::chain(&error), "events of a deleted environment may be left");
        }
    }
    Ok(())
}

//! Writing a changed flag: rows, versions, audit entries and the change log, inside one transaction.

use serde_json::json;

use super::{Draft, FlagState, entry};
use crate::auth::Actor;
use crate::management::ChangeError;
use crate::now_ms;
use crate::store::StoreError;
use crate::store::audit::{self, AuditEntry};
use crate::store::change_log::{self, ItemKind};
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment};
use crate::store::flag::{self, FlagRow, TargetingRow};
use crate::store::payload_filter;
use crate::store::targeting::{Targeting, sdk_flag};

/// Writes what a change made of a flag, in the environments in which it made something.
pub(in crate::management) async fn save(
    connection: &mut Connection,
    actor: &Actor,
    before: &FlagState,
    old: &Draft,
    new: &Draft,
    comment: &str,
) -> Result<(), ChangeError> {
    let now = now_ms();
    let (project_key, flag_key) = (&before.project.key, &before.flag.key);
    let row = FlagRow {
        version: before.flag.version + 1,
        definition: new.definition.clone(),
        ..before.flag.clone()
    };
    flag::update(connection, &row).await?;
    if new.definition != old.definition {
        let entry = AuditEntry {
            action: "update",
            before: Some(json!(old.definition)),
            after: Some(json!(new.definition)),
            ..entry(project_key, flag_key, comment)
        };
        audit::append(connection, actor, now, entry).await?;
    }
    // Tags are no business of SDKs, unless they decide which parts of the environment the flag is in.
    let moves = new.definition.tags != old.definition.tags
        && !payload_filter::of_project(connection, before.project.id).await?.is_empty();
    // In the order of their ids, as everybody does who touches several.
    for (environment, _) in &before.environments {
        let (Some(old_targeting), Some(targeting)) =
            (old.environments.get(&environment.key), new.environments.get(&environment.key))
        else {
            continue;
        };
        let as_sent = |draft: &Draft, targeting| sdk_flag(flag_key, &draft.definition, targeting, 0);
        if !moves && targeting == old_targeting && as_sent(old, old_targeting) == as_sent(new, targeting) {
            continue;
        }
        write_targeting(connection, actor, &row, environment, targeting.clone(), now).await?;
        if targeting != old_targeting {
            let entry = AuditEntry {
                environment_key: Some(&environment.key),
                action: "update",
                before: Some(json!(old_targeting)),
                after: Some(json!(targeting)),
                ..entry(project_key, flag_key, comment)
            };
            audit::append(connection, actor, now, entry).await?;
        }
    }
    Ok(())
}

/// Writes the targeting in one environment, at its next version, and tells SDKs.
pub(super) async fn write_targeting(
    connection: &mut Connection,
    actor: &Actor,
    flag: &FlagRow,
    environment: &Environment,
    targeting: Targeting,
    now: i64,
) -> Result<(), StoreError> {
    let sequence = environment::next_sequence(connection, environment.id).await?;
    let row = TargetingRow {
        environment_id: environment.id,
        version: sequence,
        targeting,
        changed_at: now,
        changed_by: actor.name.clone(),
    };
    flag::put_targeting(connection, flag.id, &row).await?;
    change_log::append(connection, environment.id, sequence, ItemKind::Flag, &flag.key).await
}

//! What a change of a flag must hold to in its surroundings: other flags, members, the environment's
//! wish for a comment.

use std::collections::HashMap;

use super::{Draft, FlagState, rules};
use crate::management::ChangeError;
use crate::store::connection::Connection;
use crate::store::environment::Environment;
use crate::store::flag::{self, FlagRow, TargetingRow};
use crate::store::targeting::FlagDefinition;
use crate::store::{StoreError, member};

/// Checks what a change made of a flag.
pub(super) async fn check(
    connection: &mut Connection,
    before: &FlagState,
    old: &Draft,
    new: &Draft,
    comment: &str,
) -> Result<(), ChangeError> {
    let key = &before.flag.key;
    rules::check_definition(&new.definition)?;
    if new.definition.maintainer_id != old.definition.maintainer_id {
        check_maintainer(connection, &new.definition).await?;
    }
    let fewer = old
        .definition
        .variations
        .iter()
        .position(|old| !new.definition.variations.iter().any(|variation| variation.id == old.id));
    if let Some(removed) = fewer {
        check_removed(connection, before, removed as i64).await?;
    }
    for (environment, _) in &before.environments {
        let (Some(old_targeting), Some(targeting)) =
            (old.environments.get(&environment.key), new.environments.get(&environment.key))
        else {
            continue;
        };
        if targeting == old_targeting && new.definition.variations.len() == old.definition.variations.len() {
            continue;
        }
        require_comment(environment, comment)?;
        let place = format!("environments.{}", environment.key);
        rules::check_targeting(&place, &new.definition, targeting)?;
        rules::check_patterns(&place, key, &new.definition, targeting)?;
        if targeting.prerequisites != old_targeting.prerequisites {
            let others = prerequisites_in(connection, environment).await?;
            rules::check_prerequisites(&place, key, targeting, &others)?;
        }
    }
    Ok(())
}

/// Whoever looks after a flag is a member.
pub(super) async fn check_maintainer(
    connection: &mut Connection,
    definition: &FlagDefinition,
) -> Result<(), ChangeError> {
    let Some(id) = &definition.maintainer_id else {
        return Ok(());
    };
    match member::by_public_id(connection, id).await? {
        Some(_) => Ok(()),
        None => {
            Err(ChangeError::invalid("maintainerId", format!("there is no member `{}`", id.escape_debug())))
        }
    }
}

/// The indexes behind a removed variation shift; another flag that names one would mean another.
async fn check_removed(
    connection: &mut Connection,
    before: &FlagState,
    removed: i64,
) -> Result<(), ChangeError> {
    let dependents = dependents(connection, before, |variation| variation >= removed).await?;
    match dependents.into_iter().next() {
        None => Ok(()),
        Some(dependent) => Err(ChangeError::InUse {
            what: format!("variation {removed} of flag `{}`, or one behind it,", before.flag.key),
            by: format!("flag `{}` as a prerequisite in `{}`", dependent.flag_key, dependent.environment_key),
        }),
    }
}

/// A flag that has another as a prerequisite.
pub(super) struct Dependent {
    pub(super) flag_key: String,
    pub(super) environment_key: String,
}

/// The flags that have this one as a prerequisite, with a variation that matters.
pub(super) async fn dependents(
    connection: &mut Connection,
    state: &FlagState,
    matters: impl Fn(i64) -> bool,
) -> Result<Vec<Dependent>, StoreError> {
    let mut dependents = Vec::new();
    for (environment, _) in &state.environments {
        for (flag, row) in flag::mentioning(connection, environment.id, &state.flag.key).await? {
            let needs = |known: &flagstaff_eval::model::Prerequisite| {
                known.key == state.flag.key && matters(known.variation)
            };
            if row.targeting.prerequisites.iter().any(needs) {
                dependents.push(Dependent { flag_key: flag.key, environment_key: environment.key.clone() });
            }
        }
    }
    Ok(dependents)
}

/// For each flag of the environment: how many variations it has, and its prerequisites.
async fn prerequisites_in(
    connection: &mut Connection,
    environment: &Environment,
) -> Result<HashMap<String, (usize, Vec<String>)>, StoreError> {
    let rows = flag::in_environment(connection, environment.id).await?;
    let item = |(flag, row): (FlagRow, TargetingRow)| {
        let prerequisites = row.targeting.prerequisites.into_iter().map(|known| known.key).collect();
        (flag.key, (flag.definition.variations.len(), prerequisites))
    };
    Ok(rows.into_iter().map(item).collect())
}

/// Some environments want to know why.
pub(in crate::management) fn require_comment(
    environment: &Environment,
    comment: &str,
) -> Result<(), ChangeError> {
    if environment.require_comments && comment.trim().is_empty() {
        return Err(ChangeError::CommentRequired { environment_key: environment.key.clone() });
    }
    Ok(())
}

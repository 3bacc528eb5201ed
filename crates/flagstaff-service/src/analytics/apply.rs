//! Writes what some batches add up to, inside the transaction that removes them.

use super::effects::{Effects, anonymous_hash};
use crate::store::StoreError;
use crate::store::analytics::context::SeenRow;
use crate::store::analytics::count::{CustomRow, EvaluationRow, ReasonRow};
use crate::store::analytics::{batch, context, count};
use crate::store::connection::Connection;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Removes the batches and adds their effects.
///
/// # Errors
/// If the database refuses, or one of the batches is not there: somebody else has counted it. Then
/// nothing may be kept of it.
pub(super) async fn apply(connection: &mut Connection, effects: &Effects) -> Result<(), StoreError> {
    let removed = batch::delete(connection, &effects.batches).await?;
    if removed != effects.batches.len() as u64 {
        return Err(StoreError::Statement(sqlx::Error::RowNotFound));
    }
    count::add_evaluations(connection, &evaluations(effects)).await?;
    count::add_reasons(connection, &reasons(effects)).await?;
    count::add_custom(connection, &custom(effects)).await?;
    forget_anonymous(connection, effects).await?;
    context::upsert(connection, &contexts(effects)).await
}

/// In the order of the index: neighbours share its pages.
fn evaluations(effects: &Effects) -> Vec<EvaluationRow<'_>> {
    let mut rows: Vec<EvaluationRow<'_>> = Vec::new();
    for (environment_id, environment) in &effects.environments {
        for (flag, counts) in &environment.evaluations {
            rows.extend(counts.iter().map(|(counted, count)| (*environment_id, &**flag, *counted, *count)));
        }
    }
    rows.sort_unstable_by_key(|(environment_id, flag, counted, _)| {
        (*environment_id, *flag, counted.minute, counted.variation, counted.version)
    });
    rows
}

fn reasons(effects: &Effects) -> Vec<ReasonRow<'_>> {
    let mut rows: Vec<ReasonRow<'_>> = Vec::new();
    for (environment_id, environment) in &effects.environments {
        for (flag, counts) in &environment.reasons {
            rows.extend(counts.iter().map(|(counted, count)| (*environment_id, &**flag, counted, *count)));
        }
    }
    rows.sort_unstable();
    rows
}

fn custom(effects: &Effects) -> Vec<CustomRow<'_>> {
    let mut rows: Vec<CustomRow<'_>> = Vec::new();
    for (environment_id, environment) in &effects.environments {
        for (key, counts) in &environment.custom {
            rows.extend(counts.iter().map(|(minute, count)| (*environment_id, &**key, *minute, *count)));
        }
    }
    rows.sort_unstable();
    rows
}

fn contexts(effects: &Effects) -> Vec<SeenRow<'_>> {
    let mut rows: Vec<SeenRow<'_>> = Vec::new();
    for (environment_id, environment) in &effects.environments {
        let contexts = &environment.contexts;
        rows.extend(contexts.iter().map(|((kind, key), seen)| (*environment_id, &**kind, &**key, seen)));
    }
    rows.sort_unstable_by_key(|(environment_id, kind, key, _)| (*environment_id, *kind, *key));
    rows
}

/// Counts anonymous contexts, and forgets those that were known by name before they were anonymous.
async fn forget_anonymous(connection: &mut Connection, effects: &Effects) -> Result<(), StoreError> {
    let mut counted = Vec::new();
    let mut forgotten = Vec::new();
    for (environment_id, environment) in &effects.environments {
        for ((kind, key), seen) in &environment.anonymous {
            let day = seen.last_seen_ms.div_euclid(DAY_MS);
            counted.push((*environment_id, anonymous_hash(kind, key), day));
            forgotten.push((*environment_id, &**kind, &**key, seen.last_seen_ms));
        }
    }
    counted.sort_unstable();
    forgotten.sort_unstable();
    context::count_anonymous(connection, &counted).await?;
    context::forget(connection, &forgotten).await?;
    Ok(())
}

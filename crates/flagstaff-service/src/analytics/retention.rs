//! What is forgotten, and when.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::AnalyticsError;
use super::effects::minute;
use super::settings::{Settings, days_ms};
use super::writer::Writer;
use crate::error::chain;
use crate::now_ms;
use crate::store::StoreError;
use crate::store::analytics::{EventStore, batch, context, count, instance};
use crate::store::connection::{Connection, sql};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How long payload ids are known: an SDK repeats a payload after a second, a queue in between may take
/// much longer.
pub const KEEP_PAYLOADS_MS: i64 = DAY_MS;

/// How long a program is listed after its last report.
pub const KEEP_INSTANCES_MS: i64 = 30 * DAY_MS;

/// How often what is too old is looked for.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// How many rows are removed in one transaction, so that batches never wait long for it.
const PIECE: i64 = 5000;

/// Something too old, removed a piece at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sweep {
    /// Payload ids before an instant.
    Payloads(i64),
    /// Evaluation counts of an environment before a minute.
    Evaluations(i64, i64),
    /// Counts of reasons before a minute.
    Reasons(i64),
    /// Contexts, of whatever kind, not seen since an instant.
    Contexts(i64),
    /// Counts of custom events before a minute, anonymous contexts before a day, and programs before an
    /// instant: few rows.
    Rest(i64, i64, i64),
}

/// One node at a time sweeps, of those that share the tables. The first number is `SWEP`.
const LOCK_SWEEPING: &str = "SELECT CAST(CAST(pg_try_advisory_xact_lock(1398228304, hashtext(current_schema())) AS INTEGER) AS BIGINT)";

impl Sweep {
    /// Removes a piece, and says how many rows; none if another node is at it.
    pub(super) async fn run(self, connection: &mut Connection) -> Result<u64, StoreError> {
        if connection.is_postgres() {
            let free: bool = sql(LOCK_SWEEPING).fetch_scalar(&mut *connection).await?;
            if !free {
                return Ok(0);
            }
        }
        match self {
            Sweep::Payloads(before_ms) => batch::forget_payloads(connection, before_ms, PIECE).await,
            Sweep::Evaluations(environment_id, minute) => {
                count::forget_evaluations(connection, environment_id, minute, PIECE).await
            }
            Sweep::Reasons(minute) => count::forget_reasons(connection, minute, PIECE).await,
            Sweep::Contexts(before_ms) => context::forget_unseen(connection, before_ms, PIECE).await,
            Sweep::Rest(minute, day, instant) => {
                let custom = count::forget_custom(connection, minute).await?;
                let anonymous = context::forget_anonymous(connection, day).await?;
                Ok(custom + anonymous + instance::forget(connection, instant).await?)
            }
        }
    }
}

/// Removes what is too old, now and then, until it is stopped.
pub(super) async fn run(store: EventStore, writer: Writer, settings: Settings, stopping: CancellationToken) {
    loop {
        if let Err(error) = sweep(&store, &writer, &settings, now_ms()).await {
            tracing::warn!(error = %chain(&error), "could not remove old counts; they stay until the next time");
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Removes all that is too old at `now`.
pub(super) async fn sweep(
    store: &EventStore,
    writer: &Writer,
    settings: &Settings,
    now: i64,
) -> Result<(), AnalyticsError> {
    let mut sweeps = vec![Sweep::Payloads(now - KEEP_PAYLOADS_MS)];
    let before = minute(now - days_ms(settings.keep_counts_days));
    let environments = count::environments(&mut *store.read().await?).await?;
    sweeps.extend(environments.into_iter().map(|environment| Sweep::Evaluations(environment, before)));
    sweeps.push(Sweep::Reasons(before));
    sweeps.extend(settings.keep_users_days.map(|days| Sweep::Contexts(now - days_ms(days))));
    for sweep in sweeps {
        while writer.sweep(sweep).await? >= PIECE as u64 {}
    }
    let day = (now - days_ms(settings.keep_anonymous_days)).div_euclid(DAY_MS);
    writer.sweep(Sweep::Rest(before, day, now - KEEP_INSTANCES_MS)).await?;
    Ok(())
}

/// Removes all of an environment, in the order in which counting takes hold of tables.
pub(super) async fn forget_environment(
    connection: &mut Connection,
    environment_id: i64,
) -> Result<(), StoreError> {
    for text in [
        "DELETE FROM batch WHERE environment_id = $1",
        "DELETE FROM set_aside_batch WHERE environment_id = $1",
        "DELETE FROM evaluation_count WHERE environment_id = $1",
        "DELETE FROM reason_count WHERE environment_id = $1",
        "DELETE FROM custom_count WHERE environment_id = $1",
        "DELETE FROM anonymous_context WHERE environment_id = $1",
        "DELETE FROM context WHERE environment_id = $1",
        "DELETE FROM context_term WHERE environment_id = $1",
        "DELETE FROM sdk_instance WHERE environment_id = $1",
    ] {
        sql(text).bind(environment_id).execute(&mut *connection).await?;
    }
    Ok(())
}

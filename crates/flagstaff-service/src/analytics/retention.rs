//! What is forgotten, and when.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::AnalyticsError;
use super::effects::minute;
use super::settings::{Settings, days_ms};
use super::steady::SteadyClock;
use super::writer::Writer;
use crate::error::chain;
use crate::now_ms;
use crate::store::StoreError;
use crate::store::analytics::{EventStore, batch, context, count, instance};
use crate::store::connection::{Connection, composed_sql, sql};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How long payload ids are known: an SDK repeats a payload after a second, a queue in between may take
/// much longer.
pub const KEEP_PAYLOADS_MS: i64 = DAY_MS;

/// How long a program is listed after its last report.
pub const KEEP_INSTANCES_MS: i64 = 30 * DAY_MS;

/// How long a batch that could not be counted is kept for a person to look at. It is as it was sent, with all that
/// it says of users.
pub const KEEP_SET_ASIDE_MS: i64 = 30 * DAY_MS;

/// How often what is too old is looked for.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// How many rows are removed in one transaction, so that batches never wait long for it.
const PIECE: i64 = 5000;

/// Something too old, removed a piece at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sweep {
    /// Payload ids before an instant.
    Payloads(i64),
    /// Batches that could not be counted, before an instant.
    SetAside(i64),
    /// Evaluation counts of an environment before a minute.
    Evaluations(i64, i64),
    /// Counts of reasons before a minute.
    Reasons(i64),
    /// Counts of custom events before a minute.
    Custom(i64),
    /// Contexts, of whatever kind, not seen since an instant.
    Contexts(i64),
    /// Anonymous contexts not seen since a day.
    Anonymous(i64),
    /// Programs that did not report since an instant.
    Instances(i64),
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
            Sweep::SetAside(before_ms) => batch::forget_set_aside(connection, before_ms, PIECE).await,
            Sweep::Evaluations(environment_id, minute) => {
                count::forget_evaluations(connection, environment_id, minute, PIECE).await
            }
            Sweep::Reasons(minute) => count::forget_reasons(connection, minute, PIECE).await,
            Sweep::Custom(minute) => count::forget_custom(connection, minute, PIECE).await,
            Sweep::Contexts(before_ms) => context::forget_unseen(connection, before_ms, PIECE).await,
            Sweep::Anonymous(day) => context::forget_anonymous(connection, day, PIECE).await,
            Sweep::Instances(before_ms) => instance::forget(connection, before_ms, PIECE).await,
        }
    }
}

/// Removes what is too old, now and then, until it is stopped; while the clock can be believed.
pub(super) async fn run(store: EventStore, writer: Writer, settings: Settings, stopping: CancellationToken) {
    let mut clock = None;
    loop {
        let looked = async {
            if let Err(error) = look(&store, &writer, &settings, &mut clock).await {
                tracing::warn!(error = %chain(&error), "could not remove old counts; they stay until the next time");
            }
            tokio::time::sleep(EVERY).await;
        };
        // In the middle of it, too: the rest goes after the next start.
        if stopping.run_until_cancelled(looked).await.is_none() {
            return;
        }
    }
}

async fn look(
    store: &EventStore,
    writer: &Writer,
    settings: &Settings,
    clock: &mut Option<SteadyClock>,
) -> Result<(), AnalyticsError> {
    let clock = match clock {
        Some(clock) => clock,
        None => {
            let newest = batch::newest_taken_in(&mut *store.read().await?).await?;
            clock.insert(SteadyClock::new(newest, now_ms(), Instant::now()))
        }
    };
    let now = now_ms();
    if clock.is_believed(now, Instant::now()) { sweep(store, writer, settings, now).await } else { Ok(()) }
}

/// Removes all that is too old at `now`.
pub(super) async fn sweep(
    store: &EventStore,
    writer: &Writer,
    settings: &Settings,
    now: i64,
) -> Result<(), AnalyticsError> {
    let before = minute(now - days_ms(settings.keep_counts_days));
    let mut sweeps = vec![Sweep::Payloads(now - KEEP_PAYLOADS_MS), Sweep::SetAside(now - KEEP_SET_ASIDE_MS)];
    let environments = count::environments(&mut *store.read().await?).await?;
    sweeps.extend(environments.into_iter().map(|environment| Sweep::Evaluations(environment, before)));
    sweeps.extend([Sweep::Reasons(before), Sweep::Custom(before)]);
    sweeps.extend(settings.keep_users_days.map(|days| Sweep::Contexts(now - days_ms(days))));
    let day = (now - days_ms(settings.keep_anonymous_days)).div_euclid(DAY_MS);
    sweeps.extend([Sweep::Anonymous(day), Sweep::Instances(now - KEEP_INSTANCES_MS)]);
    for sweep in sweeps {
        while writer.sweep(sweep).await? >= PIECE as u64 {}
    }
    Ok(())
}

/// Removes a piece of all that there is of an environment, in the order in which counting takes hold of tables, and
/// says how many rows; none when nothing is left.
pub(super) async fn forget_environment(
    connection: &mut Connection,
    environment_id: i64,
) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    for (table, key) in [
        ("batch", "id"),
        ("set_aside_batch", "id"),
        ("evaluation_count", "environment_id, flag_key, minute, variation, version"),
        ("reason_count", "environment_id, flag_key, minute, variation, reason"),
        ("custom_count", "environment_id, event_key, minute"),
        ("anonymous_context", "environment_id, hash"),
        ("context", "id"),
        ("context_term", "environment_id, kind, term, context_id"),
        ("sdk_instance", "environment_id, instance_id"),
    ] {
        let text = format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE environment_id = $1 LIMIT $2)"
        );
        let deleted =
            composed_sql(text).bind(environment_id).bind(PIECE - forgotten as i64).execute(&mut *connection);
        forgotten += deleted.await?.rows_affected();
        if forgotten >= PIECE as u64 {
            break;
        }
    }
    Ok(forgotten)
}

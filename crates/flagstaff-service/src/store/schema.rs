//! The schema of flags, step by step, for either engine. A step that was released is never edited.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// One step. Both engines end up with the same tables and columns.
struct Step {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! step {
    ($version:literal, $name:literal, $file:literal) => {
        Step {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../../migrations/postgres/", $file)),
        }
    };
}

const STEPS: [Step; 8] = [
    step!(1, "flags", "0001_flags.sql"),
    step!(2, "segment_changes", "0002_segment_changes.sql"),
    step!(3, "relays", "0003_relays.sql"),
    step!(4, "payload_filters", "0004_payload_filters.sql"),
    step!(5, "metric_pages", "0005_metric_pages.sql"),
    step!(6, "big_segments", "0006_big_segments.sql"),
    step!(7, "stamps", "0007_stamps.sql"),
    step!(8, "checksums", "0008_checksums.sql"),
];

/// The last of them.
pub(super) fn newest() -> i64 {
    STEPS.iter().map(|step| step.version).max().unwrap_or_default()
}

pub(super) fn sqlite() -> Migrator {
    migrator(STEPS.iter().map(|step| (step.version, step.name, step.sqlite)))
}

pub(super) fn postgres() -> Migrator {
    migrator(STEPS.iter().map(|step| (step.version, step.name, step.postgres)))
}

/// What takes a database through these steps.
pub(super) fn migrator(steps: impl IntoIterator<Item = (i64, &'static str, &'static str)>) -> Migrator {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.into_iter().map(migration).collect())
}

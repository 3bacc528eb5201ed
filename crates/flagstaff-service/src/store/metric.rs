//! Metrics: what experiments measure, by the custom event that counts.

use super::StoreError;
use super::connection::{Connection, Row, sql};

/// A metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// In the APIs.
    pub public_id: String,
    /// Its project, in the store.
    pub project_id: i64,
    /// Its stable name within the project.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// What it says.
    pub description: String,
    /// `custom`, `pageview` or `click`.
    pub kind: String,
    /// The key of the custom event.
    pub event_key: String,
    /// Whether the event's value counts, or only that it happened.
    pub is_numeric: bool,
    /// Of the value, possibly empty.
    pub unit: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// When it was made.
    pub created_at: i64,
}

const HIGHER: &str = "HigherThanBaseline";
const LOWER: &str = "LowerThanBaseline";

fn read(row: &Row) -> Metric {
    Metric {
        public_id: row.get("public_id"),
        project_id: row.get("project_id"),
        key: row.get("key"),
        name: row.get("name"),
        description: row.get("description"),
        kind: row.get("kind"),
        event_key: row.get("event_key"),
        is_numeric: row.get("is_numeric"),
        unit: row.get("unit"),
        higher_is_better: row.get::<&str, _>("success") == HIGHER,
        created_at: row.get("created_at"),
    }
}

/// The metrics of a project by key.
pub async fn of_project(connection: &mut Connection, project_id: i64) -> Result<Vec<Metric>, StoreError> {
    let rows = sql("SELECT * FROM metric WHERE project_id = $1 ORDER BY key")
        .bind(project_id)
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(read).collect())
}

/// Adds a metric.
pub async fn insert(connection: &mut Connection, metric: &Metric) -> Result<(), StoreError> {
    sql(
        "INSERT INTO metric (public_id, project_id, key, name, description, kind, event_key, is_numeric, unit,
            success, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&metric.public_id)
    .bind(metric.project_id)
    .bind(&metric.key)
    .bind(&metric.name)
    .bind(&metric.description)
    .bind(&metric.kind)
    .bind(&metric.event_key)
    .bind(metric.is_numeric)
    .bind(&metric.unit)
    .bind(if metric.higher_is_better { HIGHER } else { LOWER })
    .bind(metric.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

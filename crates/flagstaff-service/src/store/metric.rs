//! Metrics: what experiments measure, by the custom event that counts, or by clicks and page views that a
//! browser reports when it is told of them.

use serde::{Deserialize, Serialize};

use super::connection::{Connection, Row, sql};
use super::{StoreError, json, to_json};

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
    /// What has to be clicked, for a click.
    pub selector: String,
    /// On which pages, for a click or a page view.
    pub pages: Vec<Page>,
    /// For finding it.
    pub tags: Vec<String>,
    /// Rises with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
}

/// Which pages are meant. The names are those of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Page {
    /// The one with this whole address.
    Exact {
        /// The address.
        url: String,
    },
    /// The one with this address, whatever its query and fragment.
    Canonical {
        /// The address.
        url: String,
    },
    /// Those with this in their address.
    Substring {
        /// What.
        substring: String,
    },
    /// Those whose address a regular expression of the browser's finds something in.
    Regex {
        /// The expression.
        pattern: String,
    },
}

impl Page {
    /// What is looked for.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact { url } | Self::Canonical { url } => url,
            Self::Substring { substring } => substring,
            Self::Regex { pattern } => pattern,
        }
    }
}

const HIGHER: &str = "HigherThanBaseline";
const LOWER: &str = "LowerThanBaseline";

fn read(row: &Row) -> Result<Metric, StoreError> {
    let key: String = row.get("key");
    Ok(Metric {
        public_id: row.get("public_id"),
        project_id: row.get("project_id"),
        pages: json("metric", &key, row.get("urls"))?,
        tags: json("metric", &key, row.get("tags"))?,
        key,
        name: row.get("name"),
        description: row.get("description"),
        kind: row.get("kind"),
        event_key: row.get("event_key"),
        is_numeric: row.get("is_numeric"),
        unit: row.get("unit"),
        higher_is_better: row.get::<&str, _>("success") == HIGHER,
        selector: row.get("selector"),
        version: row.get("version"),
        created_at: row.get("created_at"),
    })
}

/// The metrics of a project by key.
pub async fn of_project(connection: &mut Connection, project_id: i64) -> Result<Vec<Metric>, StoreError> {
    let rows = sql("SELECT * FROM metric WHERE project_id = $1 ORDER BY key")
        .bind(project_id)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// The metric with this key.
pub async fn by_key(
    connection: &mut Connection,
    project_id: i64,
    key: &str,
) -> Result<Option<Metric>, StoreError> {
    let row = sql("SELECT * FROM metric WHERE project_id = $1 AND key = $2")
        .bind(project_id)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Adds a metric.
pub async fn insert(connection: &mut Connection, metric: &Metric) -> Result<(), StoreError> {
    sql(
        "INSERT INTO metric (public_id, project_id, key, name, description, kind, event_key, is_numeric, unit,
            success, selector, urls, tags, version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
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
    .bind(&metric.selector)
    .bind(to_json(&metric.pages))
    .bind(to_json(&metric.tags))
    .bind(metric.version)
    .bind(metric.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes everything but the key, the kind and the instant at which it was made.
pub async fn update(connection: &mut Connection, metric: &Metric) -> Result<(), StoreError> {
    sql("UPDATE metric SET name = $1, description = $2, event_key = $3, is_numeric = $4, unit = $5, success = $6,
            selector = $7, urls = $8, tags = $9, version = $10
         WHERE project_id = $11 AND key = $12")
    .bind(&metric.name)
    .bind(&metric.description)
    .bind(&metric.event_key)
    .bind(metric.is_numeric)
    .bind(&metric.unit)
    .bind(if metric.higher_is_better { HIGHER } else { LOWER })
    .bind(&metric.selector)
    .bind(to_json(&metric.pages))
    .bind(to_json(&metric.tags))
    .bind(metric.version)
    .bind(metric.project_id)
    .bind(&metric.key)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a metric.
pub async fn delete(connection: &mut Connection, project_id: i64, key: &str) -> Result<(), StoreError> {
    sql("DELETE FROM metric WHERE project_id = $1 AND key = $2")
        .bind(project_id)
        .bind(key)
        .execute(connection)
        .await?;
    Ok(())
}

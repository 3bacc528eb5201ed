//! Payload filters: parts of a project's flags that SDKs can ask for.

use serde::{Deserialize, Serialize};

use super::connection::{Connection, Row, sql};
use super::{StoreError, json, to_json};

/// A payload filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFilter {
    /// In the store.
    pub id: i64,
    /// In the APIs.
    pub public_id: String,
    /// Its project, in the store.
    pub project_id: i64,
    /// What SDKs ask for.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// A flag that meets one of these is in it.
    pub conditions: Vec<Condition>,
    /// Rises with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
}

/// What is asked of a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What of the flag.
    pub attribute: Attribute,
    /// How it is compared.
    #[serde(default)]
    pub op: Comparison,
    /// With what; one is enough.
    pub values: Vec<String>,
}

/// What of a flag is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Attribute {
    /// Any of its tags.
    Tags,
    /// Its key.
    Key,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Comparison {
    /// It is the same.
    #[default]
    In,
    /// It begins so.
    StartsWith,
}

impl PayloadFilter {
    /// Whether a flag with this key and these tags is in it for its own sake.
    pub fn includes(&self, key: &str, tags: &[String]) -> bool {
        self.conditions.iter().any(|condition| match condition.attribute {
            Attribute::Key => condition.is_met_by(key),
            Attribute::Tags => tags.iter().any(|tag| condition.is_met_by(tag)),
        })
    }
}

impl Condition {
    fn is_met_by(&self, text: &str) -> bool {
        self.values.iter().any(|value| match self.op {
            Comparison::In => value == text,
            Comparison::StartsWith => text.starts_with(&**value),
        })
    }
}

fn read(row: &Row) -> Result<PayloadFilter, StoreError> {
    let key: String = row.get("key");
    Ok(PayloadFilter {
        id: row.get("id"),
        public_id: row.get("public_id"),
        project_id: row.get("project_id"),
        name: row.get("name"),
        description: row.get("description"),
        conditions: json("payload filter", &key, row.get("conditions"))?,
        version: row.get("version"),
        created_at: row.get("created_at"),
        key,
    })
}

/// The payload filters of a project by key.
pub async fn of_project(
    connection: &mut Connection,
    project_id: i64,
) -> Result<Vec<PayloadFilter>, StoreError> {
    let rows = sql("SELECT * FROM payload_filter WHERE project_id = $1 ORDER BY key")
        .bind(project_id)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// The payload filter with this key.
pub async fn by_key(
    connection: &mut Connection,
    project_id: i64,
    key: &str,
) -> Result<Option<PayloadFilter>, StoreError> {
    let row = sql("SELECT * FROM payload_filter WHERE project_id = $1 AND key = $2")
        .bind(project_id)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Adds a payload filter; the id in `filter` is ignored.
pub async fn insert(connection: &mut Connection, filter: &PayloadFilter) -> Result<(), StoreError> {
    sql(
        "INSERT INTO payload_filter (public_id, project_id, key, name, description, conditions, version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&filter.public_id)
    .bind(filter.project_id)
    .bind(&filter.key)
    .bind(&filter.name)
    .bind(&filter.description)
    .bind(to_json(&filter.conditions))
    .bind(filter.version)
    .bind(filter.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes name, description, conditions and version.
pub async fn update(connection: &mut Connection, filter: &PayloadFilter) -> Result<(), StoreError> {
    sql("UPDATE payload_filter SET name = $1, description = $2, conditions = $3, version = $4 WHERE id = $5")
        .bind(&filter.name)
        .bind(&filter.description)
        .bind(to_json(&filter.conditions))
        .bind(filter.version)
        .bind(filter.id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes a payload filter.
pub async fn delete(connection: &mut Connection, id: i64) -> Result<(), StoreError> {
    sql("DELETE FROM payload_filter WHERE id = $1").bind(id).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(conditions: serde_json::Value) -> PayloadFilter {
        PayloadFilter {
            id: 1,
            public_id: String::new(),
            project_id: 1,
            key: "f".to_owned(),
            name: String::new(),
            description: String::new(),
            conditions: serde_json::from_value(conditions).unwrap(),
            version: 1,
            created_at: 0,
        }
    }

    #[test]
    fn a_flag_is_in_it_that_meets_one_condition() {
        let by_tag = serde_json::json!({"attribute": "tags", "values": ["a", "b"]});
        let by_key = serde_json::json!({"attribute": "key", "op": "startsWith", "values": ["shop-"]});
        let tags = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>();
        let either = filter(serde_json::json!([by_tag, by_key]));
        assert!(either.includes("x", &tags(&["c", "b"])));
        assert!(either.includes("shop-x", &[]));
        assert!(!either.includes("x-shop-", &tags(&["ab", "A"])));
        assert!(!filter(serde_json::json!([])).includes("x", &tags(&["a"])), "no condition, no flag");
    }
}

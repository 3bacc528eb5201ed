//! After a restore: above every version that may have been served since the backup was made.
//!
//! SDKs and stores keep what has the higher version. What changed after the backup was served with versions
//! that the backup does not know; so all of them are raised by more than there can have been changes, and
//! sequences get a name of their own, which has second-generation clients ask for everything.

use serde_json::Value;

use crate::auth::secret;
use crate::store::connection::{Connection, composed_sql, sql};
use crate::store::{StoreError, integrity};

/// More changes than are made at one stroke, by an import for example.
const AT_ONCE: i64 = 1_000_000;

/// What is raised. A table that has one of these, or a column of such a name, is missing here at one's peril: a
/// test compares.
const RAISED: [(&str, &str); 12] = [
    ("environment", "sequence"),
    ("environment", "version"),
    ("flag", "version"),
    ("flag_targeting", "version"),
    ("segment", "version"),
    ("metric", "version"),
    ("change_log", "sequence"),
    ("relay_auto_config", "version"),
    ("payload_filter", "version"),
    ("big_segment", "generation"),
    ("big_segment_log", "revision"),
    ("big_segment_revision", "revision"),
];

/// By how much: one for every millisecond since, as changes are committed one after the other, and some more.
pub(super) fn by(made_at: i64, now: i64) -> i64 {
    AT_ONCE + (now - made_at).max(0)
}

/// Raises everything, of rows that are what was written.
pub(super) async fn all(connection: &mut Connection, by: i64) -> Result<(), StoreError> {
    // Raised, a damaged row could not be told from a good one any more.
    integrity::mend(connection).await?.say();
    for (table, column) in RAISED {
        let text = format!("UPDATE {table} SET {column} = {column} + $1");
        composed_sql(text).bind(by).execute(connection).await?;
    }
    sql("UPDATE big_segment_member SET revision = revision + $1").bind(by).execute(connection).await?;
    segments(connection, by).await?;
    let ids: Vec<i64> = sql("SELECT id FROM environment ORDER BY id").fetch_scalars(connection).await?;
    for id in ids {
        let lineage = secret::hex(&secret::random::<8>());
        sql("UPDATE environment SET lineage = $1 WHERE id = $2")
            .bind(lineage)
            .bind(id)
            .execute(connection)
            .await?;
    }
    // What was raised has other checksums, and other copies.
    integrity::mend(connection).await?.say();
    Ok(())
}

/// Which filling of a large segment counts is said in the segment itself.
async fn segments(connection: &mut Connection, by: i64) -> Result<(), sqlx::Error> {
    let rows = sql("SELECT id, segment FROM segment ORDER BY id").fetch_all(connection).await?;
    for row in rows {
        let (id, text): (i64, &str) = (row.try_get("id")?, row.try_get("segment")?);
        let Ok(mut segment) = serde_json::from_str::<Value>(text) else { continue };
        let Some(generation) = segment.get("generation").and_then(Value::as_i64) else { continue };
        segment["generation"] = (generation + by).into();
        sql("UPDATE segment SET segment = $1 WHERE id = $2")
            .bind(segment.to_string())
            .bind(id)
            .execute(connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Steps, create, tables};
    use super::*;

    /// Columns of such names that are not raised, and why.
    const NOT_RAISED: [(&str, &str); 6] = [
        // Made anew from what was raised.
        ("flag_copy", "version"),
        ("flag_targeting_copy", "version"),
        ("segment_copy", "version"),
        // Raised apart from the others, since there are many.
        ("big_segment_member", "revision"),
        // What was counted then.
        ("evaluation_count", "version"),
        // Of an SDK.
        ("sdk_instance", "version"),
    ];

    #[tokio::test]
    async fn every_version_sequence_and_revision_is_raised_or_known_not_to_be() {
        let folder = std::env::temp_dir().join(format!("flagstaff-raise-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("backup");
        std::fs::write(&path, "").unwrap();
        let mut connection = create(&path, Steps::newest()).await.unwrap();
        let mut found = Vec::new();
        for table in tables::of(&mut connection).await.unwrap() {
            assert!(!table.key.is_empty(), "`{}` has no primary key to read it by", table.name);
            for column in table.columns {
                if ["version", "sequence", "revision", "generation"].contains(&&*column.name) {
                    found.push((table.name.clone(), column.name));
                }
            }
        }
        let known = RAISED.iter().chain(&NOT_RAISED);
        let mut known: Vec<_> =
            known.map(|(table, column)| (table.to_string(), column.to_string())).collect();
        found.sort();
        known.sort();
        assert_eq!(found, known);
        connection.close().await.unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_later_a_backup_is_restored_the_higher_it_starts() {
        assert_eq!(by(1_000, 61_000), 1_060_000);
        assert_eq!(by(61_000, 1_000), 1_000_000, "by a clock that went back");
    }
}

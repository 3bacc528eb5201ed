//! Rows that are damaged while the service runs, on either engine: what is served stays what was written.

use flagstaff_service::store::connection::sql;
use flagstaff_service::store::quarantine;
use serde_json::{Value, json};

use crate::support::Service;

const KEY: &str = "sdk-demo-production";

async fn flags(service: &Service) -> Value {
    let answer = service.request("GET", "/sdk/latest-all", &[("authorization", KEY)], b"").await;
    assert_eq!(answer.status, 200);
    answer.json()["flags"].take()
}

async fn rest(service: &Service, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let answer = service.rest(method, path, Some(body.clone())).await;
    (answer.status, answer.json())
}

async fn turn_on(service: &Service, flag: &str, on: bool) -> (u16, Value) {
    let patch = json!([{"op": "replace", "path": "/environments/production/on", "value": on}]);
    rest(service, "PATCH", &format!("/api/v2/flags/demo/{flag}"), &patch).await
}

/// As a disk does it: the checksum stays. It is changed and changed back, since a change that leaves it alone
/// counts as made by who knows of none.
async fn damage(service: &Service, table: &'static str, column: &'static str, of: &'static str) {
    let store = &service.app().store;
    let mut write = store.write().await.unwrap();
    let changes = [
        format!(
            "UPDATE {table} SET {column} = replace({column}, 'a', 'e'), checksum = checksum + 1 WHERE {of}"
        ),
        format!("UPDATE {table} SET checksum = checksum - 1 WHERE {of}"),
    ];
    for change in changes {
        let changed = flagstaff_service::store::connection::composed_sql(change);
        assert!(changed.execute(&mut write).await.unwrap().rows_affected() > 0, "{table}");
    }
    write.commit().await.unwrap();
}

const TARGETING: &str = "flag_id = (SELECT id FROM flag WHERE key = 'wish-lists')
    AND environment_id = (SELECT id FROM environment WHERE key = 'production')";

#[tokio::test]
async fn a_damaged_row_is_not_read_and_is_put_back_before_the_next_start_serves() {
    let service = Service::demo().await;
    let before = flags(&service).await;
    damage(&service, "flag_targeting", "targeting", TARGETING).await;
    damage(&service, "flag", "definition", "key = 'wish-lists'").await;
    assert_eq!(flags(&service).await, before, "what is live is not read again");
    let (status, error) = turn_on(&service, "wish-lists", true).await;
    assert_eq!((status, &error["code"]), (500, &json!("damaged")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("`wish-lists`"), "{error}");

    let service = service.restart().await;
    assert_eq!(flags(&service).await, before);
    let on = before["wish-lists"]["on"] == true;
    let (status, flag) = turn_on(&service, "wish-lists", !on).await;
    assert_eq!(status, 200, "{flag}");
    assert_eq!(flags(&service).await["wish-lists"]["on"], !on);
    service.stop().await;
}

#[tokio::test]
async fn a_change_that_was_damaged_is_heard_of_all_the_same() {
    let service = Service::demo().await;
    let before = flags(&service).await;
    let on = before["wish-lists"]["on"] == true;
    // Another node would read it after the commit; here nobody has, as long as nobody catches up.
    let mut write = service.app().store.write().await.unwrap();
    for statement in [
        "UPDATE environment SET sequence = sequence + 1 WHERE key = 'production'",
        "INSERT INTO change_log (environment_id, sequence, kind, key, stamp, checksum)
         SELECT id, sequence, 'flag', 'wash-lists', 5, 7 FROM environment WHERE key = 'production'",
    ] {
        sql(statement).execute(&mut write).await.unwrap();
    }
    write.commit().await.unwrap();
    service.app().catch_up().await.unwrap();
    assert_eq!(flags(&service).await, before, "begun anew, it is what it was");
    let (status, flag) = turn_on(&service, "wish-lists", !on).await;
    assert_eq!(status, 200, "{flag}");
    assert_eq!(flags(&service).await["wish-lists"]["on"], !on);
    service.stop().await;
}

#[tokio::test]
async fn a_flag_whose_copy_is_damaged_too_is_named_and_nothing_else_is_missed() {
    let service = Service::demo().await;
    let before = flags(&service).await;
    damage(&service, "flag_targeting", "targeting", TARGETING).await;
    let copied = "UPDATE flag_targeting_copy SET checksum = checksum + 1
        WHERE flag_id = (SELECT id FROM flag WHERE key = 'wish-lists')";
    let mut write = service.app().store.write().await.unwrap();
    sql(copied).execute(&mut write).await.unwrap();
    write.commit().await.unwrap();

    let service = service.restart().await;
    let now = flags(&service).await;
    assert_eq!(now.get("wish-lists"), None, "what is not what was written is not served");
    let mut rest_of_them = before.clone();
    rest_of_them.as_object_mut().unwrap().remove("wish-lists");
    assert_eq!(now, rest_of_them);
    let quarantined = quarantine::list(&mut service.app().store.read().await.unwrap()).await.unwrap();
    let [row] = &*quarantined else { panic!("{quarantined:?}") };
    assert_eq!(row.name, "targeting of a flag `demo/production/wish-lists`");
    assert!(row.content.contains("targeting"), "{}", row.content);
    assert_eq!(service.app().store.quarantined(), 1);

    // Deleted and made anew, it is whole.
    let (status, answer) = rest(&service, "GET", "/api/v2/flags/demo", &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let headers = [("authorization", "api-demo")];
    assert_eq!(service.request("DELETE", "/api/v2/flags/demo/wish-lists", &headers, b"").await.status, 204);
    let flag = json!({"key": "wish-lists", "name": "Wish lists"});
    let (status, answer) = rest(&service, "POST", "/api/v2/flags/demo", &flag).await;
    assert_eq!(status, 201, "{answer}");
    let anew = flags(&service).await;
    assert!(anew["wish-lists"]["version"].as_u64() > before["wish-lists"]["version"].as_u64(), "{anew}");
    service.stop().await;
}

/// A node of the version before knows no checksums.
#[tokio::test]
async fn what_is_written_without_a_checksum_counts_and_has_one_after_the_next_start() {
    let service = Service::demo().await;
    let mut write = service.app().store.write().await.unwrap();
    for statement in [
        "UPDATE flag SET version = version + 1 WHERE key = 'wish-lists'",
        "UPDATE segment SET name = 'Renamed'",
        "UPDATE environment SET name = 'Renamed' WHERE key = 'staging'",
    ] {
        assert!(sql(statement).execute(&mut write).await.unwrap().rows_affected() > 0, "{statement}");
    }
    write.commit().await.unwrap();
    let unknown = "SELECT (SELECT count(*) FROM flag WHERE checksum = -1)
        + (SELECT count(*) FROM segment WHERE checksum = -1)
        + (SELECT count(*) FROM environment WHERE checksum = -1)";
    let count = async |service: &Service| -> i64 {
        let mut reading = service.app().store.read().await.unwrap();
        sql(unknown).fetch_scalar(&mut reading).await.unwrap()
    };
    assert!(count(&service).await >= 3, "what was changed has no checksum that could be wrong");
    let (status, flag) = turn_on(&service, "wish-lists", true).await;
    assert_eq!(status, 200, "{flag}");
    let service = service.restart().await;
    assert_eq!(count(&service).await, 0);
    assert!(service.app().store.check().await.unwrap().is_sound());
    service.stop().await;
}

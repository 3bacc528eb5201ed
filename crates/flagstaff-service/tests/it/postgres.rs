//! What PostgreSQL alone can do, or get wrong. These run where the suite runs on PostgreSQL.

use flagstaff_service::App;
use flagstaff_service::config::Database;
use flagstaff_service::store::Store;
use flagstaff_service::store::connection::sql;
use serde_json::json;

use crate::dashboard::Visitor;
use crate::engine;
use crate::rest::{FLAG, assert_refused};
use crate::support::{Folder, Service};

#[tokio::test]
async fn texts_are_compared_byte_by_byte_whatever_the_server_does_by_itself() {
    if !engine::is_postgres() {
        return;
    }
    let service = Service::demo().await;
    let columns: Vec<String> =
        sql("SELECT CAST(table_name || '.' || column_name AS TEXT) FROM information_schema.columns
         WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'
           AND table_name NOT LIKE '\\_sqlx%'")
        .fetch_scalars(&mut service.app().store.read().await.unwrap())
        .await
        .unwrap();
    assert!(columns.is_empty(), "these need COLLATE \"C\": {columns:?}");
    service.stop().await;
}

#[tokio::test]
async fn somebody_elses_tables_are_left_alone() {
    if !engine::is_postgres() {
        return;
    }
    let folder = Folder::new();
    let Database::Postgres(url) = folder.database() else { panic!("the suite runs on PostgreSQL") };
    let store = Store::connect(&url).await.unwrap();
    let mut write = store.write().await.unwrap();
    // What is left looks like any other program's.
    sql("ALTER TABLE setting RENAME TO letter").execute(&mut write).await.unwrap();
    write.commit().await.unwrap();
    store.close().await;
    let error = App::start(folder.config()).await.expect_err("it is not ours");
    assert!(error.to_string().contains("is not one of Flagstaff's"), "{error}");
}

#[tokio::test]
async fn a_nul_character_is_refused_as_what_it_is() {
    if !engine::is_postgres() {
        return;
    }
    let service = Service::demo().await;
    let answer = service.rest("GET", "/api/v2/flags/demo/checkout%00redesign", None).await;
    assert_refused(&answer, 400, "invalid_request", "a NUL character cannot stand in a text");
    service.stop().await;
}

/// Two nodes, eight writers: every change is there, and each has a version of its own.
#[tokio::test]
async fn writers_on_two_nodes_take_nothing_from_each_other() {
    if !engine::is_postgres() {
        return;
    }
    let one = Service::demo().await;
    let other = one.another_node().await;
    let add = async |node: &Service, key: String| {
        let path = "/environments/production/targets/0/values/-";
        let answer = node.rest("PATCH", FLAG, Some(json!([{"op": "add", "path": path, "value": key}]))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let target = json!({"variation": 0, "values": ["first"]});
    let path = "/environments/production/targets";
    let answer = one.rest("PATCH", FLAG, Some(json!([{"op": "add", "path": path, "value": [target]}]))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let live = one.app().live.by_sdk_key("sdk-demo-production").unwrap();
    let before = live.sequence();
    let writers = (0..8).map(async |writer| {
        for number in 0..5 {
            add(if writer % 2 == 0 { &one } else { &other }, format!("user-{writer}-{number}")).await;
        }
    });
    futures_util::future::join_all(writers).await;
    one.app().catch_up().await.unwrap();
    assert_eq!(live.sequence(), before + 40);
    let flag = other.flag("checkout-redesign").await;
    let targets = flag["environments"]["production"]["targets"][0]["values"].as_array().unwrap();
    assert_eq!(targets.len(), 41, "a change was lost: {targets:?}");
    other.stop().await;
    one.stop().await;
}

/// Whoever says which version they saw is told when it is not the current one any more, on whichever node.
#[tokio::test]
async fn of_two_who_change_what_they_saw_one_is_told() {
    if !engine::is_postgres() {
        return;
    }
    let one = Service::demo().await;
    let other = one.another_node().await;
    for round in 0..5 {
        let version = one.flag("checkout-redesign").await["_version"].clone();
        let change = |name: &str| {
            json!([{"op": "test", "path": "/_version", "value": version},
                   {"op": "replace", "path": "/description", "value": format!("{name} {round}")}])
        };
        let (mine, theirs) = tokio::join!(
            one.rest("PATCH", FLAG, Some(change("mine"))),
            other.rest("PATCH", FLAG, Some(change("theirs")))
        );
        let mut statuses = [mine.status, theirs.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{mine:?} {theirs:?}");
    }
    other.stop().await;
    one.stop().await;
}

/// A session that one node began counts on the other, until it ends on either.
#[tokio::test]
async fn a_session_is_one_on_every_node() {
    if !engine::is_postgres() {
        return;
    }
    let one = Service::demo().await;
    let other = one.another_node().await;
    let visitor = Visitor::demo(&one).await;
    for node in [&one, &other] {
        assert_eq!(visitor.get(node, "/ui/demo/production/flags", &[]).await.status, 200);
    }
    other.stop().await;
    one.stop().await;
}

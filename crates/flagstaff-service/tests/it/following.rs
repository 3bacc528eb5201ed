//! How live environments keep up with a database that did more than usual.

use std::sync::Arc;

use flagstaff_service::live_environment::{Held, LiveEnvironment};
use flagstaff_service::store::change_log::{self, ItemKind, KEPT};
use flagstaff_service::store::connection::sql;
use flagstaff_service::store::environment;

use crate::support::Service;

const KEY: &str = "sdk-demo-production";

fn live(service: &Service) -> Arc<LiveEnvironment> {
    service.app().live.by_sdk_key(KEY).unwrap()
}

/// So many changes at once, as when a node was cut off from the database meanwhile: all but the last of one item.
async fn change(service: &Service, count: u64) -> u64 {
    let id = live(service).id();
    let mut write = service.app().store.write().await.unwrap();
    sql("INSERT INTO change_log (environment_id, sequence, kind, key)
         WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < $2)
         SELECT id, sequence + n, 'flag', 'deleted' FROM environment CROSS JOIN number WHERE id = $1")
    .bind(id.0)
    .bind(count as i64 - 1)
    .execute(&mut write)
    .await
    .unwrap();
    sql("UPDATE environment SET sequence = sequence + $2 WHERE id = $1")
        .bind(id.0)
        .bind(count as i64 - 1)
        .execute(&mut write)
        .await
        .unwrap();
    let last = environment::next_sequence(&mut write, id).await.unwrap();
    change_log::append(&mut write, id, last, ItemKind::Flag, "deleted-last").await.unwrap();
    write.commit().await.unwrap();
    service.app().catch_up().await.unwrap();
    last
}

#[tokio::test]
async fn the_change_log_keeps_what_live_environments_can_need() {
    let service = Service::demo().await;
    let before = live(&service);
    let last = change(&service, KEPT).await;
    assert!(Arc::ptr_eq(&before, &live(&service)), "what is in the log is taken over from the log");
    assert_eq!(before.sequence(), last);
    let kept: Vec<i64> = sql("SELECT sequence FROM change_log WHERE environment_id = $1 ORDER BY sequence")
        .bind(before.id().0)
        .fetch_scalars(&mut service.app().store.read().await.unwrap())
        .await
        .unwrap();
    assert_eq!(kept, ((last - KEPT + 1) as i64..=last as i64).collect::<Vec<_>>());
    service.stop().await;
}

#[tokio::test]
async fn whoever_is_further_behind_than_the_change_log_reaches_begins_anew() {
    let service = Service::demo().await;
    let (before, flags) = (live(&service), live(&service).flag_count());
    let last = change(&service, KEPT + 1).await;
    let now = live(&service);
    assert!(!Arc::ptr_eq(&before, &now), "a gap was passed over");
    assert_eq!((now.sequence(), now.flag_count()), (last, flags));
    service.stop().await;
}

/// As after a fail-over to a standby that had not heard of everything.
#[tokio::test]
async fn a_database_that_lost_changes_is_served_as_it_is() {
    let service = Service::demo().await;
    let last = change(&service, 3).await;
    let before = live(&service);
    let mut write = service.app().store.write().await.unwrap();
    sql("UPDATE environment SET sequence = $2 WHERE id = $1")
        .bind(before.id().0)
        .bind(last as i64 - 2)
        .execute(&mut write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    service.app().catch_up().await.unwrap();
    let now = live(&service);
    assert!(!Arc::ptr_eq(&before, &now));
    assert_eq!(now.sequence(), last - 2);
    service.stop().await;
}

/// As after such a fail-over, when another node has made changes of its own before this one looks.
#[tokio::test]
async fn another_change_with_the_number_of_one_that_was_lost_is_not_taken_for_it() {
    let service = Service::demo().await;
    let last = change(&service, 3).await;
    for further in [0, 2] {
        let before = live(&service);
        let (tag, held) = (before.image().unwrap().tag().to_owned(), before.moment());
        let mut write = service.app().store.write().await.unwrap();
        sql("UPDATE change_log SET stamp = stamp / 2 + 1 WHERE environment_id = $1 AND sequence = $2")
            .bind(before.id().0)
            .bind(before.sequence() as i64)
            .execute(&mut write)
            .await
            .unwrap();
        for _ in 0..further {
            let next = environment::next_sequence(&mut write, before.id()).await.unwrap();
            change_log::append(&mut write, before.id(), next, ItemKind::Flag, "after").await.unwrap();
        }
        write.commit().await.unwrap();
        service.app().catch_up().await.unwrap();
        let now = live(&service);
        assert!(!Arc::ptr_eq(&before, &now), "it went on from a change that was lost");
        assert_eq!(now.sequence(), last + further);
        assert_ne!(now.image().unwrap().tag(), tag, "other content under the same tag");
        let transfer = now.transfer(Held::At(held)).unwrap();
        let transfer = String::from_utf8(transfer.poll().plain().to_vec()).unwrap();
        assert!(transfer.contains("cant-catchup"), "{transfer}");
    }
    service.stop().await;
}

//! Whoever comes from another node may hold what this one has not heard of yet.

use std::time::Duration;

use flagstaff_service::live_environment::Moment;
use flagstaff_service::store::change_log::{self, ItemKind};
use flagstaff_service::store::environment;

use crate::streams::Stream;
use crate::support::{Answer, Service};

const KEY: (&str, &str) = ("authorization", "sdk-demo-production");
/// The context `{"key":"ann","kind":"user"}`.
const ANN: &str = "eyJrZXkiOiJhbm4iLCJraW5kIjoidXNlciJ9";

/// One that hears of nothing by itself.
async fn deaf() -> Service {
    Service::demo_with(|config| config.change_log_poll = Duration::from_secs(3600)).await
}

/// A change as another node makes it while this one does not hear of others. Gives its moment.
async fn unheard(service: &Service) -> Moment {
    let id = service.app().live.by_sdk_key(KEY.1).unwrap().id();
    let mut write = service.app().store.write_apart().await.unwrap();
    let sequence = environment::next_sequence(&mut write, id).await.unwrap();
    change_log::append(&mut write, id, sequence, ItemKind::Flag, "came-and-went").await.unwrap();
    let stamp = change_log::stamp_of(&mut write, id, sequence).await.unwrap().unwrap();
    write.commit().await.unwrap();
    let moment = Moment { sequence, stamp };
    assert!(service.app().live.by_sdk_key(KEY.1).unwrap().sequence() < sequence, "it was heard of");
    moment
}

fn lineage(service: &Service) -> String {
    service.app().live.by_sdk_key(KEY.1).unwrap().lineage()
}

fn selector(service: &Service, moment: Moment) -> String {
    format!("(p:{}:{moment})", lineage(service))
}

async fn get(service: &Service, path: &str, headers: &[(&str, &str)]) -> Answer {
    let all: Vec<_> = std::iter::once(&KEY).chain(headers).copied().collect();
    service.request("GET", path, &all, b"").await
}

#[tokio::test]
async fn a_node_looks_first_when_somebody_holds_more_than_it_knows_of() {
    let service = deaf().await;
    let basis = selector(&service, unheard(&service).await);
    let polled = get(&service, &format!("/sdk/poll?basis={basis}"), &[]).await.json();
    assert_eq!(polled["events"][0]["data"]["payloads"][0]["intentCode"], "none", "{polled}");

    let basis = selector(&service, unheard(&service).await);
    let mut stream = Stream::open(&service, &format!("/sdk/stream?basis={basis}"), KEY.1).await;
    assert_eq!(stream.expect("server-intent").await["payloads"][0]["intentCode"], "none");

    for (path, of) in [("/sdk/latest-all", ""), ("/sdk/latest-flags", ""), ("/sdk/poll", "-2")] {
        let tag = format!("\"{}-{}{of}\"", lineage(&service), unheard(&service).await);
        assert_eq!(get(&service, path, &[("if-none-match", &tag)]).await.status, 304, "{path}");
    }
    let path = format!("/sdk/evalx/contexts/{ANN}");
    let question =
        get(&service, &path, &[]).await.header("etag").unwrap().rsplit_once('-').unwrap().1.to_owned();
    let tag = format!("\"{}-{}-{question}", lineage(&service), unheard(&service).await);
    assert_eq!(get(&service, &path, &[("if-none-match", &tag)]).await.status, 304);

    let path = format!("/sdk/poll/eval/{ANN}");
    let events = get(&service, &path, &[]).await.json()["events"].clone();
    let state = events.as_array().unwrap().last().unwrap()["data"]["state"].as_str().unwrap().to_owned();
    let payload = state.rsplit_once(':').unwrap().0;
    let basis = format!("{payload}:{})", unheard(&service).await);
    let polled = get(&service, &format!("{path}?basis={basis}"), &[]).await.json();
    assert_eq!(polled["events"][0]["data"]["payloads"][0]["intentCode"], "none", "{polled}");
    let basis = format!("{payload}:{})", unheard(&service).await);
    let mut stream = Stream::open(&service, &format!("/sdk/stream/eval/{ANN}?basis={basis}"), KEY.1).await;
    assert_eq!(stream.expect("server-intent").await["payloads"][0]["intentCode"], "none");
    service.stop().await;
}

/// In an earlier life of the database there were more changes.
#[tokio::test]
async fn who_holds_what_the_database_does_not_know_gets_what_it_has() {
    let service = deaf().await;
    let lost = Moment { sequence: 1_000_000, stamp: 7 };
    let basis = selector(&service, lost);
    let mut stream = Stream::open(&service, &format!("/sdk/stream?basis={basis}"), KEY.1).await;
    assert_eq!(stream.expect("server-intent").await["payloads"][0]["reason"], "cant-catchup");
    let tag = format!("\"{}-{lost}\"", lineage(&service));
    assert_eq!(get(&service, "/sdk/latest-all", &[("if-none-match", &tag)]).await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn nobody_is_taken_back_while_the_database_is_away() {
    let service = Service::demo().await;
    let moment = Moment { sequence: 1_000_000, stamp: 7 };
    let (basis, tag) = (selector(&service, moment), format!("\"{}-{moment}\"", lineage(&service)));
    service.app().store.close().await;
    let refused = [
        get(&service, &format!("/sdk/poll?basis={basis}"), &[]).await,
        get(&service, &format!("/sdk/stream?basis={basis}"), &[]).await,
        get(&service, "/sdk/latest-all", &[("if-none-match", &tag)]).await,
    ];
    for answer in refused {
        assert_eq!((answer.status, &answer.json()["code"]), (503, &"behind".into()), "{answer:?}");
    }
    // Everybody else is served what is known.
    for path in ["/sdk/poll", "/sdk/latest-all"] {
        assert_eq!(get(&service, path, &[]).await.status, 200, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_node_that_cannot_look_says_so() {
    let service = Service::demo().await;
    let connection = async || {
        let status = service.request("GET", "/status", &[], b"").await.json();
        let environment = &status["environments"]["demo production"];
        // It takes a minute to count.
        assert_eq!((&status["status"], &environment["status"]), (&"healthy".into(), &"connected".into()));
        environment["connectionStatus"].clone()
    };
    let before = connection().await;
    assert_eq!((&before["state"], before.get("lastError")), (&"VALID".into(), None));
    service.app().store.close().await;
    let after = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let connection = connection().await;
            if connection["state"] == "INTERRUPTED" {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let after = after.await.expect("it looks every second");
    assert_eq!(after["lastError"]["kind"], "STORE_ERROR");
    assert!(after["stateSince"].as_i64() >= before["stateSince"].as_i64(), "{before} {after}");
    service.stop().await;
}

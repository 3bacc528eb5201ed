//! SDK keys that were replaced and count on until a time.

use std::time::Duration;

use flagstaff_eval::Context;
use flagstaff_service::now_ms;
use flagstaff_wire::secure_mode;
use serde_json::{Value, json};

use crate::rest::assert_refused;
use crate::streams::Stream;
use crate::support::Service;

const ENVIRONMENT: &str = "/api/v2/projects/demo/environments/production";
const OLD: &str = "sdk-demo-production";

async fn rotate(service: &Service, expiry: i64) -> String {
    let path = format!("{ENVIRONMENT}/apiKey?expiry={expiry}");
    let answer = service.rest("POST", &path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["apiKey"].as_str().unwrap().to_owned()
}

async fn poll(service: &Service, key: &str) -> u16 {
    service.request("GET", "/sdk/latest-all", &[("authorization", key)], b"").await.status
}

async fn flip(service: &Service, on: bool) {
    let kind = if on { "turnFlagOn" } else { "turnFlagOff" };
    let answer = service.instruct("new-payments", json!([{"kind": kind}])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The next event of a stream that is a change.
async fn change(stream: &mut Stream) -> Option<Value> {
    stream.next().await.map(|(_, data)| data)
}

#[tokio::test]
async fn an_old_sdk_key_counts_until_its_time_and_its_streams_end_then() {
    let service = Service::demo().await;
    let mut before = Stream::open(&service, "/all", OLD).await;
    before.expect("put").await;
    let until = now_ms() + 3_000;
    let new = rotate(&service, until).await;
    assert_ne!(new, OLD);
    // Both keys count, for what was open and for what is opened now.
    let mut old = Stream::open(&service, "/all", OLD).await;
    let mut second_generation = Stream::open(&service, "/sdk/stream", OLD).await;
    let mut present = Stream::open(&service, "/all", &new).await;
    old.expect("put").await;
    present.expect("put").await;
    flip(&service, false).await;
    for stream in [&mut before, &mut old, &mut present] {
        assert_eq!(stream.expect("patch").await["path"], "/flags/new-payments");
    }
    let status = service.request("GET", "/status", &[], b"").await.json();
    let shown = &status["environments"]["demo production"];
    assert_eq!(shown["expiringSdkKey"], "sdk-**mo-pro*uction", "{shown}");
    let events = br#"[{"kind":"custom","key":"k","creationDate":1,"contextKeys":{"user":"u"}}]"#;
    let headers = [("authorization", OLD), ("content-type", "application/json")];
    assert_eq!(service.request("POST", "/bulk", &headers, events).await.status, 202);
    // Never refused before its time.
    loop {
        let status = poll(&service, OLD).await;
        if status == 401 {
            assert!(now_ms() >= until, "refused {} ms before its time", until - now_ms());
            break;
        }
        assert_eq!(status, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for stream in [&mut before, &mut old] {
        assert!(change(stream).await.is_none(), "a stream outlives its key");
    }
    while second_generation.next().await.is_some() {}
    assert!(now_ms() >= until);
    // Who came by the present key is not disturbed.
    flip(&service, true).await;
    assert_eq!(present.expect("patch").await["path"], "/flags/new-payments");
    assert_eq!(poll(&service, &new).await, 200);
    let status = service.request("GET", "/status", &[], b"").await.json();
    assert_eq!(status["environments"]["demo production"].get("expiringSdkKey"), None);
}

#[tokio::test]
async fn the_time_of_an_old_key_outlives_a_restart() {
    let service = Service::demo().await;
    let new = rotate(&service, now_ms() + 3_600_000).await;
    let service = service.restart().await;
    assert_eq!((poll(&service, OLD).await, poll(&service, &new).await), (200, 200));
    // Without a time, all that came before stop at once.
    let mut old = Stream::open(&service, "/all", OLD).await;
    old.expect("put").await;
    let newest = service.rest("POST", &format!("{ENVIRONMENT}/apiKey"), None).await.json();
    let newest = newest["apiKey"].as_str().unwrap();
    assert!(change(&mut old).await.is_none());
    assert_eq!(poll(&service, OLD).await, 401);
    assert_eq!((poll(&service, &new).await, poll(&service, newest).await), (401, 200));
}

#[tokio::test]
async fn a_browser_may_prove_itself_by_the_old_key_until_its_time() {
    let service = Service::demo().await;
    let secure = json!([{"op": "replace", "path": "/secureMode", "value": true}]);
    assert_eq!(service.rest("PATCH", ENVIRONMENT, Some(secure)).await.status, 200);
    let context = Context::builder("ada").build().unwrap();
    let proof = |key: &str| {
        let hash = secure_mode::hash(key, context.canonical_key());
        // {"kind":"user","key":"ada"}
        format!("eyJraW5kIjoidXNlciIsImtleSI6ImFkYSJ9?h={hash}")
    };
    let see = async |key: &str| {
        let path = format!("/sdk/evalx/demo-production/contexts/{}", proof(key));
        service.request("GET", &path, &[], b"").await.status
    };
    let until = now_ms() + 3_000;
    let new = rotate(&service, until).await;
    let mut stream = Stream::open(&service, &format!("/eval/demo-production/{}", proof(OLD)), "").await;
    stream.expect("put").await;
    assert_eq!((see(OLD).await, see(&new).await, see("sdk-other").await), (200, 200, 400));
    assert!(change(&mut stream).await.is_none(), "it has to prove itself anew");
    assert!(now_ms() >= until);
    assert_eq!((see(OLD).await, see(&new).await), (400, 200));
}

#[tokio::test]
async fn a_clock_that_is_set_ends_streams_and_lets_their_key_in_again_when_it_is_right() {
    const TEN_YEARS: i64 = 10 * 365 * 24 * 3_600_000;
    let service = Service::demo().await;
    let until = now_ms() + 3_000;
    rotate(&service, until).await;
    let live = &service.app().live;
    let mut stream = Stream::open(&service, "/all", OLD).await;
    stream.expect("put").await;
    assert_eq!(live.expire(now_ms() - TEN_YEARS), Some(until), "a clock that went back ends nothing");
    flip(&service, false).await;
    stream.expect("patch").await;
    live.expire(now_ms() + TEN_YEARS);
    assert!(change(&mut stream).await.is_none(), "a clock that went ahead ends it");
    // The clock is right again: the key counts, and is found to end at its time once more.
    live.expire(now_ms());
    let mut stream = Stream::open(&service, "/all", OLD).await;
    stream.expect("put").await;
    assert!(change(&mut stream).await.is_none());
    assert!(now_ms() >= until);
}

#[tokio::test]
async fn a_time_that_makes_no_sense_is_refused() {
    let service = Service::demo().await;
    let post = async |path: String| service.rest("POST", &format!("{ENVIRONMENT}/{path}"), None).await;
    for (path, said) in [
        ("apiKey?expiry=soon".to_owned(), "not `soon`"),
        (format!("apiKey?expiry={}", now_ms() - 1), "is in the past"),
        (format!("mobileKey?expiry={}", now_ms() + 60_000), "an old mobile key always stops working at once"),
    ] {
        assert_refused(&post(path).await, 400, "invalid_request", said);
    }
    assert_eq!(poll(&service, OLD).await, 200, "nothing was changed");
    let new = rotate(&service, now_ms() + 60_000).await;
    // The key before was promised its time.
    let again = post(format!("apiKey?expiry={}", now_ms() + 120_000)).await;
    assert_refused(&again, 400, "invalid_request", "only one can count on");
    assert_eq!((poll(&service, OLD).await, poll(&service, &new).await), (200, 200));
}

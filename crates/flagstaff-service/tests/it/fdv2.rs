//! Second-generation delivery: transfers that are resumed from what a client holds.

use flagstaff_service::live_environment::MOST_BEHIND;
use serde_json::{Value, json};

use crate::rest::FLAG;
use crate::streams::Stream;
use crate::support::{Answer, Service};

const KEY: (&str, &str) = ("authorization", "sdk-demo-production");

async fn poll(service: &Service, basis: &str, headers: &[(&str, &str)]) -> Answer {
    let path = format!("/sdk/poll?basis={}", basis.replace(':', "%3A"));
    let all: Vec<_> = std::iter::once(&KEY).chain(headers).copied().collect();
    service.request("GET", &path, &all, b"").await
}

/// What a transfer is, its objects by key, and the selector it leads to.
fn read(events: &[Value]) -> (String, Vec<(String, String)>, String) {
    let (mut code, mut objects, mut state) = (String::new(), Vec::new(), String::new());
    for event in events {
        let (name, data) = (event["event"].as_str().unwrap(), &event["data"]);
        match name {
            "server-intent" => {
                let payloads = data["payloads"].as_array().unwrap();
                assert_eq!(payloads.len(), 1);
                code = payloads[0]["intentCode"].as_str().unwrap().to_owned();
            }
            "put-object" | "delete-object" => {
                assert!(data["version"].is_u64(), "{data}");
                if name == "put-object" {
                    assert_eq!(data["object"]["key"], data["key"]);
                }
                objects.push((name.to_owned(), data["key"].as_str().unwrap().to_owned()));
            }
            "payload-transferred" => state = data["state"].as_str().unwrap().to_owned(),
            other => panic!("an event named {other}"),
        }
    }
    (code, objects, state)
}

fn polled(answer: &Answer) -> (String, Vec<(String, String)>, String) {
    assert_eq!(answer.status, 200, "{answer:?}");
    read(answer.json()["events"].as_array().unwrap())
}

/// The events of a stream as far as the next that completes a transfer.
async fn transfer(stream: &mut Stream) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let (name, data) = stream.next().await.expect("one more event");
        events.push(json!({"event": name, "data": data}));
        if name == "payload-transferred" || data["payloads"][0]["intentCode"] == "none" {
            return events;
        }
    }
}

#[tokio::test]
async fn who_holds_nothing_gets_everything_and_who_is_up_to_date_nothing() {
    let service = Service::demo().await;
    let answer = poll(&service, "", &[]).await;
    assert_eq!(answer.header("x-ld-envid"), Some("demo-production"));
    let (code, objects, state) = polled(&answer);
    let all = service.request("GET", "/sdk/latest-all", &[KEY], b"").await.json();
    let count = all["flags"].as_object().unwrap().len() + all["segments"].as_object().unwrap().len();
    assert_eq!((&*code, objects.len()), ("xfer-full", count));
    assert_eq!(objects[0].1, "beta-testers", "segments come first");
    let (code, objects, _) = polled(&poll(&service, &state, &[]).await);
    assert_eq!((&*code, objects.len()), ("none", 0));
    let tag = answer.header("etag").unwrap();
    assert_eq!(poll(&service, "", &[("if-none-match", tag)]).await.status, 304);
    service.stop().await;
}

#[tokio::test]
async fn who_holds_something_gets_what_changed_since_deletions_too() {
    let service = Service::demo().await;
    let (_, _, first) = polled(&poll(&service, "", &[]).await);
    service.instruct("wish-lists", json!([{"kind": "turnFlagOff"}])).await;
    service.rest("DELETE", FLAG, None).await;
    let (code, objects, second) = polled(&poll(&service, &first, &[]).await);
    let expected = [("put-object", "wish-lists"), ("delete-object", "checkout-redesign")];
    assert_eq!(code, "xfer-changes");
    assert_eq!(objects, expected.map(|(name, key)| (name.to_owned(), key.to_owned())));
    // Each step is a change of its own.
    service.instruct("wish-lists", json!([{"kind": "turnFlagOn"}])).await;
    assert_eq!(polled(&poll(&service, &second, &[]).await).1.len(), 1);
    assert_eq!(polled(&poll(&service, &first, &[]).await).1.len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn who_holds_what_nobody_knows_any_more_gets_everything() {
    let service = Service::demo().await;
    let (_, _, first) = polled(&poll(&service, "", &[]).await);
    service.rest("DELETE", FLAG, None).await;
    let (_, _, second) = polled(&poll(&service, "", &[]).await);
    // What was deleted before it started is not known to a service.
    let service = service.restart().await;
    assert_eq!(polled(&poll(&service, &first, &[]).await).0, "xfer-full");
    assert_eq!(polled(&poll(&service, &second, &[]).await).0, "none");
    for strange in ["(p:another:1)", "nonsense", &second.replace(')', "9)")] {
        assert_eq!(polled(&poll(&service, strange, &[]).await).0, "xfer-full", "{strange}");
    }
    service.stop().await;
}

#[tokio::test]
async fn everything_is_written_once_for_all_who_need_it_for_the_same_reason() {
    let service = Service::demo().await;
    let live = service.app().live.by_sdk_key(KEY.1).unwrap();
    for basis in [None, Some("(p:another:1)")] {
        let (one, other) =
            (live.transfer(live.held(basis)).unwrap(), live.transfer(live.held(basis)).unwrap());
        assert!(std::sync::Arc::ptr_eq(&one.poll(), &other.poll()), "{basis:?}");
        assert_eq!(one.stream().as_ptr(), other.stream().as_ptr(), "{basis:?}");
    }
    let intent = |basis: &str| {
        let path = format!("/sdk/poll?basis={basis}");
        let service = &service;
        async move {
            let answer = service.request("GET", &path, &[KEY], b"").await.json();
            answer["events"][0]["data"]["payloads"][0]["reason"].clone()
        }
    };
    assert_eq!(intent("").await, "payload-missing");
    assert_eq!(intent("unknown").await, "cant-catchup");
    service.stop().await;
}

#[tokio::test]
async fn a_stream_transfers_what_is_missing_then_each_change() {
    let service = Service::demo().await;
    let mut stream = Stream::open(&service, "/sdk/stream", KEY.1).await;
    let events = transfer(&mut stream).await;
    assert_eq!(Value::from(events.clone()), poll(&service, "", &[]).await.json()["events"]);
    let (_, _, first) = read(&events);

    service.instruct("wish-lists", json!([{"kind": "turnFlagOff"}])).await;
    let (code, objects, second) = read(&transfer(&mut stream).await);
    assert_eq!(code, "", "it was said before that changes follow");
    assert_eq!(objects, [("put-object".to_owned(), "wish-lists".to_owned())]);
    service.rest("DELETE", FLAG, None).await;
    let (_, objects, third) = read(&transfer(&mut stream).await);
    assert_eq!(objects, [("delete-object".to_owned(), "checkout-redesign".to_owned())]);

    for (basis, code, changes) in
        [(&first, "xfer-changes", 2), (&second, "xfer-changes", 1), (&third, "none", 0)]
    {
        let path = format!("/sdk/stream?basis={}", basis.replace(':', "%3A"));
        let mut resumed = Stream::open(&service, &path, KEY.1).await;
        let (known, objects, _) = read(&transfer(&mut resumed).await);
        assert_eq!((&*known, objects.len()), (code, changes), "from {basis}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_service_that_stops_takes_its_leave() {
    let service = Service::demo().await;
    let mut stream = Stream::open(&service, "/sdk/stream", KEY.1).await;
    transfer(&mut stream).await;
    let (_, goodbye) = tokio::join!(service.stop(), stream.next());
    let (name, data) = goodbye.expect("a last event");
    assert_eq!((&*name, data["reason"].as_str().is_some()), ("goodbye", true));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn second_generation_needs_a_key_and_knows_no_filter() {
    let service = Service::demo().await;
    for path in ["/sdk/poll", "/sdk/stream"] {
        assert_eq!(service.request("GET", path, &[], b"").await.status, 401, "{path}");
        assert_eq!(
            service.request("GET", &format!("{path}?filter=x"), &[KEY], b"").await.status,
            404,
            "{path}"
        );
    }
    service.stop().await;
}

/// More than a stream may be behind, at one stroke: no reader is too slow for that.
#[tokio::test]
async fn an_import_cuts_no_stream() {
    let service = Service::demo().await;
    let mut transfers = Stream::open(&service, "/sdk/stream", KEY.1).await;
    transfer(&mut transfers).await;
    let mut flags = Stream::open(&service, "/all", KEY.1).await;
    flags.expect("put").await;
    let imported = (0..2 * MOST_BEHIND).map(|number| {
        let key = format!("imported-{number}");
        let flag = json!({
            "key": key, "version": 1, "on": true, "variations": [true, false], "salt": "s",
            "fallthrough": {"variation": 0}, "offVariation": 1,
        });
        (key, flag)
    });
    let document = json!({"flags": imported.collect::<serde_json::Map<_, _>>(), "segments": {}});
    let path = "/api/v2/import/demo/production";
    let answer = service.rest("POST", path, Some(document)).await;
    assert_eq!((answer.status, &answer.json()["saved"]), (200, &json!(true)), "{answer:?}");
    let (code, objects, state) = read(&transfer(&mut transfers).await);
    assert_eq!((&*code, objects.len()), ("xfer-changes", 2 * MOST_BEHIND));
    assert_eq!(polled(&poll(&service, &state, &[]).await).0, "none");
    let put = flags.expect("put").await;
    assert_eq!(
        put["data"]["flags"].as_object().unwrap().keys().filter(|key| key.starts_with("imported-")).count(),
        2 * MOST_BEHIND
    );
    service.stop().await;
}

//! Values for one context by second-generation delivery.

use flagstaff_wire::secure_mode;
use serde_json::{Value, json};

use crate::rest::assert_refused;
use crate::streams::Stream;
use crate::support::{Answer, Service};

/// `{"key":"ann"}`
const ANN: &str = "eyJrZXkiOiJhbm4ifQ";
const SERVER: (&str, &str) = ("authorization", "sdk-demo-production");
const MOBILE: (&str, &str) = ("authorization", "mob-demo-production");
const BROWSER: (&str, &str) = ("authorization", "demo-production");
const NOBODY: (&str, &str) = ("accept", "*/*");

async fn get(service: &Service, path: &str, header: (&str, &str)) -> Answer {
    service.request("GET", path, &[header], b"").await
}

async fn poll(service: &Service, query: &str, header: (&str, &str)) -> Vec<Value> {
    let answer = get(service, &format!("/sdk/poll/eval/{ANN}?{query}"), header).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["events"].as_array().unwrap().clone()
}

fn intent(events: &[Value]) -> (&str, &str) {
    let payload = &events[0]["data"]["payloads"][0];
    (payload["intentCode"].as_str().unwrap(), payload["reason"].as_str().unwrap())
}

fn state(events: &[Value]) -> String {
    let last = events.last().unwrap();
    assert_eq!(last["event"], "payload-transferred");
    last["data"]["state"].as_str().unwrap().to_owned()
}

/// What the puts hold, by key; each is a value of the version of the transfer.
fn values(events: &[Value]) -> serde_json::Map<String, Value> {
    let version = &events.last().unwrap()["data"]["version"];
    let put = |event: &Value| {
        let data = &event["data"];
        assert_eq!((&data["kind"], &data["version"]), (&json!("flag-eval"), version), "{event}");
        (data["key"].as_str().unwrap().to_owned(), data["object"].clone())
    };
    events.iter().filter(|event| event["event"] == "put-object").map(put).collect()
}

async fn for_browsers(service: &Service, key: &str) {
    let flag = json!({"key": key, "name": key,
        "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": false}});
    assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(flag)).await.status, 201);
}

#[tokio::test]
async fn everybody_gets_what_a_poll_of_the_first_generation_gives_them() {
    let service = Service::demo().await;
    for_browsers(&service, "for-browsers").await;
    for (query, header, first) in [
        ("", SERVER, format!("/sdk/evalx/contexts/{ANN}")),
        ("", MOBILE, format!("/msdk/evalx/contexts/{ANN}")),
        ("", BROWSER, format!("/sdk/evalx/demo-production/contexts/{ANN}")),
        ("auth=demo-production", NOBODY, format!("/sdk/evalx/demo-production/contexts/{ANN}")),
        ("withReasons=true", SERVER, format!("/sdk/evalx/contexts/{ANN}?withReasons=true")),
    ] {
        let events = poll(&service, query, header).await;
        assert_eq!(intent(&events), ("xfer-full", "payload-missing"));
        let known = get(&service, &first, header).await.json();
        assert_eq!(Value::from(values(&events)), known, "{first}");
    }
    for method in ["POST", "REPORT"] {
        let headers = [MOBILE, ("content-type", "application/json")];
        let answer = service.request(method, "/sdk/poll/eval", &headers, br#"{"key":"ann"}"#).await;
        let known = poll(&service, "", MOBILE).await;
        assert_eq!(values(answer.json()["events"].as_array().unwrap()), values(&known), "{method}");
    }
    service.stop().await;
}

#[tokio::test]
async fn who_is_up_to_date_gets_nothing_and_who_is_not_everything() {
    let service = Service::demo().await;
    let first = state(&poll(&service, "", MOBILE).await);
    let basis = |state: &str| format!("basis={state}");
    let same = poll(&service, &basis(&first), MOBILE).await;
    assert_eq!((intent(&same), same.len()), (("none", "up-to-date"), 1));
    // What one audience holds, or one question brought, says nothing about another.
    assert_eq!(intent(&poll(&service, &basis(&first), SERVER).await).0, "xfer-full");
    let reasons = poll(&service, &format!("{}&withReasons=true", basis(&first)), MOBILE).await;
    assert_eq!(intent(&reasons).0, "xfer-full");
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    let after = poll(&service, &basis(&first), MOBILE).await;
    assert_eq!(intent(&after), ("xfer-full", "cant-catchup"));
    assert_eq!(values(&after)["checkout-redesign"]["value"], true);

    let answer = get(&service, &format!("/sdk/poll/eval/{ANN}"), MOBILE).await;
    let tag = answer.header("etag").unwrap();
    let again = [MOBILE, ("if-none-match", tag)];
    assert_eq!(service.request("GET", &format!("/sdk/poll/eval/{ANN}"), &again, b"").await.status, 304);
    assert_eq!(answer.header("x-ld-envid"), Some("demo-production"));
    service.stop().await;
}

#[tokio::test]
async fn a_stream_transfers_everything_then_each_change_and_names_nothing_that_is_not_to_be_seen() {
    let service = Service::demo().await;
    for_browsers(&service, "for-browsers").await;
    let path = format!("/sdk/stream/eval/{ANN}?auth=demo-production");
    let mut stream = Stream::open(&service, &path, "").await;
    assert_eq!(stream.expect("server-intent").await["payloads"][0]["intentCode"], "xfer-full");
    let first = loop {
        match stream.next().await.unwrap() {
            (event, data) if event == "payload-transferred" => {
                break data["state"].as_str().unwrap().to_owned();
            }
            (event, data) => assert_eq!((&*event, &data["kind"]), ("put-object", &json!("flag-eval"))),
        }
    };
    // Not for browsers.
    let hidden = json!({"key": "hidden", "name": "Hidden"});
    assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(hidden)).await.status, 201);
    service.rest("DELETE", "/api/v2/flags/demo/hidden", None).await;
    service.instruct("for-browsers", json!([{"kind": "turnFlagOn"}])).await;
    let put = stream.expect("put-object").await;
    assert_eq!((&put["key"], &put["object"]["value"]), (&json!("for-browsers"), &json!(true)));
    let transferred = stream.expect("payload-transferred").await;
    assert_eq!(put["version"], transferred["version"]);
    service.rest("DELETE", "/api/v2/flags/demo/for-browsers", None).await;
    let gone = stream.expect("delete-object").await;
    assert_eq!((&gone["key"], &gone["kind"]), (&json!("for-browsers"), &json!("flag-eval")));
    let last = stream.expect("payload-transferred").await["state"].as_str().unwrap().to_owned();

    let mut up_to_date = Stream::open(&service, &format!("{path}&basis={last}"), "").await;
    assert_eq!(up_to_date.expect("server-intent").await["payloads"][0]["intentCode"], "none");
    let mut behind = Stream::open(&service, &format!("{path}&basis={first}"), "").await;
    assert_eq!(behind.expect("server-intent").await["payloads"][0]["reason"], "cant-catchup");
    service.stop().await;
}

#[tokio::test]
async fn a_stream_of_values_ends_when_its_key_stops_counting() {
    let service = Service::demo().await;
    let path = format!("/sdk/stream/eval/{ANN}");
    let mut mobile = Stream::open(&service, &path, MOBILE.1).await;
    let mut server = Stream::open(&service, &path, SERVER.1).await;
    let mut browser = Stream::open(&service, &format!("{path}?auth=demo-production"), "").await;
    for stream in [&mut mobile, &mut server, &mut browser] {
        stream.expect("server-intent").await;
    }
    let environment = "/api/v2/projects/demo/environments/production";
    service.rest("POST", &format!("{environment}/mobileKey"), None).await;
    while let Some((event, _)) = mobile.next().await {
        assert!(matches!(&*event, "put-object" | "payload-transferred"), "{event}");
    }
    let secure = json!([{"op": "replace", "path": "/secureMode", "value": true}]);
    service.rest("PATCH", environment, Some(secure)).await;
    while browser.next().await.is_some() {}
    let refused = get(&service, &format!("/sdk/poll/eval/{ANN}?auth=demo-production"), NOBODY).await;
    assert_refused(&refused, 400, "invalid_request", "secure mode");
    let hash = secure_mode::hash("sdk-demo-production", "ann");
    poll(&service, &format!("auth=demo-production&h={hash}"), NOBODY).await;
    poll(&service, "", SERVER).await;
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    while let Some((event, data)) = server.next().await {
        if event == "put-object" && data["key"] == "checkout-redesign" && data["object"]["value"] == true {
            break;
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_as_elsewhere() {
    let service = Service::demo().await;
    for path in ["/sdk/poll/eval", "/sdk/stream/eval"] {
        let with_context = format!("{path}/{ANN}");
        for (method, path, headers, status) in [
            ("GET", with_context.clone(), vec![], 401),
            ("GET", with_context.clone(), vec![("authorization", "sdk-wrong")], 401),
            ("GET", format!("{with_context}?auth=nobody"), vec![], 404),
            // A secret key does not belong into a query.
            ("GET", format!("{with_context}?auth=sdk-demo-production"), vec![], 404),
            ("GET", format!("{with_context}?filter=none"), vec![MOBILE], 404),
            ("GET", format!("{path}/%25%25"), vec![MOBILE], 400),
            ("GET", path.to_owned(), vec![MOBILE], 405),
            ("POST", with_context.clone(), vec![MOBILE], 405),
            ("POST", path.to_owned(), vec![MOBILE], 415),
            ("REPORT", path.to_owned(), vec![MOBILE, ("content-type", "text/plain")], 415),
            ("OPTIONS", with_context.clone(), vec![("origin", "https://shop.example")], 204),
        ] {
            let answer = service.request(method, &path, &headers, b"").await;
            assert_eq!(answer.status, status, "{method} {path} {headers:?}");
            assert!(answer.header("access-control-allow-origin").is_some(), "{method} {path}");
        }
    }
    service.stop().await;
}

/// As a relay has it that does not know all its environments yet.
#[tokio::test]
async fn where_more_environments_are_to_come_nobody_is_unknown() {
    let service = Service::demo().await;
    service.app().live.expect_more(true);
    for (path, header) in [("", ("authorization", "sdk-nobody")), ("?auth=nobody", ("accept", "*/*"))] {
        for door in ["poll", "stream"] {
            let path = format!("/sdk/{door}/eval/{ANN}{path}");
            assert_eq!(get(&service, &path, header).await.status, 503, "{path} {header:?}");
        }
    }
    assert_eq!(
        get(&service, &format!("/sdk/poll/eval/{ANN}"), ("accept", "*/*")).await.status,
        401,
        "no key at all"
    );
    service.stop().await;
}

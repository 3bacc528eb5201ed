//! Events and users over HTTP, as SDKs and scripts see them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::{Answer, Service};

const SDK_KEY: &str = "sdk-demo-production";
const TOKEN: &str = "api-demo";

fn batch() -> String {
    let now = flagstaff_service::now_ms();
    json!([
        {"kind": "index", "creationDate": now, "context": {"kind": "user", "key": "k/1", "name": "Ann Lee", "email": "ann@example.com", "plan": "pro"}},
        {"kind": "summary", "startDate": now, "endDate": now, "features": {"f": {"default": false, "contextKinds": ["user"],
            "counters": [{"variation": 0, "version": 1, "value": true, "count": 3}]}}},
    ])
    .to_string()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

async fn post(service: &Service, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut all = vec![("authorization", SDK_KEY), ("content-type", "application/json")];
    all.extend(headers);
    service.request("POST", path, &all, body).await
}

async fn get(service: &Service, path: &str) -> Answer {
    service.request("GET", path, &[("authorization", TOKEN)], b"").await
}

fn check_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["code"], code);
    assert!(body["id"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
}

fn keys(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().iter().map(|item| item["user"]["key"].clone()).collect()
}

/// Also if what tells of them waits to be counted.
#[tokio::test]
async fn user_who_is_deleted_does_not_come_back_by_what_was_sent_before() {
    let service = Service::demo().await;
    for _ in 0..5 {
        assert_eq!(post(&service, "/bulk", &[], batch().as_bytes()).await.status, 202);
        let headers = [("authorization", TOKEN)];
        let path = "/api/v2/users/demo/production/k%2F1";
        assert_eq!(service.request("DELETE", path, &headers, b"").await.status, 204);
        service.counted().await;
        assert_eq!(get(&service, path).await.status, 404);
    }
    service.stop().await;
}

#[tokio::test]
async fn batch_is_answered_202_with_our_time_and_no_body() {
    let service = Service::demo().await;
    let answer = post(&service, "/bulk", &[("x-launchdarkly-event-schema", "4")], batch().as_bytes()).await;
    assert_eq!((answer.status, &*answer.body), (202, &b""[..]));
    assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")), "{answer:?}");
    service.stop().await;
}

#[tokio::test]
async fn user_is_found_within_a_second_of_the_202_also_after_a_restart() {
    let service = Service::demo().await;
    let sent = std::time::Instant::now();
    assert_eq!(
        post(&service, "/bulk", &[("x-launchdarkly-event-schema", "4")], batch().as_bytes()).await.status,
        202
    );
    let search = "/api/v2/user-search/demo/production?q=ann%40EXAMPLE.com";
    while keys(&get(&service, search).await).is_empty() {
        assert!(sent.elapsed().as_secs() < 10, "the user is not found");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    println!("found after {:?}; the mark is 1 s", sent.elapsed());
    let service = service.restart().await;
    assert_eq!(keys(&get(&service, search).await), ["k/1"]);
    service.stop().await;
}

#[tokio::test]
async fn wrong_or_missing_key_is_401() {
    let service = Service::demo().await;
    for path in ["/bulk", "/diagnostic"] {
        check_error(&service.request("POST", path, &[], b"[]").await, 401, "unauthorized");
        for key in ["sdk-unknown", TOKEN, "mob-demo-production", ""] {
            let answer = service.request("POST", path, &[("authorization", key)], b"[]").await;
            check_error(&answer, 401, "unauthorized");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn malformed_batches_are_refused_whole() {
    let service = Service::demo().await;
    let broken = [batch().trim_end_matches(']').to_owned() + ",7]", format!("{}x", batch())];
    for body in ["", "  ", "{}", "null", "[1]", "[", "[{\"a\":\"\u{1}\"}]", &broken[0], &broken[1]] {
        check_error(&post(&service, "/bulk", &[], body.as_bytes()).await, 400, "invalid_request");
    }
    let deep = format!("[{{\"data\":{}{}}}]", "[".repeat(10_000), "]".repeat(10_000));
    check_error(&post(&service, "/bulk", &[], deep.as_bytes()).await, 400, "invalid_request");
    check_error(&post(&service, "/bulk", &[], b"[{\"a\":\"\xff\"}]").await, 400, "invalid_request");
    assert_eq!(service.analytics().backlog(), 0);
    assert_eq!(keys(&get(&service, "/api/v2/users/demo/production").await), [""; 0]);
    service.stop().await;
}

#[tokio::test]
async fn compressed_batches_are_taken() {
    let service = Service::demo().await;
    let headers = [("content-encoding", "gzip"), ("x-launchdarkly-event-schema", "4")];
    assert_eq!(post(&service, "/bulk", &headers, &gzip(batch().as_bytes())).await.status, 202);
    check_error(&post(&service, "/bulk", &headers, batch().as_bytes()).await, 400, "invalid_request");
    check_error(
        &post(&service, "/bulk", &[("content-encoding", "br")], b"x").await,
        415,
        "unsupported_encoding",
    );
    service.counted().await;
    assert_eq!(keys(&get(&service, "/api/v2/users/demo/production").await), ["k/1"]);
    service.stop().await;
}

#[tokio::test]
async fn bomb_is_refused_before_it_goes_off() {
    let service = Service::demo().await;
    // 200 MB of spaces in 0.2 MB, and a member that is one in itself.
    let piece = gzip(&vec![b' '; 1024 * 1024]);
    let bomb = piece.repeat(200);
    let answer = post(&service, "/bulk", &[("content-encoding", "gzip")], &bomb).await;
    check_error(&answer, 413, "payload_too_large");
    let answer = post(&service, "/diagnostic", &[("content-encoding", "gzip")], &bomb).await;
    check_error(&answer, 413, "payload_too_large");
    service.stop().await;
}

#[tokio::test]
async fn body_beyond_the_limit_is_413() {
    let service = Service::demo().await;
    let long = vec![b' '; flagstaff_service::ingest::BODY_LIMIT + 1];
    check_error(&post(&service, "/bulk", &[], &long).await, 413, "payload_too_large");
    service.stop().await;
}

#[tokio::test]
async fn chunked_body_is_taken() {
    let service = Service::demo().await;
    let answer = service
        .request_chunked(
            "/bulk",
            &[("authorization", SDK_KEY), ("x-launchdarkly-event-schema", "4")],
            batch().as_bytes(),
        )
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    service.counted().await;
    assert_eq!(keys(&get(&service, "/api/v2/users/demo/production").await), ["k/1"]);
    service.stop().await;
}

#[tokio::test]
async fn same_payload_is_counted_once_and_schemas_decide_what_is_counted() {
    let service = Service::demo().await;
    let body = batch();
    for _ in 0..3 {
        let headers = [("x-launchdarkly-payload-id", "p-1"), ("x-launchdarkly-event-schema", "4")];
        assert_eq!(post(&service, "/bulk", &headers, body.as_bytes()).await.status, 202);
    }
    let feature = json!([{"kind": "feature", "creationDate": flagstaff_service::now_ms(), "key": "g", "userKey": "u", "variation": 1, "version": 1}]).to_string();
    for headers in [
        &[("x-launchdarkly-event-schema", "4")][..],
        &[("x-launchdarkly-event-schema", "3")],
        &[("x-launchdarkly-event-schema", "2")],
        &[],
        &[("x-launchdarkly-event-schema", "4"), ("x-launchdarkly-unsummarized", "true")],
    ] {
        assert_eq!(post(&service, "/bulk", headers, feature.as_bytes()).await.status, 202);
    }
    service.counted().await;
    let flags = service.evaluations("production").await;
    assert_eq!((flags["f"].total, flags["g"].total), (3, 3));
    service.stop().await;
}

#[tokio::test]
async fn diagnostics_note_which_sdk_reports() {
    let service = Service::demo().await;
    let report = json!({"kind": "diagnostic-init", "creationDate": 1, "id": {"diagnosticId": "d-1", "sdkKeySuffix": "uction"},
        "sdk": {"name": "python-server-sdk", "version": "9.18.4"}, "platform": {}, "configuration": {}});
    for report in [
        report,
        json!({"kind": "diagnostic", "id": {"diagnosticId": "d-1"}, "droppedEvents": 0}),
        json!({"kind": "of the future"}),
    ] {
        assert_eq!(post(&service, "/diagnostic", &[], report.to_string().as_bytes()).await.status, 202);
    }
    let instances = service.sdk_instances("production").await;
    assert_eq!(instances.len(), 1);
    assert_eq!((&*instances[0].name, &*instances[0].version), ("python-server-sdk", "9.18.4"));
    for body in ["", "[]", "{"] {
        check_error(&post(&service, "/diagnostic", &[], body.as_bytes()).await, 400, "invalid_request");
    }
    service.stop().await;
}

#[tokio::test]
async fn user_is_shown_listed_and_deleted() {
    let service = Service::demo().await;
    post(&service, "/bulk", &[("x-launchdarkly-event-schema", "4")], batch().as_bytes()).await;
    service.counted().await;
    let path = "/api/v2/users/demo/production/k%2F1";
    let record = get(&service, path).await.json();
    assert_eq!(
        record["user"],
        json!({"key": "k/1", "name": "Ann Lee", "email": "ann@example.com", "anonymous": false, "custom": {"plan": "pro"}})
    );
    assert_eq!(record["_links"]["self"]["href"], path);
    assert_eq!(record["environmentId"], "demo-production");
    assert!(record["lastPing"].as_str().is_some_and(|date| date.ends_with('Z')), "{record}");
    let all = get(&service, "/api/v2/users/demo/production").await.json();
    assert_eq!((&all["totalCount"], &all["items"][0]), (&json!(1), &record));
    assert_eq!(
        keys(&get(&service, "/api/v2/users/demo/staging").await),
        [""; 0],
        "seen in another environment"
    );

    let delete = async || service.request("DELETE", path, &[("authorization", TOKEN)], b"").await;
    assert_eq!(delete().await.status, 204);
    check_error(&delete().await, 404, "not_found");
    check_error(&get(&service, path).await, 404, "not_found");
    assert_eq!(keys(&get(&service, "/api/v2/user-search/demo/production?q=ann").await), [""; 0]);
    service.stop().await;
}

#[tokio::test]
async fn deleted_environment_takes_what_was_counted_with_it() {
    let service = Service::demo().await;
    let headers = [("authorization", "sdk-demo-staging"), ("x-launchdarkly-event-schema", "4")];
    assert_eq!(service.request("POST", "/bulk", &headers, batch().as_bytes()).await.status, 202);
    service.counted().await;
    assert_eq!(keys(&get(&service, "/api/v2/users/demo/staging").await), ["k/1"]);

    let path = "/api/v2/projects/demo/environments";
    let token = [("authorization", TOKEN), ("content-type", "application/json")];
    let deleted = service.request("DELETE", &format!("{path}/staging"), &token, b"").await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!(service.request("POST", "/bulk", &headers, batch().as_bytes()).await.status, 401);
    let again = json!({"key": "staging", "name": "Staging", "color": "00ff00"}).to_string();
    let made = service.request("POST", path, &token, again.as_bytes()).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(keys(&get(&service, "/api/v2/users/demo/staging").await), [""; 0]);
    assert!(service.evaluations("staging").await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn metrics_tell_what_became_of_batches() {
    let service = Service::demo().await;
    for id in ["p-1", "p-2", "p-1"] {
        let headers = [("x-launchdarkly-payload-id", id), ("x-launchdarkly-event-schema", "4")];
        post(&service, "/bulk", &headers, br#"[{"kind":"index"},{"kind":"a","kind":"b"}]"#).await;
    }
    service.counted().await;
    let text = service.request("GET", "/metrics", &[], b"").await;
    let text = String::from_utf8(text.body).unwrap();
    for line in [
        "flagstaff_event_batches_total{became=\"stored\"} 2",
        "flagstaff_event_batches_total{became=\"known\"} 1",
        "flagstaff_event_batches_total{became=\"set_aside\"} 0",
        "flagstaff_events_unreadable_total 2",
        "flagstaff_event_batches_waiting 0",
    ] {
        assert!(text.lines().any(|own| own == line), "no `{line}` in {text}");
    }
    service.stop().await;
}

#[tokio::test]
async fn next_links_lead_through_all_users() {
    let service = Service::demo().await;
    let events: Vec<Value> = (0..25)
        .map(|n| json!({"kind": "index", "user": {"key": format!("u {n:02}"), "name": "Pat"}}))
        .collect();
    post(&service, "/bulk", &[], json!(events).to_string().as_bytes()).await;
    service.counted().await;
    for start in [
        "/api/v2/users/demo/production?limit=10",
        "/api/v2/user-search/demo/production?limit=10&q=pat",
        "/api/v2/user-search/demo/production?sort=-userKey",
    ] {
        let mut seen = Vec::new();
        let mut next = Some(start.to_owned());
        while let Some(path) = next {
            let answer = get(&service, &path).await;
            seen.extend(keys(&answer).iter().map(|key| key.as_str().unwrap().to_owned()));
            let page = answer.json();
            assert_eq!(page["totalCount"], 25);
            next = page["_links"]["next"]["href"].as_str().map(str::to_owned);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 25, "{start}");
    }
    service.stop().await;
}

#[tokio::test]
async fn bad_questions_about_users_are_refused_with_what_would_be_right() {
    let service = Service::demo().await;
    for (path, said) in [
        ("/api/v2/user-search/demo/production?limit=0", "from 1 to 50"),
        ("/api/v2/user-search/demo/production?limit=51", "from 1 to 50"),
        ("/api/v2/user-search/demo/production?offset=-1", "from 0 to 10000"),
        ("/api/v2/user-search/demo/production?sort=name", "`userKey` or `lastSeen`"),
        ("/api/v2/user-search/demo/production?filter=a:b", "`filter` is not supported"),
        ("/api/v2/users/demo/production?limit=x", "from 1 to 1000"),
    ] {
        let answer = get(&service, path).await;
        check_error(&answer, 400, "invalid_request");
        assert!(answer.json()["message"].as_str().unwrap().contains(said), "{answer:?}");
    }
    for path in [
        "/api/v2/users/demo/nowhere",
        "/api/v2/users/nothing/production",
        "/api/v2/users/demo/production/nobody",
    ] {
        check_error(&get(&service, path).await, 404, "not_found");
    }
    for key in [SDK_KEY, "api-wrong"] {
        let answer =
            service.request("GET", "/api/v2/users/demo/production", &[("authorization", key)], b"").await;
        check_error(&answer, 401, "unauthorized");
    }
    service.stop().await;
}

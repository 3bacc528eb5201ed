//! Flags polled by SDKs, and how the service says it is.

use std::io::Read as _;

use serde_json::json;

use crate::rest::assert_refused;
use crate::support::{Answer, Service};

const KEY: (&str, &str) = ("authorization", "sdk-demo-production");

async fn poll(service: &Service, path: &str, header: Option<(&str, &str)>) -> Answer {
    let headers: Vec<_> = std::iter::once(KEY).chain(header).collect();
    service.request("GET", path, &headers, b"").await
}

#[tokio::test]
async fn everything_comes_in_the_canonical_form() {
    let service = Service::demo().await;
    let all = poll(&service, "/sdk/latest-all", None).await;
    assert_eq!((all.status, all.header("x-ld-envid")), (200, Some("demo-production")));
    let body = all.json();
    assert_eq!(
        (body["flags"].as_object().unwrap().len(), body["segments"].as_object().unwrap().len()),
        (8, 1)
    );
    let mut flag = body["flags"]["checkout-redesign"].clone();
    let salt = flag["salt"].take();
    assert_eq!(salt.as_str().unwrap().len(), 32);
    assert_eq!(
        flag,
        json!({
            "key": "checkout-redesign", "version": 3, "on": false, "prerequisites": [], "targets": [],
            "contextTargets": [], "rules": [], "fallthrough": {"variation": 0}, "offVariation": 1,
            "variations": [true, false], "clientSide": true,
            "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": true}, "salt": null,
            "trackEvents": false, "trackEventsFallthrough": false, "debugEventsUntilDate": null, "deleted": false,
        })
    );
    let segment = &body["segments"]["beta-testers"];
    for always in [
        "included",
        "excluded",
        "includedContexts",
        "excludedContexts",
        "rules",
        "salt",
        "generation",
        "deleted",
    ] {
        assert!(segment.get(always).is_some(), "{always} is always written");
    }
    assert_eq!(poll(&service, "/sdk/latest-flags", None).await.json(), body["flags"]);
    assert_eq!(poll(&service, "/sdk/latest-segments", None).await.json(), body["segments"]);
    let one = poll(&service, "/sdk/latest-flags/wish-lists", None).await;
    assert_eq!(one.json(), body["flags"]["wish-lists"]);
    assert_eq!(poll(&service, "/sdk/latest-segments/beta-testers", None).await.json(), *segment);
    assert_refused(&poll(&service, "/sdk/latest-flags/nothing", None).await, 404, "not_found", "`nothing`");
    assert_refused(
        &poll(&service, "/sdk/latest-segments/nothing", None).await,
        404,
        "not_found",
        "`nothing`",
    );
    assert_refused(
        &poll(&service, "/sdk/latest-all?filter=f", None).await,
        404,
        "not_found",
        "payload filter `f`",
    );
}

#[tokio::test]
async fn a_poll_is_answered_304_until_something_changes() {
    let service = Service::demo().await;
    for path in [
        "/sdk/latest-all",
        "/sdk/latest-flags",
        "/sdk/latest-segments",
        "/sdk/latest-flags/checkout-redesign",
    ] {
        let first = poll(&service, path, None).await;
        let tag = first.header("etag").unwrap();
        let again = poll(&service, path, Some(("if-none-match", tag))).await;
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)), "{path}");
    }
    let tag = poll(&service, "/sdk/latest-all", None).await.header("etag").unwrap().to_owned();
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    let changed = poll(&service, "/sdk/latest-all", Some(("if-none-match", &tag))).await;
    assert_eq!(changed.status, 200, "what was saved is served at once");
    assert_eq!(changed.json()["flags"]["checkout-redesign"]["on"], true);
}

#[tokio::test]
async fn a_poll_is_compressed_when_asked() {
    let service = Service::demo().await;
    let plain = poll(&service, "/sdk/latest-all", None).await;
    assert_eq!(plain.header("content-encoding"), None);
    let packed = poll(&service, "/sdk/latest-all", Some(("accept-encoding", "gzip"))).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    let tag = packed.header("etag").unwrap();
    assert_eq!(poll(&service, "/sdk/latest-all", Some(("if-none-match", tag))).await.status, 304);
}

#[tokio::test]
async fn a_wrong_sdk_key_gets_401_everywhere() {
    let service = Service::demo().await;
    for path in [
        "/all",
        "/flags",
        "/sdk/latest-all",
        "/sdk/latest-flags",
        "/sdk/latest-flags/a",
        "/sdk/latest-segments",
        "/sdk/latest-segments/a",
    ] {
        for key in ["sdk-wrong", "api-demo", "mob-demo-production", "demo-production", ""] {
            let answer = service.request("GET", path, &[("authorization", key)], b"").await;
            assert_refused(&answer, 401, "unauthorized", "SDK key");
        }
        assert_refused(&service.request("GET", path, &[], b"").await, 401, "unauthorized", "no SDK key");
    }
    let prefixed = service
        .request("GET", "/sdk/latest-all", &[("authorization", "api_key sdk-demo-staging")], b"")
        .await;
    assert_eq!(prefixed.header("x-ld-envid"), Some("demo-staging"));
}

#[tokio::test]
async fn status_and_metrics_tell_how_it_is_and_no_secrets() {
    let service = Service::demo().await;
    let status = service.request("GET", "/status", &[], b"").await;
    let body = status.json();
    assert_eq!(
        (&body["status"], &body["environments"]["demo production"]["status"]),
        (&json!("healthy"), &json!("connected"))
    );
    assert_eq!(body["environments"]["demo production"]["connectionStatus"]["state"], "VALID");
    assert!(!String::from_utf8(status.body).unwrap().contains("sdk-demo-production"));
    let metrics = service.request("GET", "/metrics", &[], b"").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(
        text.contains("flagstaff_environments 2\n")
            && text.contains("flagstaff_requests_total{class=\"monitoring\",status=\"200\"} 1\n"),
        "{text}"
    );
}

#[tokio::test]
async fn the_php_sdk_polls_one_flag_at_a_time() {
    let service = Service::demo().await;
    let all = poll(&service, "/sdk/latest-all", None).await.json();
    let flag = poll(&service, "/sdk/flags/wish-lists", None).await;
    assert_eq!(flag.json(), all["flags"]["wish-lists"]);
    let tag = flag.header("etag").unwrap();
    assert_eq!(tag, format!("relay-{}", all["flags"]["wish-lists"]["version"]));
    let again = poll(&service, "/sdk/flags/wish-lists", Some(("if-none-match", tag))).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let expires = flag.header("expires");
    assert_eq!(expires, None, "the demo sets no lifetime");
    assert_eq!(
        poll(&service, "/sdk/segments/beta-testers", None).await.json(),
        all["segments"]["beta-testers"]
    );
    assert_refused(&poll(&service, "/sdk/flags/nothing", None).await, 404, "not_found", "`nothing`");

    let flags = poll(&service, "/sdk/flags", None).await;
    assert_eq!(flags.json(), all["flags"]);
    let tag = flags.header("etag").unwrap();
    assert!(tag.starts_with("relay-") && tag.len() == "relay-".len() + 15, "{tag}");
    assert_eq!(poll(&service, "/sdk/flags", Some(("if-none-match", tag))).await.status, 304);
    service.instruct("wish-lists", json!([{"kind": "turnFlagOff"}])).await;
    assert_eq!(poll(&service, "/sdk/flags", Some(("if-none-match", tag))).await.status, 200);

    let lifetime = json!([{"op": "replace", "path": "/defaultTtl", "value": 5}]);
    service.rest("PATCH", "/api/v2/projects/demo/environments/production", Some(lifetime)).await;
    let flag = poll(&service, "/sdk/flags/wish-lists", None).await;
    assert_eq!(flag.header("vary"), Some("Authorization"));
    assert!(flag.header("expires").is_some_and(|date| date.ends_with(" GMT")), "{flag:?}");
    service.stop().await;
}

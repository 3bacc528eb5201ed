//! Values for browsers and mobile programs.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flagstaff_wire::secure_mode;
use serde_json::{Value, json};

use crate::rest::assert_refused;
use crate::streams::Stream;
use crate::support::{Answer, Service};

const MOBILE: (&str, &str) = ("authorization", "mob-demo-production");
const SERVER: (&str, &str) = ("authorization", "sdk-demo-production");
const JSON: (&str, &str) = ("content-type", "application/json");

fn encoded(context: &Value) -> String {
    URL_SAFE_NO_PAD.encode(context.to_string())
}

fn ann() -> Value {
    json!({"kind": "user", "key": "ann"})
}

async fn get(service: &Service, path: &str, headers: &[(&str, &str)]) -> Answer {
    service.request("GET", path, headers, b"").await
}

async fn as_browser(service: &Service, context: &Value, query: &str) -> Answer {
    get(service, &format!("/sdk/evalx/demo-production/contexts/{}{query}", encoded(context)), &[]).await
}

/// A flag that only mobile programs see, as those of the demo's project are made.
async fn make_flag(service: &Service, key: &str) {
    let answer = service.rest("POST", "/api/v2/flags/demo", Some(json!({"key": key, "name": key}))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn every_way_to_ask_has_the_same_answer() {
    let service = Service::demo().await;
    let (context, user) = (encoded(&ann()), encoded(&json!({"key": "ann"})));
    let expected = as_browser(&service, &ann(), "").await.json();
    assert_eq!(expected["checkout-redesign"]["value"], false);
    let known = |id: &str, key: (&'static str, &'static str)| {
        [(format!("/sdk/evalx{id}/contexts/{context}"), key), (format!("/sdk/evalx{id}/users/{user}"), key)]
    };
    for (path, key) in known("/demo-production", MOBILE).into_iter().chain(known("", SERVER)).chain([
        (format!("/msdk/evalx/contexts/{context}"), MOBILE),
        (format!("/msdk/evalx/users/{user}"), MOBILE),
    ]) {
        let answer = get(&service, &path, &[key]).await;
        assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{path}");
    }
    for (path, key) in [
        ("/sdk/evalx/demo-production/context", ("x", "y")),
        ("/sdk/evalx/demo-production/user", ("x", "y")),
        ("/msdk/evalx/context", MOBILE),
        ("/msdk/evalx/user", MOBILE),
        ("/sdk/evalx/context", SERVER),
        ("/sdk/evalx/user", SERVER),
    ] {
        let answer = service.request("REPORT", path, &[key, JSON], ann().to_string().as_bytes()).await;
        assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{path}");
    }
    let values = get(&service, &format!("/sdk/eval/demo-production/users/{user}"), &[]).await.json();
    assert_eq!(values["checkout-redesign"], expected["checkout-redesign"]["value"]);
    assert_eq!(get(&service, &format!("/msdk/eval/users/{user}"), &[MOBILE]).await.json(), values);
    service.stop().await;
}

#[tokio::test]
async fn who_comes_by_another_way_sees_other_flags() {
    let service = Service::demo().await;
    make_flag(&service, "for-mobile").await;
    let path = format!("contexts/{}", encoded(&ann()));
    let sees = async |path: String, headers: &[(&str, &str)]| {
        get(&service, &path, headers).await.json().get("for-mobile").is_some()
    };
    assert!(!sees(format!("/sdk/evalx/demo-production/{path}"), &[]).await);
    assert!(sees(format!("/msdk/evalx/{path}"), &[MOBILE]).await);
    assert!(sees(format!("/sdk/evalx/{path}"), &[SERVER]).await);
    service.stop().await;
}

#[tokio::test]
async fn versions_are_the_environments_and_reasons_come_if_asked_for() {
    let service = Service::demo().await;
    let before = as_browser(&service, &ann(), "").await.json();
    service.instruct("wish-lists", json!([{"kind": "turnFlagOff"}])).await;
    let after = as_browser(&service, &ann(), "?withReasons=true").await.json();
    let version = |all: &Value, flag: &str| all[flag]["version"].as_u64().unwrap();
    assert!(version(&after, "checkout-redesign") > version(&before, "checkout-redesign"));
    assert_eq!(after["checkout-redesign"]["flagVersion"], before["checkout-redesign"]["flagVersion"]);
    assert_eq!(before["checkout-redesign"].get("reason"), None);
    assert_eq!(after["checkout-redesign"]["reason"], json!({"kind": "OFF"}));
    service.stop().await;
}

#[tokio::test]
async fn an_answer_has_a_tag_of_its_own_and_is_compressed_if_wanted() {
    let service = Service::demo().await;
    let path = |context: &Value| format!("/sdk/evalx/demo-production/contexts/{}", encoded(context));
    let answer = get(&service, &path(&ann()), &[]).await;
    let tag = answer.header("etag").unwrap().to_owned();
    assert_eq!(answer.header("x-ld-envid"), Some("demo-production"));
    let again = get(&service, &path(&ann()), &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    for name in ["vary", "cache-control"] {
        assert_eq!(again.header(name), answer.header(name), "a cache takes {name} over");
    }
    for other in [path(&json!({"kind": "user", "key": "bob"})), format!("{}?withReasons=true", path(&ann()))]
    {
        assert_eq!(get(&service, &other, &[("if-none-match", &tag)]).await.status, 200, "{other}");
    }
    service.instruct("wish-lists", json!([{"kind": "turnFlagOff"}])).await;
    assert_eq!(get(&service, &path(&ann()), &[("if-none-match", &tag)]).await.status, 200);
    assert_eq!(
        get(&service, &path(&ann()), &[("accept-encoding", "gzip")]).await.header("content-encoding"),
        None
    );
    let variations = json!([{"value": "long ".repeat(1000)}, {"value": ""}]);
    let availability = json!({"usingEnvironmentId": true, "usingMobileKey": false});
    let flag = json!({"key": "long", "name": "Long", "variations": variations, "clientSideAvailability": availability});
    assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(flag)).await.status, 201);
    service.instruct("long", json!([{"kind": "turnFlagOn"}])).await;
    let packed = get(&service, &path(&ann()), &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut plain).unwrap();
    assert_eq!(plain, get(&service, &path(&ann()), &[]).await.body);
    service.stop().await;
}

#[tokio::test]
async fn in_secure_mode_a_browser_has_to_show_the_hash_and_nobody_else() {
    let service = Service::demo().await;
    let patch = json!([{"op": "replace", "path": "/secureMode", "value": true}]);
    let changed = service.rest("PATCH", "/api/v2/projects/demo/environments/production", Some(patch)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let hash = secure_mode::hash("sdk-demo-production", "ann");
    assert_eq!(as_browser(&service, &ann(), &format!("?h={hash}")).await.status, 200);
    let refused = as_browser(&service, &ann(), "").await;
    assert_refused(&refused, 400, "invalid_request", "secure mode");
    assert!(refused.header("access-control-allow-origin").is_some(), "the page may read why");
    let of_another = secure_mode::hash("sdk-demo-production", "bob");
    let wrong = as_browser(&service, &ann(), &format!("?h={of_another}")).await;
    assert_refused(&wrong, 400, "invalid_request", "is not that of this context");
    let path = format!("contexts/{}", encoded(&ann()));
    assert_eq!(get(&service, &format!("/msdk/evalx/{path}"), &[MOBILE]).await.status, 200);
    assert_eq!(get(&service, &format!("/sdk/evalx/{path}"), &[SERVER]).await.status, 200);
    assert_eq!(get(&service, &format!("/eval/demo-production/{}", encoded(&ann())), &[]).await.status, 400);
    service.stop().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_the_status_that_sdks_expect() {
    let service = Service::demo().await;
    let good = encoded(&ann());
    for (path, headers, status) in [
        (format!("/sdk/evalx/nobody/contexts/{good}"), vec![], 404),
        (format!("/eval/nobody/{good}"), vec![], 404),
        ("/sdk/goals/nobody".to_owned(), vec![], 404),
        ("/ping/nobody".to_owned(), vec![], 404),
        (format!("/msdk/evalx/contexts/{good}"), vec![], 401),
        (format!("/msdk/evalx/contexts/{good}"), vec![SERVER], 401),
        (format!("/sdk/evalx/contexts/{good}"), vec![MOBILE], 401),
        ("/mping".to_owned(), vec![("authorization", "no key")], 401),
        ("/sdk/evalx/demo-production/contexts/%21".to_owned(), vec![], 400),
        (format!("/sdk/evalx/demo-production/contexts/{}", encoded(&json!({"key": ""}))), vec![], 400),
        (format!("/sdk/evalx/demo-production/contexts/{good}?filter=none"), vec![], 404),
        ("/sdk/evalx/demo-production/context".to_owned(), vec![], 405),
    ] {
        let answer = get(&service, &path, &headers).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.json()["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    let report = async |path: &str, headers: &[(&str, &str)], body: &str| {
        service.request("REPORT", path, headers, body.as_bytes()).await.status
    };
    assert_eq!(report("/sdk/evalx/demo-production/context", &[], &ann().to_string()).await, 415);
    assert_eq!(report("/sdk/evalx/demo-production/context", &[JSON], "").await, 400);
    assert_eq!(report("/sdk/evalx/demo-production/context", &[JSON], "[]").await, 400);
    service.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_without_credentials() {
    let service = Service::demo().await;
    let origin = ("origin", "https://shop.example");
    let context = encoded(&ann());
    for (path, methods) in [
        (format!("/sdk/evalx/demo-production/contexts/{context}"), "GET,OPTIONS"),
        (format!("/sdk/eval/demo-production/users/{context}"), "GET,OPTIONS"),
        ("/sdk/evalx/demo-production/context".to_owned(), "REPORT,OPTIONS"),
        ("/sdk/evalx/demo-production/user".to_owned(), "REPORT,OPTIONS"),
        (format!("/eval/demo-production/{context}"), "GET,OPTIONS"),
        ("/eval/demo-production".to_owned(), "REPORT,OPTIONS"),
        ("/ping/demo-production".to_owned(), "GET,OPTIONS"),
        ("/sdk/goals/demo-production".to_owned(), "GET,OPTIONS"),
        ("/events/bulk/demo-production".to_owned(), "POST,OPTIONS"),
        ("/events/diagnostic/demo-production".to_owned(), "POST,OPTIONS"),
        ("/a/demo-production.gif".to_owned(), "GET,OPTIONS"),
        ("/ofrep/v1/evaluate/flags".to_owned(), "POST,OPTIONS"),
        ("/ofrep/v1/evaluate/flags/wish-lists".to_owned(), "POST,OPTIONS"),
        ("/ofrep/v1/event-streams/demo-production".to_owned(), "GET,OPTIONS"),
    ] {
        let before = service.request("OPTIONS", &path, &[origin], b"").await;
        assert_eq!(before.status, 204, "{path}");
        assert_eq!(before.header("access-control-allow-methods"), Some(methods), "{path}");
        assert_eq!(before.header("access-control-allow-origin"), Some("https://shop.example"));
        assert_eq!(before.header("access-control-allow-credentials"), Some("false"));
        let allowed = before.header("access-control-allow-headers").unwrap();
        for name in ["X-LaunchDarkly-Event-Schema", "X-LaunchDarkly-User-Agent", "Content-Type"] {
            assert!(allowed.contains(name), "{name} in {allowed}");
        }
    }
    let answer = get(&service, "/sdk/goals/demo-production", &[origin]).await;
    assert_eq!((answer.status, answer.json()), (200, json!([])));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    let mobile = get(&service, &format!("/msdk/evalx/contexts/{}", encoded(&ann())), &[MOBILE, origin]).await;
    assert_eq!(mobile.header("access-control-allow-origin"), None);
    service.stop().await;
}

#[tokio::test]
async fn where_origins_are_listed_pages_of_others_are_not_told_that_they_may() {
    let service = Service::demo_with(|config| {
        config.serving.allowed_origins =
            ["https://shop.example", "http://localhost:3000"].map(|origin| origin.parse().unwrap()).to_vec();
    })
    .await;
    let listed = Some("https://shop.example");
    for (origin, allowed) in [
        ("https://shop.example", listed),
        ("http://localhost:3000", Some("http://localhost:3000")),
        ("https://other.example", listed),
        ("null", listed),
    ] {
        for method in ["GET", "OPTIONS"] {
            let answer =
                service.request(method, "/sdk/goals/demo-production", &[("origin", origin)], b"").await;
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{method} from {origin}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stream_sends_values_then_those_that_a_change_affects() {
    let service = Service::demo().await;
    let mut stream = Stream::open(&service, &format!("/eval/demo-production/{}", encoded(&ann())), "").await;
    let put = stream.expect("put").await;
    assert_eq!(put, as_browser(&service, &ann(), "").await.json());
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    let patch = stream.expect("patch").await;
    assert_eq!((&patch["key"], &patch["value"]), (&json!("checkout-redesign"), &json!(true)));
    assert!(patch["version"].as_u64() > put["checkout-redesign"]["version"].as_u64());
    assert_eq!(patch["flagVersion"], patch["version"], "a flag's version is when it last changed");
    service.rest("DELETE", crate::rest::FLAG, None).await;
    let delete = stream.expect("delete").await;
    assert_eq!(delete["key"], "checkout-redesign");
    assert!(delete["version"].as_u64() > patch["version"].as_u64());
    service.stop().await;
}

#[tokio::test]
async fn a_change_of_what_a_flag_hangs_on_changes_its_value_too() {
    let service = Service::demo().await;
    let hangs = json!([{"kind": "addPrerequisite", "key": "wish-lists", "variationId": service.flag("wish-lists").await["variations"][0]["_id"]}]);
    let answer = service.instruct("checkout-redesign", hangs).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    let mut stream =
        Stream::open(&service, "/meval/eyJraW5kIjoidXNlciIsImtleSI6ImFubiJ9", "mob-demo-production").await;
    let before = stream.expect("put").await["checkout-redesign"].clone();
    service.instruct("wish-lists", json!([{"kind": "turnFlagOff"}])).await;
    let mut patched = Vec::new();
    for _ in 0..2 {
        let patch = stream.expect("patch").await;
        patched.push(patch["key"].as_str().unwrap().to_owned());
        if patch["key"] == "checkout-redesign" {
            assert_eq!(patch["value"], false, "its prerequisite is off");
            assert!(patch["version"].as_u64() > before["version"].as_u64());
            assert_eq!(patch["flagVersion"], before["flagVersion"]);
        }
    }
    patched.sort();
    assert_eq!(patched, ["checkout-redesign", "wish-lists"]);
    service.stop().await;
}

#[tokio::test]
async fn a_flag_that_is_not_for_browsers_is_never_named_to_them() {
    let service = Service::demo().await;
    make_flag(&service, "for-mobile").await;
    let path = encoded(&ann());
    let mut browser = Stream::open(&service, &format!("/eval/demo-production/{path}"), "").await;
    let mut mobile = Stream::open(&service, &format!("/meval/{path}"), "mob-demo-production").await;
    assert_eq!(browser.expect("put").await.get("for-mobile"), None);
    assert!(mobile.expect("put").await.get("for-mobile").is_some());
    service.instruct("for-mobile", json!([{"kind": "turnFlagOn"}])).await;
    assert_eq!(mobile.expect("patch").await["key"], "for-mobile");
    service.rest("DELETE", "/api/v2/flags/demo/for-mobile", None).await;
    assert_eq!(mobile.expect("delete").await["key"], "for-mobile");
    // The next that browsers hear is of a flag that they may see.
    service.instruct("wish-lists", json!([{"kind": "turnFlagOff"}])).await;
    assert_eq!(browser.expect("patch").await["key"], "wish-lists");
    service.stop().await;
}

#[tokio::test]
async fn whoever_polls_at_each_change_is_told_of_each() {
    let service = Service::demo().await;
    for (path, key) in [("/ping/demo-production", ""), ("/mping", "mob-demo-production")] {
        let mut stream = Stream::open(&service, path, key).await;
        stream.expect("ping").await;
        let kind = if path == "/mping" { "turnFlagOff" } else { "turnFlagOn" };
        service.instruct("checkout-redesign", json!([{"kind": kind}])).await;
        stream.expect("ping").await;
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_what_it_was_opened_with_stops_counting_and_no_other_does() {
    const ENVIRONMENT: &str = "/api/v2/projects/demo/environments/production";
    let service = Service::demo().await;
    let (path, hash) = (encoded(&ann()), secure_mode::hash("sdk-demo-production", "ann"));
    let mut server = Stream::open(&service, "/all", SERVER.1).await;
    let mut mobile = Stream::open(&service, &format!("/meval/{path}"), MOBILE.1).await;
    let mut pings = Stream::open(&service, "/mping", MOBILE.1).await;
    let mut browser = Stream::open(&service, &format!("/eval/demo-production/{path}"), "").await;
    for (stream, first) in
        [(&mut server, "put"), (&mut mobile, "put"), (&mut pings, "ping"), (&mut browser, "put")]
    {
        stream.expect(first).await;
    }
    assert_eq!(service.rest("POST", &format!("{ENVIRONMENT}/mobileKey"), None).await.status, 200);
    assert_eq!((mobile.next().await, pings.next().await), (None, None));
    // A page that has proven nothing is not told any more once proof is asked for.
    let secure = json!([{"op": "replace", "path": "/secureMode", "value": true}]);
    assert_eq!(service.rest("PATCH", ENVIRONMENT, Some(secure)).await.status, 200);
    assert_eq!(browser.next().await, None);
    let mut browser = Stream::open(&service, &format!("/eval/demo-production/{path}?h={hash}"), "").await;
    browser.expect("put").await;
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    server.expect("patch").await;
    browser.expect("patch").await;
    // The proof was made with the key.
    assert_eq!(service.rest("POST", &format!("{ENVIRONMENT}/apiKey"), None).await.status, 200);
    assert_eq!((server.next().await, browser.next().await), (None, None));
    service.stop().await;
}

#[tokio::test]
async fn a_stream_that_changes_pass_by_is_kept_alive_all_the_same() {
    let heartbeat = Duration::from_millis(300);
    let service = Service::demo_with(|config| config.serving.heartbeat_interval = Some(heartbeat)).await;
    make_flag(&service, "for-mobile").await;
    let mut browser = Stream::open(&service, &format!("/eval/demo-production/{}", encoded(&ann())), "").await;
    browser.expect("put").await;
    // Each change comes before the stream has been idle for long enough.
    let changes = async {
        for kind in ["turnFlagOn", "turnFlagOff"].iter().cycle() {
            service.instruct("for-mobile", json!([{"kind": kind}])).await;
            tokio::time::sleep(heartbeat / 10).await;
        }
    };
    let alive = async { while browser.line().await.as_deref() != Some(":") {} };
    tokio::select! {
        () = changes => unreachable!("they go on"),
        () = alive => {}
    }
    service.stop().await;
}

#[tokio::test]
async fn events_of_browsers_and_mobile_programs_are_counted() {
    let service = Service::demo().await;
    let summary = |count: u64| {
        let now = flagstaff_service::now_ms();
        json!([{"kind": "summary", "startDate": now, "endDate": now, "features": {"wish-lists": {
            "default": false, "contextKinds": ["user"],
            "counters": [{"variation": 0, "version": 1, "value": true, "count": count}]}}}])
        .to_string()
    };
    let schema = ("x-launchdarkly-event-schema", "4");
    for path in ["/mobile", "/mobile/events", "/mobile/events/bulk"] {
        let answer = service.request("POST", path, &[MOBILE, JSON, schema], summary(1).as_bytes()).await;
        assert_eq!(answer.status, 202, "{path}");
        assert_eq!(service.request("POST", path, &[SERVER, JSON], summary(1).as_bytes()).await.status, 401);
    }
    let browser = "/events/bulk/demo-production";
    let answer = service.request("POST", browser, &[JSON, schema], summary(10).as_bytes()).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (202, Some("*")));
    assert_eq!(service.request("POST", browser, &[JSON], b"").await.status, 400);
    assert_eq!(
        service.request("POST", "/events/bulk/nobody", &[JSON], summary(1).as_bytes()).await.status,
        404
    );
    let image = format!("/a/demo-production.gif?d={}&v=4", URL_SAFE_NO_PAD.encode(summary(100)));
    for path in [
        &*image,
        "/a/demo-production.gif?d=%21%21",
        "/a/demo-production.gif?d=a&d=b",
        "/a/demo-production.gif",
    ] {
        let answer = get(&service, path, &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/gif")), "{path}");
        assert!(answer.body.starts_with(b"GIF89a"));
    }
    assert_eq!(get(&service, "/a/nobody.gif", &[]).await.status, 404);
    service.counted().await;
    let counted = service.evaluations("production").await;
    assert_eq!(counted["wish-lists"].total, 113);
    for (path, key) in
        [("/mobile/events/diagnostic", MOBILE), ("/events/diagnostic/demo-production", ("x", "y"))]
    {
        let report = json!({"kind": "diagnostic-init", "id": {"diagnosticId": path}, "sdk": {"name": "a", "version": "1"}});
        assert_eq!(
            service.request("POST", path, &[key, JSON], report.to_string().as_bytes()).await.status,
            202
        );
    }
    assert_eq!(service.sdk_instances("production").await.len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn pages_may_read_that_they_asked_by_a_wrong_method() {
    let service = Service::demo().await;
    for (method, path) in [
        ("POST", "/ping/demo-production".to_owned()),
        ("DELETE", "/sdk/goals/demo-production".to_owned()),
        ("PUT", format!("/sdk/evalx/demo-production/contexts/{}", encoded(&ann()))),
        ("GET", "/events/bulk/demo-production".to_owned()),
        ("POST", "/a/demo-production.gif".to_owned()),
        ("GET", "/ofrep/v1/evaluate/flags".to_owned()),
        ("GET", "/ofrep/v1/evaluate/flags/wish-lists".to_owned()),
        ("PUT", "/sdk/poll/eval".to_owned()),
    ] {
        let headers = [SERVER, ("origin", "https://shop.example")];
        let answer = service.request(method, &path, &headers, b"").await;
        assert_eq!((answer.status, &answer.json()["code"]), (405, &json!("method_not_allowed")), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"), "{path}");
    }
    service.stop().await;
}

//! Requests to the admin API, and what every route of it has in common.

use serde_json::{Value, json};

use crate::support::{Answer, Service};

/// The demo's access token.
pub(crate) const TOKEN: &str = "api-demo";
/// The flag that is simple to flip.
pub(crate) const FLAG: &str = "/api/v2/flags/demo/checkout-redesign";

impl Service {
    /// A request to the admin API with the demo's token.
    pub(crate) async fn rest(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.rest_as(TOKEN, method, path, body).await
    }

    pub(crate) async fn rest_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let headers = [("authorization", token), ("content-type", "application/json")];
        self.request(method, path, &headers, body.as_bytes()).await
    }

    /// A semantic patch of one demo flag in production.
    pub(crate) async fn instruct(&self, flag: &str, instructions: Value) -> Answer {
        let body = json!({"environmentKey": "production", "instructions": instructions});
        let kind = "application/json; domain-model=launchdarkly.semanticpatch";
        let headers = [("authorization", TOKEN), ("content-type", kind)];
        self.request("PATCH", &format!("/api/v2/flags/demo/{flag}"), &headers, body.to_string().as_bytes())
            .await
    }

    /// A flag as the admin API shows it.
    pub(crate) async fn flag(&self, key: &str) -> Value {
        let answer = self.rest("GET", &format!("/api/v2/flags/demo/{key}"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// A flag as SDKs of production get it.
    pub(crate) async fn sdk_flag(&self, key: &str) -> Value {
        let path = format!("/sdk/latest-flags/{key}");
        self.request("GET", &path, &[("authorization", "sdk-demo-production")], b"").await.json()
    }
}

/// An error has an id, a code and a sentence that says this.
#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, status: u16, code: &str, said: &str) {
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    let body = answer.json();
    assert_eq!(body["code"], code);
    assert!(uuid::Uuid::parse_str(body["id"].as_str().unwrap()).is_ok());
    let message = body["message"].as_str().unwrap();
    assert!(message.contains(said), "`{message}` does not say `{said}`");
}

pub(crate) const SEGMENT: &str = "/api/v2/segments/demo/production/beta-testers";

/// Every route with a method it has.
const ROUTES: [(&str, &str); 45] = [
    ("GET", "/api/v2/caller-identity"),
    ("GET", "/api/v2/versions"),
    ("GET", "/api/v2/projects"),
    ("POST", "/api/v2/projects"),
    ("GET", "/api/v2/projects/demo"),
    ("PATCH", "/api/v2/projects/demo"),
    ("DELETE", "/api/v2/projects/demo"),
    ("GET", "/api/v2/projects/demo/environments"),
    ("POST", "/api/v2/projects/demo/environments"),
    ("GET", "/api/v2/projects/demo/environments/production"),
    ("PATCH", "/api/v2/projects/demo/environments/production"),
    ("DELETE", "/api/v2/projects/demo/environments/production"),
    ("POST", "/api/v2/projects/demo/environments/production/apiKey"),
    ("POST", "/api/v2/projects/demo/environments/production/mobileKey"),
    ("POST", "/api/v2/projects/demo/environments/production/flags/evaluate"),
    ("GET", "/api/v2/projects/demo/payload-filters"),
    ("POST", "/api/v2/projects/demo/payload-filters"),
    ("GET", "/api/v2/projects/demo/payload-filters/shop"),
    ("PATCH", "/api/v2/projects/demo/payload-filters/shop"),
    ("DELETE", "/api/v2/projects/demo/payload-filters/shop"),
    ("GET", "/api/v2/metrics/demo"),
    ("POST", "/api/v2/metrics/demo"),
    ("GET", "/api/v2/metrics/demo/order-value"),
    ("PATCH", "/api/v2/metrics/demo/order-value"),
    ("DELETE", "/api/v2/metrics/demo/order-value"),
    ("GET", "/api/v2/flags"),
    ("GET", "/api/v2/flags/demo"),
    ("POST", "/api/v2/flags/demo"),
    ("GET", FLAG),
    ("PATCH", FLAG),
    ("DELETE", FLAG),
    ("GET", "/api/v2/segments/demo/production"),
    ("POST", "/api/v2/segments/demo/production"),
    ("GET", SEGMENT),
    ("PATCH", SEGMENT),
    ("DELETE", SEGMENT),
    ("GET", "/api/v2/export"),
    ("POST", "/api/v2/import"),
    ("POST", "/api/v2/import/demo/production"),
    ("GET", "/api/v2/tokens"),
    ("POST", "/api/v2/tokens"),
    ("GET", "/api/v2/tokens/1"),
    ("PATCH", "/api/v2/tokens/1"),
    ("DELETE", "/api/v2/tokens/1"),
    ("POST", "/api/v2/tokens/1/reset"),
];

#[tokio::test]
async fn every_route_wants_an_access_token_and_takes_no_sdk_key() {
    let service = Service::demo().await;
    for (method, path) in ROUTES {
        for credential in [None, Some("api-wrong"), Some("sdk-demo-production"), Some("")] {
            let headers: Vec<_> = credential.map(|value| ("authorization", value)).into_iter().collect();
            let answer = service.request(method, path, &headers, b"{}").await;
            assert_refused(&answer, 401, "unauthorized", "access token");
        }
    }
    assert_eq!(service.flag("checkout-redesign").await["_version"], 2, "nothing was changed");
}

#[tokio::test]
async fn a_reader_reads_everything_and_changes_nothing() {
    let service = Service::demo().await;
    let made =
        service.rest("POST", "/api/v2/tokens", Some(json!({"role": "reader", "serviceToken": true}))).await;
    let made = made.json();
    let reader = made["token"].as_str().unwrap();
    for (method, path) in ROUTES {
        // A body that would be right where one is wanted.
        let body = match (method, path) {
            ("POST", "/api/v2/projects" | "/api/v2/flags/demo" | "/api/v2/segments/demo/production") => {
                json!({"key": "new", "name": "New"})
            }
            ("POST", "/api/v2/projects/demo/environments") => {
                json!({"key": "new", "name": "New", "color": "000000"})
            }
            ("POST", "/api/v2/tokens") => json!({"role": "reader"}),
            ("POST", path) if path.ends_with("/evaluate") => json!({"kind": "user", "key": "ann"}),
            ("POST", "/api/v2/metrics/demo") => json!({"key": "new", "kind": "custom", "eventKey": "new"}),
            ("POST", "/api/v2/projects/demo/payload-filters") => {
                json!({"key": "new", "conditions": [{"attribute": "key", "values": ["a"]}]})
            }
            ("PATCH", _) => json!([{"op": "replace", "path": "/name", "value": "Other"}]),
            _ => Value::Null,
        };
        let answer = service.rest_as(reader, method, path, Some(body)).await;
        let reads = method == "GET" || path.ends_with("/evaluate");
        let expected = if reads { [200, 404] } else { [403, 403] };
        assert!(expected.contains(&answer.status), "{method} {path}: {answer:?}");
    }
    let shown =
        service.rest_as(reader, "GET", "/api/v2/projects/demo/environments/production", None).await.json();
    assert_eq!(shown["apiKey"], "sdk-**mo-pro*uction", "a reader sees no secrets");
}

#[tokio::test]
async fn an_older_version_of_the_api_is_refused_by_name() {
    let service = Service::demo().await;
    for (version, status) in [("20240415", 200), ("beta", 200), ("20220603", 400), ("junk", 400), ("", 400)] {
        let headers = [("authorization", TOKEN), ("ld-api-version", version)];
        let answer = service.request("GET", "/api/v2/projects", &headers, b"").await;
        assert_eq!(answer.status, status, "{version}");
        assert_eq!(answer.header("ld-api-version"), Some("20240415"));
        if status == 400 {
            assert_refused(&answer, 400, "invalid_request", "20240415");
        }
    }
}

#[tokio::test]
async fn bodies_that_are_not_json_or_too_large_are_refused() {
    let service = Service::demo().await;
    let send = async |kind: &str, body: &[u8]| {
        let headers = [("authorization", TOKEN), ("content-type", kind)];
        service.request("POST", "/api/v2/flags/demo", &headers, body).await
    };
    assert_refused(&send("application/json", b"{").await, 400, "invalid_request", "not JSON");
    assert_refused(&send("application/json", b"").await, 400, "invalid_request", "empty");
    assert_refused(&send("application/json", b"[1]").await, 400, "invalid_request", "not what it should be");
    assert_refused(&send("application/json", b"{\"key\":\"a\"}").await, 400, "invalid_request", "name");
    assert_refused(&send("text/plain", b"{}").await, 415, "unsupported_media_type", "application/json");
    let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
    let deep = format!("{{\"key\":\"a\",\"name\":\"A\",\"variations\":[{{\"value\":{open}1{close}}}]}}");
    assert_refused(
        &send("application/json", deep.as_bytes()).await,
        400,
        "invalid_request",
        "recursion limit",
    );
    let large = format!("{{\"key\":\"{}\"}}", "a".repeat(3_000_000));
    assert_refused(&send("application/json", large.as_bytes()).await, 413, "payload_too_large", "limit");
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_answer_in_json() {
    let service = Service::demo().await;
    assert_refused(&service.rest("GET", "/api/v2/nothing", None).await, 404, "not_found", "/api/v2/nothing");
    assert_refused(&service.rest("PUT", "/api/v2/projects", None).await, 405, "method_not_allowed", "PUT");
    assert_refused(&service.rest("GET", "/nothing", None).await, 404, "not_found", "/nothing");
    assert_refused(
        &service.rest("GET", "/api/v2/flags/demo/%ff", None).await,
        400,
        "invalid_request",
        "path",
    );
    let root = service.request("GET", "/api/v2", &[], b"").await;
    assert_eq!(root.json()["links"]["projects"]["href"], "/api/v2/projects");
}

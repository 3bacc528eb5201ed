//! OpenFeature's remote evaluation protocol.

use flagstaff_service::peer::TrustedProxies;
use flagstaff_wire::secure_mode;
use serde_json::{Value, json};

use crate::streams::Stream;
use crate::support::{Answer, Service};

const ALL: &str = "/ofrep/v1/evaluate/flags";
const SERVER: (&str, &str) = ("authorization", "Bearer sdk-demo-production");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn ask(service: &Service, path: &str, headers: &[(&str, &str)], context: &Value) -> Answer {
    let headers: Vec<_> = std::iter::once(&JSON).chain(headers).copied().collect();
    service.request("POST", path, &headers, json!({"context": context}).to_string().as_bytes()).await
}

fn ann() -> Value {
    json!({"targetingKey": "ann"})
}

#[tokio::test]
async fn one_flag_is_answered_in_openfeatures_words() {
    let service = Service::demo().await;
    let answer = ask(&service, &format!("{ALL}/checkout-redesign"), &[SERVER], &ann()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"key": "checkout-redesign", "value": false, "variant": "1", "reason": "DISABLED",
            "metadata": {"reasonKind": "OFF", "contextId": "ann", "variationIndex": 1, "flagSetId": "demo-production"}})
    );
    let missing = ask(&service, &format!("{ALL}/none"), &[SERVER], &ann()).await;
    assert_eq!((missing.status, &missing.json()["errorCode"]), (404, &json!("FLAG_NOT_FOUND")));
    assert_eq!(missing.json()["key"], "none");
    service.stop().await;
}

#[tokio::test]
async fn a_context_that_is_none_is_refused_with_the_code_that_providers_know() {
    let service = Service::demo().await;
    for (context, code) in [
        (json!({}), "TARGETING_KEY_MISSING"),
        (Value::Null, "TARGETING_KEY_MISSING"),
        (json!({"targetingKey": ""}), "TARGETING_KEY_MISSING"),
        (json!({"targetingKey": 5}), "INVALID_CONTEXT"),
        (json!({"targetingKey": "a", "kind": "not a kind"}), "INVALID_CONTEXT"),
        (json!([]), "PARSE_ERROR"),
    ] {
        for path in [ALL, "/ofrep/v1/evaluate/flags/checkout-redesign"] {
            let answer = ask(&service, path, &[SERVER], &context).await;
            assert_eq!(
                (answer.status, &answer.json()["errorCode"]),
                (400, &json!(code)),
                "{context} at {path}"
            );
            assert!(answer.json()["errorDetails"].is_string());
        }
    }
    let answer = service.request("POST", ALL, &[SERVER, JSON], b"{").await;
    assert_eq!((answer.status, &answer.json()["errorCode"]), (400, &json!("PARSE_ERROR")));
    for headers in [vec![], vec![("authorization", "Bearer nobody")], vec![("x-api-key", "")]] {
        assert_eq!(ask(&service, ALL, &headers, &ann()).await.status, 401, "{headers:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn all_flags_have_a_tag_and_say_where_to_hear_of_changes() {
    let service = Service::demo().await;
    let answer = ask(&service, ALL, &[SERVER], &ann()).await;
    let body = answer.json();
    let known =
        service.request("GET", "/sdk/latest-all", &[("authorization", "sdk-demo-production")], b"").await;
    assert_eq!(body["flags"].as_array().unwrap().len(), known.json()["flags"].as_object().unwrap().len());
    let tag = answer.header("etag").unwrap();
    assert_eq!(ask(&service, ALL, &[SERVER, ("if-none-match", tag)], &ann()).await.status, 304);
    let bob = json!({"targetingKey": "bob"});
    assert_eq!(ask(&service, ALL, &[SERVER, ("if-none-match", tag)], &bob).await.status, 200);

    let stream = &body["eventStreams"][0];
    assert_eq!(stream["type"], "sse");
    let path = stream["url"].as_str().unwrap().strip_prefix("http://localhost").unwrap().to_owned();
    let mut stream = Stream::open(&service, &path, "").await;
    // It may have changed since it was asked.
    assert_eq!(stream.expect("message").await["type"], "refetchEvaluation");
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    let id = stream.line().await.unwrap();
    let heard = id.strip_prefix("id: ").unwrap();
    assert_eq!(stream.expect("message").await["type"], "refetchEvaluation");
    let again = async || Stream::open_with(&service, &path, "", &format!("last-event-id: {heard}\r\n")).await;
    assert_eq!(again().await.line().await.as_deref(), Some(":"), "it was told of a change it has heard of");
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOff"}])).await;
    assert_eq!(again().await.expect("message").await["type"], "refetchEvaluation");
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    let after = ask(&service, ALL, &[SERVER, ("if-none-match", tag)], &ann()).await.json();
    let flag = after["flags"].as_array().unwrap().iter().find(|flag| flag["key"] == "checkout-redesign");
    assert_eq!(flag.unwrap()["value"], true);
    service.stop().await;
}

#[tokio::test]
async fn behind_a_proxy_changes_are_heard_of_as_the_proxy_was_asked() {
    for (is_trusted, schemes) in [(true, ["https", "http", "http"]), (false, ["http", "http", "http"])] {
        let service = Service::demo_with(|config| {
            if is_trusted {
                config.serving.trusted_proxies = TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
            }
        })
        .await;
        for (forwarded, scheme) in ["https", "http", "other"].into_iter().zip(schemes) {
            let answer = ask(&service, ALL, &[SERVER, ("x-forwarded-proto", forwarded)], &ann()).await.json();
            let url = answer["eventStreams"][0]["url"].as_str().unwrap();
            assert!(url.starts_with(&format!("{scheme}://localhost/")), "{url} for {forwarded}");
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn the_key_decides_which_flags_are_seen() {
    let service = Service::demo().await;
    let made = json!({"key": "for-mobile", "name": "For mobile"});
    assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(made)).await.status, 201);
    for (name, key, seen) in [
        ("authorization", "Bearer sdk-demo-production", true),
        ("authorization", "sdk-demo-production", true),
        ("x-api-key", "mob-demo-production", true),
        ("authorization", "bearer demo-production", false),
    ] {
        let answer = ask(&service, ALL, &[(name, key)], &ann()).await.json();
        let flags = answer["flags"].as_array().unwrap();
        assert_eq!(flags.iter().any(|flag| flag["key"] == "for-mobile"), seen, "{key}");
        let one = ask(&service, &format!("{ALL}/for-mobile"), &[(name, key)], &ann()).await;
        assert_eq!(one.status, if seen { 200 } else { 404 }, "{key}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_browser_proves_its_context_in_secure_mode() {
    let service = Service::demo().await;
    let secure = json!([{"op": "replace", "path": "/secureMode", "value": true}]);
    service.rest("PATCH", "/api/v2/projects/demo/environments/production", Some(secure)).await;
    let browser = ("authorization", "Bearer demo-production");
    assert_eq!(ask(&service, ALL, &[browser], &ann()).await.status, 400);
    let hash = secure_mode::hash("sdk-demo-production", "ann");
    assert_eq!(ask(&service, &format!("{ALL}?h={hash}"), &[browser], &ann()).await.status, 200);
    assert_eq!(ask(&service, ALL, &[SERVER], &ann()).await.status, 200);
    service.stop().await;
}

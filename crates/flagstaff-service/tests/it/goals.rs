//! Metrics, and what browsers are told of them: the clicks and page views to report.

use serde_json::{Value, json};

use crate::rest::assert_refused;
use crate::support::{Answer, Service};

const METRICS: &str = "/api/v2/metrics/demo";
const GOALS: &str = "/sdk/goals/demo-production";

async fn goals(service: &Service, headers: &[(&str, &str)]) -> Answer {
    service.request("GET", GOALS, headers, b"").await
}

fn bought() -> Value {
    json!({"key": "bought", "name": "Bought", "kind": "click", "selector": "button.buy",
        "urls": [{"kind": "substring", "substring": "/cart"}], "tags": ["shop"]})
}

#[tokio::test]
async fn browsers_are_told_of_clicks_and_page_views_alone() {
    let service = Service::demo().await;
    let none = goals(&service, &[]).await;
    assert_eq!((none.status, none.json()), (200, json!([])), "the demo has custom metrics only");
    let looked = json!({"key": "looked", "kind": "pageview", "selector": "ignored", "urls": [
        {"kind": "exact", "url": "https://shop.example/"}, {"kind": "canonical", "url": "https://shop.example/a"},
        {"kind": "regex", "pattern": "^https://shop"}]});
    for metric in [bought(), looked.clone()] {
        assert_eq!(service.rest("POST", METRICS, Some(metric)).await.status, 201);
    }
    let told = goals(&service, &[("origin", "https://shop.example")]).await;
    assert_eq!(
        told.json(),
        json!([
            {"key": "bought", "kind": "click", "selector": "button.buy", "urls": [{"kind": "substring", "substring": "/cart"}]},
            {"key": "looked", "kind": "pageview", "urls": looked["urls"]},
        ])
    );
    assert_eq!(told.header("access-control-allow-origin"), Some("https://shop.example"));
    let (tag, other) = (told.header("etag").unwrap(), none.header("etag").unwrap());
    assert_ne!(tag, other);
    assert_eq!(goals(&service, &[("if-none-match", tag)]).await.status, 304);
    assert_eq!(service.rest("DELETE", &format!("{METRICS}/looked"), None).await.status, 204);
    let fewer = goals(&service, &[("if-none-match", tag)]).await;
    assert_eq!((fewer.status, fewer.json().as_array().unwrap().len()), (200, 1));
    // Every environment of the project has them, also after a restart, and no other project.
    let staging = service.request("GET", "/sdk/goals/demo-staging", &[], b"").await;
    assert_eq!(staging.json(), fewer.json());
    let service = service.restart().await;
    assert_eq!(goals(&service, &[]).await.json(), fewer.json());
    assert_eq!(service.request("GET", "/sdk/goals/nobody", &[], b"").await.status, 404);
    service.stop().await;
}

#[tokio::test]
async fn metrics_are_made_changed_and_deleted_by_rest() {
    let service = Service::demo().await;
    let made = service.rest("POST", METRICS, Some(bought())).await.json();
    assert_eq!((&made["kind"], &made["successCriteria"]), (&json!("click"), &json!("HigherThanBaseline")));
    let one = service.rest("GET", &format!("{METRICS}/bought"), None).await.json();
    assert_eq!(one, made);
    let list = service.rest("GET", METRICS, None).await.json();
    let keys: Vec<_> = list["items"].as_array().unwrap().iter().map(|metric| &metric["key"]).collect();
    assert_eq!(keys, ["bought", "order-completed", "order-value"]);
    let patch = json!([{"op": "replace", "path": "/selector", "value": ".buy-now"},
        {"op": "replace", "path": "/name", "value": "Bought at once"}]);
    let changed = service.rest("PATCH", &format!("{METRICS}/bought"), Some(patch)).await.json();
    assert_eq!((&changed["selector"], &changed["_version"]), (&json!(".buy-now"), &json!(2)));
    assert_eq!(goals(&service, &[]).await.json()[0]["selector"], ".buy-now");

    assert_refused(&service.rest("POST", METRICS, Some(bought())).await, 409, "conflict", "exists already");
    for (body, said) in [
        (json!({"key": "a", "kind": "custom"}), "eventKey"),
        (json!({"key": "a", "kind": "swipe"}), "no kind of metric"),
        (json!({"key": "a", "kind": "click", "urls": [{"kind": "exact", "url": "x"}]}), "selector"),
        (json!({"key": "a", "kind": "pageview"}), "1 to 100 pages"),
        (json!({"key": "a", "kind": "pageview", "urls": [{"kind": "exact", "url": ""}]}), "is needed"),
        (
            json!({"key": "a", "kind": "pageview", "urls": [{"kind": "exact", "pattern": "x"}]}),
            "missing field",
        ),
        (json!({"key": "a b", "kind": "custom", "eventKey": "e"}), "is not a key"),
    ] {
        assert_refused(&service.rest("POST", METRICS, Some(body)).await, 400, "invalid_request", said);
    }
    let kind = json!([{"op": "replace", "path": "/kind", "value": "custom"}]);
    let refused = service.rest("PATCH", &format!("{METRICS}/bought"), Some(kind)).await;
    assert_refused(&refused, 400, "invalid_request", "`/kind` cannot be changed");
    assert_eq!(service.rest("DELETE", &format!("{METRICS}/bought"), None).await.status, 204);
    let gone = service.rest("GET", &format!("{METRICS}/bought"), None).await;
    assert_refused(&gone, 404, "not_found", "there is no metric `bought` in project `demo`");
    service.stop().await;
}

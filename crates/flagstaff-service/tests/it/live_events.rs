//! Live events: what comes in is on the page at once, and private things are not.

use flagstaff_service::now_ms;
use serde_json::{Value, json};

use crate::dashboard::{Visitor, text};
use crate::support::Service;

const EVENTS: &str = "/ui/demo/production/events";

async fn send(service: &Service, events: Value) {
    let headers = [("authorization", "sdk-demo-production"), ("x-launchdarkly-event-schema", "4")];
    assert_eq!(service.request("POST", "/bulk", &headers, events.to_string().as_bytes()).await.status, 202);
}

#[tokio::test]
async fn events_are_on_the_page_as_soon_as_they_are_acknowledged_the_newest_first() {
    let service = Service::demo().await;
    let visitor = Visitor::demo(&service).await;
    assert!(text(&visitor.get(&service, EVENTS, &[]).await).contains("Nothing has come in yet"));

    let ada = json!({"kind": "user", "key": "ada", "name": "Ada", "salary": 7, "_meta": {"privateAttributes": ["salary"]}});
    send(&service, json!([{"kind": "identify", "creationDate": now_ms(), "context": ada}])).await;
    send(
        &service,
        json!([
            {"kind": "custom", "creationDate": now_ms(), "key": "bought", "contextKeys": {"user": "bob"}},
            {"kind": "summary", "features": {"wish-lists": {"counters": [{"count": 3}]}}},
        ]),
    )
    .await;
    let page = text(&visitor.get(&service, EVENTS, &[]).await);
    let place = |words: &str| page.find(words).unwrap_or_else(|| panic!("no `{words}` in {page}"));
    assert!(place("3 evaluations of wish-lists") < place("bob did bought"));
    assert!(place("bob did bought") < place("Ada was identified"));
    assert!(page.contains("hx-trigger=\"every 2s\"") && page.contains("private attributes were kept back"));

    // What goes on by itself is the lines alone; a page that is paused stays.
    let lines = text(&visitor.get(&service, EVENTS, &[("hx-request", "true")]).await);
    assert!(lines.starts_with("<div id=\"tail\"") && lines.contains("bob did bought"), "{lines}");
    let paused = text(&visitor.get(&service, &format!("{EVENTS}?paused=true"), &[]).await);
    assert!(!paused.contains("every 2s") && paused.contains("Go on"));

    for (query, shown, hidden) in [
        ("kind=custom", "bob did bought", "Ada was identified"),
        ("flag=wish-lists", "3 evaluations", "bob did bought"),
        ("user=ada", "Ada was identified", "bob did bought"),
        ("user=nobody", "None of the newest events is like that", "bob did bought"),
    ] {
        let page = text(&visitor.get(&service, &format!("{EVENTS}?{query}"), &[]).await);
        assert!(page.contains(shown) && !page.contains(hidden), "{query}: {page}");
    }

    let whole = page.split('"').find(|part| part.starts_with(&format!("{EVENTS}/")) && part.ends_with("/0"));
    for path in [whole.unwrap().to_owned(), format!("{EVENTS}/0/0")] {
        let event = text(&visitor.get(&service, &path, &[]).await);
        assert!(!event.contains("salary&quot;: 7") && !event.contains("\"salary\": 7"), "{event}");
    }
    assert_eq!(visitor.get(&service, &format!("{EVENTS}/999/0"), &[]).await.status, 404);
    let elsewhere = text(&visitor.get(&service, "/ui/demo/staging/events", &[]).await);
    assert!(elsewhere.contains("Nothing has come in yet"));
    service.stop().await;
}

#[tokio::test]
async fn what_a_program_sends_is_shown_as_text() {
    let service = Service::demo().await;
    let visitor = Visitor::demo(&service).await;
    let hostile = "<script>alert(1)</script>";
    send(&service, json!([{"kind": hostile, "key": hostile, "context": {"kind": "user", "key": hostile, "name": hostile}}]))
        .await;
    for path in [EVENTS.to_owned(), format!("{EVENTS}/0/0")] {
        let page = text(&visitor.get(&service, &path, &[]).await);
        assert!(!page.contains(hostile) && page.contains("alert(1)"), "{page}");
    }
    service.stop().await;
}

//! What browsers are told to report.

use flagstaff_testkit::{Answer, FakeService, flag};
use serde_json::json;

use crate::support::{Asker, CLIENT_SIDE_ID, config, relay};
use crate::upstream::Service;

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_report_what_upstream_names() {
    let service = Service::demo().await;
    let mut config = crate::support::config_at(&service.url());
    config.environments[0].sdk_key = "sdk-demo-production".to_owned();
    config.environments[0].client_side_id = Some("demo-production".to_owned());
    let running = relay(config).await;
    let asker = Asker::new(&running);
    let metric = json!({
        "key": "buy", "kind": "click", "selector": ".buy", "urls": [{"kind": "exact", "url": "https://shop.example/"}],
    });
    service.rest("POST", "metrics/demo", Some(metric)).await;
    let path = "/sdk/goals/demo-production";
    let goals = asker.until(path, "", |goals| goals.as_array().is_some_and(|goals| !goals.is_empty())).await;
    assert_eq!(
        goals[0],
        json!({
            "key": "buy", "kind": "click", "selector": ".buy", "urls": [{"kind": "exact", "url": "https://shop.example/"}],
        })
    );
    service.rest("DELETE", "metrics/demo/buy", None).await;
    asker.until(path, "", |goals| *goals == json!([])).await;
    running.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_browsers_are_to_report_stays_while_upstream_does_not_say_it() {
    let service = FakeService::start([flag("f")]);
    let path = format!("/sdk/goals/{CLIENT_SIDE_ID}");
    let named = r#"[{"key":"seen","kind":"pageview","urls":[],"new":1.0}]"#;
    service.answer_next(&path, Answer::status(503));
    service.answer_next(&path, Answer::status(404));
    service.answer_always(&path, Answer::Status(200, Vec::new(), named.to_owned()));
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    asker.until(&path, "", |goals| goals[0]["key"] == "seen").await;
    service.answer_always(&path, Answer::status(500));
    let count = service.requests(&path).len();
    service.wait_for_requests(&path, count + 2);
    let text = asker.get(&path, "").send().await.unwrap().text().await.unwrap();
    assert_eq!(text, named, "as it was written");
    running.stop().await;
}

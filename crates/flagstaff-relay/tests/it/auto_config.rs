//! A relay that is told by upstream what to serve.

use std::time::Duration;

use flagstaff_relay::{AutoConfig, Config};
use flagstaff_service::now_ms;
use serde_json::json;

use crate::support::{Asker, Folder, config_at, relay};
use crate::upstream::Service;

const KEY: &str = "sdk-demo-production";
const PRODUCTION: &str = "projects/demo/environments/production";

fn told_by(url: &str) -> Config {
    let mut config = config_at(url);
    config.environments.clear();
    config.auto_config = Some(AutoConfig { key: "rel-demo".to_owned() });
    config
}

async fn healthy(asker: &Asker) -> serde_json::Value {
    asker.until("/status", "", |status| status["status"] == "healthy").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_serves_what_upstream_says_and_follows_it() {
    let service = Service::demo().await;
    let running = relay(told_by(&service.url())).await;
    let asker = Asker::new(&running);
    let status = healthy(&asker).await;
    let environments = status["environments"].as_object().unwrap();
    assert_eq!(environments.keys().collect::<Vec<_>>(), ["demo-production", "demo-staging"]);
    let production = &environments["demo-production"];
    assert_eq!(
        (&production["envId"], &production["envKey"], &production["projName"]),
        (&json!("demo-production"), &json!("production"), &json!("Demo shop"))
    );
    assert_eq!(status["autoConfigStatus"]["state"], "VALID");
    let streams = r#"flagstaff_streams_open{kind="configurations"} 1"#;
    assert!(service.metrics().await.lines().any(|line| line == streams), "the relay is counted");
    assert_eq!(asker.status("/sdk/latest-all", KEY).await, 200);
    assert_eq!(asker.status("/sdk/latest-all", "sdk-unknown").await, 401, "everything is known");
    let browser = "/sdk/evalx/demo-production/contexts/eyJraW5kIjoidXNlciIsImtleSI6ImFkYSJ9";
    assert_eq!(asker.status(browser, "").await, 200);
    let proof = json!([{"op": "replace", "path": "/secureMode", "value": true}]);
    service.rest("PATCH", PRODUCTION, Some(proof)).await;
    asker.until(browser, "", |answer| answer["code"] == "invalid_request").await;
    // An environment that is made is served, one that is deleted is not any more.
    let new = json!({"key": "qa", "name": "QA", "color": "123456"});
    let new = service.rest("POST", "projects/demo/environments", Some(new)).await;
    let (id, key) = (new["_id"].as_str().unwrap(), new["apiKey"].as_str().unwrap());
    asker.until("/sdk/latest-all", key, |answer| answer["flags"].is_object()).await;
    let mut stream = asker.open("/all", key).await;
    stream.expect("put").await;
    assert_eq!(healthy(&asker).await["environments"][id]["envName"], "QA");
    service.rest("DELETE", "projects/demo/environments/qa", None).await;
    assert!(stream.next().await.is_none(), "its streams end");
    assert_eq!(asker.status("/sdk/latest-all", key).await, 401);
    assert_eq!(healthy(&asker).await["environments"].get(id), None);
    running.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_key_works_through_the_relay_until_its_time() {
    let service = Service::demo().await;
    let running = relay(told_by(&service.url())).await;
    let asker = Asker::new(&running);
    healthy(&asker).await;
    let mut before = asker.open("/all", KEY).await;
    before.expect("put").await;
    let until = now_ms() + 4_000;
    let new = service.rest("POST", &format!("{PRODUCTION}/apiKey?expiry={until}"), None).await;
    let new = new["apiKey"].as_str().unwrap();
    asker.until("/sdk/latest-all", new, |answer| answer["flags"].is_object()).await;
    let shown = healthy(&asker).await;
    assert_eq!(shown["environments"]["demo-production"]["expiringSdkKey"], "sdk-**mo-pro*uction");
    let mut present = asker.open("/all", new).await;
    present.expect("put").await;
    service.turn("new-payments", false).await;
    for stream in [&mut before, &mut present] {
        assert_eq!(stream.expect("patch").await["path"], "/flags/new-payments");
    }
    loop {
        match asker.status("/sdk/latest-all", KEY).await {
            200 => tokio::time::sleep(Duration::from_millis(20)).await,
            status => {
                assert_eq!(status, 401);
                assert!(now_ms() >= until, "refused {} ms before its time", until - now_ms());
                break;
            }
        }
    }
    assert!(before.next().await.is_none(), "its streams end then");
    service.turn("new-payments", true).await;
    assert_eq!(present.expect("patch").await["path"], "/flags/new-payments");
    running.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_filters_are_served_and_taken_away_as_upstream_says() {
    let service = Service::demo().await;
    let running = relay(told_by(&service.url())).await;
    let asker = Asker::new(&running);
    healthy(&asker).await;
    assert_eq!(asker.status("/sdk/latest-all?filter=pay", KEY).await, 404);
    let filter = json!({
        "key": "pay", "name": "Payments", "conditions": [{"attribute": "tags", "values": ["payments"]}],
    });
    service.rest("POST", "projects/demo/payload-filters", Some(filter)).await;
    let part = asker.until("/sdk/latest-all?filter=pay", KEY, |answer| answer["flags"].is_object()).await;
    let flags: Vec<_> = part["flags"].as_object().unwrap().keys().collect();
    assert_eq!(flags, ["instant-refunds", "new-payments"]);
    assert!(healthy(&asker).await["environments"].get("demo-production/pay").is_some());
    service.rest("DELETE", "projects/demo/payload-filters/pay", None).await;
    asker.until("/sdk/latest-all?filter=pay", KEY, |answer| answer["code"] == "not_found").await;
    running.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_upstream_has_said_nothing_unknown_keys_are_told_to_come_again() {
    // Nobody listens at a port that was just given back.
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let running = relay(told_by(&format!("http://{nobody}"))).await;
    let asker = Asker::new(&running);
    for path in ["/sdk/latest-all", "/all", "/msdk/evalx/contexts/e30", "/sdk/goals/id", "/mping"] {
        assert_eq!(asker.status(path, KEY).await, 503, "{path}");
    }
    let sent = asker.post("/bulk", KEY).body(r#"[{"kind":"custom"}]"#).send().await.unwrap();
    assert_eq!(sent.status(), 503);
    let status =
        asker.until("/status", "", |status| status["autoConfigStatus"]["lastError"].is_object()).await;
    assert_eq!((&status["status"], &status["environments"]), (&json!("degraded"), &json!({})));
    assert_eq!(status["autoConfigStatus"]["state"], "INITIALIZING");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_starts_with_what_it_was_told_last_while_upstream_is_away() {
    let service = Service::demo().await;
    let folder = Folder::new();
    let mut config = told_by(&service.url());
    config.data = Some(folder.path().to_owned());
    let running = relay(config.clone()).await;
    let asker = Asker::new(&running);
    healthy(&asker).await;
    let known = asker.json("/sdk/latest-all", KEY).await;
    running.stop().await;
    service.stop().await;
    let kept = std::fs::metadata(folder.path().join("~configuration.json")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&kept.permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds SDK keys");

    let running = relay(config.clone()).await;
    let asker = Asker::new(&running);
    assert_eq!(asker.json("/sdk/latest-all", KEY).await, known, "at once");
    assert_eq!(asker.status("/sdk/latest-all", "sdk-unknown").await, 503, "it may be new");
    let status = asker.json("/status", "").await;
    assert_eq!(status["status"], "degraded");
    assert_eq!(status["environments"]["demo-production"]["stale"], true);
    running.stop().await;
    // What another upstream said, or somebody else was told, does not count.
    config.auto_config = Some(AutoConfig { key: "rel-other".to_owned() });
    let running = relay(config).await;
    assert_eq!(Asker::new(&running).json("/status", "").await["environments"], json!({}));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_is_said_and_what_was_known_is_served_on() {
    let service = Service::demo().await;
    let policy = json!([{"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/production"]}]);
    let made = json!({"name": "Edge", "policy": policy});
    let made = service.rest("POST", "account/relay-auto-configs", Some(made)).await;
    let mut config = told_by(&service.url());
    config.auto_config = Some(AutoConfig { key: made["fullKey"].as_str().unwrap().to_owned() });
    let running = relay(config).await;
    let asker = Asker::new(&running);
    let status = healthy(&asker).await;
    assert_eq!(status["environments"].as_object().unwrap().len(), 1, "the policy names one");
    let mut stream = asker.open("/all", KEY).await;
    stream.expect("put").await;
    let path = format!("account/relay-auto-configs/{}", made["_id"].as_str().unwrap());
    service.rest("DELETE", &path, None).await;
    let status = asker.until("/status", "", |status| status["status"] == "degraded").await;
    let told = &status["autoConfigStatus"];
    assert_eq!(told["state"], "INTERRUPTED");
    assert!(told["lastError"]["message"].as_str().unwrap().contains("401"), "{told}");
    assert_eq!(asker.status("/sdk/latest-all", "sdk-unknown").await, 503, "it may have been made since");
    service.turn("new-payments", false).await;
    assert_eq!(stream.expect("patch").await["path"], "/flags/new-payments", "served on, and kept up to date");
    running.stop().await;
    service.stop().await;
}

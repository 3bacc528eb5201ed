//! Before upstream has said anything, and while it is away.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flagstaff_testkit::{Answer, FakeService, flag};
use flagstaff_wire::paths;
use serde_json::json;

use crate::support::{Asker, CLIENT_SIDE_ID, Folder, MOBILE_KEY, SDK_KEY, config, config_at, relay};

/// A user in the path.
fn user() -> String {
    URL_SAFE_NO_PAD.encode(r#"{"kind":"user","key":"u"}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_flags_streams_are_held_and_all_else_is_503_but_unknown_keys_are_unknown() {
    let service = FakeService::start([flag("f")]);
    service.answer_always(paths::STREAM, Answer::status(503));
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    let (mut all, mut flags, mut transfers) = (
        asker.open("/all", SDK_KEY).await,
        asker.open("/flags", SDK_KEY).await,
        asker.open("/sdk/stream", SDK_KEY).await,
    );
    let mut values = asker.open(&format!("/eval/{CLIENT_SIDE_ID}/{}", user()), "").await;
    let mut pings = asker.open("/mping", MOBILE_KEY).await;
    all.is_quiet().await;
    pings.is_quiet().await;
    for (path, key) in [
        ("/sdk/latest-all", SDK_KEY),
        ("/sdk/flags", SDK_KEY),
        ("/sdk/flags/f", SDK_KEY),
        ("/sdk/latest-segments/s", SDK_KEY),
        ("/sdk/poll", SDK_KEY),
        (&*format!("/msdk/evalx/contexts/{}", user()), MOBILE_KEY),
        (&*format!("/sdk/evalx/{CLIENT_SIDE_ID}/contexts/{}", user()), ""),
    ] {
        let answer = asker.get(path, key).send().await.unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        let body: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(body["message"], "Service not initialized");
    }
    assert_eq!(asker.status("/sdk/latest-all", "sdk-unknown").await, 401);
    assert_eq!(asker.status("/sdk/goals/unknown", "").await, 404);

    service.answer_as_usual(paths::STREAM);
    assert_eq!(all.expect("put").await["data"]["flags"]["f"]["version"], 1);
    assert_eq!(flags.expect("put").await["f"]["version"], 1);
    assert_eq!(transfers.expect("server-intent").await["payloads"][0]["intentCode"], "xfer-full");
    assert_eq!(transfers.expect("put-object").await["key"], "f");
    transfers.expect("payload-transferred").await;
    values.expect("put").await;
    pings.expect("ping").await;
    assert_eq!(asker.status("/sdk/latest-all", SDK_KEY).await, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_a_relay_starts_from_its_snapshot_within_100_ms_while_upstream_is_away_and_says_so() {
    let folder = Folder::new();
    let first = {
        let service = FakeService::start([flag("f").version(7).with("new", json!({"in": [1.0, "later"]}))]);
        let mut config = config(&service);
        config.data = Some(folder.path().to_owned());
        let running = relay(config).await;
        let asker = Asker::new(&running);
        asker.until("/status", "", |status| status["status"] == "healthy").await;
        let all = asker.json("/sdk/latest-all", SDK_KEY).await;
        running.stop().await;
        all
    };
    let mut config = config_at("http://127.0.0.1:9");
    config.data = Some(folder.path().to_owned());
    let began = Instant::now();
    let running = relay(config).await;
    let took = began.elapsed();
    let asker = Asker::new(&running);
    assert_eq!(asker.json("/sdk/latest-all", SDK_KEY).await, first, "with what this version does not know");
    let status = asker.json("/status", "").await;
    assert_eq!(status["status"], "degraded");
    assert_eq!(status["environments"]["one"]["stale"], true);
    assert_eq!(status["environments"]["one"]["status"], "disconnected");
    running.stop().await;
    println!("R15: serves from a snapshot after {took:.1?}");
    assert!(took < Duration::from_secs(1), "ten times what is expected: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_last_known_is_served_while_upstream_refuses_us_or_is_away() {
    let service = FakeService::start([flag("f")]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    let mut all = asker.open("/all", SDK_KEY).await;
    all.expect("put").await;
    service.answer_always(paths::STREAM, Answer::status(401));
    service.cut_connections();
    let of = |status: &serde_json::Value| status["environments"]["one"]["connectionStatus"].clone();
    let status =
        asker.until("/status", "", |status| of(status)["lastError"]["kind"] == "ERROR_RESPONSE").await;
    assert_eq!(of(&status)["state"], "INTERRUPTED");
    assert_eq!(asker.status("/sdk/latest-all", SDK_KEY).await, 200);
    all.is_quiet().await;

    // The rule of refusals: five minutes, here a hundredth of it.
    service.set_flags([flag("f").version(2)], None);
    service.answer_as_usual(paths::STREAM);
    assert_eq!(all.expect("patch").await["data"]["version"], 2);
    running.stop().await;
}

//! What upstream sends, as it is sent on.

use flagstaff_relay::config::Delivery;
use flagstaff_testkit::{Answer, FakeService, flag};
use flagstaff_wire::paths;
use serde_json::{Value, json};

use crate::support::{Asker, CLIENT_SIDE_ID, SDK_KEY, Stream, config, relay};

/// A relay that has these flags, and a stream from it, after its put.
async fn following(service: &FakeService) -> (flagstaff_relay::Running, Asker, Stream) {
    let running = relay(config(service)).await;
    let asker = Asker::new(&running);
    let mut all = asker.open("/all", SDK_KEY).await;
    all.expect("put").await;
    (running, asker, all)
}

/// Upstream comes back, with these flags.
fn come_back(service: &FakeService, flags: impl IntoIterator<Item = flagstaff_testkit::FlagBuilder>) {
    let count = service.requests(paths::STREAM).len();
    service.set_flags(flags, None);
    service.cut_connections();
    service.wait_for_requests(paths::STREAM, count + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_handed_on_as_they_were_written() {
    let service = FakeService::start([flag("f")]);
    let (running, asker, mut all) = following(&service).await;
    let mut transfers = asker.open("/sdk/stream", SDK_KEY).await;
    for name in ["server-intent", "put-object", "payload-transferred"] {
        transfers.expect(name).await;
    }
    let written = flag("f").version(2).with("unheardOf", json!([{"a": null}, 1.0])).build();
    service.patch(flag("f").version(2).with("unheardOf", json!([{"a": null}, 1.0])));
    let patch = all.expect("patch").await;
    assert_eq!((&patch["path"], &patch["data"]), (&json!("/flags/f"), &written));
    assert_eq!(transfers.expect("put-object").await["object"], written);
    transfers.expect("payload-transferred").await;
    let text = asker.get("/sdk/latest-flags/f", SDK_KEY).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, written.to_string(), "to the letter");

    service.delete("f", 3);
    assert_eq!(all.expect("delete").await, json!({"path": "/flags/f", "version": 3}));
    assert_eq!(transfers.expect("delete-object").await["version"], 3);
    assert_eq!(asker.status("/sdk/flags/f", SDK_KEY).await, 404);
    // Late, and dead.
    service.patch(flag("f").version(3));
    // Made again, under the same key.
    service.patch(flag("f").version(4));
    assert_eq!(all.expect("patch").await["data"]["version"], 4);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_comes_back_with_nothing_new_is_not_noticed() {
    let service = FakeService::start([flag("a"), flag("b")]);
    let (running, asker, mut all) = following(&service).await;
    let tag = |answer: &reqwest::Response| answer.headers()["etag"].clone();
    let before = tag(&asker.get("/sdk/latest-all", SDK_KEY).send().await.unwrap());
    come_back(&service, [flag("b"), flag("a")]);
    all.is_quiet().await;
    let now = asker.get("/sdk/latest-all", SDK_KEY).header("if-none-match", before).send().await.unwrap();
    assert_eq!(now.status(), 304);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_comes_back_with_newer_and_new_flags_is_followed_by_patches() {
    let service = FakeService::start([flag("a"), flag("b")]);
    let (running, _, mut all) = following(&service).await;
    come_back(&service, [flag("a").version(5), flag("b"), flag("c")]);
    let mut patched = [all.expect("patch").await, all.expect("patch").await];
    patched.sort_by_key(|patch| patch["path"].to_string());
    assert_eq!((&patched[0]["path"], &patched[0]["data"]["version"]), (&json!("/flags/a"), &json!(5)));
    assert_eq!(patched[1]["path"], "/flags/c");
    all.is_quiet().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_comes_back_otherwise_has_everything_sent_anew() {
    let changes: [(&str, Vec<flagstaff_testkit::FlagBuilder>); 3] = [
        ("a flag is gone", vec![flag("a").version(5)]),
        ("a version fell", vec![flag("a").version(5), flag("b").version(2)]),
        ("a version stands for something else", vec![flag("a").version(5), flag("b").version(3).off()]),
    ];
    for (what, flags) in changes {
        let service = FakeService::start([flag("a").version(5), flag("b").version(3)]);
        let (running, asker, mut all) = following(&service).await;
        let mut values = asker.open(&format!("/ping/{CLIENT_SIDE_ID}"), "").await;
        values.expect("ping").await;
        let mut transfers = asker.open("/sdk/stream", SDK_KEY).await;
        let first: Value = transfers.expect("server-intent").await;
        transfers.expect("put-object").await;
        transfers.expect("put-object").await;
        let held = transfers.expect("payload-transferred").await["state"].as_str().unwrap().to_owned();
        let expected: Value = flags
            .iter()
            .map(|flag| (flag.key().to_owned(), flag.clone().build()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        come_back(&service, flags);
        assert_eq!(all.expect("put").await["data"]["flags"], expected, "{what}");
        values.expect("ping").await;
        let anew = transfers.expect("server-intent").await;
        assert_eq!(anew["payloads"][0]["intentCode"], "xfer-full", "{what}");
        assert!(anew["payloads"][0]["target"].as_u64() > first["payloads"][0]["target"].as_u64());
        // What was held before is no basis any more.
        let held = held.replace(':', "%3A").replace('(', "%28").replace(')', "%29");
        let poll = asker.json(&format!("/sdk/poll?basis={held}"), SDK_KEY).await;
        assert_eq!(poll["events"][0]["data"]["payloads"][0]["intentCode"], "xfer-full", "{what}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_is_made_again_under_a_lower_version_reaches_everybody() {
    let service = FakeService::start([flag("f").version(9)]);
    let (running, _, mut all) = following(&service).await;
    service.delete("f", 10);
    all.expect("delete").await;
    // As it is after a reconnect: nothing says what the version of the deletion was.
    come_back(&service, [flag("f").version(1)]);
    assert_eq!(all.expect("put").await["data"]["flags"]["f"]["version"], 1);
    service.patch(flag("f").version(2));
    assert_eq!(all.expect("patch").await["data"]["version"], 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_generation_selectors_of_a_relay_bring_what_changed() {
    let service = FakeService::start([flag("a").version(100), flag("b").version(50)]);
    let (running, asker, mut all) = following(&service).await;
    let poll = asker.json("/sdk/poll", SDK_KEY).await;
    let events = poll["events"].as_array().unwrap();
    let state = events.last().unwrap()["data"]["state"].as_str().unwrap().to_owned();
    // Upstream's versions are each flag's own: a lower one than another's is the latest change.
    service.patch(flag("b").version(51));
    all.expect("patch").await;
    service.delete("a", 101);
    all.expect("delete").await;
    let path =
        format!("/sdk/poll?basis={}", state.replace(':', "%3A").replace('(', "%28").replace(')', "%29"));
    let poll = asker.json(&path, SDK_KEY).await;
    let names: Vec<_> =
        poll["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(names, ["server-intent", "put-object", "delete-object", "payload-transferred"]);
    assert_eq!(poll["events"][0]["data"]["payloads"][0]["intentCode"], "xfer-changes");
    assert_eq!(poll["events"][1]["data"]["version"], 51);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_may_be_polled_or_asked_by_second_generation_delivery() {
    for delivery in [Delivery::Poll, Delivery::Fdv2] {
        let service = FakeService::start([flag("f")]);
        let mut config = config(&service);
        config.upstream.delivery = delivery;
        config.upstream.poll_interval = std::time::Duration::from_millis(50);
        let running = relay(config).await;
        let asker = Asker::new(&running);
        let mut all = asker.open("/all", SDK_KEY).await;
        assert_eq!(all.expect("put").await["data"]["flags"]["f"]["version"], 1, "{delivery:?}");
        service.set_flags([flag("f").version(2)], None);
        service.cut_connections();
        assert_eq!(all.expect("patch").await["data"]["version"], 2, "{delivery:?}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_called_what_upstream_calls_it_unless_the_relay_is_told() {
    for (told, called) in [(None, Some("upstream-id")), (Some("own-id"), Some("own-id"))] {
        let service = FakeService::start([flag("f")]);
        let mut put = Vec::new();
        flagstaff_wire::stream::write_put(&mut put, &flagstaff_testkit::all_data([flag("f")])).unwrap();
        let named = vec![("x-ld-envid", "upstream-id".to_owned())];
        service.answer_always(paths::STREAM, Answer::StreamWith(named, put));
        let mut config = config(&service);
        config.environments[0].client_side_id = told.map(str::to_owned);
        let running = relay(config).await;
        let asker = Asker::new(&running);
        asker.open("/all", SDK_KEY).await.expect("put").await;
        let poll = asker.get("/sdk/latest-all", SDK_KEY).send().await.unwrap();
        let id = poll.headers().get("x-ld-envid").map(|id| id.to_str().unwrap().to_owned());
        assert_eq!(id.as_deref(), called);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_can_stand_behind_a_relay() {
    let service = FakeService::start([flag("f").with("unheardOf", 1)]);
    let near = relay(config(&service)).await;
    let far = relay(crate::support::config_at(&near.base_url())).await;
    let mut all = Asker::new(&far).open("/all", SDK_KEY).await;
    assert_eq!(all.expect("put").await["data"]["flags"]["f"]["unheardOf"], 1);
    service.patch(flag("f").version(2));
    assert_eq!(all.expect("patch").await["data"]["version"], 2);
    come_back(&service, [flag("g")]);
    assert_eq!(all.expect("put").await["data"]["flags"]["g"]["version"], 1);
    far.stop().await;
    near.stop().await;
}

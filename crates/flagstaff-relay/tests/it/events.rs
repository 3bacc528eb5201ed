//! What SDKs report, as it arrives upstream.

use std::collections::HashSet;
use std::time::Duration;

use flagstaff_relay::config::{Environment, EventMode};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, eventually, flag};
use flagstaff_wire::paths;
use serde_json::{Value, json};

use crate::support::{Asker, CLIENT_SIDE_ID, Folder, MOBILE_KEY, SDK_KEY, config, environment, relay};

const ONE: &str = r#"[{"kind":"identify","creationDate":1,"context":{"kind":"user","key":"u"},"new":[1.0]}]"#;

fn figure(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("flagstaff_relay_events_{name} ")));
    line.unwrap_or_else(|| panic!("there is no figure {name}")).parse().unwrap()
}

async fn metrics(asker: &Asker) -> String {
    asker.get("/metrics", "").send().await.unwrap().text().await.unwrap()
}

async fn until_figure(asker: &Asker, name: &str, value: u64) {
    let asking = async {
        while figure(&metrics(asker).await, name) != value {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    assert!(asked.is_ok(), "{name} is never {value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_arrives_as_it_was_with_what_its_sender_said_of_it() {
    let service = FakeService::start([flag("f")]);
    for path in [
        "/mobile",
        "/mobile/events/diagnostic",
        "/events/bulk/id-0000-1111",
        "/events/diagnostic/id-0000-1111",
    ] {
        service.answer_always(path, Answer::status(202));
    }
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    let browser = |of: &str| format!("/events/{of}/{CLIENT_SIDE_ID}");
    for (path, key, upstream) in [
        ("/bulk", SDK_KEY, "/bulk".to_owned()),
        ("/diagnostic", SDK_KEY, "/diagnostic".to_owned()),
        ("/mobile/events/bulk", MOBILE_KEY, "/mobile".to_owned()),
        ("/mobile/events/diagnostic", MOBILE_KEY, "/mobile/events/diagnostic".to_owned()),
        (&*browser("bulk"), "", browser("bulk")),
        (&*browser("diagnostic"), "", browser("diagnostic")),
    ] {
        let is_diagnostic = path.contains("diagnostic");
        let body = if is_diagnostic { r#"{"kind":"diagnostic","id":{"diagnosticId":"d"}}"# } else { ONE };
        let sent = asker
            .post(path, key)
            .header("user-agent", "PythonClient/9.1")
            .header("x-launchdarkly-wrapper", "w/1")
            .header("x-launchdarkly-tags", "application-id/shop")
            .header("x-launchdarkly-event-schema", "2")
            .header("x-launchdarkly-payload-id", "p1")
            .header("x-launchdarkly-unsummarized", "true")
            .header("cookie", "secret")
            .body(body);
        assert_eq!(sent.send().await.unwrap().status(), 202, "{path}");
        let arrived = &service.wait_for_requests(&upstream, 1)[0];
        assert_eq!(arrived.json(), serde_json::from_str::<Value>(body).unwrap(), "{path}");
        for (name, value) in [
            ("authorization", (!key.is_empty()).then_some(key)),
            ("user-agent", Some("PythonClient/9.1")),
            ("x-launchdarkly-wrapper", Some("w/1")),
            ("x-launchdarkly-tags", Some("application-id/shop")),
            ("x-launchdarkly-event-schema", Some("2")),
            ("x-launchdarkly-payload-id", Some("p1")),
            ("x-launchdarkly-unsummarized", Some("true")),
            ("content-encoding", Some("gzip")),
            ("content-type", Some("application/json")),
            ("cookie", None),
        ] {
            assert_eq!(arrived.header(name), value, "{path} {name}");
        }
    }
    until_figure(&asker, "forwarded_total", 6).await;
    running.stop().await;
}

/// What this header was in each payload that upstream was sent, in order.
fn sent(service: &FakeService, header: &str) -> Vec<Option<String>> {
    let payloads = service.requests(paths::EVENTS);
    payloads.iter().map(|payload| payload.header(header).map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_while_upstream_is_away_and_each_arrives_once() {
    let service = FakeService::start([flag("f")]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    service.answer_always(paths::EVENTS, Answer::status(503));
    for number in 0..20 {
        let payload = asker.post("/bulk", SDK_KEY).header("x-launchdarkly-payload-id", format!("p{number}"));
        assert_eq!(payload.body(ONE).send().await.unwrap().status(), 202);
    }
    // One tries, now and then.
    service.wait_for_requests(paths::EVENTS, 20 + 2);
    assert_eq!(figure(&metrics(&asker).await, "waiting"), 20);
    let refused = service.requests(paths::EVENTS).len();
    service.answer_as_usual(paths::EVENTS);
    until_figure(&asker, "forwarded_total", 20).await;
    // Whatever was on its way when upstream came back was still refused.
    let arrived: Vec<_> = service.requests(paths::EVENTS).into_iter().skip(refused).collect();
    let mut ids: Vec<_> =
        arrived.iter().filter_map(|request| request.header("x-launchdarkly-payload-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert_eq!(figure(&metrics(&asker).await, "lost_total"), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_upstream_fails_at_is_sent_once_more_and_then_lost() {
    let service = FakeService::start([flag("f")]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    service.answer_always(paths::EVENTS, Answer::status(500));
    assert_eq!(asker.post("/bulk", SDK_KEY).body(ONE).send().await.unwrap().status(), 202);
    until_figure(&asker, "lost_total", 1).await;
    assert_eq!(service.requests(paths::EVENTS).len(), 2);
    service.answer_next(paths::EVENTS, Answer::status(500));
    service.answer_as_usual(paths::EVENTS);
    assert_eq!(asker.post("/bulk", SDK_KEY).body(ONE).send().await.unwrap().status(), 202);
    until_figure(&asker, "forwarded_total", 1).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_refuses_events_is_left_in_peace_but_for_a_try_now_and_then() {
    let service = FakeService::start([flag("f")]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    service.answer_always(paths::EVENTS, Answer::status(401));
    for lost in 1..=5 {
        assert_eq!(asker.post("/bulk", SDK_KEY).body(ONE).send().await.unwrap().status(), 202);
        until_figure(&asker, "lost_total", lost).await;
    }
    assert_eq!(service.requests(paths::EVENTS).len(), 1);
    service.answer_as_usual(paths::EVENTS);
    // A hundredth of five minutes.
    eventually("events are forwarded again", || {
        std::thread::sleep(Duration::from_millis(100));
        let asked = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                asker.post("/bulk", SDK_KEY).body(ONE).send().await.unwrap();
                figure(&metrics(&asker).await, "forwarded_total")
            })
        });
        (asked > 0).then_some(())
    });
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_wait_than_may_and_who_is_not_taken_is_told() {
    let service = FakeService::start([flag("f")]);
    service.answer_always(paths::EVENTS, Answer::status(503));
    let mut config = config(&service);
    config.events.capacity = 3;
    let running = relay(config).await;
    let asker = Asker::new(&running);
    let two = json!([{"kind": "custom"}, {"kind": "custom"}]).to_string();
    let send =
        async || asker.post("/bulk", SDK_KEY).body(two.clone()).send().await.unwrap().status().as_u16();
    assert_eq!([send().await, send().await, send().await], [202, 202, 503]);
    let now = metrics(&asker).await;
    assert_eq!((figure(&now, "waiting"), figure(&now, "refused_total")), (4, 2));
    service.answer_as_usual(paths::EVENTS);
    until_figure(&asker, "forwarded_total", 4).await;
    assert_eq!(send().await, 202);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_when_the_relay_stops_is_sent_and_what_cannot_be_is_counted() {
    let service = FakeService::start([flag("f")]);
    service.answer_next(paths::EVENTS, Answer::Late(QUIETLY, 202));
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    for _ in 0..30 {
        assert_eq!(asker.post("/bulk", SDK_KEY).body(ONE).send().await.unwrap().status(), 202);
    }
    let forwarder = running.relay().forwarder.clone();
    running.stop().await;
    assert_eq!(service.requests(paths::EVENTS).len(), 30);
    assert_eq!(forwarder.waiting(), 0);

    service.answer_always(paths::EVENTS, Answer::status(503));
    let mut config = config(&service);
    config.serving.drain = QUIETLY;
    let running = relay(config).await;
    assert_eq!(Asker::new(&running).post("/bulk", SDK_KEY).body(ONE).send().await.unwrap().status(), 202);
    let forwarder = running.relay().forwarder.clone();
    tokio::time::timeout(PATIENCE, running.stop()).await.expect("it stops all the same");
    assert_eq!(forwarder.counts().lost.load(std::sync::atomic::Ordering::Relaxed), 1);
}

const QUIETLY: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_before_the_end_is_sent_after_the_next_start() {
    let (service, folder) = (FakeService::start([flag("f")]), Folder::new());
    service.answer_always(paths::EVENTS, Answer::status(503));
    let mut config = config(&service);
    config.data = Some(folder.path().to_owned());
    config.serving.drain = QUIETLY;
    let running = relay(config.clone()).await;
    let asker = Asker::new(&running);
    for _ in 0..5 {
        let sent =
            asker.post("/bulk", SDK_KEY).header("x-launchdarkly-tags", "application-id/shop").body(ONE);
        assert_eq!(sent.send().await.unwrap().status(), 202);
    }
    let forwarder = running.relay().forwarder.clone();
    tokio::time::timeout(PATIENCE, running.stop()).await.expect("it stops all the same");
    assert_eq!(forwarder.counts().lost.load(std::sync::atomic::Ordering::Relaxed), 0);
    let before = service.requests(paths::EVENTS).len();
    service.answer_as_usual(paths::EVENTS);

    // Whatever else it is started with: they belong to an environment that is relayed.
    config.environments.push(Environment::new("two", "sdk-two"));
    let running = relay(config.clone()).await;
    until_figure(&Asker::new(&running), "forwarded_total", 5).await;
    let requests = service.requests(paths::EVENTS).split_off(before);
    let ids: HashSet<_> =
        requests.iter().filter_map(|request| request.header("x-launchdarkly-payload-id")).collect();
    assert_eq!((requests.len(), ids.len()), (5, 5), "each once, by an id of its own");
    for request in &requests {
        assert_eq!(request.header("authorization"), Some(SDK_KEY));
        assert_eq!(request.header("x-launchdarkly-tags"), Some("application-id/shop"));
        assert_eq!(request.json(), serde_json::from_str::<Value>(ONE).unwrap());
    }
    running.stop().await;
    let left = std::fs::read_dir(folder.path().join("~events")).unwrap().count();
    assert_eq!(left, 0, "nothing waits, so nothing is kept");
    let running = relay(config).await;
    assert_eq!(figure(&metrics(&Asker::new(&running)).await, "waiting"), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_of_an_environment_that_is_not_relayed_any_more_is_lost_and_counted() {
    let (service, folder) = (FakeService::start([flag("f")]), Folder::new());
    service.answer_always(paths::EVENTS, Answer::status(503));
    let mut config = config(&service);
    config.data = Some(folder.path().to_owned());
    config.serving.drain = QUIETLY;
    let running = relay(config.clone()).await;
    assert_eq!(Asker::new(&running).post("/bulk", SDK_KEY).body(ONE).send().await.unwrap().status(), 202);
    running.stop().await;
    config.environments = vec![Environment::new("two", "sdk-two")];
    let running = relay(config).await;
    let now = metrics(&Asker::new(&running)).await;
    assert_eq!((figure(&now, "lost_total"), figure(&now, "waiting")), (1, 0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_cannot_be_kept_are_not_acknowledged() {
    let (service, folder) = (FakeService::start([flag("f")]), Folder::new());
    let mut config = config(&service);
    config.data = Some(folder.path().to_owned());
    std::fs::create_dir_all(folder.path()).unwrap();
    let events = folder.path().join("~events");
    std::fs::write(&events, "in the way").unwrap();
    let running = relay(config).await;
    let asker = Asker::new(&running);
    asker.until("/sdk/latest-all", SDK_KEY, |all| all["flags"].is_object()).await;
    let answer = asker.post("/bulk", SDK_KEY).body(ONE).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["code"], "storage_failed");
    assert_eq!(figure(&metrics(&asker).await, "waiting"), 0, "it takes up no room");
    std::fs::remove_file(&events).unwrap();
    assert_eq!(asker.post("/bulk", SDK_KEY).body(ONE).send().await.unwrap().status(), 202);
    until_figure(&asker, "forwarded_total", 1).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_whose_events_upstream_does_not_take_holds_up_no_other() {
    let service = FakeService::start([flag("f")]);
    let of_one = format!("/events/bulk/{CLIENT_SIDE_ID}");
    service.answer_always(&of_one, Answer::status(429));
    let mut config = config(&service);
    config.environments.push(Environment::new("two", "sdk-two"));
    let running = relay(config).await;
    let asker = Asker::new(&running);
    // More than are sent at the same time.
    for _ in 0..100 {
        assert_eq!(asker.post(&of_one, "").body(ONE).send().await.unwrap().status(), 202);
    }
    service.wait_for_requests(&of_one, 5);
    assert_eq!(asker.post("/bulk", "sdk-two").body(ONE).send().await.unwrap().status(), 202);
    until_figure(&asker, "forwarded_total", 1).await;
    assert_eq!(figure(&metrics(&asker).await, "waiting"), 100);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_forwarded_by_another_key_at_once_when_the_one_before_was_refused() {
    let service = FakeService::start([flag("f")]);
    let mut config = config(&service);
    // Five minutes are five minutes.
    config.upstream.time_factor = 1;
    let running = relay(config).await;
    let asker = Asker::new(&running);
    service.answer_next(paths::EVENTS, Answer::status(401));
    for lost in 1..=2 {
        assert_eq!(asker.post("/bulk", SDK_KEY).body(ONE).send().await.unwrap().status(), 202);
        until_figure(&asker, "lost_total", lost).await;
    }
    let rekeyed = Environment { sdk_key: "sdk-new".to_owned(), ..environment() };
    running.relay().set_environments(vec![rekeyed]).await.unwrap();
    assert_eq!(asker.post("/bulk", "sdk-new").body(ONE).send().await.unwrap().status(), 202);
    until_figure(&asker, "forwarded_total", 1).await;
    let keys = sent(&service, "authorization");
    assert_eq!(keys, [Some(SDK_KEY.to_owned()), Some("sdk-new".to_owned())]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_without_an_id_has_one_of_its_own_however_often_it_is_sent() {
    let service = FakeService::start([flag("f")]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    service.answer_next(paths::EVENTS, Answer::status(503));
    service.answer_next(paths::EVENTS, Answer::status(500));
    assert_eq!(asker.post("/bulk", SDK_KEY).body(ONE).send().await.unwrap().status(), 202);
    until_figure(&asker, "forwarded_total", 1).await;
    let ids = sent(&service, "x-launchdarkly-payload-id");
    assert_eq!(ids.len(), 3);
    assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_can_be_refused_or_discarded() {
    for (mode, status) in [(EventMode::Refused, 503), (EventMode::Discarded, 202)] {
        let service = FakeService::start([flag("f")]);
        let mut config = config(&service);
        config.events.mode = mode;
        let running = relay(config).await;
        let asker = Asker::new(&running);
        for (path, body) in [("/bulk", ONE), ("/diagnostic", "{}")] {
            let answer = asker.post(path, SDK_KEY).body(body).send().await.unwrap();
            assert_eq!(answer.status(), status, "{mode:?} {path}");
        }
        running.stop().await;
        assert!(service.requests(paths::EVENTS).is_empty() && service.requests(paths::DIAGNOSTIC).is_empty());
    }
}

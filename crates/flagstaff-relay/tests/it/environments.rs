//! Environments that come, go and change while the relay runs.

use flagstaff_relay::config::Environment;
use flagstaff_relay::database::Database;
use flagstaff_testkit::{Answer, FakeService, eventually, flag};
use flagstaff_wire::paths;

use crate::support::{Asker, Folder, SDK_KEY, config, environment, relay};

#[tokio::test(flavor = "multi_thread")]
async fn environments_come_and_go_while_the_relay_runs() {
    let service = FakeService::start([flag("f")]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    let mut all = asker.open("/all", SDK_KEY).await;
    all.expect("put").await;
    let two = Environment::new("two", "sdk-two");
    running.relay().set_environments(vec![environment(), two.clone()]).await.unwrap();
    let mut other = asker.open("/all", "sdk-two").await;
    other.expect("put").await;
    all.is_quiet().await;

    running.relay().set_environments(vec![two]).await.unwrap();
    assert_eq!(all.next().await, None, "its stream ends");
    assert_eq!(asker.status("/sdk/latest-all", SDK_KEY).await, 401);
    assert!(asker.json("/status", "").await["environments"].get("one").is_none());
    other.is_quiet().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_under_another_key_serves_on_what_it_knew() {
    let service = FakeService::start([flag("f")]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    let mut old = asker.open("/all", SDK_KEY).await;
    old.expect("put").await;
    service.answer_always(paths::STREAM, Answer::status(503));
    let rekeyed = Environment { sdk_key: "sdk-new".to_owned(), ..environment() };
    running.relay().set_environments(vec![rekeyed]).await.unwrap();
    assert_eq!(old.next().await, None, "the old key does not count");
    assert_eq!(asker.status("/sdk/latest-all", SDK_KEY).await, 401);
    let mut new = asker.open("/all", "sdk-new").await;
    new.expect("put").await;
    service.set_flags([flag("f").version(2)], None);
    service.answer_as_usual(paths::STREAM);
    assert_eq!(new.expect("patch").await["data"]["version"], 2);
    let keys: Vec<_> = service
        .requests(paths::STREAM)
        .iter()
        .map(|request| request.header("authorization").unwrap_or_default().to_owned())
        .collect();
    assert_eq!((&*keys[0], &**keys.last().unwrap()), (SDK_KEY, "sdk-new"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_setting_needs_no_other_connection() {
    let service = FakeService::start([flag("f")]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    let mut all = asker.open("/all", SDK_KEY).await;
    all.expect("put").await;
    let other =
        Environment { mobile_key: Some("mob-new".to_owned()), ttl_minutes: i64::MAX, ..environment() };
    running.relay().set_environments(vec![other]).await.unwrap();
    assert_eq!(asker.status("/msdk/evalx/contexts/e30", crate::support::MOBILE_KEY).await, 401);
    assert_eq!(asker.status("/msdk/evalx/contexts/e30", "mob-new").await, 400, "an empty context");
    assert!(asker.get("/sdk/flags", SDK_KEY).send().await.unwrap().headers().contains_key("expires"));
    all.is_quiet().await;
    assert_eq!(service.requests(paths::STREAM).len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_relayed_changes_nothing() {
    let service = FakeService::start([flag("f")]);
    let running = relay(config(&service)).await;
    let wanted = vec![Environment::new("other", "sdk-other"), Environment::new("bad", "not a key")];
    let refused = running.relay().set_environments(wanted).await.unwrap_err().to_string();
    assert_eq!(refused, "the SDK key of environment `bad` has characters that no key has");
    assert_eq!(running.relay().environments_now().len(), 1);
    assert_eq!(Asker::new(&running).status("/status", "").await, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_an_environment_are_asked_of_upstream() {
    let service = FakeService::start([flag("f")]);
    let filtered = Environment { filters: ["web".to_owned()].into(), ..environment() };
    let mut config = config(&service);
    config.environments = vec![filtered.clone()];
    let running = relay(config).await;
    let asker = Asker::new(&running);
    let mut part = asker.open("/all?filter=web", SDK_KEY).await;
    part.expect("put").await;
    service.wait_for_requests(paths::STREAM, 2);
    let mut asked: Vec<_> =
        service.requests(paths::STREAM).into_iter().map(|request| request.query).collect();
    asked.sort();
    assert_eq!(asked, ["", "filter=web"]);
    assert_eq!(asker.status("/sdk/latest-all?filter=other", SDK_KEY).await, 404);
    let status = asker.json("/status", "").await;
    assert!(status["environments"].get("one/web").is_some(), "{status}");

    // Another environment more makes no difference to it.
    running.relay().set_environments(vec![filtered, Environment::new("two", "sdk-two")]).await.unwrap();
    part.is_quiet().await;
    running.relay().set_environments(vec![environment()]).await.unwrap();
    assert_eq!(part.next().await, None);
    assert_eq!(asker.status("/sdk/latest-all?filter=web", SDK_KEY).await, 404);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_it_is_going_can_be_asked_while_an_environment_takes_long_to_change() {
    // A database that never answers: what was not written yet is waited for.
    let mute = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let service = FakeService::start([flag("f")]);
    let mut config = config(&service);
    config.database = Some(Database::Redis {
        url: format!("redis://{}", mute.local_addr().unwrap()),
        user: None,
        password: None,
    });
    let running = relay(config).await;
    let asker = Asker::new(&running);
    asker.open("/all", SDK_KEY).await.expect("put").await;
    let relay = running.relay().clone();
    let rekeyed = Environment { sdk_key: "sdk-new".to_owned(), ..environment() };
    let set = tokio::spawn(async move { relay.set_environments(vec![rekeyed]).await });
    let mut answered = 0;
    while !set.is_finished() {
        assert_eq!(asker.status("/status", "").await, 200);
        answered += 1;
    }
    set.await.unwrap().unwrap();
    assert!(answered > 5, "{answered} answers while it took long");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_of_an_environment_goes_with_it() {
    let (service, folder) = (FakeService::start([flag("f")]), Folder::new());
    let filtered = Environment { filters: ["web".to_owned()].into(), ..environment() };
    let two = Environment::new("two", "sdk-two");
    let mut config = config(&service);
    config.data = Some(folder.path().to_owned());
    config.environments = vec![filtered, two.clone()];
    let running = relay(config).await;
    let kept = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".json"));
        names.sort();
        names
    };
    eventually("all are kept", || (kept() == ["one.json", "one~web.json", "two.json"]).then_some(()));
    running.relay().set_environments(vec![environment(), two.clone()]).await.unwrap();
    assert_eq!(kept(), ["one.json", "two.json"]);
    running.relay().set_environments(vec![two]).await.unwrap();
    assert_eq!(kept(), ["two.json"]);
    running.stop().await;
    assert_eq!(kept(), ["two.json"]);
}

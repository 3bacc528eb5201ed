//! Becoming ready, staying so, and how it shows.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flagstaff_openfeature::FlagstaffProvider;
use flagstaff_sdk::{
    Caching, Client, Config, ItemKind, PersistentDataStore, PersistentStore, StoreError, StoredItem,
};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, eventually, flag};
use open_feature::provider::{FeatureProvider, ProviderStatus};
use open_feature::{EvaluationContext, EvaluationErrorCode};

use crate::support::{config, run, user};

fn initialize(provider: &mut FlagstaffProvider) {
    run(provider.initialize(&EvaluationContext::default()));
}

#[test]
fn a_provider_is_ready_once_the_first_flags_have_come() {
    let service = FakeService::start([flag("f")]);
    let all = flagstaff_testkit::all_data([flag("f")]).to_string().into_bytes();
    service.answer_next("/sdk/latest-all", Answer::Slowly(all, Duration::from_millis(50)));
    let mut provider =
        FlagstaffProvider::start(config(&service).stream(false)).unwrap().initialization_timeout(PATIENCE);
    assert_eq!(provider.status(), ProviderStatus::NotReady);
    let error = run(provider.resolve_bool_value("f", &user("u"))).unwrap_err();
    assert_eq!(error.code, EvaluationErrorCode::ProviderNotReady);
    initialize(&mut provider);
    assert_eq!(provider.status(), ProviderStatus::Ready);
    assert!(run(provider.resolve_bool_value("f", &user("u"))).unwrap().value);
    let wrapper = format!("flagstaff-openfeature/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(service.requests("/sdk/latest-all")[0].header("x-launchdarkly-wrapper"), Some(&*wrapper));
    assert_eq!(provider.metadata().name, "flagstaff-openfeature");
}

#[test]
fn a_service_that_is_away_keeps_nobody_waiting_for_longer_than_was_said() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/all", Answer::status(503));
    let client = Client::start(config(&service)).unwrap();
    let mut provider = FlagstaffProvider::new(client).initialization_timeout(Duration::from_millis(100));
    let started = Instant::now();
    initialize(&mut provider);
    assert!((Duration::from_millis(100)..PATIENCE).contains(&started.elapsed()));
    assert_eq!(provider.status(), ProviderStatus::NotReady);

    service.answer_as_usual("/all");
    eventually("the provider is ready after all", || {
        (provider.status() == ProviderStatus::Ready).then_some(())
    });
    assert!(run(provider.resolve_bool_value("f", &user("u"))).unwrap().value);
}

#[test]
fn a_service_that_refuses_the_key_is_not_waited_for() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/all", Answer::status(401));
    let mut provider =
        FlagstaffProvider::start(config(&service)).unwrap().initialization_timeout(PATIENCE * 10);
    let started = Instant::now();
    initialize(&mut provider);
    assert!(started.elapsed() < PATIENCE * 5);
    assert_eq!(provider.status(), ProviderStatus::NotReady);
}

#[test]
fn a_provider_that_lost_its_service_is_stale_and_one_that_was_closed_is_not_ready() {
    let service = FakeService::start([flag("f")]);
    let mut provider = FlagstaffProvider::start(config(&service)).unwrap().initialization_timeout(PATIENCE);
    initialize(&mut provider);
    eventually("the stream is open", || (service.streams() == 1).then_some(()));
    service.answer_always("/all", Answer::status(503));
    service.cut_connections();
    eventually("the provider is stale", || (provider.status() == ProviderStatus::STALE).then_some(()));
    assert!(
        run(provider.resolve_bool_value("f", &user("u"))).unwrap().value,
        "the last known flags are served"
    );
    provider.client().close();
    assert_eq!(provider.status(), ProviderStatus::NotReady);
}

#[test]
fn a_provider_that_starts_from_a_snapshot_is_stale_until_flags_come() {
    let path = std::env::temp_dir().join(format!("flagstaff-openfeature-{}.snapshot", std::process::id()));
    let service = FakeService::start([flag("f")]);
    let config = || config(&service).snapshot_file(&path);
    let mut provider = FlagstaffProvider::start(config()).unwrap().initialization_timeout(PATIENCE);
    initialize(&mut provider);
    provider.client().close();
    service.answer_always("/all", Answer::status(503));
    let provider = FlagstaffProvider::start(config()).unwrap();
    assert_eq!(provider.status(), ProviderStatus::STALE);
    assert!(run(provider.resolve_bool_value("f", &user("u"))).unwrap().value);
    service.answer_as_usual("/all");
    eventually("the provider is ready", || (provider.status() == ProviderStatus::Ready).then_some(()));
    provider.client().close();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_offline_provider_is_never_ready_and_waits_for_nothing() {
    let mut provider = FlagstaffProvider::start(Config::new("").offline(true))
        .unwrap()
        .initialization_timeout(PATIENCE * 10);
    let started = Instant::now();
    initialize(&mut provider);
    assert!(started.elapsed() < PATIENCE * 5);
    assert_eq!(provider.status(), ProviderStatus::NotReady);
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    assert!(FlagstaffProvider::start(Config::new("")).is_err());
}

/// A database with one flag in it, which takes its time.
struct Slow;

impl PersistentStore for Slow {
    fn name(&self) -> &str {
        "Slow"
    }

    fn init(&self, _: &[StoredItem]) -> Result<(), StoreError> {
        Err(StoreError::new("this database is only read"))
    }

    fn get(&self, kind: ItemKind, key: &str) -> Result<Option<Arc<str>>, StoreError> {
        std::thread::sleep(Duration::from_millis(100));
        let found = kind == ItemKind::Flag && key == "f";
        Ok(found.then(|| flag("f").build().to_string().into()))
    }

    fn all(&self, _: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError> {
        Ok(Vec::new())
    }

    fn upsert(&self, _: &StoredItem) -> Result<bool, StoreError> {
        Err(StoreError::new("this database is only read"))
    }

    fn is_initialized(&self) -> Result<bool, StoreError> {
        Ok(true)
    }
}

#[test]
fn a_database_that_is_slow_keeps_the_task_waiting_and_no_other() {
    let database = PersistentDataStore::new(Slow).caching(Caching::Off).timeout(PATIENCE);
    let config = Config::new("sdk-test-key").send_events(false).data_store(database).daemon_mode(true);
    let provider = FlagstaffProvider::start(config).unwrap();
    let order = Mutex::new(Vec::new());
    let context = user("u");
    run(async {
        let evaluation = async {
            assert!(provider.resolve_bool_value("f", &context).await.unwrap().value);
            order.lock().unwrap().push("the evaluation");
        };
        let other = async {
            tokio::task::yield_now().await;
            order.lock().unwrap().push("the other task");
        };
        tokio::join!(evaluation, other);
    });
    assert_eq!(*order.lock().unwrap(), ["the other task", "the evaluation"]);
    assert_eq!(provider.status(), ProviderStatus::Ready, "flags are there, whoever brought them");
}

//! What is kept of events, as the owner decides: countries, reasons, and for how long.

use flagstaff_service::analytics::{ReasonCount, SeenUser};
use flagstaff_service::now_ms;
use serde_json::{Value, json};

use crate::support::{Folder, Service};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

async fn send(service: &Service, events: Value) {
    let headers = [
        ("authorization", "sdk-demo-production"),
        ("content-type", "application/json"),
        ("x-launchdarkly-event-schema", "4"),
    ];
    let answer = service.request("POST", "/bulk", &headers, events.to_string().as_bytes()).await;
    assert_eq!(answer.status, 202);
    service.counted().await;
}

async fn user(service: &Service, key: &str) -> Option<SeenUser> {
    let environment = service.app().live.by_sdk_key("sdk-demo-production").unwrap().id();
    service.analytics().user(environment, key).await.unwrap()
}

fn identify(user: Value, at_ms: i64) -> Value {
    json!({"kind": "identify", "creationDate": at_ms, "context": user})
}

#[tokio::test]
async fn a_user_with_an_address_and_no_country_is_where_the_owners_file_says() {
    let folder = Folder::new();
    let file = folder.path().join("countries.mmdb");
    std::fs::write(&file, flagstaff_testkit::country_database(&[("81.2.69.0/24", "GB")])).unwrap();
    let service = Service::demo_with(|config| config.analytics.countries = Some(file)).await;
    let context = |kind: &str, key: &str, more: Value| {
        let mut context = json!({"kind": kind, "key": key, "ip": "81.2.69.160"});
        context.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        identify(context, now_ms())
    };
    let private = json!({"_meta": {"redactedAttributes": ["country"]}});
    send(
        &service,
        json!([
            context("user", "ada", json!({})),
            context("user", "bob", json!({"country": "FR"})),
            context("user", "eve", private),
            identify(json!({"kind": "user", "key": "far", "ip": "81.2.70.1"}), now_ms()),
        ]),
    )
    .await;
    let country = async |key: &str| user(&service, key).await.unwrap().attributes.get("country").cloned();
    assert_eq!(country("ada").await, Some("GB".into()));
    assert_eq!(country("bob").await, Some("FR".into()));
    assert_eq!(country("eve").await, None, "the program keeps it to itself");
    assert_eq!(country("far").await, None);
    service.stop().await;
}

#[tokio::test]
async fn without_a_file_nobody_is_given_a_country() {
    let service = Service::demo().await;
    send(&service, json!([identify(json!({"kind": "user", "key": "ada", "ip": "81.2.69.160"}), now_ms())]))
        .await;
    assert_eq!(user(&service, "ada").await.unwrap().attributes.get("country"), None);
    service.stop().await;
}

#[tokio::test]
async fn users_not_seen_for_long_are_forgotten_if_the_owner_wants_that() {
    for (keep_users_days, stays) in [(None, true), (Some(40), true), (Some(20), false)] {
        let service = Service::demo_with(|config| config.analytics.keep_users_days = keep_users_days).await;
        let user_of = |key: &str| json!({"kind": "user", "key": key, "name": "Ada"});
        send(
            &service,
            json!([identify(user_of("old"), now_ms() - 30 * DAY_MS), identify(user_of("new"), now_ms())]),
        )
        .await;
        service.analytics().sweep(now_ms()).await.unwrap();
        assert_eq!(user(&service, "old").await.is_some(), stays, "{keep_users_days:?}");
        assert!(user(&service, "new").await.is_some());
        service.stop().await;
    }
}

#[tokio::test]
async fn evaluations_that_say_why_are_counted_by_it() {
    let service = Service::demo().await;
    let feature = |variation: Value, reason: Value| {
        json!({"kind": "feature", "creationDate": now_ms(), "key": "wish-lists", "version": 1, "variation": variation,
            "value": true, "context": {"kind": "user", "key": "ada"}, "reason": reason})
    };
    let rule = json!({"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r-1", "inExperiment": true});
    send(
        &service,
        json!([
            feature(json!(0), rule.clone()),
            feature(json!(0), rule),
            feature(json!(1), json!({"kind": "FALLTHROUGH"})),
            feature(Value::Null, json!({"kind": "ERROR", "errorKind": "MALFORMED_FLAG"})),
            feature(json!(1), json!({"kind": "MOON_PHASE"})),
            feature(json!(1), json!("no reason")),
            feature(json!(1), Value::Null),
        ]),
    )
    .await;
    let environment = service.app().live.by_sdk_key("sdk-demo-production").unwrap().id();
    let count = |reason: &str, variation, count| ReasonCount { reason: reason.to_owned(), variation, count };
    assert_eq!(
        service.analytics().reasons_last_day(environment, "wish-lists").await.unwrap(),
        [
            count("RULE_MATCH:r-1", Some(0), 2),
            count("ERROR:MALFORMED_FLAG", None, 1),
            count("FALLTHROUGH", Some(1), 1),
        ]
    );
    // Those with a reason are counted here; how often a flag is evaluated is what summaries say.
    assert!(service.evaluations("production").await.is_empty());

    // Long after, all that is forgotten.
    service.analytics().sweep(now_ms() + 91 * DAY_MS).await.unwrap();
    assert_eq!(service.analytics().reasons_last_day(environment, "wish-lists").await.unwrap(), []);
    service.stop().await;
}

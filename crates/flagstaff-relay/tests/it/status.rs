//! `/status`, in the shape that monitoring of this field reads.

use std::time::Duration;

use flagstaff_relay::config::{Environment, Names};
use flagstaff_service::store::environment::ExpiringKey;
use flagstaff_testkit::{Answer, FakeService, flag};
use flagstaff_wire::paths;
use serde_json::json;

use crate::support::{Asker, config, relay};

#[tokio::test(flavor = "multi_thread")]
async fn a_well_relay_says_who_it_serves_without_saying_keys() {
    let service = FakeService::start([flag("f")]);
    let mut config = config(&service);
    config.environments = vec![Environment {
        expiring_sdk_key: Some(ExpiringKey { key: "sdk-fedcba99999".to_owned(), until: i64::MAX }),
        mobile_key: Some("mob-01234567-89ab-cdef-0123-456789a99999".to_owned()),
        client_side_id: Some("id".to_owned()),
        names: Names {
            key: "production".to_owned(),
            name: "Production".to_owned(),
            project_key: "shop".to_owned(),
            project_name: "Shop".to_owned(),
        },
        ..Environment::new("one", "sdk-01234567-89ab-cdef-0123-456789a99999")
    }];
    let running = relay(config).await;
    let status = Asker::new(&running).until("/status", "", |status| status["status"] == "healthy").await;
    let mut one = status["environments"]["one"].clone();
    for of in ["connectionStatus", "dataStoreStatus"] {
        let since = one[of].as_object_mut().unwrap().remove("stateSince").unwrap();
        assert!(since.as_u64().unwrap() > 1_700_000_000_000, "{since}");
    }
    assert_eq!(
        one,
        json!({
            "sdkKey": "sdk-********-****-****-****-*******99999",
            "expiringSdkKey": "sdk-******99999",
            "mobileKey": "mob-********-****-****-****-*******99999",
            "envId": "id", "envKey": "production", "envName": "Production", "projKey": "shop", "projName": "Shop",
            "status": "connected",
            "connectionStatus": {"state": "VALID"},
            "dataStoreStatus": {"state": "VALID"},
        })
    );
    assert!(status["version"].is_string() && status["clientVersion"].is_string());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_disconnected_once_its_connection_is_lost_for_long() {
    let service = FakeService::start([flag("f")]);
    let mut config = config(&service);
    config.disconnected_after = Duration::from_secs(3600);
    let patient = relay(config.clone()).await;
    config.disconnected_after = Duration::ZERO;
    let hasty = relay(config).await;
    for running in [&patient, &hasty] {
        Asker::new(running).until("/status", "", |status| status["status"] == "healthy").await;
    }
    service.answer_always(paths::STREAM, Answer::status(503));
    service.cut_connections();
    let interrupted = |status: &serde_json::Value| {
        status["environments"]["one"]["connectionStatus"]["state"] == "INTERRUPTED"
    };
    let status = Asker::new(&hasty).until("/status", "", interrupted).await;
    assert_eq!(
        (&status["status"], &status["environments"]["one"]["status"]),
        (&json!("degraded"), &json!("disconnected"))
    );
    let status = Asker::new(&patient).until("/status", "", interrupted).await;
    assert_eq!(
        (&status["status"], &status["environments"]["one"]["status"]),
        (&json!("healthy"), &json!("connected"))
    );
    patient.stop().await;
    hasty.stop().await;
}

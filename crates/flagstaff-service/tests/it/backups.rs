//! Backups while the service writes, and what comes back elsewhere.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flagstaff_service::config::Database;
use flagstaff_service::store::backup::{BackupError, Steps, backup, restore, steps};
use flagstaff_service::store::migrate::migrate;
use flagstaff_service::{App, Config};
use serde_json::{Value, json};

use crate::engine;
use crate::rest::FLAG;
use crate::support::{Folder, Service};

const ALL: &str = "/sdk/latest-all";
const PRODUCTION: [(&str, &str); 1] = [("authorization", "sdk-demo-production")];

/// Without what says how often something changed, and when a token was last used: that is noted behind the
/// request's back, a moment before a backup or after it.
fn without_what_passes(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let passes = ["version", "_version", "generation", "lastUsed"];
                fields.retain(|name, _| !passes.contains(&&**name));
                fields.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

/// What people and SDKs see of it, by path.
async fn everything(service: &Service) -> BTreeMap<String, Value> {
    let mut seen = BTreeMap::new();
    for environment in ["production", "staging"] {
        let key = format!("sdk-demo-{environment}");
        let answer = service.request("GET", ALL, &[("authorization", &key)], b"").await;
        seen.insert(format!("{ALL} {environment}"), answer.json());
    }
    for path in [
        "/api/v2/projects?expand=environments",
        "/api/v2/flags/demo?summary=0&limit=100",
        "/api/v2/segments/demo/production",
        "/api/v2/tokens",
        "/api/v2/users/demo/production",
    ] {
        seen.insert(path.to_owned(), service.rest("GET", path, None).await.json());
    }
    seen.into_iter().map(|(path, value)| (path, without_what_passes(value))).collect()
}

/// Where it can be restored: in either engine.
fn elsewhere() -> (Folder, Vec<Config>) {
    let folder = Folder::new();
    let mut sqlite = Config::new(folder.path().join("elsewhere"));
    sqlite.serving.listen = ([127, 0, 0, 1], 0).into();
    sqlite.demo = true;
    let mut configs = vec![sqlite.clone()];
    if let Some(database) = engine::fresh_postgres() {
        let mut postgres = sqlite;
        postgres.data = folder.path().join("postgres");
        postgres.database = database;
        configs.push(postgres);
    }
    (folder, configs)
}

#[tokio::test]
async fn a_backup_made_while_writing_holds_one_moment_and_comes_back_in_either_engine() {
    let service = Service::demo().await;
    let segment = json!({"key": "backed-up", "name": "Backed up"});
    assert_eq!(service.rest("POST", "/api/v2/segments/demo/production", Some(segment)).await.status, 201);
    let events = json!([{"kind": "identify", "key": "ada", "creationDate": 1, "user": {"key": "ada", "email": "ada@example.com"}},
        {"kind": "summary", "startDate": flagstaff_service::now_ms(), "endDate": flagstaff_service::now_ms(), "features":
            {"wish-lists": {"default": false, "counters": [{"value": true, "variation": 0, "version": 3, "count": 7}]}}}]);
    let sent = service.request("POST", "/bulk", &PRODUCTION, events.to_string().as_bytes()).await;
    assert_eq!(sent.status, 202);
    service.counted().await;

    let file = service.data().join("backup.flagstaff");
    let config = service.app().settings.clone();
    // Each write sets a tag in the definition and a target in the targeting to the same number.
    let stop = Arc::new(AtomicBool::new(false));
    let began = tokio::sync::Notify::new();
    let write = async {
        let mut number = 0;
        while !stop.load(Ordering::SeqCst) {
            number += 1;
            let patch = json!([
                {"op": "replace", "path": "/tags", "value": [format!("t{number}")]},
                {"op": "replace", "path": "/environments/production/targets",
                    "value": [{"variation": 0, "values": [format!("t{number}")]}]},
            ]);
            assert_eq!(service.rest("PATCH", FLAG, Some(patch)).await.status, 200);
            began.notify_one();
        }
        number
    };
    let make = async {
        // Not before there is something to be half-way through.
        began.notified().await;
        let made = backup(&config, &file).await;
        stop.store(true, Ordering::SeqCst);
        made.unwrap()
    };
    let (written, summary) = tokio::join!(write, make);
    assert!(written > 1 && summary.rows > 20, "{written} writes, {summary:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(backup(&config, &file).await, Err(BackupError::Exists { .. })), "it replaces nothing");
    let left_over = std::fs::read_dir(service.data()).unwrap().map(|entry| entry.unwrap().file_name());
    let left_over: Vec<_> = left_over.filter(|name| name.to_string_lossy().contains("unfinished")).collect();
    assert!(left_over.is_empty(), "{left_over:?}");

    let (_folder, configs) = elsewhere();
    for config in configs {
        let restored = restore(&config, &file).await.unwrap();
        assert_eq!(restored.summary.rows, summary.rows, "into {}", config.database_name());
        let running = Service::of(App::start(config.clone()).await.unwrap());
        let shown = running.rest("GET", FLAG, None).await.json();
        let targets = &shown["environments"]["production"]["targets"][0]["values"];
        assert_eq!(&shown["tags"], targets, "the backup holds half of a change");
        let users = running.rest("GET", "/api/v2/users/demo/production/ada", None).await;
        assert_eq!(users.json()["user"]["email"], "ada@example.com");
        assert_eq!(running.evaluations("production").await["wish-lists"].total, 7);
        // Rows go on being numbered after those that are there.
        let new = json!({"key": "made-after", "name": "Made after"});
        assert_eq!(running.rest("POST", "/api/v2/flags/demo", Some(new)).await.status, 201);
        let again = running.request("POST", "/bulk", &PRODUCTION, events.to_string().as_bytes()).await;
        assert_eq!(again.status, 202);
        running.counted().await;
        assert_eq!(running.evaluations("production").await["wish-lists"].total, 14);
        running.stop().await;
        assert!(matches!(restore(&config, &file).await, Err(BackupError::NotEmpty { .. })));
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_restored_is_the_same_to_everybody_and_newer_than_anything_served_before() {
    let service = Service::demo().await;
    let versions = async |service: &Service| {
        let all = service.request("GET", ALL, &PRODUCTION, b"").await.json();
        let version = |flag: &Value| flag["version"].as_u64().unwrap();
        all["flags"].as_object().unwrap().values().map(version).collect::<Vec<_>>()
    };
    let file = service.data().join("backup.flagstaff");
    let before = everything(&service).await;
    let selector = async |service: &Service| {
        let polled = service.request("GET", "/sdk/poll", &PRODUCTION, b"").await.json();
        let events = polled["events"].as_array().unwrap().clone();
        let last = events.last().unwrap()["data"]["state"].as_str().unwrap().to_owned();
        (events[0]["data"]["payloads"][0]["intentCode"].as_str().unwrap().to_owned(), last)
    };
    backup(&service.app().settings, &file).await.unwrap();
    // Served after the backup was made, and unknown to it.
    for _ in 0..3 {
        service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
        service.instruct("checkout-redesign", json!([{"kind": "turnFlagOff"}])).await;
    }
    let served = versions(&service).await.into_iter().max().unwrap();
    let (_, held) = selector(&service).await;
    let tag = service.request("GET", ALL, &PRODUCTION, b"").await.header("etag").unwrap().to_owned();
    let _kept = service.stop_and_keep().await;

    let (_folder, configs) = elsewhere();
    for config in configs {
        restore(&config, &file).await.unwrap();
        let running = Service::of(App::start(config).await.unwrap());
        assert_eq!(everything(&running).await, before);
        assert!(versions(&running).await.into_iter().all(|version| version > served));
        let asked = [PRODUCTION[0], ("if-none-match", &tag)];
        assert_eq!(running.request("GET", ALL, &asked, b"").await.status, 200);
        let path = format!("/sdk/poll?basis={}", held.replace('(', "%28").replace(')', "%29"));
        let polled = running.request("GET", &path, &PRODUCTION, b"").await.json();
        assert_eq!(polled["events"][0]["data"]["payloads"][0]["intentCode"], "xfer-full", "{polled}");
        running.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_backup_and_where_there_is_nothing_is_refused_in_a_sentence() {
    let folder = Folder::new();
    let empty = Config::new(folder.path().join("empty"));
    let missing = folder.path().join("missing");
    let error = backup(&empty, &missing).await.unwrap_err().to_string();
    assert!(error.contains("there is no database of Flagstaff's in"), "{error}");
    assert!(!missing.exists() && !folder.path().join("empty").exists());
    let error = restore(&empty, &missing).await.unwrap_err();
    assert!(matches!(error, BackupError::File { .. }), "{error:?}");
    let letter = folder.path().join("letter.txt");
    std::fs::write(&letter, "this is no backup at all, but a letter to my grandmother").unwrap();
    let error = restore(&empty, &letter).await.unwrap_err().to_string();
    assert!(error.contains("is not a backup made by"), "{error}");
    // The database itself is none, either.
    let service = Service::demo().await;
    if service.data().join("flagstaff.db").metadata().is_ok_and(|about| about.len() > 0) {
        let error = restore(&empty, &service.data().join("flagstaff.db")).await.unwrap_err().to_string();
        assert!(error.contains("is not a backup made by"), "{error}");
    }
    let file = folder.path().join("backup.flagstaff");
    backup(&service.app().settings, &file).await.unwrap();
    let busy = restore(&service.app().settings, &file).await.unwrap_err().to_string();
    let expected = if engine::is_postgres() { "holds data already" } else { "in use by another" };
    assert!(busy.contains(expected), "{busy}");
    service.stop().await;
}

#[tokio::test]
async fn a_database_is_brought_up_to_date_by_itself_and_says_from_where() {
    let service = Service::demo().await;
    let config = service.app().settings.clone();
    if matches!(config.database, Database::Sqlite) {
        let error = migrate(&config).await.unwrap_err().to_string();
        assert!(error.contains("in use by another"), "{error}");
    }
    let _folder = service.stop_and_keep().await;
    assert_eq!(migrate(&config).await.unwrap(), (Steps::newest(), Steps::newest()));
    assert_eq!(steps(&config).await.unwrap(), Steps::newest());
}

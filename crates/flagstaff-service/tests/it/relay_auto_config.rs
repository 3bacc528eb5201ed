//! What relays are told of the environments that they serve.

use std::time::Instant;

use flagstaff_service::now_ms;
use serde_json::{Value, json};

use crate::engine;
use crate::rest::assert_refused;
use crate::streams::Stream;
use crate::support::Service;

const CONFIGS: &str = "/api/v2/account/relay-auto-configs";
const STREAM: &str = "/relay_auto_config?rpacProtocolVersion=2";
const STAGING: &str = "/api/v2/projects/demo/environments/staging";

fn policy(resources: &[&str]) -> Value {
    json!([{"effect": "allow", "actions": ["*"], "resources": resources}])
}

async fn create(service: &Service, policy: Value) -> (String, String) {
    let body = json!({"name": "Edge", "policy": policy});
    let made = service.rest("POST", CONFIGS, Some(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    (made["_id"].as_str().unwrap().to_owned(), made["fullKey"].as_str().unwrap().to_owned())
}

async fn done(service: &Service, method: &str, path: &str, body: Option<Value>) -> Value {
    let answer = service.rest(method, path, body).await;
    assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

fn set(path: &str, value: impl Into<Value>) -> Option<Value> {
    Some(json!([{"op": "replace", "path": path, "value": value.into()}]))
}

/// The next event, which has to be about an environment: its path, and what is said.
async fn told(stream: &mut Stream, event: &str) -> (String, Value) {
    let mut data = stream.expect(event).await;
    let path = data["path"].as_str().unwrap().to_owned();
    (path, if event == "delete" { data } else { data["data"].take() })
}

#[tokio::test]
async fn a_relay_is_told_everything_and_then_each_change() {
    let service = Service::demo().await;
    let mut stream = Stream::open(&service, STREAM, "rel-demo").await;
    let put = stream.expect("put").await;
    assert_eq!(put["path"], "/");
    let environments = put["data"]["environments"].as_object().unwrap();
    assert_eq!(environments.keys().collect::<Vec<_>>(), ["demo-production", "demo-staging"]);
    let first = environments["demo-staging"].clone();
    let mut expected = json!({
        "envID": "demo-staging", "envKey": "staging", "envName": "Staging", "projKey": "demo",
        "projName": "Demo shop", "mobKey": "mob-demo-staging", "sdkKey": {"value": "sdk-demo-staging"},
        "defaultTtl": 0, "secureMode": false, "version": first["version"],
    });
    assert_eq!(first, expected);
    assert_eq!(put["data"]["filters"], json!({}));

    let mut version = first["version"].as_u64().unwrap();
    let mut check = |expected: &mut Value, (path, said): (String, Value)| {
        assert_eq!(path, "/environments/demo-staging");
        let next = said["version"].as_u64().unwrap();
        assert!(next > version, "version {next} after {version}");
        version = next;
        expected["version"] = json!(next);
        assert_eq!(said, *expected);
    };
    for (place, value, name) in [
        ("/name", json!("Stage"), "envName"),
        ("/secureMode", json!(true), "secureMode"),
        ("/defaultTtl", json!(7), "defaultTtl"),
    ] {
        done(&service, "PATCH", STAGING, set(place, value.clone())).await;
        expected[name] = value;
        check(&mut expected, told(&mut stream, "patch").await);
    }
    let until = now_ms() + 3_600_000;
    let rotated = done(&service, "POST", &format!("{STAGING}/apiKey?expiry={until}"), None).await;
    expected["sdkKey"] = json!({
        "value": rotated["apiKey"], "expiring": {"value": "sdk-demo-staging", "timestamp": until},
    });
    check(&mut expected, told(&mut stream, "patch").await);
    let renewed = done(&service, "POST", &format!("{STAGING}/mobileKey"), None).await;
    expected["mobKey"] = renewed["mobileKey"].clone();
    check(&mut expected, told(&mut stream, "patch").await);
    // The project's name is every environment's.
    done(&service, "PATCH", "/api/v2/projects/demo", set("/name", "Shop")).await;
    expected["projName"] = json!("Shop");
    assert_eq!(told(&mut stream, "patch").await.1["projName"], "Shop");
    check(&mut expected, told(&mut stream, "patch").await);
    // A flag is nothing to it.
    service.instruct("new-payments", json!([{"kind": "turnFlagOff"}])).await;
    let new = json!({"key": "qa", "name": "QA", "color": "123456"});
    let new = done(&service, "POST", "/api/v2/projects/demo/environments", Some(new)).await;
    let (path, said) = told(&mut stream, "patch").await;
    assert_eq!(path, format!("/environments/{}", new["_id"].as_str().unwrap()));
    assert_eq!((&said["envKey"], &said["sdkKey"]["value"]), (&json!("qa"), &new["apiKey"]));
    done(&service, "DELETE", STAGING, None).await;
    let (path, said) = told(&mut stream, "delete").await;
    assert_eq!(path, "/environments/demo-staging");
    assert!(said["version"].as_u64().unwrap() > expected["version"].as_u64().unwrap());
    // A service that stops sends its relays elsewhere.
    service.stop().await;
    stream.expect("reconnect").await;
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_policy_says_which_environments_and_may_be_changed() {
    let service = Service::demo().await;
    let other = json!({"key": "other", "name": "Other"});
    done(&service, "POST", "/api/v2/projects", Some(other)).await;
    let keys = async |policy: Value| {
        let (_, key) = create(&service, policy).await;
        let put = Stream::open(&service, STREAM, &key).await.expect("put").await;
        let of = |environment: &Value| {
            format!(
                "{}/{}",
                environment["projKey"].as_str().unwrap(),
                environment["envKey"].as_str().unwrap()
            )
        };
        let mut keys: Vec<_> = put["data"]["environments"].as_object().unwrap().values().map(of).collect();
        keys.sort();
        keys.join(" ")
    };
    assert_eq!(keys(policy(&["proj/demo:env/*"])).await, "demo/production demo/staging");
    assert_eq!(keys(policy(&["proj/*:env/production"])).await, "demo/production other/production");
    assert_eq!(
        keys(policy(&["proj/demo:env/staging", "proj/other:env/t*"])).await,
        "demo/staging other/test"
    );
    assert_eq!(
        keys(json!([
            {"effect": "allow", "actions": ["*"], "notResources": ["proj/other:env/*"]},
            {"effect": "deny", "resources": ["proj/demo:env/production"]},
        ]))
        .await,
        "demo/staging"
    );
    done(&service, "PATCH", STAGING, set("/tags", json!(["eu"]))).await;
    assert_eq!(keys(policy(&["proj/*:env/*;eu"])).await, "demo/staging");

    let (id, key) = create(&service, policy(&["proj/demo:env/*"])).await;
    let mut stream = Stream::open(&service, STREAM, &key).await;
    stream.expect("put").await;
    let patch = async |resource: &str| {
        let body = json!({"patch": [{"op": "replace", "path": "/policy/0/resources/0", "value": resource}], "comment": "narrower"});
        done(&service, "PATCH", &format!("{CONFIGS}/{id}"), Some(body)).await
    };
    assert_eq!(patch("proj/demo:env/production").await["policy"], policy(&["proj/demo:env/production"]));
    let (path, gone) = told(&mut stream, "delete").await;
    assert_eq!(path, "/environments/demo-staging");
    assert_eq!(told(&mut stream, "patch").await.1["envKey"], "production");
    patch("proj/demo:env/*").await;
    // Given back, it is newer than it was gone: whoever goes by versions believes it.
    loop {
        let (path, said) = told(&mut stream, "patch").await;
        if path == "/environments/demo-staging" {
            assert!(said["version"].as_u64() > gone["version"].as_u64(), "{said} after {gone}");
            break;
        }
    }
}

#[tokio::test]
async fn a_key_is_shown_once_kept_as_a_hash_and_counts_until_it_does_not() {
    let service = Service::demo().await;
    let (id, key) = create(&service, policy(&["proj/*:env/*"])).await;
    assert!(key.starts_with("rel-") && key.len() >= 4 + 64, "256 bits: {key}");
    let path = format!("{CONFIGS}/{id}");
    for shown in [done(&service, "GET", &path, None).await, done(&service, "GET", CONFIGS, None).await] {
        assert!(!shown.to_string().contains(&key), "the key is shown again");
        assert!(shown.to_string().contains(&key[key.len() - 4..]));
    }
    for file in std::fs::read_dir(service.data()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let kept = bytes.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!kept, "the key itself is in the database");
    }
    let status = async |key: &str| {
        let headers = [("authorization", key)];
        let answer = service.request("GET", STREAM, &headers, b"");
        tokio::time::timeout(std::time::Duration::from_secs(2), answer)
            .await
            .map_or(200, |answer| answer.status)
    };
    for other in ["rel-other", "sdk-demo-production", "api-demo", ""] {
        assert_eq!(status(other).await, 401, "{other}");
    }
    let poll = service.request("GET", "/sdk/latest-all", &[("authorization", &key)], b"").await;
    assert_eq!(poll.status, 401, "a relay's key is no SDK key");
    let mut stream = Stream::open(&service, STREAM, &key).await;
    stream.expect("put").await;
    let until = now_ms() + 3_000;
    let reset = done(&service, "POST", &format!("{path}/reset?expiry={until}"), None).await;
    let new = reset["fullKey"].as_str().unwrap().to_owned();
    let mut present = Stream::open(&service, STREAM, &new).await;
    present.expect("put").await;
    Stream::open(&service, STREAM, &key).await.expect("put").await;
    let again = service.rest("POST", &format!("{path}/reset?expiry={}", until + 60_000), None).await;
    assert_refused(&again, 400, "invalid_request", "only one can count on");
    assert!(stream.next().await.is_none(), "the old key's stream ends");
    assert!(now_ms() >= until, "before its time");
    assert_eq!(status(&key).await, 401);
    done(&service, "DELETE", &path, None).await;
    assert!(present.next().await.is_none(), "a deleted configuration's stream ends");
    assert_refused(&service.rest("GET", &path, None).await, 404, "not_found", "relay configuration");
}

#[tokio::test]
async fn a_configuration_that_breaks_a_rule_is_refused_and_only_admins_make_one() {
    let service = Service::demo().await;
    let post = async |body: Value| service.rest("POST", CONFIGS, Some(body)).await;
    for (body, said) in [
        (json!({"name": "", "policy": policy(&["proj/*:env/*"])}), "name: a name is needed"),
        (json!({"name": "x", "policy": []}), "policy: at least one statement"),
        (
            json!({"name": "x", "policy": policy(&["proj/*"])}),
            "policy[0].resources: `proj/*` names no environments",
        ),
        (json!({"name": "x"}), "missing field `policy`"),
    ] {
        assert_refused(&post(body).await, 400, "invalid_request", said);
    }
    let made = service.rest("POST", "/api/v2/tokens", Some(json!({"role": "writer"}))).await.json();
    let writer = made["token"].as_str().unwrap();
    let body = json!({"name": "x", "policy": policy(&["proj/*:env/*"])});
    assert_refused(&service.rest_as(writer, "POST", CONFIGS, Some(body)).await, 403, "forbidden", "admin");
    let id = done(&service, "GET", CONFIGS, None).await["items"][0]["_id"].as_str().unwrap().to_owned();
    for (method, path, body) in [
        ("DELETE", format!("{CONFIGS}/{id}"), None),
        ("POST", format!("{CONFIGS}/{id}/reset"), None),
        ("PATCH", format!("{CONFIGS}/{id}"), set("/name", "y")),
    ] {
        assert_refused(&service.rest_as(writer, method, &path, body).await, 403, "forbidden", "admin");
    }
}

/// Two nodes on one PostgreSQL; runs wherever that is installed.
#[tokio::test]
async fn every_node_tells_relays_what_any_of_them_changed_and_agrees_when_a_key_ends() {
    let Some(database) = engine::fresh_postgres() else {
        return;
    };
    let one = Service::demo_with(|config| config.database = database.clone()).await;
    let other = Service::demo_with(|config| config.database = database).await;
    let mut stream = Stream::open(&other, STREAM, "rel-demo").await;
    stream.expect("put").await;
    let changed = Instant::now();
    done(&one, "PATCH", STAGING, set("/name", "Stage")).await;
    assert_eq!(told(&mut stream, "patch").await.1["envName"], "Stage");
    let first = changed.elapsed();
    let until = now_ms() + 4_000;
    let rotated = done(&one, "POST", &format!("{STAGING}/apiKey?expiry={until}"), None).await;
    let said = told(&mut stream, "patch").await.1;
    assert_eq!(said["sdkKey"]["expiring"], json!({"value": "sdk-demo-staging", "timestamp": until}));
    assert_eq!(said["sdkKey"]["value"], rotated["apiKey"]);
    let mut flags = Stream::open(&other, "/all", "sdk-demo-staging").await;
    flags.expect("put").await;
    let status = async |service: &Service| {
        service.request("GET", "/sdk/latest-all", &[("authorization", "sdk-demo-staging")], b"").await.status
    };
    assert_eq!((status(&one).await, status(&other).await), (200, 200));
    assert!(flags.next().await.is_none(), "a stream on the other node ends too");
    assert!(now_ms() >= until, "before its time");
    assert_eq!((status(&one).await, status(&other).await), (401, 401));
    // What lets relays in is read where they ask.
    let (id, key) = create(&one, policy(&["proj/*:env/production"])).await;
    let mut relay = Stream::open(&other, STREAM, &key).await;
    relay.expect("put").await;
    done(&one, "DELETE", &format!("{CONFIGS}/{id}"), None).await;
    let deleted = Instant::now();
    assert!(relay.next().await.is_none(), "its relays are sent away by every node");
    println!(
        "from a change on one node to a relay at the other: {first:?}, to being sent away {:?}",
        deleted.elapsed()
    );
    one.stop().await;
    other.stop().await;
}

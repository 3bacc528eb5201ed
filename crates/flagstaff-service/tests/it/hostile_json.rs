//! R27: JSON that is made to exhaust or to mislead its reader, at every door that takes something.

use std::time::{Duration, Instant};

use flagstaff_testkit::{Form, Hostile, Reading, hostile_json};
use serde_json::{Value, json};

use crate::doors::{Door, Takes, doors};
use crate::support::{Answer, Service, peak_memory, reset_peak_memory};

const SDK: (&str, &str) = ("authorization", "sdk-demo-production");

/// The limits of bodies, in bytes.
const REST: usize = 2 << 20;
const CONTEXT: usize = 1 << 20;
const DIAGNOSTICS: usize = 256 << 10;
/// Longer addresses are refused before anybody looks at them.
const ADDRESS: usize = 30_000;

/// Whether a door has to say yes.
fn is_taken(door: &Door, sent: &Hostile) -> bool {
    let length = sent.bytes.len();
    let path = door.template.as_str();
    match door.takes {
        Takes::Nothing | Takes::Image => true,
        // Unknown properties are passed over, whatever they hold.
        Takes::Rest if path.ends_with("/contexts") || path.ends_with("/users") => {
            sent.form == Form::Object && sent.reading != Reading::Nothing && length <= REST
        }
        Takes::Rest if path == "/api/v2/import/{project}/{environment}" => {
            sent.form == Form::Object && sent.reading == Reading::Whole
        }
        Takes::Rest => door.method == "PATCH" && sent.name == "an empty list",
        // Each line is a key, whatever it looks like.
        Takes::File => {
            let text = std::str::from_utf8(&sent.bytes);
            text.is_ok_and(|text| text.len() <= 16 * 1024 && !text.contains(','))
        }
        Takes::Form => false,
        Takes::Context | Takes::ContextInPath => {
            let valid = ["names twice", "a NUL", "a text of nearly a megabyte", "forty thousand names"];
            valid.contains(&sent.name) && length <= CONTEXT
        }
        Takes::OpenFeature => false,
        // An event that cannot be read does not spoil the others.
        Takes::Events => {
            let passed_over =
                ["a number whose exponent is too large", "the halves of a character, exchanged"];
            sent.name == "an empty list" || passed_over.contains(&sent.name)
        }
        Takes::Diagnostics => {
            sent.form == Form::Object && sent.reading == Reading::Whole && length <= DIAGNOSTICS
        }
    }
}

/// A refusal says what is wrong, in the shape that whoever asks there can read.
#[track_caller]
fn check_refusal(door: &Door, sent: &Hostile, answer: &Answer) {
    let what = format!("{} with {}: {answer:?}", door.name(), sent.name);
    assert!((400..500).contains(&answer.status), "{what}");
    // Bodies beyond the limit are refused before it is known what they are.
    if door.takes == Takes::Form && answer.status != 413 {
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{what}");
        return;
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{what}"));
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let (code, message) = match body.get("errorCode") {
        Some(code) => (code.as_str().unwrap_or_default(), text("errorDetails")),
        None => (text("code"), text("message")),
    };
    let expected: &[&str] = match (answer.status, door.takes) {
        (413, _) => &["payload_too_large"],
        (404, Takes::ContextInPath) => &["not_found"],
        (400, Takes::OpenFeature) => &["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT"],
        (400, _) => &["invalid_request"],
        _ => panic!("{what}"),
    };
    assert!(expected.contains(&code), "{what}");
    let names_our_types = ["struct ", "enum "].iter().any(|word| message.contains(word));
    assert!(message.len() > 10 && message.len() < 1000 && !names_our_types, "{what}");
}

#[tokio::test]
async fn every_door_answers_and_the_service_goes_on() {
    let service = Service::demo().await;
    let doors = doors(&service).await;
    let everything = service.rest("GET", "/api/v2/export", None).await.body;
    let before = reset_peak_memory();
    let (mut answers, mut slowest) = (0, (Duration::ZERO, String::new()));
    let hostile = hostile_json();
    for door in &doors {
        for sent in &hostile {
            let is_in_address = matches!(door.takes, Takes::ContextInPath | Takes::Image);
            // What no door reads needs no variety.
            if (is_in_address && sent.bytes.len() > ADDRESS)
                || (door.takes == Takes::Nothing && sent.name != "a million names")
            {
                continue;
            }
            let begun = Instant::now();
            let answer = door.send(&service, &sent.bytes, &[]).await;
            if begun.elapsed() > slowest.0 {
                slowest = (begun.elapsed(), format!("{} with {}", door.name(), sent.name));
            }
            answers += 1;
            if is_taken(door, sent) {
                assert!(
                    (200..300).contains(&answer.status),
                    "{} with {}: {answer:?}",
                    door.name(),
                    sent.name
                );
            } else {
                check_refusal(door, sent, &answer);
            }
        }
        let flag = service.request("GET", "/sdk/latest-flags/wish-lists", &[SDK], b"").await;
        assert_eq!(flag.status, 200, "after {}", door.name());
    }
    service.counted().await;
    assert!(service.rest("GET", "/api/v2/export", None).await.body == everything, "nothing was changed");
    println!(
        "R27: {answers} answers at {} doors, the slowest after {:.0?} ({}); memory from {before} MB to {} MB at most",
        doors.len(),
        slowest.0,
        slowest.1,
        peak_memory(),
    );
    service.stop().await;
}

/// Whoever reads addresses does so before there is anybody to answer in JSON.
#[tokio::test]
async fn an_address_of_any_length_is_answered() {
    let service = Service::demo().await;
    for door in doors(&service).await {
        if !matches!(door.takes, Takes::ContextInPath | Takes::Image) {
            continue;
        }
        let refused: &[u16] = if door.takes == Takes::Image { &[200, 414, 431] } else { &[400, 414, 431] };
        for length in [40_000, 48_000, 50_000, 100_000, 500_000, 10_000_000] {
            let answer = door.send(&service, &vec![b'['; length], &[]).await;
            assert!(refused.contains(&answer.status), "{} with {length}: {answer:?}", door.name());
        }
    }
    service.stop().await;
}

/// Each of these is in one batch with an event that is as it should be.
#[tokio::test]
async fn odd_events_do_not_spoil_the_others() {
    let service = Service::demo().await;
    let many: String = (0..1_000_000).map(|number| format!("\"a{number}\":0,")).collect();
    let long = "x".repeat(10_000_000);
    let deep = format!("{}1{}", "[".repeat(97), "]".repeat(97));
    let odd = [
        "{}".to_owned(),
        r#"{"kind":"\ud800"}"#.to_owned(),
        r#"{"kind":"index","context":{"kind":"user","key":"\udc00"}}"#.to_owned(),
        r#"{"kind":"index","creationDate":1e400,"context":{"kind":"user","key":"a"}}"#.to_owned(),
        r#"{"kind":"index","creationDate":-1e300,"context":{"kind":"user","key":"late"}}"#.to_owned(),
        r#"{"kind":"index","kind":"custom","context":{"kind":"user","key":"b"},"context":null}"#.to_owned(),
        r#"{"kind":"index","context":{"kind":"user","key":"nul\u0000","name":"\u0000","\u0000":"\u0000"}}"#.to_owned(),
        r#"{"kind":"custom","key":"nul\u0000","context":{"kind":"user","key":"nul\u0000"},"metricValue":1e308}"#.to_owned(),
        r#"{"kind":"summary","startDate":1,"endDate":2,"features":{"nul\u0000":{"counters":[{"variation":0,"version":1,"count":1}]}}}"#.to_owned(),
        r#"{"kind":"summary","startDate":1,"endDate":2,"features":{"f":{"counters":[{"variation":1e400,"version":-1,"count":1e30}]}}}"#.to_owned(),
        format!(r#"{{"kind":"index","context":{{"kind":"user","key":"deep","a":{deep}}}}}"#),
        format!(r#"{{"kind":"index","context":{{{many}"kind":"user","key":"many"}}}}"#),
        format!(r#"{{"kind":"index","context":{{"kind":"user","key":"long","name":"{long}"}}}}"#),
        format!(r#"{{"kind":"index","context":{{"kind":"user","key":"{long}"}}}}"#),
        format!(r#"{{"kind":"summary","startDate":1,"endDate":2,"features":{{"{long}":{{"counters":[{{"variation":0,"version":1,"count":1}}]}}}}}}"#),
    ];
    let before = reset_peak_memory();
    let headers = [SDK, ("content-type", "application/json"), ("x-launchdarkly-event-schema", "4")];
    for (number, odd) in odd.iter().enumerate() {
        let good = json!({"kind": "index", "creationDate": flagstaff_service::now_ms(),
            "context": {"kind": "user", "key": format!("good-{number}")}});
        let batch = format!("[{odd},{good},{odd}]");
        // Two of the long ones are more than a batch may hold.
        let batch = if batch.len() > flagstaff_service::ingest::BODY_LIMIT {
            format!("[{odd},{good}]")
        } else {
            batch
        };
        let answer = service.request("POST", "/bulk", &headers, batch.as_bytes()).await;
        assert_eq!(answer.status, 202, "{odd:.200}: {answer:?}");
    }
    service.counted().await;
    let seen = service.rest("GET", "/api/v2/users/demo/production?limit=1000", None).await.json();
    let seen: Vec<&str> =
        seen["items"].as_array().unwrap().iter().map(|item| item["user"]["key"].as_str().unwrap()).collect();
    for (number, odd) in odd.iter().enumerate() {
        let key = format!("good-{number}");
        assert!(seen.contains(&key.as_str()), "{key}, beside {odd:.200}");
    }
    println!(
        "R27: {} odd events counted; memory from {before} MB to {} MB at most",
        odd.len(),
        peak_memory()
    );
    service.stop().await;
}

//! R1 in small: kill -9 at chance moments of flag writes. The whole of it, 200 kills, runs with
//! `FLAGSTAFF_KILLS=200`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::process::{Folder, Service, request};

const TOKEN: &str = "api-demo";
const SDK_KEY: &str = "sdk-demo-production";
/// Kills of an ordinary test run.
const KILLS: u64 = 12;

/// What one writer knows of its flag: the last value acknowledged, and the last one sent.
#[derive(Debug, Default)]
struct Written {
    acknowledged: AtomicU64,
    sent: AtomicU64,
}

/// Each write sets a variation's value and a tag of the same flag: a definition and targeting in both
/// environments, so that half of it would show.
fn write(address: &str, flag: &str, value: u64) -> bool {
    let patch = json!([
        {"op": "replace", "path": "/variations/0/value", "value": value},
        {"op": "replace", "path": "/tags", "value": [format!("t{value}")]},
        {"op": "replace", "path": "/environments/production/targets", "value": [{"variation": 0, "values": [format!("u{value}")]}]},
    ]);
    let path = format!("/api/v2/flags/demo/{flag}");
    request(address, "PATCH", &path, TOKEN, &patch.to_string()).is_some_and(|(status, _)| status == 200)
}

#[test]
fn no_acknowledged_change_is_lost_and_none_is_half_there_after_kill_9() {
    let kills = std::env::var("FLAGSTAFF_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let folder = Folder::new("crash");
    let flags = ["checkout-redesign", "wish-lists", "exports-enabled"];
    let written: Vec<Arc<Written>> = flags.iter().map(|_| Arc::default()).collect();
    let mut last_versions = [0; 3];
    for kill in 0..kills {
        let mut service = Service::start(&folder, &["--demo", "--log", "off"]);
        for (place, flag) in flags.iter().enumerate() {
            check(&service, flag, &written[place], &mut last_versions[place]);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = flags
            .iter()
            .zip(&written)
            .map(|(flag, known)| {
                let (flag, known, stop) = ((*flag).to_owned(), known.clone(), stop.clone());
                let address = service.address().to_owned();
                std::thread::spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let value = known.sent.fetch_add(1, Ordering::SeqCst) + 1;
                        if !write(&address, &flag, value) {
                            return;
                        }
                        known.acknowledged.store(value, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        // Spread over the time that several writes take.
        std::thread::sleep(Duration::from_micros(20_000 + kill * 7_919 % 97_000));
        service.kill();
        stop.store(true, Ordering::SeqCst);
        for writer in writers {
            writer.join().unwrap();
        }
    }
    let acknowledged: u64 = written.iter().map(|known| known.acknowledged.load(Ordering::SeqCst)).sum();
    println!("{kills} kills, {acknowledged} writes acknowledged, none lost");
    assert!(acknowledged > kills, "the kills fell into writing");
}

/// The flag is as its last acknowledged write made it, or as the one that was under way would have.
fn check(service: &Service, flag: &str, known: &Written, last_version: &mut u64) {
    let (status, shown) = service.request("GET", &format!("/api/v2/flags/demo/{flag}"), TOKEN, "").unwrap();
    assert_eq!(status, 200);
    let (_, sent) = service.request("GET", &format!("/sdk/latest-flags/{flag}"), SDK_KEY, "").unwrap();
    let version = sent["version"].as_u64().unwrap();
    assert!(version >= *last_version, "{flag} fell from version {last_version} to {version}");
    *last_version = version;
    let Some(value) = shown["variations"][0]["value"].as_u64() else {
        assert_eq!(known.acknowledged.load(Ordering::SeqCst), 0, "{flag} lost everything");
        return;
    };
    let range = known.acknowledged.load(Ordering::SeqCst)..=known.sent.load(Ordering::SeqCst);
    assert!(range.contains(&value), "{flag} is at {value}, outside {range:?}");
    assert_eq!(shown["tags"], json!([format!("t{value}")]), "{flag} is half-written");
    assert_eq!(sent["variations"][0], value, "{flag}: SDKs get something else");
    assert_eq!(
        sent["targets"],
        json!([{"variation": 0, "values": [format!("u{value}")]}]),
        "{flag} is half-written"
    );
    assert_eq!(shown["environments"]["production"]["version"], sent["version"]);
    // What was sent and not acknowledged may be there; the next writes go on from it.
    known.acknowledged.fetch_max(value, Ordering::SeqCst);
}

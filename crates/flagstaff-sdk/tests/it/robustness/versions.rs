//! R19: versions out of order, twice, after deletions and at 2^53. What is in force at the end is, of
//! each item, the greatest version that came.

use std::collections::HashMap;
use std::io::Write;

use flagstaff_testkit::{FakeService, flag, user};
use serde_json::json;

use super::wait_for_value;
use crate::support::{config, started};

/// A generator of its own, so that a seed means the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn version(&mut self) -> u64 {
        match self.below(6) {
            0 => (1 << 53) - 2 + self.below(4),
            1 => 0,
            _ => self.below(30),
        }
    }
}

#[derive(Default)]
struct Model(HashMap<String, (u64, bool)>);

impl Model {
    fn take(&mut self, key: &str, version: u64, live: bool) {
        let known = self.0.entry(key.to_owned()).or_insert((version, live));
        if version > known.0 {
            *known = (version, live);
        }
    }

    fn live(&self, key: &str) -> Option<u64> {
        self.0.get(key).filter(|(_, live)| *live).map(|(version, _)| *version)
    }
}

const KEYS: u64 = 6;

#[test]
fn the_greatest_version_wins_whatever_the_order_on_a_stream() {
    for seed in 0..20 {
        check(seed);
    }
}

fn check(seed: u64) {
    let mut random = Random(seed);
    let (mut flags, mut segments) = (Model::default(), Model::default());
    // A flag for each segment tells who is in it.
    let watching = (0..KEYS).map(|i| {
        let clause = json!({"attribute": "", "op": "segmentMatch", "values": [format!("s{i}")]});
        flag(&format!("in-s{i}"))
            .with("rules", json!([{"variation": 0, "clauses": [clause]}]))
            .with("fallthrough", json!({"variation": 1}))
    });
    let service = FakeService::start(watching);
    let client = started(config(&service).send_events(false));
    let mut bytes = Vec::new();
    for _ in 0..400 {
        let (version, live) = (random.version(), random.below(3) > 0);
        let (prefix, model) =
            if random.below(2) == 0 { ("flags/f", &mut flags) } else { ("segments/s", &mut segments) };
        let path = format!("/{prefix}{}", random.below(KEYS));
        model.take(&path, version, live);
        // A deletion comes as one, or as an item that says so.
        let (event, data) = if live {
            let item = json!({
                "version": version, "on": true, "variations": [version], "fallthrough": {"variation": 0},
                "included": [format!("at-{version}")],
            });
            ("patch", json!({"path": path, "data": item}))
        } else if random.below(2) == 0 {
            ("patch", json!({"path": path, "data": {"version": version, "deleted": true}}))
        } else {
            ("delete", json!({"path": path, "version": version}))
        };
        write!(bytes, "event: {event}\ndata: {data}\n\n").unwrap();
    }
    service.send(&bytes);
    service.patch(flag("last").serving("there"));
    wait_for_value(&client, "last", "there");

    for key in 0..KEYS {
        let served = client.variation(&format!("f{key}"), &user("u"), json!("none"));
        let expected = flags.live(&format!("/flags/f{key}"));
        assert_eq!(served, expected.map_or(json!("none"), Into::into), "seed {seed}, flag f{key}");
        let alive = segments.live(&format!("/segments/s{key}"));
        for version in [0, 1, 7, 29, (1 << 53) - 1, 1 << 53, (1 << 53) + 1].into_iter().chain(alive) {
            let inside = client.variation(&format!("in-s{key}"), &user(&format!("at-{version}")), false);
            assert_eq!(inside, alive == Some(version), "seed {seed}, segment s{key} at {version}");
        }
    }
    assert_eq!(service.requests("/all").len(), 1);
}

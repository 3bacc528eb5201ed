//! R1: kill -9 at random points of flag writes. Every acknowledged change is there afterwards, with its
//! version, audit entries and change-log entries; none is there by half; no version that a stream saw is
//! ever taken back.
//!
//! `FLAGSTAFF_KILLS=200 cargo test -p flagstaff-cli --test it crash -- --nocapture` is the whole of it;
//! `FLAGSTAFF_SEED` repeats a run.

mod history;
mod watcher;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use crate::kills::{Chance, crashes, kills};
use crate::place::{Place, Sessions};
use crate::process::{Service, request};
use history::{Baseline, History};
use watcher::{Seen, Watcher};

const TOKEN: &str = "api-demo";
const SDK_KEY: &str = "sdk-demo-production";
const FLAGS: [&str; 3] = ["checkout-redesign", "exports-enabled", "wish-lists"];

/// The kill comes within so long after the first acknowledged write: the time that several take.
const WRITING: Duration = Duration::from_millis(300);

/// Ten times what is expected.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one writer knows of its flag.
#[derive(Debug)]
struct Writer {
    flag: &'static str,
    /// The number of the last write that was sent.
    sent: u64,
    acknowledged: BTreeSet<u64>,
}

/// What must never happen, counted and described.
#[derive(Debug, Default)]
struct Findings {
    lost: Vec<String>,
    half_applied: Vec<String>,
    taken_back: Vec<String>,
}

#[test]
fn no_acknowledged_change_is_lost_and_none_is_half_there_after_kill_9() {
    run(&Place::sqlite("crash"));
}

#[test]
fn no_acknowledged_change_is_lost_and_none_is_half_there_after_kill_9_on_postgres() {
    if let Some(place) = Place::postgres("crash") {
        run(&place);
    }
}

#[test]
fn no_acknowledged_change_is_lost_and_none_is_half_there_after_a_crash_of_postgres() {
    let Some(mut place) = Place::postgres("crash-of-postgres") else { return };
    let mut chance = Chance::new("crash_of_postgres");
    let mut service = place.start(&["--demo", "--log", "off"]);
    let mut test = Test::new();
    test.check(&place, &service);
    let watcher = Watcher::start(service.address());
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in &mut test.writers {
            let address = service.address();
            let (stop, acknowledged) = (&stop, &acknowledged);
            scope.spawn(move || writer.write_until(address, stop, acknowledged));
        }
        place.crash_database(crashes(), &mut chance, || acknowledged.load(Ordering::Relaxed));
        stop.store(true, Ordering::Relaxed);
    });
    service.kill();
    watcher.end_into(&mut test.seen, &mut test.findings.taken_back);
    let killed = place.sessions();
    let service = place.start(&["--demo", "--log", "off"]);
    place.wait_until_ended(&killed);
    test.check(&place, &service);
    test.conclude(&format!("R1 postgres: {} crashes of the server", crashes()), crashes());
}

fn run(place: &Place) {
    let mut chance = Chance::new("crash");
    let mut test = Test::new();
    let kills = kills();
    let mut killed = Sessions::default();
    for _ in 0..kills {
        let mut service = place.start(&["--demo", "--log", "off"]);
        place.wait_until_ended(&killed);
        test.check(place, &service);
        let watcher = Watcher::start(service.address());
        let address = service.address().to_owned();
        test.write_while(&address, || {
            std::thread::sleep(chance.pause(WRITING));
            service.kill();
            killed = place.sessions();
        });
        watcher.end_into(&mut test.seen, &mut test.findings.taken_back);
    }
    let service = place.start(&["--demo", "--log", "off"]);
    place.wait_until_ended(&killed);
    test.check(place, &service);
    test.conclude(&format!("R1 {}: {kills} kills", place.engine()), kills);
}

/// Everything of one run.
struct Test {
    writers: [Writer; 3],
    seen: Seen,
    findings: Findings,
    baseline: Option<Baseline>,
}

impl Test {
    fn new() -> Self {
        let writers = FLAGS.map(|flag| Writer { flag, sent: 0, acknowledged: BTreeSet::new() });
        Self { writers, seen: Seen::default(), findings: Findings::default(), baseline: None }
    }

    /// Has all write, one after the other without a pause, until they fail; and does `meanwhile` once one of
    /// their writes is acknowledged.
    fn write_while(&mut self, address: &str, meanwhile: impl FnOnce()) {
        let (first, wrote) = mpsc::channel();
        std::thread::scope(|scope| {
            for writer in &mut self.writers {
                let first = first.clone();
                scope.spawn(move || writer.write_until_it_fails(address, &first));
            }
            wrote.recv_timeout(PATIENCE).expect("a write is acknowledged");
            meanwhile();
        });
    }

    /// Looks at the database and at what the service serves from it.
    fn check(&mut self, place: &Place, service: &Service) {
        let history = History::read(place);
        let baseline = self.baseline.get_or_insert_with(|| Baseline::of(&history));
        let Findings { lost, half_applied, taken_back } = &mut self.findings;
        history.check_sequences(baseline, half_applied);
        for Writer { flag: key, sent, acknowledged } in &self.writers {
            let flag = history.flag(key);
            let written = flag.writes();
            lost.extend(acknowledged.difference(&written).map(|number| format!("write {number} of {key}")));
            let unknown = written.iter().filter(|number| !(1..=*sent).contains(number));
            half_applied.extend(unknown.map(|number| format!("{key}: {number} was never sent")));
            flag.check(baseline.version(key), half_applied);
            let (status, served) =
                service.request("GET", &format!("/sdk/latest-flags/{key}"), SDK_KEY, "").unwrap();
            assert_eq!(status, 200, "{served}");
            flag.check_served(&served, half_applied);
            self.seen.check(key, &written, &served, taken_back);
        }
        let newest = history.sequence("production");
        if self.seen.newest > newest {
            taken_back.push(format!("the sequence is {newest}, but a stream saw {}", self.seen.newest));
        }
    }

    /// Prints what came of it, and fails if that is not what must be.
    fn conclude(self, what: &str, kills: u64) {
        let Findings { lost, half_applied, taken_back } = &self.findings;
        let acknowledged: usize = self.writers.iter().map(|writer| writer.acknowledged.len()).sum();
        println!(
            "{what}, {acknowledged} changes acknowledged, {} lost, {} half-applied, {} taken back; a stream saw {}",
            lost.len(),
            half_applied.len(),
            taken_back.len(),
            self.seen.changes,
        );
        assert!(acknowledged as u64 >= kills && self.seen.changes >= kills, "the kills fell into writing");
        let is_well = lost.is_empty() && half_applied.is_empty() && taken_back.is_empty();
        assert!(is_well, "{:#?}", self.findings);
    }
}

impl Writer {
    /// Writes until the service is gone.
    fn write_until_it_fails(&mut self, address: &str, first: &mpsc::Sender<()>) {
        while let Some(status) = self.write(address) {
            assert_eq!(status, 200, "a service whose database is well refused a write");
            // Only the first one is waited for.
            let _ = first.send(());
        }
    }

    /// Writes until it is told to stop, also while there is no database.
    fn write_until(&mut self, address: &str, stop: &AtomicBool, acknowledged: &AtomicU64) {
        while !stop.load(Ordering::Relaxed) {
            match self.write(address).expect("the service is there") {
                200 => acknowledged.fetch_add(1, Ordering::Relaxed),
                // Not an error of the request, and not one that lasts.
                503 => 0,
                status => panic!("a service without its database answered a write with {status}"),
            };
        }
    }

    /// Each write sets a variation's value, a tag and a target of the same flag: a definition, which counts
    /// in both environments, and the targeting in one, so that half of it would show. Gives the status, if
    /// there was an answer.
    fn write(&mut self, address: &str) -> Option<u16> {
        self.sent += 1;
        let number = self.sent;
        let targets = json!([{"variation": 0, "values": [history::target(number)]}]);
        let patch = json!([
            {"op": "replace", "path": "/variations/0/value", "value": number},
            {"op": "replace", "path": "/tags", "value": [history::tag(number)]},
            {"op": "replace", "path": "/environments/production/targets", "value": targets},
        ]);
        let path = format!("/api/v2/flags/demo/{}", self.flag);
        let (status, _) = request(address, "PATCH", &path, TOKEN, &patch.to_string())?;
        if status == 200 {
            self.acknowledged.insert(number);
        }
        Some(status)
    }
}

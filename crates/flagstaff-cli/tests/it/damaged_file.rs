//! R6: bytes of the database are damaged: bits flipped, blocks torn, at random places of a file that a service
//! left in order. Whatever the damage, the next start serves each flag as it was, or at an earlier version of it,
//! or not at all and says so; or it does not start, and says why in one sentence. It never panics.
//!
//! `FLAGSTAFF_DAMAGES=1000 cargo test -p flagstaff-cli --test it damaged_file -- --nocapture` is the whole of it;
//! `FLAGSTAFF_SEED` repeats one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::kills::number;
use crate::process::{Folder, Service, flagstaff, request};

const SDK_KEY: &str = "sdk-demo-production";
const TOKEN: &str = "api-demo";

/// Seeds without being told how many.
const USUAL: u64 = 24;

/// Flags that are made besides the demo's, so that there are more pages than the first.
const FLAGS: usize = 40;

/// Every image that an item ever had, by its key.
#[derive(Default)]
struct Images(BTreeMap<String, Vec<Value>>);

impl Images {
    fn note(&mut self, service: &Service) {
        let (status, all) = service.request("GET", "/sdk/latest-all", SDK_KEY, "").expect("an answer");
        assert_eq!(status, 200, "{all}");
        for kind in ["flags", "segments"] {
            for (key, item) in all[kind].as_object().unwrap() {
                let images = self.0.entry(format!("{kind}/{key}")).or_default();
                if images.last() != Some(item) {
                    images.push(item.clone());
                }
            }
        }
    }
}

/// A small source of chance that is the same on each run: splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Damages the file, and says how.
fn damage(file: &mut Vec<u8>, seed: u64) -> String {
    const BLOCK: usize = 512;
    let mut chance = Chance(seed);
    let blocks = file.len() / BLOCK;
    match chance.below(8) {
        // Mostly single bits: the hardest to see.
        0..=3 => {
            let bit = chance.below(file.len() * 8);
            file[bit / 8] ^= 1 << (bit % 8);
            format!("bit {bit} flipped")
        }
        4 => {
            let bits: Vec<_> = (0..16).map(|_| chance.below(file.len() * 8)).collect();
            for bit in &bits {
                file[bit / 8] ^= 1 << (bit % 8);
            }
            format!("bits {bits:?} flipped")
        }
        5 => {
            let at = chance.below(blocks) * BLOCK;
            file[at..at + BLOCK].fill(0);
            format!("block at {at} zeroed")
        }
        6 => {
            let (at, from) = (chance.below(blocks) * BLOCK, chance.below(blocks) * BLOCK);
            file.copy_within(from..from + BLOCK, at);
            format!("block at {at} replaced by that at {from}")
        }
        _ => {
            let length = chance.below(file.len());
            file.truncate(length);
            format!("cut at {length}")
        }
    }
}

/// What came of a start.
enum Start {
    Serves(Child, String),
    /// With what was said.
    Refused(String),
}

fn start(folder: &Folder, log: &Path) -> Start {
    let file = fs::File::create(log).unwrap();
    let data = folder.path().to_str().unwrap();
    let mut command = flagstaff(&["serve", "--demo", "--listen", "127.0.0.1:0", "--data", data]);
    let mut process = command.stdout(Stdio::piped()).stderr(file).spawn().unwrap();
    let mut first = String::new();
    let mut out = BufReader::new(process.stdout.take().unwrap());
    out.read_line(&mut first).unwrap();
    match first.trim_end().strip_prefix("listening on http://") {
        Some(address) => {
            let address = address.to_owned();
            // Nothing more is written there; it is held open all the same.
            std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
            Start::Serves(process, address)
        }
        None => {
            assert_eq!(process.wait().unwrap().code(), Some(1), "{first}");
            Start::Refused(fs::read_to_string(log).unwrap())
        }
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Default)]
struct Summary {
    refused: u64,
    as_before: u64,
    older: u64,
    named: u64,
}

fn one(good: &[u8], images: &Images, seed: u64, summary: &mut Summary) {
    let folder = Folder::new(&format!("damaged-{seed}"));
    let mut file = good.to_vec();
    let how = damage(&mut file, seed);
    fs::write(folder.path().join("flagstaff.db"), &file).unwrap();
    let log = folder.path().join("log");
    let (process, address) = match start(&folder, &log) {
        Start::Refused(said) => {
            assert!(!said.contains("panicked"), "seed {seed}, {how}: {said}");
            let last = said.lines().last().unwrap_or_default();
            assert!(last.contains("flagstaff: "), "seed {seed}, {how}: it did not say why: {said}");
            summary.refused += 1;
            return;
        }
        Start::Serves(process, address) => (Ended(process), address),
    };
    let (status, all) = request(&address, "GET", "/sdk/latest-all", SDK_KEY, "").expect("an answer");
    let (_, about) = request(&address, "GET", "/status", "", "").expect("an answer");
    // A list that meets a damaged row may fail; it must not take the service along.
    let _ = request(&address, "GET", "/api/v2/flags/demo?env=production", TOKEN, "");
    let _ = request(&address, "PATCH", "/api/v2/flags/demo/wish-lists", TOKEN, "[]");
    drop(process);
    let said = fs::read_to_string(&log).unwrap();
    assert!(!said.contains("panicked"), "seed {seed}, {how}: {said}");
    assert_eq!(status, 200, "seed {seed}, {how}: {all}: {said}");
    let (mut is_older, mut is_named) = (false, false);
    for (place, known) in &images.0 {
        let (kind, key) = place.split_once('/').unwrap();
        match all[kind].get(key) {
            Some(served) if Some(served) == known.last() => {}
            Some(served) => {
                assert!(known.contains(served), "seed {seed}, {how}: `{place}` is wrong: {served}: {said}");
                is_older = true;
            }
            None => {
                assert!(
                    said.contains(key),
                    "seed {seed}, {how}: `{place}` is gone, and nobody said so: {said}"
                );
                assert!(about["storage"]["quarantined"].as_u64() > Some(0), "seed {seed}, {how}: {about}");
                is_named = true;
            }
        }
    }
    for kind in ["flags", "segments"] {
        for key in all[kind].as_object().unwrap().keys() {
            assert!(
                images.0.contains_key(&format!("{kind}/{key}")),
                "seed {seed}, {how}: `{key}` was never there"
            );
        }
    }
    summary.older += u64::from(is_older);
    summary.named += u64::from(is_named);
    summary.as_before += u64::from(!is_older && !is_named);
}

/// A file in order, and all that was ever served of it.
fn file(name: &str) -> (Vec<u8>, Images) {
    let folder = Folder::new(name);
    let mut service = Service::start(&folder, &["--demo"]);
    let mut images = Images::default();
    for number in 0..FLAGS {
        let flag = json!({
            "key": format!("flag-{number}"),
            "name": format!("Flag {number}"),
            "description": "words ".repeat(20),
            "variations": [{"value": "one"}, {"value": {"number": number}}, {"value": "x".repeat(100)}],
        });
        let (status, body) =
            service.request("POST", "/api/v2/flags/demo", TOKEN, &flag.to_string()).expect("an answer");
        assert_eq!(status, 201, "{body}");
    }
    images.note(&service);
    for number in 0..FLAGS {
        let patch = json!([{"op": "replace", "path": "/environments/production/on", "value": true}]);
        let path = format!("/api/v2/flags/demo/flag-{number}");
        let (status, body) = service.request("PATCH", &path, TOKEN, &patch.to_string()).expect("an answer");
        assert_eq!(status, 200, "{body}");
    }
    images.note(&service);
    assert_eq!(service.terminate(), Some(0));
    (fs::read(folder.path().join("flagstaff.db")).unwrap(), images)
}

#[test]
fn a_damaged_database_never_serves_a_wrong_flag() {
    let (good, images) = file("damaged-anywhere");
    let mut summary = Summary::default();
    match number("FLAGSTAFF_SEED") {
        Some(seed) => one(&good, &images, seed, &mut summary),
        None => {
            for seed in 0..number("FLAGSTAFF_DAMAGES").unwrap_or(USUAL) {
                one(&good, &images, seed, &mut summary);
            }
        }
    }
    let Summary { refused, as_before, older, named } = summary;
    println!(
        "damaged files of {} pages: {refused} refused, {as_before} served as before, {older} at an earlier version, \
         {named} without an item that was named; no wrong flag, no panic",
        good.len() / 4096
    );
}

/// The text of a flag is damaged, then its copy as well.
#[test]
fn a_damaged_flag_is_put_back_from_its_copy_and_named_without_one() {
    let (good, images) = file("damaged-flag");
    let find = |file: &[u8], from: usize| {
        let text = b"\"name\":\"Flag 7\"";
        file[from..].windows(text.len()).position(|window| window == text).map(|at| from + at + 9)
    };
    let mut places = Vec::new();
    while let Some(place) = find(&good, places.last().map_or(0, |last| last + 1)) {
        places.push(place);
    }
    let serve = |name: &str, damaged: &[usize]| {
        let folder = Folder::new(name);
        let mut file = good.clone();
        for place in damaged {
            file[*place] ^= 1;
        }
        fs::write(folder.path().join("flagstaff.db"), &file).unwrap();
        let log = folder.path().join("log");
        let Start::Serves(process, address) = start(&folder, &log) else {
            panic!("{}", fs::read_to_string(&log).unwrap());
        };
        (folder, Ended(process), address, log)
    };
    // The history of changes holds it, too, which is not what is served; any other two are the row and its copy.
    let mut put_back = 0;
    for (number, place) in places.iter().enumerate() {
        let (_folder, process, address, log) = serve(&format!("damaged-one-{number}"), &[*place]);
        let (status, all) = request(&address, "GET", "/sdk/latest-all", SDK_KEY, "").expect("an answer");
        assert_eq!(status, 200);
        assert_eq!(Some(&all["flags"]["flag-7"]), images.0["flags/flag-7"].last());
        let flag = request(&address, "GET", "/api/v2/flags/demo/flag-7", TOKEN, "").expect("an answer").1;
        assert_eq!(flag["name"], "Flag 7");
        drop(process);
        put_back += usize::from(fs::read_to_string(log).unwrap().contains("put back from its copy"));
    }
    assert_eq!(put_back, 1, "of {} places, one is the row", places.len());

    let (folder, process, address, log) = serve("damaged-both", &places);
    let (_, all) = request(&address, "GET", "/sdk/latest-all", SDK_KEY, "").expect("an answer");
    assert_eq!(all["flags"].get("flag-7"), None, "a flag that is not what was written was served");
    assert_eq!(all["flags"].get("flag-8"), images.0["flags/flag-8"].last());
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("flag `demo/flag-7`"), "{said}");
    let (_, about) = request(&address, "GET", "/status", "", "").expect("an answer");
    assert_eq!(
        (&about["status"], &about["storage"]["quarantined"]),
        (&json!("degraded"), &json!(3)),
        "{about}"
    );
    // Made anew, it is served again, above every version before.
    let flag = json!({"key": "flag-7", "name": "Flag 7", "variations": [{"value": "one"}, {"value": "two"}]});
    let (status, made) =
        request(&address, "POST", "/api/v2/flags/demo", TOKEN, &flag.to_string()).expect("an answer");
    assert_eq!(status, 201, "{made}");
    let (_, all) = request(&address, "GET", "/sdk/latest-all", SDK_KEY, "").expect("an answer");
    let before = images.0["flags/flag-7"].last().unwrap()["version"].as_u64();
    assert!(all["flags"]["flag-7"]["version"].as_u64() > before, "{all}");
    drop(process);
    let check = |arguments: &[&str]| {
        let data = folder.path().to_str().unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_flagstaff"))
            .args(["check", "--data", data])
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (code, said) = check(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("flag `demo/flag-7`"), "{said}");
    assert_eq!(check(&["--forget"]).0, Some(0));
    let (code, said) = check(&[]);
    assert_eq!(code, Some(0), "{said}");
}

/// The driver of the database takes for granted that it is text.
#[test]
fn tables_that_are_not_described_in_text_are_refused_in_a_sentence() {
    let (mut file, _) = file("damaged-schema");
    // It may stand in places, too, that are not in use any more.
    let text = b"CREATE TABLE setting (\n    name  TEXT";
    let places: Vec<_> = (0..file.len() - text.len()).filter(|at| file[*at..].starts_with(text)).collect();
    assert!(!places.is_empty(), "the table is described otherwise");
    for at in places {
        file[at + text.len() - 1] = 0xff;
    }
    let folder = Folder::new("damaged-schema-start");
    fs::write(folder.path().join("flagstaff.db"), &file).unwrap();
    let Start::Refused(said) = start(&folder, &folder.path().join("log")) else {
        panic!("it was served");
    };
    assert!(!said.contains("panicked") && said.contains("flagstaff restore"), "{said}");
}

/// As a file system leaves it that lost what it had not written.
#[test]
fn a_database_that_lost_all_its_bytes_is_not_taken_for_a_new_one() {
    let folder = Folder::new("damaged-empty");
    let mut service = Service::start(&folder, &["--demo"]);
    assert_eq!(service.terminate(), Some(0));
    fs::write(folder.path().join("flagstaff.db"), b"").unwrap();
    let Start::Refused(said) = start(&folder, &folder.path().join("log")) else {
        panic!("a service without flags was begun beside the events of another");
    };
    assert!(said.contains("empty") && said.contains("flagstaff restore"), "{said}");
}

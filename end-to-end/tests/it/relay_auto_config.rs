//! A relay is told what to serve, by the service or by a file, and programs talk to it meanwhile.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use crate::support::http::request;
use crate::support::program::{OFFICIAL_NODE, OFFICIAL_PYTHON_9, PYTHON, Program, RUST};
use crate::support::relay::Relay;
use crate::support::service::Service;
use crate::support::{alone, binaries, eventually, say};

/// Ten times what is expected on a machine that is busy with all of them.
const LIMIT: Duration = Duration::from_secs(10);
/// SDKs and relays try again after a second or so, then less and less often, up to 30 s; twice that at worst.
const RECONNECT: Duration = Duration::from_secs(60);
const RELAY_KEY: &str = "rel-demo";
const PRODUCTION: &str = "projects/demo/environments/production";

#[test]
fn a_program_goes_on_by_the_old_sdk_key_until_its_time_and_no_longer() {
    let _alone = alone();
    let service = Service::start();
    let relay = told(&service);
    let examples = [OFFICIAL_PYTHON_9, PYTHON, RUST];
    let mut by_old_key = examples.map(|example| Program::start_at(example, relay.url(), &service));
    let first = by_old_key.each_mut().map(Program::first_value);

    let expires_in = Duration::from_secs(15);
    let until = (SystemTime::now() + expires_in).duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let rotated = rest(&service, "POST", &format!("{PRODUCTION}/apiKey?expiry={until}"), "");
    let new = rotated["apiKey"].as_str().expect("the new key").to_owned();
    eventually(LIMIT, || if answers(&relay, &new) == 200 { Ok(()) } else { Err("not let in".to_owned()) });
    let mut by_new_key = Program::start_with_key(OFFICIAL_NODE, relay.url(), &service, &new);
    assert_eq!(by_new_key.first_value(), first[0]);
    service.turn(!service.is_on());
    for program in by_old_key.iter_mut().chain([&mut by_new_key]) {
        assert_ne!(program.next_value(LIMIT).1, first[0]);
    }

    let refused = eventually(expires_in + LIMIT, || match answers(&relay, "sdk-demo-production") {
        401 => Ok(SystemTime::now()),
        status => Err(format!("still answered {status}")),
    });
    let late = refused.duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i128 - until as i128;
    assert!(late >= 0, "refused {} ms before its time", -late);
    say(&format!("an old SDK key is refused by a relay {late} ms after its time"));
    // Their streams have ended, so that a flip reaches only those who came by the new key.
    eventually(LIMIT, || match subscribers_of(&relay) {
        1 => Ok(()),
        more => Err(format!("{more} streams are open")),
    });
    service.turn(!service.is_on());
    assert_eq!(by_new_key.next_value(LIMIT).1, first[0]);
    for program in &mut by_old_key {
        assert!(program.is_silent_for(Duration::from_millis(300)), "it goes on beyond its key's time");
    }
}

#[test]
fn an_environment_that_is_made_while_a_relay_runs_is_served_by_it() {
    let _alone = alone();
    let service = Service::start();
    let relay = told(&service);
    let body = json!({"key": "qa", "name": "QA", "color": "123456"}).to_string();
    let made = rest(&service, "POST", "projects/demo/environments", &body);
    let key = made["apiKey"].as_str().expect("its SDK key").to_owned();
    eventually(LIMIT, || if answers(&relay, &key) == 200 { Ok(()) } else { Err("not served".to_owned()) });
    let examples = [OFFICIAL_PYTHON_9, RUST];
    let mut programs = examples.map(|example| Program::start_with_key(example, relay.url(), &service, &key));
    let first = programs.each_mut().map(Program::first_value);
    let flip = json!([{"op": "replace", "path": "/environments/qa/on", "value": true}]).to_string();
    rest(&service, "PATCH", "flags/demo/checkout-redesign", &flip);
    let (_, shown) = programs[0].next_value(LIMIT);
    assert_ne!(shown, first[0]);
    assert_eq!(programs[1].next_value(LIMIT).1, shown);
    let evaluated = programs.map(Program::stop).iter().sum::<u64>();
    assert!(evaluated > 0);
}

#[test]
fn a_relay_starts_with_what_it_was_told_while_the_service_is_away() {
    let _alone = alone();
    let mut service = Service::start();
    let mut relay = told(&service);
    let mut before = Program::start_at(RUST, relay.url(), &service);
    let first = before.first_value();
    before.stop();
    // Snapshots are written a few seconds after a change, and at an orderly end.
    eventually(LIMIT, || {
        let snapshot = relay.file("data/demo-production.json");
        if snapshot.exists() { Ok(()) } else { Err(format!("there is no {}", snapshot.display())) }
    });
    service.kill();
    relay.kill();

    relay.start_again();
    let shown = status(&relay);
    assert_eq!(shown["status"], "degraded", "{shown}");
    assert_eq!(shown["environments"]["demo-production"]["stale"], true, "{shown}");
    assert_eq!(answers(&relay, "sdk-that-may-be-new"), 503, "never a code that makes SDKs give up");
    let examples = [RUST, OFFICIAL_PYTHON_9];
    let mut programs = examples.map(|example| Program::start_at(example, relay.url(), &service));
    for program in &mut programs {
        assert_eq!(program.first_value(), first);
    }
    service.start_again();
    eventually(RECONNECT, || {
        let shown = status(&relay);
        if shown["status"] == "healthy" { Ok(()) } else { Err(shown.to_string()) }
    });
    assert_eq!(answers(&relay, "sdk-that-is-wrong"), 401, "everything is known again");
    service.turn(!service.is_on());
    for program in &mut programs {
        assert_ne!(program.next_value(RECONNECT).1, first);
    }
}

#[test]
fn an_archive_is_swapped_while_programs_are_connected() {
    let _alone = alone();
    let mut service = Service::start();
    let file = service.file("flags.tar.gz");
    archive(&service, &file);
    let options = vec!["--offline-archive".to_owned(), file.display().to_string()];
    // Nobody is there: without an upstream none is asked.
    let relay = Relay::start_told("http://127.0.0.1:1", options);
    let examples = [OFFICIAL_PYTHON_9, OFFICIAL_NODE, PYTHON, RUST];
    let mut programs = examples.map(|example| Program::start_at(example, relay.url(), &service));
    let first = programs.each_mut().map(Program::first_value);
    assert!(first.iter().all(|value| *value == first[0]), "one flag, several values: {first:?}");

    service.turn(!service.is_on());
    archive(&service, &file);
    service.kill();
    for program in &mut programs {
        assert_ne!(program.next_value(LIMIT).1, first[0]);
    }
    // A damaged one changes nothing, and is said once.
    let whole = std::fs::read(&file).expect("the archive is there");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("it can be written");
    eventually(LIMIT, || {
        let said = relay.log().matches("damaged").count();
        if said == 1 { Ok(()) } else { Err(format!("said {said} times")) }
    });
    for program in &mut programs {
        assert!(program.is_silent_for(Duration::from_millis(300)), "it changed its value");
    }
    assert_eq!(status(&relay)["status"], "healthy");
    // What they report is taken, and forgotten.
    for program in programs {
        assert!(program.stop() > 0);
    }
    relay.stop();
}

fn told(service: &Service) -> Relay {
    let relay = Relay::start_told(service.url(), vec!["--auto-config-key".to_owned(), RELAY_KEY.to_owned()]);
    eventually(LIMIT, || {
        let shown = status(&relay);
        if shown["status"] == "healthy" { Ok(()) } else { Err(shown.to_string()) }
    });
    relay
}

/// Writes what the service has to a file.
fn archive(service: &Service, file: &Path) {
    let mut command = Command::new(binaries::flagstaff());
    command.env_clear().arg("archive").arg(file).args(["--upstream", service.url()]);
    let done = command.env("FLAGSTAFF_AUTO_CONFIG_KEY", RELAY_KEY).output().expect("the program runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let listed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(listed, "demo production demo-production\ndemo staging demo-staging\n");
}

fn rest(service: &Service, method: &str, path: &str, body: &str) -> Json {
    let headers = [("Authorization", "api-demo"), ("Content-Type", "application/json")];
    let url = format!("{}/api/v2/{path}", service.url());
    let answer = request(method, &url, &headers, body).expect("the service answers");
    assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    answer.json()
}

fn status(relay: &Relay) -> Json {
    request("GET", &format!("{}/status", relay.url()), &[], "").expect("the relay answers").json()
}

/// What a poll by this key is answered.
fn answers(relay: &Relay, sdk_key: &str) -> u16 {
    let url = format!("{}/sdk/latest-all", relay.url());
    request("GET", &url, &[("Authorization", sdk_key)], "").expect("the relay answers").status
}

/// How many streams of flags are open.
fn subscribers_of(relay: &Relay) -> u64 {
    let text = request("GET", &format!("{}/metrics", relay.url()), &[], "").expect("the relay answers").body;
    let open = text.lines().filter_map(|line| line.strip_prefix("flagstaff_streams_open"));
    let open = open.filter(|rest| rest.starts_with(['{', ' ']));
    open.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

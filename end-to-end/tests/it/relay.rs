//! Programs talk to a relay, and the relay to the service: what holds without it holds through it.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::api::FLAG;
use crate::support::http::request;
use crate::support::program::{
    Example, OFFICIAL_GO, OFFICIAL_JAVA, OFFICIAL_NODE, OFFICIAL_PYTHON_6, OFFICIAL_PYTHON_9,
    OFFICIAL_SECOND_GENERATION, PYTHON, Program, RUST, SECOND_GENERATION,
};
use crate::support::relay::Relay;
use crate::support::service::Service;
use crate::support::{alone, eventually, say};

/// How often the flag is flipped, there and back.
const FLIPS: usize = 4;
/// Ten times what is expected on a machine that is busy with all of them.
const LIMIT: Duration = Duration::from_secs(10);
/// SDKs and relays try again after a second or so, then less and less often, up to 30 s; twice that at worst.
const RECONNECT: Duration = Duration::from_secs(60);
const SDK_KEY: &str = "sdk-demo-production";

#[test]
fn flips_and_events_of_our_rust_sdk_cross_a_relay() {
    check(RUST);
}

#[test]
fn flips_and_events_of_our_python_package_cross_a_relay() {
    check(PYTHON);
}

#[test]
fn flips_and_events_of_the_official_python_sdk_version_9_cross_a_relay() {
    check(OFFICIAL_PYTHON_9);
}

#[test]
fn flips_and_events_of_the_official_python_sdk_version_6_cross_a_relay() {
    check(OFFICIAL_PYTHON_6);
}

#[test]
fn flips_and_events_of_the_official_node_sdk_cross_a_relay() {
    check(OFFICIAL_NODE);
}

#[test]
fn flips_and_events_of_the_official_go_sdk_cross_a_relay() {
    check(OFFICIAL_GO);
}

#[test]
fn flips_and_events_of_the_official_java_sdk_cross_a_relay() {
    check(OFFICIAL_JAVA);
}

#[test]
fn flips_and_events_cross_a_relay_by_second_generation_delivery() {
    check(SECOND_GENERATION);
    check(OFFICIAL_SECOND_GENERATION);
}

#[test]
fn flips_and_events_cross_two_relays() {
    let _alone = alone();
    let service = Service::start();
    let near = Relay::start(service.url());
    let far = Relay::start(near.url());
    let mut program = Program::start_at(RUST, far.url(), &service);
    let first = program.first_value();
    service.turn(!service.is_on());
    assert_ne!(program.next_value(LIMIT).1, first);
    let evaluated = program.stop();
    // In this order each hands on what it was given.
    far.stop();
    near.stop();
    eventually(LIMIT, || adds_up(&service, evaluated));
}

#[test]
fn programs_go_on_while_the_service_behind_their_relay_is_away() {
    let _alone = alone();
    let mut service = Service::start();
    let relay = Relay::start(service.url());
    let mut program = Program::start_at(RUST, relay.url(), &service);
    let first = program.first_value();

    service.kill();
    assert!(program.is_silent_for(Duration::from_secs(2)), "it changed its value");
    // One that starts now is served, too.
    let mut late = Program::start_at(OFFICIAL_NODE, relay.url(), &service);
    assert_eq!(late.first_value(), first);
    assert_eq!(state(&relay), "INTERRUPTED");

    service.start_again();
    let is_on = service.is_on();
    service.turn(!is_on);
    for program in [&mut program, &mut late] {
        assert_ne!(program.next_value(RECONNECT).1, first);
    }
    let evaluated = program.stop() + late.stop();
    // What they reported while the service was away waited in the relay.
    eventually(RECONNECT, || adds_up(&service, evaluated));
}

#[test]
fn a_relay_that_was_killed_starts_while_the_service_is_away_and_serves_what_it_knew() {
    let _alone = alone();
    let mut service = Service::start();
    let mut relay = Relay::start(service.url());
    let mut before = Program::start_at(RUST, relay.url(), &service);
    let first = before.first_value();
    service.turn(!service.is_on());
    let flipped = before.next_value(LIMIT).1;
    before.stop();
    // The snapshot is written a few seconds after a change.
    let version = eventually(LIMIT, || version_of(&relay, FLAG));
    eventually(LIMIT, || match relay.snapshot()["flags"][FLAG]["version"].as_u64() {
        Some(written) if written == version => Ok(()),
        other => Err(format!("version {other:?} is in the snapshot")),
    });
    service.kill();
    relay.kill();

    relay.start_again();
    let status = status(&relay);
    assert_eq!(status["status"], "degraded", "{status}");
    assert_eq!(status["environments"]["production"]["stale"], true, "{status}");
    let examples = [RUST, OFFICIAL_PYTHON_9];
    let mut programs = examples.map(|example| Program::start_at(example, relay.url(), &service));
    for program in &mut programs {
        assert_eq!(program.first_value(), flipped);
    }

    service.start_again();
    eventually(RECONNECT, || if state(&relay) == "VALID" { Ok(()) } else { Err(status_text(&relay)) });
    service.turn(!service.is_on());
    for mut program in programs {
        assert_eq!(program.next_value(LIMIT).1, first);
        program.stop();
    }
}

#[test]
fn a_flag_that_is_deleted_and_made_again_crosses_a_relay() {
    let _alone = alone();
    let service = Service::start();
    let relay = Relay::start(service.url());
    service.make_flag("comes-and-goes", &[json!("first"), json!("other")]);
    let mut program = Program::watch(RUST, relay.url(), &service, "comes-and-goes");
    let first = program.first_value();
    let version = eventually(LIMIT, || version_of(&relay, "comes-and-goes"));

    let url = format!("{}/api/v2/flags/demo/comes-and-goes", service.url());
    let deleted = request("DELETE", &url, &[("Authorization", "api-demo")], "").expect("the service answers");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    let (_, without) = program.next_value(LIMIT);
    assert_ne!(without, first, "the default");

    service.make_flag("comes-and-goes", &[json!("second"), json!("other")]);
    let again = eventually(LIMIT, || {
        let (_, value) = program.next_value(LIMIT);
        if value == without { Err(format!("still `{value}`")) } else { Ok(value) }
    });
    assert_ne!(again, first);
    assert!(eventually(LIMIT, || version_of(&relay, "comes-and-goes")) > version, "versions never fall");
    program.stop();
}

fn check(example: Example) {
    let _alone = alone();
    let service = Service::start();
    let relay = Relay::start(service.url());
    let mut program = Program::start_at(example, relay.url(), &service);
    let first = program.first_value();
    let mut times = Vec::new();
    for flip in 0..FLIPS {
        let sent = std::time::Instant::now();
        service.turn(!service.is_on());
        let (printed, value) = program.next_value(LIMIT);
        assert_eq!(value == first, flip % 2 == 1, "flip {flip} brought `{value}`");
        times.push(printed - sent);
    }
    times.sort();
    let worst = times[FLIPS - 1].as_secs_f64() * 1_000.0;
    say(&format!(
        "from a flip by REST through a relay to the printed line, {}: worst {worst:.1} ms of {FLIPS}",
        example.name
    ));

    let evaluated = program.stop();
    eventually(LIMIT, || {
        let keys = service.users(example.email);
        if keys == [example.user] { Ok(()) } else { Err(format!("`{}` finds {keys:?}", example.email)) }
    });
    eventually(LIMIT, || adds_up(&service, evaluated));
    relay.stop();
}

fn adds_up(service: &Service, evaluated: u64) -> Result<(), String> {
    let counted = service.evaluations();
    if counted == evaluated { Ok(()) } else { Err(format!("{evaluated} evaluated, {counted} counted")) }
}

fn status(relay: &Relay) -> Json {
    request("GET", &format!("{}/status", relay.url()), &[], "").expect("the relay answers").json()
}

fn status_text(relay: &Relay) -> String {
    status(relay).to_string()
}

fn state(relay: &Relay) -> String {
    let status = status(relay);
    status["environments"]["production"]["connectionStatus"]["state"].as_str().unwrap_or_default().to_owned()
}

fn version_of(relay: &Relay, flag: &str) -> Result<u64, String> {
    let url = format!("{}/sdk/latest-flags/{flag}", relay.url());
    let answer =
        request("GET", &url, &[("Authorization", SDK_KEY)], "").map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("{answer:?}"));
    }
    answer.json()["version"].as_u64().ok_or_else(|| format!("{answer:?}"))
}

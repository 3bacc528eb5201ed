//! The service is killed in the middle of its work and started again: nothing it has confirmed is lost, and
//! programs serve what they know meanwhile.

use std::time::Duration;

use crate::support::program::{
    Example, OFFICIAL_GO, OFFICIAL_JAVA, OFFICIAL_NODE, OFFICIAL_PYTHON_9, PYTHON, Program, RUST,
};
use crate::support::service::Service;
use crate::support::{alone, eventually};

/// SDKs try again after a second or so, then less and less often, up to 30 s; twice that at worst.
const RECONNECT: Duration = Duration::from_secs(60);

#[test]
fn our_rust_sdk_goes_on_through_an_outage() {
    check(RUST);
}

#[test]
fn our_python_package_goes_on_through_an_outage() {
    check(PYTHON);
}

#[test]
fn official_python_sdk_goes_on_through_an_outage() {
    check(OFFICIAL_PYTHON_9);
}

#[test]
fn official_node_sdk_goes_on_through_an_outage() {
    check(OFFICIAL_NODE);
}

#[test]
fn official_go_sdk_goes_on_through_an_outage() {
    check(OFFICIAL_GO);
}

#[test]
fn official_java_sdk_goes_on_through_an_outage() {
    check(OFFICIAL_JAVA);
}

#[test]
fn killed_service_has_every_confirmed_flip_when_it_is_back() {
    let mut service = Service::start();
    for on in [false, true, false, true, false] {
        service.turn(on);
        service.kill();
        service.start_again();
        assert_eq!(service.is_on(), on);
    }
}

#[test]
fn killed_service_knows_users_and_counts_when_it_is_back() {
    let _alone = alone();
    let mut service = Service::start();
    let mut program = Program::start(RUST, &service);
    program.first_value();
    let evaluated = program.stop();
    // The program has ended, so its events were accepted; they must be there at once after the crash.
    service.kill();
    service.start_again();
    eventually(Duration::from_secs(10), || {
        let (users, counted) = (service.users(RUST.email), service.evaluations());
        if users == [RUST.user] && counted == evaluated {
            Ok(())
        } else {
            Err(format!("{users:?}, {counted} of {evaluated} evaluations counted"))
        }
    });
}

fn check(example: Example) {
    let _alone = alone();
    let mut service = Service::start();
    let mut program = Program::start(example, &service);
    let first = program.first_value();

    service.kill();
    assert!(program.is_silent_for(Duration::from_secs(2)), "{} changed its value", example.name);

    // Flipped at once, likely before the program is connected again: the first data it gets must tell it.
    service.start_again();
    let is_on = service.is_on();
    service.turn(!is_on);
    let (_, other) = program.next_value(RECONNECT);
    assert_ne!(other, first);

    // Connected for good: the next flip arrives as usual.
    service.turn(is_on);
    let (_, again) = program.next_value(RECONNECT);
    assert_eq!(again, first);
    program.stop();
}

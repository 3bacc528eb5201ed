//! A flag flips in the service, and a running program sees it; what it evaluated is found and adds up.

use std::time::{Duration, Instant};

use crate::support::program::{
    Example, OFFICIAL_GO, OFFICIAL_JAVA, OFFICIAL_NODE, OFFICIAL_PYTHON_6, OFFICIAL_PYTHON_9,
    OFFICIAL_SECOND_GENERATION, PYTHON, Program, RUST, SECOND_GENERATION,
};
use crate::support::service::Service;
use crate::support::{alone, eventually, say};

/// How often the flag is flipped, there and back.
const FLIPS: usize = 10;

/// As a rule a program prints the new value within 100 ms of the request. A machine that is busy with all of
/// them gets much longer: what it took is printed.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn flip_reaches_our_rust_sdk() {
    check(RUST);
}

#[test]
fn flip_reaches_our_python_package() {
    check(PYTHON);
}

#[test]
fn flip_reaches_the_official_python_sdk_version_9() {
    check(OFFICIAL_PYTHON_9);
}

#[test]
fn flip_reaches_the_official_python_sdk_version_6() {
    check(OFFICIAL_PYTHON_6);
}

#[test]
fn flip_reaches_the_official_node_sdk() {
    check(OFFICIAL_NODE);
}

#[test]
fn flip_reaches_the_official_go_sdk() {
    check(OFFICIAL_GO);
}

#[test]
fn flip_reaches_the_official_java_sdk() {
    check(OFFICIAL_JAVA);
}

#[test]
fn flip_reaches_our_python_package_by_second_generation_delivery() {
    check(SECOND_GENERATION);
}

#[test]
fn flip_reaches_the_official_python_sdk_by_second_generation_delivery() {
    check(OFFICIAL_SECOND_GENERATION);
}

#[test]
fn one_flip_reaches_all_of_them_at_once_and_their_counts_add_up() {
    let _alone = alone();
    let service = Service::start();
    let examples =
        [RUST, PYTHON, OFFICIAL_PYTHON_9, OFFICIAL_PYTHON_6, OFFICIAL_NODE, OFFICIAL_GO, OFFICIAL_JAVA];
    let mut programs = examples.map(|example| Program::start(example, &service));
    let first = programs.each_mut().map(Program::first_value);
    assert!(first.iter().all(|value| *value == first[0]), "one flag, several values: {first:?}");

    service.turn(!service.is_on());
    for program in &mut programs {
        assert_ne!(program.next_value(LIMIT).1, first[0]);
    }

    let evaluated = programs.map(Program::stop).iter().sum();
    for example in examples {
        eventually(Duration::from_secs(10), || found(&service, example));
    }
    eventually(Duration::from_secs(10), || adds_up(&service, evaluated));
}

fn check(example: Example) {
    let _alone = alone();
    let service = Service::start();
    let mut program = Program::start(example, &service);

    let first = program.first_value();
    let times = flip_back_and_forth(&service, &mut program, &first);
    say(&format!("from a flip by REST to the printed line, {}: {}", example.name, summary(times)));

    let evaluated = program.stop();
    eventually(Duration::from_secs(10), || found(&service, example));
    eventually(Duration::from_secs(10), || adds_up(&service, evaluated));
}

/// Flips the flag and waits each time for the program to print the other value. The time runs from sending
/// the request on: the line often comes before the answer.
fn flip_back_and_forth(service: &Service, program: &mut Program, first: &str) -> Vec<Duration> {
    let starts_on = service.is_on();
    let mut shown = first.to_owned();
    let mut times = Vec::new();
    for flip in 0..FLIPS {
        let sent = Instant::now();
        service.turn(starts_on == (flip % 2 == 1));
        let (printed, value) = program.next_value(LIMIT);
        assert_ne!(value, shown);
        times.push(printed - sent);
        shown = value;
    }
    assert_eq!(shown, first, "an even number of flips ends where it began");
    times
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort();
    let milliseconds = |index: usize| times[index].as_secs_f64() * 1_000.0;
    let last = times.len() - 1;
    format!("median {:.1} ms, worst {:.1} ms of {}", milliseconds(last / 2), milliseconds(last), times.len())
}

/// The user the program evaluated for is found by e-mail address.
fn found(service: &Service, example: Example) -> Result<(), String> {
    let keys = service.users(example.email);
    if keys == [example.user] { Ok(()) } else { Err(format!("`{}` finds {keys:?}", example.email)) }
}

/// The service has counted as many evaluations as the program made.
fn adds_up(service: &Service, evaluated: u64) -> Result<(), String> {
    let counted = service.evaluations();
    if counted == evaluated { Ok(()) } else { Err(format!("{evaluated} evaluated, {counted} counted")) }
}

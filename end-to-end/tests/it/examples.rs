//! The examples of the Rust SDK beside the first: a command line, a synchronous program, a web service.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::binaries::rust_example_called;
use crate::support::eventually;
use crate::support::http::request;
use crate::support::process::Process;
use crate::support::service::Service;

/// Ten times what they take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// Nothing listens there: the port is reserved for a service that is long gone.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn the_command_line_prints_value_and_reason() {
    let service = Service::start();
    let answered = |flag: &str, context: &str| {
        let output = run("command-line", service.url(), &[flag, context]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines[0].clone(), lines[1]["kind"].clone())
    };
    assert_eq!(answered("wish-lists", "ada"), (json!(true), json!("TARGET_MATCH")));
    assert_eq!(answered("wish-lists", "nobody"), (json!(false), json!("FALLTHROUGH")));
    let pro = r#"{"kind":"user","key":"maria","plan":"pro"}"#;
    assert_eq!(answered("shipping-banner", pro), (json!("next-day"), json!("RULE_MATCH")));
    let acme = r#"{"kind":"organization","key":"acme"}"#;
    assert_eq!(answered("wish-lists", acme), (json!(true), json!("TARGET_MATCH")));
    assert_eq!(service.evaluations_of("wish-lists"), 0, "who looks a value up is nobody who got it");
}

#[test]
fn the_command_line_says_why_there_is_no_answer() {
    let service = Service::start();
    let refused = |url: &str, key: &str, arguments: &[&str], code: i32, said: &str| {
        let mut command = command("command-line", url);
        let output = command.env("FLAGSTAFF_SDK_KEY", key).args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(said) && output.stdout.is_empty(), "{errors}");
    };
    let key = "sdk-demo-production";
    refused(service.url(), key, &["no-such-flag", "ada"], 1, "there is no flag `no-such-flag`");
    refused(service.url(), "sdk-wrong", &["wish-lists", "ada"], 1, "wrong SDK key");
    refused(NOWHERE, key, &["wish-lists", "ada"], 1, "Connection refused");
    refused(service.url(), key, &["wish-lists", r#"{"kind":"user"}"#], 2, "is no context");
    refused(service.url(), key, &["wish-lists"], 2, "usage:");
}

#[test]
fn the_synchronous_program_decides_and_reports() {
    let service = Service::start();
    let output = run("sync", service.url(), &["maria:pro", "ola:free"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "maria: next-day (RULE_MATCH)\nola: none (FALLTHROUGH)\n");
    // It ended: what it evaluated was sent before.
    eventually(LIMIT, || match service.evaluations_of("shipping-banner") {
        2 => Ok(()),
        count => Err(format!("{count} evaluations were counted")),
    });
}

#[test]
fn the_synchronous_program_goes_on_without_flags() {
    let output = run("sync", NOWHERE, &["maria:pro"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "maria: none (ERROR)\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Connection refused"), "{output:?}");
}

#[test]
fn the_web_service_asks_for_each_visitor_and_reports_before_it_ends() {
    let service = Service::start();
    let (mut shop, url) = shop(&service, "sdk-demo-production");
    let page = |headers: &[(&str, &str)]| request("GET", &format!("{url}/"), headers, "").unwrap();

    let anonymous = page(&[]).json();
    assert_eq!(anonymous, json!({"checkout": "old", "banner": "none", "wishLists": false}));
    let ada = page(&[("x-user-key", "ada"), ("x-user-plan", "pro")]).json();
    assert_eq!(ada, json!({"checkout": "old", "banner": "next-day", "wishLists": true}));
    assert_eq!(page(&[("x-user-key", "")]).status, 400);
    let health = request("GET", &format!("{url}/health"), &[], "").unwrap();
    assert_eq!((health.status, &health.json()["state"]), (200, &json!("VALID")));

    let mut asked = 2;
    service.turn(true);
    eventually(LIMIT, || {
        asked += 1;
        let seen = page(&[]).json();
        if seen["checkout"] == "new" { Ok(()) } else { Err(seen.to_string()) }
    });

    shop.signal("TERM");
    assert!(shop.wait(LIMIT).success());
    eventually(LIMIT, || match service.evaluations() {
        count if count == asked => Ok(()),
        count => Err(format!("{asked} were asked for, {count} were counted")),
    });
}

#[test]
fn the_web_service_stays_healthy_while_the_service_of_flags_is_away_if_it_has_flags() {
    let mut service = Service::start();
    let (_shop, url) = shop(&service, "sdk-demo-production");
    let health = || {
        let answer = request("GET", &format!("{url}/health"), &[], "").unwrap();
        (answer.status, answer.json()["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(health(), (200, "VALID".to_owned()));
    service.kill();
    eventually(LIMIT, || match health() {
        (200, state) if state == "INTERRUPTED" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let ada = request("GET", &format!("{url}/"), &[("x-user-key", "ada")], "").unwrap().json();
    assert_eq!(ada["wishLists"], true, "the flags last known are served");
}

#[test]
fn the_web_service_says_that_it_has_no_flags() {
    let service = Service::start();
    let (_shop, url) = shop(&service, "sdk-wrong");
    let health = request("GET", &format!("{url}/health"), &[], "").unwrap();
    assert_eq!((health.status, &health.json()["flags"]), (503, &json!("none")));
    assert!(health.body.contains("wrong SDK key"), "{}", health.body);
    assert_eq!(request("GET", &format!("{url}/"), &[], "").unwrap().status, 200, "with defaults");
}

/// The web service, on a free port, and where it is.
fn shop(service: &Service, sdk_key: &str) -> (Process, String) {
    let mut command = command("axum", service.url());
    command.env("FLAGSTAFF_SDK_KEY", sdk_key).env("SHOP_LISTEN", "127.0.0.1:0");
    let mut process = Process::start("the web service", &mut command, service.file("shop.log"));
    let (_, url) = process.line_after("listening on ", LIMIT);
    (process, url)
}

fn run(example: &str, url: &str, arguments: &[&str]) -> Output {
    command(example, url).args(arguments).output().expect("the example runs")
}

fn command(example: &str, url: &str) -> Command {
    let mut command = Command::new(rust_example_called(example));
    command.env("FLAGSTAFF_URL", url).env_remove("FLAGSTAFF_SDK_KEY");
    command
}

//! A service whose name cannot be found, until it can.
//!
//! The client runs in a process of its own, which sees another `/etc/hosts`. Where the system does not
//! allow that (`unshare`), the test says so and passes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use flagstaff_sdk::{Client, Config, DataSourceErrorKind, DataSourceState};
use flagstaff_testkit::{FakeService, PATIENCE, eventually, flag, user};

/// What the program says once the name was looked for in vain, several times.
const IN_VAIN: &str = "looked for in vain";

/// Runs in a process of its own: `/etc/hosts` is another there.
#[test]
#[ignore = "run by a_name_that_cannot_be_found_is_looked_for_again_soon"]
fn program_that_looks_for_its_service() {
    let config = Config::new("sdk-key")
        .base_uri(std::env::var("SERVICE").unwrap())
        .initial_reconnect_delay(Duration::from_millis(5))
        .send_events(false);
    let client = Client::start(config).unwrap();
    // What will pass by itself releases nobody.
    assert!(!client.wait_until_ready(Duration::from_millis(300)));
    let status = client.data_source_status();
    assert_eq!(status.state, DataSourceState::Initializing);
    let first = status.last_error.unwrap();
    assert_eq!(first.kind, DataSourceErrorKind::NetworkError);
    // After an error that does not pass it would be five minutes.
    eventually("it was looked for again", || {
        let error = client.data_source_status().last_error.unwrap();
        (error.time > first.time).then_some(())
    });
    eprintln!("{IN_VAIN}");
    assert!(client.wait_until_ready(PATIENCE), "{:?}", client.data_source_status());
    assert!(client.variation("f", &user("u"), false));
}

#[test]
fn a_name_that_cannot_be_found_is_looked_for_again_soon() {
    let service = FakeService::start([flag("f")]);
    let hosts = std::env::temp_dir().join(format!("flagstaff-sdk-hosts-{}", std::process::id()));
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let in_a_world_of_its_own = |command: &str| {
        let mut process = Command::new("unshare");
        let mount = format!("mount --bind '{}' /etc/hosts && {command}", hosts.display());
        process.args(["--map-root-user", "--mount", "sh", "-c", &mount]);
        process
    };
    if !in_a_world_of_its_own("true").status().is_ok_and(|status| status.success()) {
        println!("not tried: this system does not let a process have a world of its own");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut process = in_a_world_of_its_own(&format!(
        "exec '{}' --exact names::program_that_looks_for_its_service --ignored --nocapture",
        program.display()
    ))
    .env("SERVICE", service.url().replace("127.0.0.1", "flags.invalid"))
    .env_remove("http_proxy")
    .env_remove("HTTP_PROXY")
    .stdout(Stdio::null())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut said = String::new();
    for line in BufReader::new(process.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == IN_VAIN {
            assert!(service.requests("/all").is_empty());
            // In place: what is mounted is this very file.
            fs::write(&hosts, "127.0.0.1 localhost flags.invalid\n").unwrap();
        }
        said.push_str(&line);
        said.push('\n');
    }
    let status = process.wait().unwrap();
    fs::remove_file(&hosts).unwrap();
    assert!(status.success() && said.contains(IN_VAIN), "{said}");
    assert_eq!(service.requests("/all").len(), 1);
}

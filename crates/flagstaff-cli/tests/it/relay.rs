//! `flagstaff relay` from outside: how it is told what to do.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flagstaff_testkit::{Answer, FakeService, eventually};
use serde_json::Value;

use crate::operations::options;
use crate::process::{Folder, Service, flagstaff, request, run};

/// Ten times what is expected.
const PATIENCE: Duration = Duration::from_secs(30);

/// A relay in a process of its own; killed at the end.
struct Relay {
    process: Child,
    address: String,
}

impl Relay {
    fn start(folder: &Folder, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let data = folder.path().join("relay");
        let mut command = flagstaff(&["relay", "--data", data.to_str().unwrap()]);
        command.args(arguments).envs(variables.iter().copied());
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let port =
            first.trim_end().rsplit_once(':').unwrap_or_else(|| panic!("the first line is `{first}`")).1;
        Self { process, address: format!("127.0.0.1:{port}") }
    }

    fn status(&self) -> Value {
        request(&self.address, "GET", "/status", "", "").unwrap().1
    }

    /// Not JSON, so it is read here.
    fn metrics(&self) -> String {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).unwrap();
        text
    }

    fn until_healthy(&self) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if status["status"] == "healthy" {
                return status;
            }
            assert!(Instant::now() < end, "{status}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_relay_takes_the_configuration_of_another_kind_of_relay() {
    let folder = Folder::new("relay-by-other-names");
    let service = Service::start(&folder, &["--demo", "--log", "off"]);
    let upstream = format!("http://{}", service.address());
    let relay = Relay::start(
        &folder,
        &[],
        &[
            ("PORT", "0"),
            ("STREAM_URI", &upstream),
            ("BASE_URI", &upstream),
            ("EVENTS_HOST", &upstream),
            ("USE_EVENTS", "true"),
            ("LD_ENV_Shop_Production", "sdk-demo-production"),
            ("LD_CLIENT_SIDE_ID_Shop_Production", "demo-production"),
            ("LD_ENV_Staging", "sdk-demo-staging"),
        ],
    );
    let status = relay.until_healthy();
    let environments: Vec<_> = status["environments"].as_object().unwrap().keys().collect();
    assert_eq!(environments, ["Shop_Production", "Staging"]);
    let all = request(&relay.address, "GET", "/sdk/latest-all", "sdk-demo-staging", "").unwrap();
    assert_eq!(all.0, 200);
    let events = request(&relay.address, "POST", "/bulk", "sdk-demo-production", "[{\"kind\":\"custom\"}]");
    assert_eq!(events.unwrap().0, 202);
}

#[test]
fn a_relay_takes_its_table_of_the_file() {
    let folder = Folder::new("relay-by-file");
    let service = Service::start(&folder, &["--demo", "--log", "off"]);
    let file = folder.path().join("relay.toml");
    let text = format!(
        "listen = '127.0.0.1:0'\n[relay]\nupstream = 'http://{}'\nevents = 'refuse'\n\
         [relay.environments.production]\nsdk-key = 'sdk-demo-production'\nsecure-mode = true\n",
        service.address()
    );
    std::fs::write(&file, text).unwrap();
    let relay = Relay::start(&folder, &["--config", file.to_str().unwrap()], &[]);
    assert!(relay.until_healthy()["environments"]["production"].is_object());
    let events = request(&relay.address, "POST", "/bulk", "sdk-demo-production", "[{\"kind\":\"custom\"}]");
    assert_eq!(events.unwrap().0, 503);
}

#[test]
fn a_relay_that_cannot_do_what_it_is_told_says_so_without_keys() {
    for (arguments, said) in [
        (&["relay"][..], "there is no environment to relay"),
        (&["relay", "--environment", "name=a,sdk-key=secret key"], "has characters that no key has"),
        (&["relay", "--environment", "name=a,sdk-key=secret,colour=red"], "has no setting `colour`"),
        (&["relay", "--environment", "secret"], "give settings like name=NAME"),
        (&["relay", "--environment", "sdk-key=secret"], "needs a name"),
        (
            &["relay", "--environment", "name=a,sdk-key=secret", "--environment", "name=b,sdk-key=secret"],
            "environment `b` has the SDK key of another",
        ),
        (
            &["relay", "--environment", "name=a,sdk-key=secret", "--events-capacity", "0"],
            "events-capacity is 0",
        ),
        (
            &["relay", "--environment", "name=a,sdk-key=secret", "--redis-url", "redis://h", "--consul", "h"],
            "one of redis-url, consul and dynamodb-table",
        ),
        (
            &["relay", "--environment", "name=a,sdk-key=secret", "--upstream", "flags.example"],
            "`flags.example`",
        ),
    ] {
        let folder = Folder::new("relay-refused");
        let arguments = [arguments, &["--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()]];
        let output = run(&arguments.concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(said), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_relay_that_is_to_keep_nothing_keeps_nothing_whatever_else_is_set() {
    let folder = Folder::new("relay-without-folder");
    let service = Service::start(&folder, &["--demo", "--log", "off"]);
    let upstream = format!("http://{}", service.address());
    let mut command = flagstaff(&["relay", "--data", "", "--listen", "127.0.0.1:0", "--upstream", &upstream]);
    command.args(["--environment", "name=a,sdk-key=sdk-demo-production"]).current_dir(folder.path());
    // Not text: nothing of ours, and no reason to stop.
    command.env("STRANGE", std::os::unix::ffi::OsStrExt::from_bytes(b"\xff") as &std::ffi::OsStr);
    let relay = Relay::of(command);
    relay.until_healthy();
    let made = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let made: Vec<_> = made.filter(|name| name.to_string_lossy().contains("relay")).collect();
    assert!(made.is_empty(), "{made:?}");
}

#[test]
fn the_address_upstream_is_taken_from_where_it_counts_most() {
    let folder = Folder::new("relay-upstream");
    let service = Service::start(&folder, &["--demo", "--log", "off"]);
    let here = format!("http://{}", service.address());
    let nowhere = "http://127.0.0.1:9";
    let file = folder.path().join("relay.toml");
    let text = format!(
        "listen = '127.0.0.1:0'\n[relay]\nupstream = '{nowhere}'\nupstream-stream = '{nowhere}'\n\
         [relay.environments.production]\nsdk-key = 'sdk-demo-production'\n"
    );
    std::fs::write(&file, text).unwrap();
    let file = ["--config", file.to_str().unwrap()];
    Relay::start(&folder, &file, &[("STREAM_URI", &here)]).until_healthy();
    Relay::start(&folder, &[&file[..], &["--upstream", &here]].concat(), &[]).until_healthy();
    Relay::start(&folder, &file, &[("FLAGSTAFF_UPSTREAM", &here), ("STREAM_URI", nowhere)]).until_healthy();
}

/// What a relay answers 202 is on its disk.
#[test]
fn a_relay_that_is_killed_has_lost_no_events_and_sends_each_by_its_id() {
    let (folder, service) = (Folder::new("relay-killed"), FakeService::start([]));
    service.answer_always("/bulk", Answer::status(503));
    let url = service.url();
    let arguments = [
        "--environment",
        "name=a,sdk-key=sdk-a",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &url,
        "--log",
        "off",
    ];
    let mut sent = 0;
    for _ in 0..3 {
        // Killed at the end of its scope, by SIGKILL.
        let relay = Relay::start(&folder, &arguments, &[]);
        for _ in 0..5 {
            let body = format!("[{{\"kind\":\"custom\",\"key\":\"{sent}\"}}]");
            assert_eq!(request(&relay.address, "POST", "/bulk", "sdk-a", &body).unwrap().0, 202);
            sent += 1;
        }
    }
    let refused = service.requests("/bulk").len();
    service.answer_as_usual("/bulk");
    let relay = Relay::start(&folder, &arguments, &[]);
    let forwarded = format!("flagstaff_relay_events_forwarded_total {sent}");
    eventually("all are forwarded", || relay.metrics().lines().any(|line| line == forwarded).then_some(()));
    let arrived = service.requests("/bulk").split_off(refused);
    let mut keys: Vec<_> =
        arrived.iter().map(|batch| batch.json()[0]["key"].as_str().unwrap().to_owned()).collect();
    keys.sort_by_key(|key| key.parse::<u32>().unwrap());
    assert_eq!(keys, (0..sent).map(|number| number.to_string()).collect::<Vec<_>>());
    let ids: HashSet<_> =
        arrived.iter().filter_map(|batch| batch.header("x-launchdarkly-payload-id")).collect();
    assert_eq!(ids.len(), arrived.len());
}

#[test]
fn every_option_of_a_relay_stands_in_the_docs_with_its_name_in_the_environment_and_no_other_does() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/relay.md")).unwrap();
    let rows: Vec<&str> = docs.lines().filter(|line| line.starts_with("| `--")).collect();
    let shared = options("serve");
    let is_shared = |name: &str| name != "--data" && shared.iter().any(|(shared, _)| shared == name);
    let own: Vec<_> = options("relay").into_iter().filter(|(name, _)| !is_shared(name)).collect();
    assert!(own.len() > 20, "{own:?}");
    for (name, variable) in &own {
        let variable = variable.as_deref().unwrap_or_else(|| panic!("{name} has no name in the environment"));
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/relay.md"));
        assert!(row.contains(&format!("`{variable}`")), "{name} is not said with `{variable}`: {row}");
    }
    for row in rows {
        let name = row.split('`').nth(1).unwrap_or_default();
        assert!(own.iter().any(|(known, _)| known == name), "there is no option {name}: {row}");
    }
}

#[test]
fn every_figure_of_a_relay_stands_in_the_docs_and_no_other_does() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/relay.md")).unwrap();
    let folder = Folder::new("relay-figures");
    let arguments = [
        "--environment",
        "name=a,sdk-key=sdk-a",
        "--upstream",
        "http://127.0.0.1:9",
        "--listen",
        "127.0.0.1:0",
    ];
    let relay = Relay::start(&folder, &arguments, &[]);
    let text = relay.metrics();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE flagstaff_relay_"));
    let mut shown: Vec<_> = families.filter_map(|family| family.split_once(' ')).collect();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `flagstaff_relay_"));
    let mut said: Vec<_> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim);
            (cells.next().unwrap_or_default().trim_matches('`'), cells.next().unwrap_or_default())
        })
        .collect();
    shown.sort_unstable();
    said.sort_unstable();
    assert_eq!(said, shown);
}

//! SDKs that ask for a part of the flags get that part, and what comes into it and leaves it.

use std::process::Command;
use std::time::Duration;

use flagstaff_sdk::{Client, Config, DataSystem, PollingSource};
use serde_json::{Value as Json, json};

use crate::support::process::Process;
use crate::support::service::Service;
use crate::support::{binaries, eventually, root};

/// Ten times what the slowest of them takes to start on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Ten times what a poll or a stream takes.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn our_rust_sdk_gets_what_its_filter_names() {
    let quick = Duration::from_millis(50);
    let ways: [fn(Config, Duration) -> Config; 5] = [
        |config, _| config,
        |config, quick| config.stream(false).allow_any_poll_interval().poll_interval(quick),
        |config, _| config.data_system(DataSystem::default_mode()),
        |config, _| config.data_system(DataSystem::streaming()),
        |config, quick| {
            let polls = DataSystem::custom().synchronizer(PollingSource::new());
            config.allow_any_poll_interval().poll_interval(quick).data_system(polls)
        },
    ];
    for way in ways {
        journey(|service| {
            let config = Config::new("sdk-demo-production").base_uri(service.url()).payload_filter("shop");
            Watch::Client(Client::start(way(config, quick)).expect("the configuration is right"))
        });
    }
}

#[test]
fn our_python_package_gets_what_its_filter_names() {
    for delivery in ["stream", "second-generation"] {
        check("our Python package", delivery, python(".venv", "make python-debug"));
    }
}

#[test]
fn the_official_python_sdk_gets_what_its_filter_names() {
    for delivery in ["stream", "second-generation"] {
        check("official Python 9", delivery, python(".venv-official-9", "make setup-official"));
    }
}

#[test]
fn the_official_node_sdk_gets_what_its_filter_names() {
    binaries::needed(root().join("examples/official-node/node_modules/.ready"), "make setup-official");
    let mut command = Command::new("node");
    command.arg(root().join("end-to-end/tests/it/support/filtered.js"));
    check("official Node.js", "stream", command);
}

fn python(environment: &str, set_up_by: &str) -> Command {
    let mut command = Command::new(binaries::python(environment, set_up_by));
    command.arg(root().join("end-to-end/tests/it/support/filtered.py"));
    command
}

/// Who watches which flags there are.
enum Watch {
    /// A program, which prints them.
    Program(Process),
    /// Our Rust SDK, in this process.
    Client(Client),
}

impl Watch {
    fn sees(&mut self, flags: &[&str], limit: Duration) {
        match self {
            Self::Program(process) => {
                let (_, printed) = process.line_after("flags ", limit);
                assert_eq!(serde_json::from_str::<Json>(&printed).unwrap(), json!(flags));
            }
            Self::Client(client) => eventually(limit, || {
                let data = client.data_set();
                let mut seen: Vec<&str> = data.flags().map(|flag| flag.key()).collect();
                seen.sort_unstable();
                if seen == flags { Ok(()) } else { Err(format!("it has {seen:?}")) }
            }),
        }
    }
}

fn check(name: &str, delivery: &str, mut command: Command) {
    journey(|service| {
        command.env("FLAGSTAFF_URL", service.url()).env("DELIVERY", delivery);
        Watch::Program(Process::start(name, &mut command, service.file("filtered.log")))
    });
}

/// Flags come into a filter and leave it, and it becomes another.
fn journey(watch: impl FnOnce(&Service) -> Watch) {
    let service = Service::start();
    service.make_filter("shop", &json!([{"attribute": "tags", "values": ["only-this"]}]));
    service.tag("wish-lists", &["only-this"]);
    let mut watch = watch(&service);
    watch.sees(&["wish-lists"], START);
    service.tag("checkout-redesign", &["only-this"]);
    watch.sees(&["checkout-redesign", "wish-lists"], LIMIT);
    service.tag("wish-lists", &[]);
    watch.sees(&["checkout-redesign"], LIMIT);
    // Streams end, and the SDK comes again.
    service
        .make_filter_another("shop", &json!([{"attribute": "key", "op": "startsWith", "values": ["wish"]}]));
    watch.sees(&["wish-lists"], START);
    match watch {
        Watch::Program(mut process) => {
            process.signal("TERM");
            process.wait(LIMIT);
        }
        Watch::Client(client) => client.close(),
    }
}

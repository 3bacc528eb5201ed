//! SDKs that ask for a part of the flags get that part, and what comes into it and leaves it.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::process::Process;
use crate::support::service::Service;
use crate::support::{binaries, root};

/// Ten times what the slowest of them takes to start on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Ten times what a poll or a stream takes.
const LIMIT: Duration = Duration::from_secs(20);

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

fn check(name: &str, delivery: &str, mut command: Command) {
    let service = Service::start();
    service.make_filter("shop", &json!([{"attribute": "tags", "values": ["only-this"]}]));
    service.tag("wish-lists", &["only-this"]);
    command.env("FLAGSTAFF_URL", service.url()).env("DELIVERY", delivery);
    let mut program = Process::start(name, &mut command, service.file("filtered.log"));
    let mut expect = |limit, flags: Json| {
        let (_, printed) = program.line_after("flags ", limit);
        assert_eq!(serde_json::from_str::<Json>(&printed).unwrap(), flags, "{name} by {delivery}");
    };
    expect(START, json!(["wish-lists"]));
    service.tag("checkout-redesign", &["only-this"]);
    expect(LIMIT, json!(["checkout-redesign", "wish-lists"]));
    service.tag("wish-lists", &[]);
    expect(LIMIT, json!(["checkout-redesign"]));
    // The filter becomes another: streams end, and the SDK comes again.
    service
        .make_filter_another("shop", &json!([{"attribute": "key", "op": "startsWith", "values": ["wish"]}]));
    expect(START, json!(["wish-lists"]));
    program.signal("TERM");
    program.wait(LIMIT);
}

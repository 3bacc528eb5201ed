//! The snippets of the original Python package's two reference pages, run against the real service.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::service::Service;
use crate::support::{binaries, eventually, root};

/// Ten times what they take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn the_page_of_the_python_package_runs_and_is_reported() {
    let service = service();
    let printed = run(&service, "server_program");
    assert!(printed.starts_with("application code to show the feature\nTrue\nTrue True\n"), "{printed}");

    // "The variation call will automatically create a user in LaunchDarkly."
    finds(&service, "user@test.com", "user@test.com");
    finds(&service, "ernestina@example.com", "aa0ceb");
    eventually(LIMIT, || count("your.flag.key", service.evaluations_of("your.flag.key")));
    eventually(LIMIT, || count("your.feature.key", service.evaluations_of("your.feature.key")));
    eventually(LIMIT, || count("your-goal-key", service.tracked("your-goal-key")));
    eventually(LIMIT, || count("Completed purchase", service.tracked("Completed purchase")));
}

#[test]
fn the_page_of_the_twisted_client_runs_and_is_reported() {
    let service = service();
    let printed = run(&service, "twisted_program");
    assert!(printed.starts_with("True\nNone\n"), "{printed}");
    finds(&service, "ernestina@example.com", "aa0ceb");
    eventually(LIMIT, || count("your.feature.key", service.evaluations_of("your.feature.key")));
    eventually(LIMIT, || count("Signed up", service.tracked("Signed up")));
    assert_eq!(service.tracked("Completed purchase"), 0, "the page tracks it for nobody");
}

/// A service with the flags that the pages ask for.
fn service() -> Service {
    let service = Service::start();
    for key in ["your.flag.key", "your.feature.key"] {
        service.make_flag(key, &[json!(true), json!(false)]);
    }
    service
}

/// Runs a program of `documented_snippets.py` with nothing but the key in it changed; gives what it prints.
fn run(service: &Service, program: &str) -> String {
    let mut command = Command::new(binaries::python(".venv", "make python-debug"));
    command.current_dir(root().join("python/tests")).env("FLAGSTAFF_URL", service.url()).arg("-c");
    command.arg(format!(
        "import documented_snippets as page\n\
         exec(page.{program}().replace('YOUR_SDK_KEY', 'sdk-demo-production'), {{'__name__': '__main__'}})"
    ));
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

fn finds(service: &Service, query: &str, key: &str) {
    eventually(LIMIT, || {
        let found = service.users(query);
        if found == [key] { Ok(()) } else { Err(format!("`{query}` finds {found:?}")) }
    });
}

fn count(name: &str, counted: u64) -> Result<(), String> {
    if counted == 1 { Ok(()) } else { Err(format!("`{name}` was counted {counted} times")) }
}

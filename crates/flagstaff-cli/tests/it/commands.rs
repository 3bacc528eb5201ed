//! What each command prints and how it ends.

use std::os::unix::fs::PermissionsExt as _;

use crate::process::{Folder, Service, flagstaff, run};

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn version_and_completions_go_to_stdout() {
    let version = run(&["version"]);
    assert_eq!(stdout(&version), format!("flagstaff {}\n", env!("CARGO_PKG_VERSION")));
    let script = run(&["completions", "bash"]);
    assert!(script.status.success() && stdout(&script).contains("owner-link"));
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in [&["sing"][..], &["serve", "--listen", "nowhere"], &["completions", "latin"], &[]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn a_demo_says_where_it_is_and_with_which_keys_and_stops_when_asked() {
    let folder = Folder::new("demo");
    let mut service = Service::start_at("127.0.0.1:0", &folder, &["--demo"], |command| command);
    assert!(!service.address().ends_with(":0"), "which port it is, is said");
    let (status, body) = service.request("GET", "/sdk/latest-all", "sdk-demo-production", "").unwrap();
    assert_eq!((status, body["flags"]["checkout-redesign"]["on"].as_bool()), (200, Some(false)));
    let address = service.address().to_owned();
    assert_eq!(service.terminate(), Some(0));
    let rest = service.rest_of_output();
    for said in [
        "demo@example.com",
        "sdk-demo-production",
        "sdk-demo-staging",
        "mob-demo-staging",
        "  demo-staging",
        "api-demo",
        &address,
    ] {
        assert!(rest.contains(said), "`{said}` in {rest}");
    }
}

#[test]
fn a_demo_beyond_loopback_and_a_used_address_end_with_1_and_one_sentence() {
    let folder = Folder::new("refused");
    let data = folder.path().to_str().unwrap();
    let output = run(&["serve", "--demo", "--listen", "0.0.0.0:0", "--data", data, "--log", "error"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
    assert!(stderr(&output).contains("listens only on loopback"), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["serve", "--demo", "--listen", &address, "--data", data, "--log", "error"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("could not listen on {address}")), "{}", stderr(&output));
}

#[test]
fn options_come_from_arguments_environment_and_file_in_this_order() {
    let folder = Folder::new("options");
    let file = folder.path().join("flagstaff.toml");
    std::fs::write(&file, "listen = \"0.0.0.0:1\"\ndemo = true\nlog = \"error\"\n").unwrap();
    let data = folder.path().join("data");
    let serve = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = flagstaff(&["serve", "--config", file.to_str().unwrap()]);
        let output =
            command.args(arguments).envs(environment.iter().copied()).env("FLAGSTAFF_DATA", &data).output();
        stderr(&output.unwrap())
    };
    assert!(serve(&[], &[]).contains("0.0.0.0:1"), "the file");
    assert!(serve(&[], &[("FLAGSTAFF_LISTEN", "0.0.0.0:2")]).contains("0.0.0.0:2"), "the environment");
    let all = serve(&["--listen", "0.0.0.0:3"], &[("FLAGSTAFF_LISTEN", "0.0.0.0:2")]);
    assert!(all.contains("0.0.0.0:3"), "the command line: {all}");
    for (said, is_demo) in [("1", true), ("true", true), ("0", false), ("no", false)] {
        // A demo refuses the address, anything else does not get it.
        let environment = [("FLAGSTAFF_DEMO", said), ("FLAGSTAFF_LISTEN", "192.0.2.1:9")];
        let answer = serve(&[], &environment);
        assert_eq!(answer.contains("listens only on loopback"), is_demo, "{said}: {answer}");
        assert!(answer.contains("192.0.2.1:9"), "{said}: {answer}");
    }
    assert!(serve(&["--listen", "localhost:80"], &[]).contains("give an IP address and a port"));
    let origins = serve(&["--allowed-origins", "https://shop.example,other"], &[]);
    assert!(origins.contains("`other` is not an origin"), "{origins}");
    std::fs::write(&file, "allowed-origins = [\"https://shop.example\", \"third\"]\n").unwrap();
    assert!(serve(&[], &[]).contains("`third` is not an origin"));
    std::fs::write(&file, "lisen = \"0.0.0.0:1\"\n").unwrap();
    assert!(serve(&[], &[]).contains("lisen"), "a misspelt name is refused");
}

#[test]
fn a_first_start_leaves_the_owners_link_in_a_private_file_and_a_command_makes_a_new_one() {
    let folder = Folder::new("owner");
    let service = Service::start(&folder, &[]);
    let path = folder.path().join("first-sign-in");
    let link = wait_for(&path);
    assert!(link.starts_with(&format!("http://{}/ui/sign-in/link/", service.address())), "{link}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let data = folder.path().to_str().unwrap();
    let output = run(&["owner-link", "--listen", service.address(), "--data", data]);
    let new = stdout(&output);
    assert!(new.starts_with(&format!("http://{}/ui/sign-in/link/", service.address())), "{new}");
    assert_ne!(new.trim(), link.trim());
    let empty = Folder::new("owner-empty");
    let output = run(&["owner-link", "--data", empty.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no database in"), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is made");
}

fn wait_for(path: &std::path::Path) -> String {
    for _ in 0..500 {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    }
    panic!("no `{}` in time", path.display());
}

//! Who is turned away: programs with a wrong SDK key, and a demo that would be seen from outside.

use std::time::Duration;

use crate::support::folder::Folder;
use crate::support::http::request;
use crate::support::process::Process;
use crate::support::service::{Service, serve_command};

#[test]
fn wrong_sdk_key_gets_401_at_every_door() {
    let service = Service::start();
    for (method, path) in [
        ("GET", "/all"),
        ("GET", "/flags"),
        ("GET", "/sdk/latest-all"),
        ("GET", "/sdk/latest-flags"),
        ("GET", "/sdk/latest-flags/checkout-redesign"),
        ("GET", "/sdk/latest-segments"),
        ("POST", "/bulk"),
        ("POST", "/diagnostic"),
    ] {
        for key in ["sdk-demo-productio", "sdk-demo-production2", "", "api-demo"] {
            let headers = [("Authorization", key), ("Content-Type", "application/json")];
            let answer = request(method, &format!("{}{path}", service.url()), &headers, "[]").unwrap();
            assert_eq!(answer.status, 401, "{method} {path} with `{key}`: {answer:?}");
        }
    }
}

#[test]
fn wrong_access_token_gets_401_and_says_so_in_json() {
    let service = Service::start();
    for token in ["api-dem", "sdk-demo-production", ""] {
        let url = format!("{}/api/v2/flags/demo", service.url());
        let answer = request("GET", &url, &[("Authorization", token)], "").unwrap();
        assert_eq!(answer.status, 401, "with `{token}`: {answer:?}");
        let body = answer.json();
        for property in ["id", "code", "message"] {
            assert!(body[property].as_str().is_some_and(|text| !text.is_empty()), "{property}: {body}");
        }
    }
}

#[test]
fn demo_refuses_to_listen_beyond_loopback() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let folder = Folder::new();
        let log = folder.path().join("flagstaff.log");
        let mut process = Process::start("flagstaff", &mut serve_command(folder.path(), address), log);
        let status = process.wait(Duration::from_secs(30));
        assert!(!status.success());
        assert!(process.log().contains("loopback"), "it does not say why: {}", process.log());
        assert!(!folder.path().join("data").exists(), "it made data before it refused");
    }
}

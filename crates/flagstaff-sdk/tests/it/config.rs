//! Wrong configurations are refused, with one sentence that says what would be right.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use flagstaff_sdk::{Client, Config, Context};
use flagstaff_testkit::{FakeService, PATIENCE, eventually, flag, user};
use serde_json::json;

use crate::support::{Lines, config, flush, started};

fn check(config: Config, sentence: &str) {
    let error = Client::start(config).expect_err("the configuration is wrong");
    assert_eq!(error.to_string(), sentence);
}

fn with_key() -> Config {
    Config::new("sdk-key")
}

#[test]
fn a_wrong_value_is_refused_with_one_sentence() {
    check(Config::new(""), "the SDK key is missing; only an offline client needs none");
    check(
        Config::new("sdk key"),
        "the SDK key has characters other than letters, digits, `.`, `_` and `-`, or more than 8192 of them",
    );
    check(with_key().stream_uri("localhost:80"), "the stream URI `localhost:80` is not an http or https URL");
    check(
        with_key().http_proxy("socks://name:secret@proxy"),
        "the proxy URI `proxy` is not an http or https URL",
    );
    check(
        with_key().poll_interval(Duration::from_secs(3)),
        "the poll interval is 3s, and must be at least 30s",
    );
    check(with_key().flush_interval(Duration::ZERO), "the flush interval is 0ns, and must be at least 1ms");
    check(with_key().events_capacity(0), "the events capacity is 0, and must be at least 1");
    check(
        with_key().diagnostic_interval(Duration::from_secs(1)),
        "the diagnostic interval is 1s, and must be at least 60s",
    );
    check(with_key().wrapper("a\nb", None), "wrapper `a\nb` has characters that cannot be sent");
}

#[test]
fn a_name_that_cannot_be_sent_is_left_out_with_a_warning_and_flags_still_come() {
    let lines = Lines::default();
    let service = FakeService::start([flag("f")]);
    let client = started(
        config(&service)
            .payload_filter("-a")
            .application_id("my shop")
            .application_version("1.2")
            .private_attributes(["/a//b", "email"])
            .log_to(Arc::new(lines.clone())),
    );
    let context = Context::builder("u").set("email", "u@example.com").build().unwrap();
    assert!(client.variation("f", &context, false));
    flush(&client);
    let request = &service.requests("/all")[0];
    assert_eq!(request.query, "");
    assert_eq!(request.header("x-launchdarkly-tags"), Some("application-version/1.2"));
    let redacted = &service.events_of_kind("index")[0]["context"]["_meta"]["redactedAttributes"];
    assert_eq!(redacted, &json!(["email"]));
    assert_eq!(
        lines.text().lines().filter(|line| line.starts_with("Warn")).collect::<Vec<_>>(),
        [
            "Warn payload filter `-a` is ignored, all flags are received: it must begin with a letter or digit \
             and go on with those, `.`, `_` and `-`",
            "Warn application id `my shop` is not sent: it must be 1 to 64 letters, digits, `.`, `_` and `-`",
            "Warn private attribute `/a//b` is ignored: it is not a name or a path like `/address/city`",
        ]
    );
}

#[test]
fn names_travel_with_every_request() {
    let service = FakeService::start([flag("f")]);
    let client = started(
        config(&service)
            .payload_filter("micro-1")
            .application_id("shop")
            .application_version("1.2")
            .wrapper("wrap", Some("3"))
            .diagnostic_opt_out(false),
    );
    client.variation("f", &user("u"), false);
    client.close();
    let expected = [
        ("x-launchdarkly-tags", "application-id/shop application-version/1.2"),
        ("x-launchdarkly-wrapper", "wrap/3"),
    ];
    for (path, query) in [("/all", "filter=micro-1"), ("/bulk", ""), ("/diagnostic", "")] {
        let request = &service.requests(path)[0];
        assert_eq!(request.query, query, "{path}");
        for (name, value) in expected {
            assert_eq!(request.header(name), Some(value), "{path}");
        }
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    check(
        with_key().poll_uri("https://name:secret@host/x"),
        "the poll URI `host/x` has a user name or password before its host, but requests carry the SDK key alone",
    );
    check(
        with_key().events_uri("https://name@host/x"),
        "the events URI `host/x` has a user name or password before its host, but requests carry the SDK key alone",
    );
}

#[test]
fn a_file_of_certificates_must_have_some() {
    let nowhere = Client::start(with_key().ca_file("/no/such/file")).expect_err("there is no such file");
    assert!(nowhere.to_string().starts_with("could not read certificate authorities from `/no/such/file`: "));
    let empty = std::env::temp_dir().join(format!("flagstaff-sdk-empty-{}.pem", std::process::id()));
    std::fs::write(&empty, "nothing").unwrap();
    let error = Client::start(with_key().ca_file(&empty)).expect_err("there is no certificate in it");
    std::fs::remove_file(&empty).unwrap();
    assert!(error.to_string().ends_with("there is no certificate in it"), "{error}");
}

#[test]
fn a_key_is_not_shown() {
    let config = Config::new("sdk-01234567-89ab-cdef-0123-456789abcdef");
    assert!(!format!("{config:?}").contains("01234567"), "{config:?}");
    // Nor one that is made of words, or so short that its end is most of it.
    for secret in ["sdk-our-own-top-most-phrase", "hush-hush"] {
        let shown = format!("{:?}", Config::new(secret));
        for part in ["own", "top", "most", "hush"] {
            assert!(!shown.contains(part), "{shown}");
        }
    }
}

/// Runs in a process of its own: the environment is the process's.
#[test]
#[ignore = "run by the_environment_names_a_service_for_a_program_that_names_none"]
fn program_that_names_no_service() {
    let client = Client::start(with_key()).unwrap();
    assert!(client.wait_until_ready(PATIENCE), "{:?}", client.data_source_status());
    assert!(client.variation("f", &user("u"), false));
    client.close();
}

/// Variables that these tests are about, and that may be set wherever they run.
const VARIABLES: [&str; 8] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "FLAGSTAFF_URL",
    "REQUEST_METHOD",
];

/// Runs one of the programs here in an environment with these variables and none of the others.
fn run(program: &str, variables: &[(&str, &str)]) {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", &format!("config::{program}"), "--ignored"]);
    for name in VARIABLES {
        process.env_remove(name);
    }
    let output = process.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{variables:?}: {said}");
}

#[test]
fn the_environment_names_a_service_for_a_program_that_names_none() {
    let service = FakeService::start([flag("f")]);
    run("program_that_names_no_service", &[("FLAGSTAFF_URL", &service.url())]);
    assert_eq!((service.requests("/all").len(), service.requests("/bulk").len()), (1, 1));
}

/// Runs in a process of its own: the environment is the process's.
#[test]
#[ignore = "run by the_environment_names_a_proxy"]
fn program_that_names_no_proxy() {
    let client = Client::start(with_key().base_uri("http://flags.invalid")).unwrap();
    assert!(client.wait_until_ready(PATIENCE), "{:?}", client.data_source_status());
    client.close();
}

#[test]
fn the_environment_names_a_proxy() {
    for (name, in_cgi) in [("http_proxy", false), ("HTTP_PROXY", false), ("http_proxy", true)] {
        let proxy = FakeService::start([flag("f")]);
        let url = proxy.url();
        let mut variables = vec![(name, url.as_str())];
        if in_cgi {
            // There `HTTP_PROXY` is what a visitor sent as the header `Proxy`.
            variables.extend([("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil.invalid")]);
        }
        run("program_that_names_no_proxy", &variables);
        assert_eq!(proxy.requests("/all").len(), 1, "{name}");
        let init = proxy.requests("/diagnostic")[0].json();
        assert_eq!(init["configuration"]["usingProxy"], true, "{name}");
    }
}

#[test]
fn the_environment_names_hosts_that_need_no_proxy() {
    let service = FakeService::start([flag("f")]);
    let proxy = FakeService::start([flag("f")]);
    let (service_url, proxy_url) = (service.url(), proxy.url());
    for name in ["no_proxy", "NO_PROXY"] {
        let named = [("FLAGSTAFF_URL", service_url.as_str()), ("http_proxy", &proxy_url)];
        run("program_that_names_no_service", &[named[0], named[1], (name, "other.invalid,127.0.0.1")]);
    }
    assert_eq!((service.requests("/all").len(), proxy.requests("/all").len()), (2, 0));
    let named = [("FLAGSTAFF_URL", service_url.as_str()), ("http_proxy", &proxy_url)];
    run("program_that_names_no_service", &[named[0], named[1], ("no_proxy", "other.invalid")]);
    assert_eq!((service.requests("/all").len(), proxy.requests("/all").len()), (2, 1));
}

/// Runs in a process of its own: the environment is the process's.
#[test]
#[ignore = "run by secure_requests_go_through_a_proxy_of_their_own"]
fn program_that_asks_a_secure_service() {
    let config = with_key().base_uri("https://flags.invalid").diagnostic_opt_out(true);
    let client = Client::start(config).unwrap();
    eventually("the proxy refused", || client.data_source_status().last_error);
    client.close();
}

#[test]
fn secure_requests_go_through_a_proxy_of_their_own() {
    // Refuses to connect to anything.
    let proxy = FakeService::start([]);
    let url = proxy.url();
    let refused = |variables: &[(&str, &str)]| {
        let before = proxy.requests("flags.invalid:443").len();
        run("program_that_asks_a_secure_service", variables);
        let requests = proxy.requests("flags.invalid:443").split_off(before);
        assert!(requests.iter().all(|request| request.method == "CONNECT"));
        requests.len()
    };
    let plain = "http://127.0.0.1:1";
    let without_scheme = url.replace("http://", "");
    assert!(refused(&[("https_proxy", &url), ("http_proxy", plain)]) > 0);
    assert!(refused(&[("HTTPS_PROXY", &without_scheme)]) > 0);
    assert!(refused(&[("https_proxy", &url), ("HTTPS_PROXY", plain)]) > 0, "lower case wins");
    assert_eq!(refused(&[("http_proxy", &url)]), 0, "that one is for plain requests");
}

/// Runs in a process of its own: the environment is the process's.
#[test]
#[ignore = "run by a_proxy_of_the_environment_that_is_none_is_refused_with_one_sentence"]
fn program_with_a_wrong_proxy() {
    check(with_key(), "the https_proxy URI `proxy:1` is not an http or https URL");
}

#[test]
fn a_proxy_of_the_environment_that_is_none_is_refused_with_one_sentence() {
    run("program_with_a_wrong_proxy", &[("HTTPS_PROXY", "socks5://name:secret@proxy:1")]);
}

#[test]
fn requests_may_go_through_a_proxy() {
    let proxy = FakeService::start([flag("f")]);
    // A host that only the proxy could find.
    let config =
        with_key().base_uri("http://flags.invalid").http_proxy(proxy.url().replace("//", "//name:word@"));
    let client = Client::start(config).unwrap();
    assert!(client.wait_until_ready(PATIENCE), "{:?}", client.data_source_status());
    let request = &proxy.requests("/all")[0];
    assert_eq!(request.header("host"), Some("flags.invalid"));
    assert_eq!(request.header("proxy-authorization"), Some("Basic bmFtZTp3b3Jk"));
}

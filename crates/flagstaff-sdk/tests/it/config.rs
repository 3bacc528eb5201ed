//! Wrong configurations are refused, with one sentence that says what would be right.

use std::process::Command;
use std::time::Duration;

use flagstaff_sdk::{Client, Config};
use flagstaff_testkit::{FakeService, PATIENCE, flag, user};

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
    check(
        with_key().payload_filter("-a"),
        "payload filter `-a` must begin with a letter or digit and go on with those, `.`, `_` and `-`",
    );
    check(
        with_key().application_id("my shop"),
        "application id `my shop` must be 1 to 64 letters, digits, `.`, `_` and `-`",
    );
    check(
        with_key().private_attributes(["/a//b"]),
        "private attribute `/a//b` is not a name or a path like `/address/city`",
    );
    check(with_key().wrapper("a\nb", None), "wrapper `a\nb` has characters that cannot be sent");
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

#[test]
fn the_environment_names_a_service_for_a_program_that_names_none() {
    let service = FakeService::start([flag("f")]);
    let program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "config::program_that_names_no_service", "--ignored"])
        .env("FLAGSTAFF_URL", service.url())
        .output()
        .unwrap();
    assert!(program.status.success(), "{}", String::from_utf8_lossy(&program.stdout));
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
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "config::program_that_names_no_proxy", "--ignored"]);
        for other in ["http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "FLAGSTAFF_URL", "REQUEST_METHOD"] {
            program.env_remove(other);
        }
        program.env(name, proxy.url());
        if in_cgi {
            // There `HTTP_PROXY` is what a visitor sent as the header `Proxy`.
            program.env("REQUEST_METHOD", "GET").env("HTTP_PROXY", "http://evil.invalid");
        }
        let output = program.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(proxy.requests("/all").len(), 1, "{name}");
    }
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

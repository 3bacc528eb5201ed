//! What is logged, and what never is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Folder, Service};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn exchange(address: &str, head: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        connection,
        "{head}\r\nconnection: close\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    // A stream goes on for ever: some of it is enough.
    if head.contains("stream")
        || head.starts_with("GET /all")
        || head.contains("/meval")
        || head.contains("ping")
    {
        let mut some = [0; 4096];
        let length = connection.read(&mut some).unwrap();
        answer.extend_from_slice(&some[..length]);
    } else {
        connection.read_to_end(&mut answer).unwrap();
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn json_of(answer: &str) -> Value {
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {answer}"))
}

fn log_once_it_has(path: &Path, text: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // It may not be there yet.
        let log = std::fs::read_to_string(path).unwrap_or_default();
        if log.contains(text) {
            return log;
        }
        assert!(Instant::now() < deadline, "`{text}` was never logged: {log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Text that a browser would put into a path.
fn base64_url(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            encoded.push(LETTERS[(bits >> (18 - 6 * place) & 63) as usize] as char);
        }
    }
    encoded
}

#[test]
fn a_log_for_programs_is_one_object_to_a_line_and_tells_requests_by_their_id() {
    let folder = Folder::new("json-log");
    let path = folder.path().join("log");
    let service = Service::start_with(
        &folder,
        &["--demo", "--log", "flagstaff_service=debug", "--log-format", "json"],
        |command| command.stderr(std::fs::File::create(&path).unwrap()),
    );
    let head = "GET /sdk/latest-flags/wish-lists HTTP/1.1\r\nauthorization: sdk-demo-production\r\nx-request-id: my-request";
    let answer = exchange(service.address(), head, "");
    assert!(answer.contains("x-request-id: my-request"), "{answer}");
    let other = exchange(service.address(), "GET /status HTTP/1.1", "");
    assert!(other.contains("x-request-id: "), "one is made up where requests are logged: {other}");
    let log = log_once_it_has(&path, "my-request");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect();
    let line = lines.iter().find(|line| line["id"] == "my-request").unwrap();
    for (field, value) in [
        ("level", json!("DEBUG")),
        ("target", json!("flagstaff_service::request")),
        ("method", json!("GET")),
        ("route", json!("/sdk/latest-flags/{key}")),
        ("status", json!(200)),
        ("peer", json!("127.0.0.1")),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert!(line["timestamp"].is_string() && line["ms"].is_f64(), "{line}");
}

/// R48: nothing that is secret stands in the log, however much of it is written.
#[test]
fn no_key_token_password_link_or_private_attribute_is_ever_logged() {
    let folder = Folder::new("secrets");
    let path = folder.path().join("log");
    let service = Service::start_with(&folder, &["--log", "trace"], |command| {
        command.stderr(std::fs::File::create(&path).unwrap()).stdin(Stdio::null())
    });
    let address = service.address();
    let link = log_once_it_has(&folder.path().join("first-sign-in"), "\n");
    let link = link.trim().split_once("/ui/sign-in/link/").unwrap().1.to_owned();
    let mut secrets = vec![link.clone()];

    // The owner chooses a password, signs in with it, and with a wrong one.
    let form = "content-type: application/x-www-form-urlencoded";
    exchange(address, &format!("GET /ui/sign-in/link/{link} HTTP/1.1"), "");
    let chosen = "email=owner%40example.com&password=correct-horse-battery";
    let answer = exchange(address, &format!("POST /ui/sign-in/link/{link} HTTP/1.1\r\n{form}"), chosen);
    let cookie = |answer: &str| {
        let start = answer.find("flagstaff_session=").unwrap_or_else(|| panic!("no cookie in {answer}"));
        answer[start..].split([';', '\r']).next().unwrap().to_owned()
    };
    let session = cookie(&answer);
    secrets.push(session.split_once('=').unwrap().1.to_owned());
    secrets.push("correct-horse-battery".to_owned());
    for password in ["correct-horse-battery", "wrong-horse-battery"] {
        let login = format!("email=owner%40example.com&password={password}");
        let answer = exchange(address, &format!("POST /ui/sign-in HTTP/1.1\r\n{form}"), &login);
        if password.starts_with("correct") {
            secrets.push(cookie(&answer).split_once('=').unwrap().1.to_owned());
        }
    }
    secrets.push("wrong-horse-battery".to_owned());

    // An access token, made on the page as people do.
    let page =
        exchange(address, &format!("GET /ui/default/production/tokens HTTP/1.1\r\ncookie: {session}"), "");
    let form_token =
        page.split_once("name=\"form_token\" value=\"").map(|(_, rest)| rest.split('"').next().unwrap());
    let form_token = form_token.unwrap_or_else(|| panic!("no form token in {page}"));
    secrets.push(form_token.to_owned());
    let made = exchange(
        address,
        &format!("POST /ui/default/production/tokens HTTP/1.1\r\n{form}\r\ncookie: {session}"),
        &format!("form_token={form_token}&name=all&role=admin"),
    );
    let start = made.find("api-").unwrap_or_else(|| panic!("no token in {made}"));
    let token: String =
        made[start..].chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
    secrets.push(token.clone());

    // Keys, old and new, and everything that is done with them.
    let rest = |method: &str, path: &str, body: &str| {
        let kind = "content-type: application/json";
        exchange(address, &format!("{method} {path} HTTP/1.1\r\nauthorization: {token}\r\n{kind}"), body)
    };
    let environment = "/api/v2/projects/default/environments/production";
    for _ in 0..2 {
        let shown = json_of(&rest("GET", environment, ""));
        let key = |name: &str| shown[name].as_str().unwrap().to_owned();
        let (sdk_key, mobile_key, id) = (key("apiKey"), key("mobileKey"), key("_id"));
        secrets.extend([sdk_key.clone(), mobile_key.clone()]);
        let private = "my-private-attribute-value";
        let context =
            json!({"kind": "user", "key": "ada", "card": private, "_meta": {"privateAttributes": ["card"]}});
        secrets.push(private.to_owned());
        let encoded = base64_url(&context.to_string());
        secrets.push(encoded.clone());
        let events = json!([{"kind": "identify", "creationDate": 1, "context": context}, {"kind": "nonsense", "secret": private}]);
        let ask = |key: &str, line: &str, body: &str| {
            let kind = "content-type: application/json";
            exchange(address, &format!("{line} HTTP/1.1\r\nauthorization: {key}\r\n{kind}"), body)
        };
        for (line, body) in [
            ("GET /all", ""),
            ("GET /sdk/stream", ""),
            ("GET /sdk/latest-all", ""),
            ("GET /sdk/poll", ""),
            ("POST /bulk", &*events.to_string()),
            ("POST /bulk", &format!("[{{\"secret\": \"{private}\"")),
            ("POST /diagnostic", &json!({"id": {"diagnosticId": "d", "sdkKeySuffix": sdk_key}}).to_string()),
            (&format!("GET /sdk/evalx/contexts/{encoded}"), ""),
            (
                "POST /ofrep/v1/evaluate/flags",
                &json!({"context": {"targetingKey": "ada", "card": private}}).to_string(),
            ),
        ] {
            ask(&sdk_key, line, body);
            // Whoever has it wrong, or twice.
            ask(&format!("{sdk_key}x"), line, body);
            secrets.push(format!("{sdk_key}x"));
        }
        for line in [
            format!("GET /msdk/evalx/contexts/{encoded}"),
            format!("GET /meval/{encoded}"),
            "GET /mping".to_owned(),
        ] {
            ask(&mobile_key, &line, "");
        }
        ask(&mobile_key, "REPORT /msdk/evalx/context", &context.to_string());
        for line in [
            format!("GET /sdk/evalx/{id}/contexts/{encoded}?h=hash-of-secure-mode"),
            format!("GET /a/{id}.gif?d={encoded}"),
        ] {
            exchange(address, &format!("{line} HTTP/1.1"), "");
        }
        secrets.push("hash-of-secure-mode".to_owned());
        rest("POST", &format!("{environment}/apiKey"), "");
        rest("POST", &format!("{environment}/mobileKey"), "");
        rest("POST", "/api/v2/tokens", "{\"name\": \"");
        secrets.push(
            json_of(&rest("POST", "/api/v2/tokens", "{\"name\": \"second\", \"role\": \"reader\"}"))["token"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    exchange(
        address,
        &format!("POST /ui/sign-out HTTP/1.1\r\n{form}\r\ncookie: {session}"),
        &format!("form_token={form_token}"),
    );

    drop(service);
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(log.contains("flagstaff_service::request"), "requests are logged: {log}");
    assert!(log.lines().count() > 100, "{log}");
    for secret in &secrets {
        assert!(secret.len() > 12, "`{secret}` is no secret that could be looked for");
        if let Some(line) = log.lines().find(|line| line.contains(secret.as_str())) {
            panic!("`{secret}` stands in the log: {line}");
        }
    }
    println!("{} secrets, none of them in {} lines of log", secrets.len(), log.lines().count());
}

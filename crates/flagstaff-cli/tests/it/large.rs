//! R26: very many flags through the whole: imported, started with, streamed, polled, evaluated for a browser,
//! listed, flipped, relayed.
//!
//! `FLAGSTAFF_LARGE_FLAGS=50000 cargo test --release -p flagstaff-cli --test it large:: -- --nocapture` is the
//! whole of it, 60 MB; `make test` runs a tenth. Figures are for people to read.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use flagstaff_sdk::{Client, Config, Context};
use serde_json::{Value, json};

use crate::moving::{done, url};
use crate::process::{Folder, Service, flagstaff, resident_mb};

const TOKEN: &str = "api-demo";
const SDK_KEY: &str = "sdk-demo-production";
const BROWSER: &str = "/sdk/evalx/demo-production/context";
/// How often a flag is flipped.
const FLIPS: usize = 10;

/// Ten times what 50,000 flags are expected to take.
const PATIENCE: Duration = Duration::from_secs(300);

fn count() -> usize {
    std::env::var("FLAGSTAFF_LARGE_FLAGS").map_or(5_000, |count| count.parse().expect("a number of flags"))
}

/// A file of so many flags, 1.2 KB each.
fn file(flags: usize) -> String {
    let clause = |attribute: &str, values: Value| json!({"contextKind": "user", "attribute": attribute, "op": "in", "values": values, "negate": false});
    let flags: serde_json::Map<String, Value> = (0..flags)
        .map(|number| {
            let targets: Vec<String> = (0..24).map(|target| format!("user-{number}-{target:03}")).collect();
            let flag = json!({
                "key": format!("flag-{number}"), "version": 1, "on": true, "salt": format!("{number:032x}"),
                "prerequisites": [], "contextTargets": [], "targets": [{"variation": 0, "values": targets}],
                "rules": [
                    {"id": format!("{number:036}"), "variation": 0, "trackEvents": false,
                        "clauses": [clause("country", json!(["de", "fr", "it", "es", "no", "se"]))]},
                    {"id": format!("1{number:035}"), "trackEvents": false, "clauses": [clause("plan", json!(["gold"]))],
                        "rollout": {"contextKind": "user", "variations": [
                            {"variation": 0, "weight": 30_000}, {"variation": 1, "weight": 70_000}]}},
                ],
                "fallthrough": {"variation": 1}, "offVariation": 0, "variations": ["the first value", "the second value"],
                "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": false},
            });
            (format!("flag-{number}"), flag)
        })
        .collect();
    json!({"flags": flags, "segments": {}}).to_string()
}

struct Answer {
    status: u16,
    head: String,
    body: String,
    took: Duration,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:.300}", self.body))
    }
}

/// A request, and what is read of the answer to it until the end of the connection.
fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let begun = Instant::now();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("{method} {path} HTTP/1.0\r\n{headers}content-length: {}\r\n\r\n", body.len());
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let took = begun.elapsed();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned(), took }
}

fn get(address: &str, path: &str, key: &str) -> Answer {
    let answer = ask(address, "GET", path, &format!("authorization: {key}\r\n"), "");
    assert_eq!(answer.status, 200, "{path}: {:.300}", answer.body);
    answer
}

/// Asks until all flags are there.
fn until_complete(address: &str, flags: usize) -> Answer {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = ask(address, "GET", "/sdk/latest-all", &format!("authorization: {SDK_KEY}\r\n"), "");
        if answer.status == 200 && answer.json()["flags"].as_object().is_some_and(|all| all.len() >= flags) {
            return answer;
        }
        assert!(Instant::now() < end, "{}: {:.300}", answer.status, answer.body);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn client(url: &str) -> (Client, Duration) {
    let begun = Instant::now();
    let client = Client::start(Config::new(SDK_KEY).base_uri(url)).unwrap();
    assert!(client.wait_until_ready(PATIENCE), "{:?}", client.data_source_status());
    (client, begun.elapsed())
}

/// Flips a flag there and back; gives how long each flip took to reach the client, sorted.
fn flips(service: &Service, client: &Client, key: &str) -> Vec<Duration> {
    let context = Context::from_key("nobody").unwrap();
    let headers = format!(
        "authorization: {TOKEN}\r\ncontent-type: application/json; domain-model=launchdarkly.semanticpatch\r\n"
    );
    let mut took: Vec<Duration> = (0..FLIPS)
        .map(|number| {
            let (kind, value) =
                [("turnFlagOff", "the first value"), ("turnFlagOn", "the second value")][number % 2];
            let body = json!({"environmentKey": "production", "instructions": [{"kind": kind}]}).to_string();
            let begun = Instant::now();
            let answer =
                ask(service.address(), "PATCH", &format!("/api/v2/flags/demo/{key}"), &headers, &body);
            assert_eq!(answer.status, 200, "{}", answer.body);
            while client.variation(key, &context, String::new()) != value {
                assert!(begun.elapsed() < PATIENCE, "the flip does not arrive");
                std::thread::sleep(Duration::from_millis(1));
            }
            begun.elapsed()
        })
        .collect();
    took.sort();
    took
}

/// Signs in to the dashboard; gives the header that a browser sends then.
fn signed_in(address: &str) -> String {
    let form = "email=demo%40example.com&password=demo";
    let kind = "content-type: application/x-www-form-urlencoded\r\n";
    let answer = ask(address, "POST", "/ui/sign-in", kind, form);
    let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("{}: {}", answer.head, answer.body));
    format!("cookie: {}\r\n", cookie.split(';').next().unwrap_or_default())
}

/// A relay of the demo's production; killed at the end.
struct Relay {
    process: Child,
    address: String,
}

impl Relay {
    fn start(folder: &Folder, upstream: &str) -> Self {
        let data = folder.path().join("relay");
        let mut command = flagstaff(&["relay", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
        command.envs([("STREAM_URI", upstream), ("BASE_URI", upstream), ("EVENTS_HOST", upstream)]);
        command.envs([("LD_ENV_Production", SDK_KEY), ("LD_CLIENT_SIDE_ID_Production", "demo-production")]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let address = first.trim_end().strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("the first line is `{first}`")).to_owned();
        Self { process, address }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn very_many_flags_go_through_the_whole() {
    let count = count();
    let folder = Folder::new("large");
    let text = file(count);
    let megabytes = text.len() as f64 / 1e6;
    let path = folder.path().join("large.json");
    std::fs::write(&path, &text).unwrap();
    let said =
        |what: &str, figures: String| println!("R26: {count} flags, {megabytes:.0} MB: {what}: {figures}");

    let mut service = Service::start(&folder, &["--demo"]);
    let begun = Instant::now();
    let url_of_first = url(&service);
    let import = ["import", path.to_str().unwrap(), "--project", "demo", "--environment", "production"];
    done(&[&import[..], &["--url", &url_of_first, "--token", TOKEN]].concat());
    said("import", format!("{:.1?}, resident {} MB", begun.elapsed(), resident_mb(service.id())));
    // The demo has eight of its own.
    let all = count + 8;
    until_complete(service.address(), all);
    assert_eq!(service.terminate(), Some(0));

    let begun = Instant::now();
    let service = Service::start(&folder, &["--demo"]);
    let listening = begun.elapsed();
    let first = until_complete(service.address(), all);
    let complete = begun.elapsed();
    said(
        "start",
        format!(
            "listening after {listening:.1?}, the first whole poll after {complete:.1?}, resident {} MB",
            resident_mb(service.id())
        ),
    );
    let second = get(service.address(), "/sdk/latest-all", SDK_KEY);
    let tag =
        first.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a poll has a tag").to_owned();
    let known = format!("authorization: {SDK_KEY}\r\nif-none-match: {tag}\r\n");
    let unchanged = ask(service.address(), "GET", "/sdk/latest-all", &known, "");
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    said(
        "poll",
        format!(
            "{:.0} MB in {:.1?}, unchanged in {:.1?}",
            second.body.len() as f64 / 1e6,
            second.took,
            unchanged.took
        ),
    );

    let (near, ready) = client(&url(&service));
    said("an SDK's start by a stream", format!("{ready:.1?}"));
    let context = json!({"kind": "user", "key": "ann", "country": "no"}).to_string();
    let report =
        |address: &str| ask(address, "REPORT", BROWSER, "content-type: application/json\r\n", &context);
    let values = report(service.address());
    let evaluated = values.json();
    assert!(evaluated.as_object().unwrap().len() >= count, "{:.300}", values.body);
    assert_eq!(evaluated["flag-0"]["value"], "the first value");
    said(
        "values for one context",
        format!(
            "{:.1} MB in {:.1?}, again in {:.1?}",
            values.body.len() as f64 / 1e6,
            values.took,
            report(service.address()).took
        ),
    );
    let evaluate = format!("authorization: {TOKEN}\r\ncontent-type: application/json\r\n");
    let place = "/api/v2/projects/demo/environments/production/flags/evaluate";
    let over_rest = ask(service.address(), "POST", place, &evaluate, &context);
    assert_eq!((over_rest.status, &over_rest.json()["totalCount"]), (200, &json!(all)));
    said("the same over REST", format!("{:.1?}", over_rest.took));

    let page = |offset: usize| {
        get(service.address(), &format!("/api/v2/flags/demo?limit=100&offset={offset}&env=production"), TOKEN)
    };
    let (one, last) = (page(0), page(count - 100));
    for page in [&one, &last] {
        let listed = page.json();
        assert_eq!((&listed["totalCount"], listed["items"].as_array().unwrap().len()), (&json!(all), 100));
    }
    let found = get(service.address(), &format!("/api/v2/flags/demo?filter=query:flag-{}", count - 1), TOKEN);
    assert_eq!(found.json()["totalCount"], 1);
    said(
        "a page of the list over REST",
        format!(
            "the first in {:.1?}, the last in {:.1?}, a search in {:.1?}",
            one.took, last.took, found.took
        ),
    );
    let cookie = signed_in(service.address());
    let page = |path: &str| {
        let page = ask(service.address(), "GET", &format!("/ui/demo/production/flags{path}"), &cookie, "");
        assert_eq!(page.status, 200, "{path}: {:.300}", page.body);
        page
    };
    let rows = |page: &Answer| page.body.matches("<tr id=\"flag-").count();
    let (one, last) = (page(""), page(&format!("?page={}", all.div_ceil(50))));
    let (found, flag) = (page(&format!("?q=flag-{}", count - 1)), page("/flag-7"));
    assert_eq!((rows(&one), rows(&found)), (50, 1));
    assert!(rows(&last) > 0 && flag.body.contains("flag-7"));
    said(
        "the dashboard",
        format!(
            "its list in {:.1?}, the last page in {:.1?}, a search in {:.1?}, one flag in {:.1?}",
            one.took, last.took, found.took, flag.took
        ),
    );

    let took = flips(&service, &near, "flag-42");
    said(
        "a flip to that SDK",
        format!("{:.1?} in the middle, {:.1?} at most", took[FLIPS / 2], took[FLIPS - 1]),
    );

    let begun = Instant::now();
    let relay = Relay::start(&folder, &url(&service));
    let relayed = until_complete(&relay.address, all);
    said(
        "a relay",
        format!(
            "whole after {:.1?}, a poll in {:.1?}, resident {} MB",
            begun.elapsed(),
            relayed.took,
            resident_mb(relay.process.id())
        ),
    );
    assert_eq!(relayed.json()["flags"], second_flags(&service));
    assert!(report(&relay.address).json().as_object().unwrap().len() >= count);
    let (far, ready) = client(&format!("http://{}", relay.address));
    let took = flips(&service, &far, "flag-43");
    said(
        "a flip through it",
        format!(
            "SDK ready after {ready:.1?}; {:.1?} in the middle, {:.1?} at most",
            took[FLIPS / 2],
            took[FLIPS - 1]
        ),
    );
    said(
        "at the end",
        format!(
            "resident {} MB, the relay {} MB",
            resident_mb(service.id()),
            resident_mb(relay.process.id())
        ),
    );
}

fn second_flags(service: &Service) -> Value {
    get(service.address(), "/sdk/latest-all", SDK_KEY).json()["flags"].clone()
}

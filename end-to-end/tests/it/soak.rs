//! Everything at once, for a long time: streams of every kind come and go, flags are flipped, made and deleted,
//! events come in, values are asked for, users are searched, and some ask for what there is not; of a service on
//! SQLite, a relay in front of it, and a service on PostgreSQL.
//!
//! Now and then everybody rests, and what the processes hold is noted. What they hold for somebody who has gone adds
//! up over the rests: files, threads and tasks must not, which is asserted; how much memory does is printed. In CI
//! that takes half a minute, in `make soak` half an hour (`FLAGSTAFF_SOAK_SECONDS`).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use flagstaff_testkit::{Postgres, free_port};
use serde_json::{Value as Json, json};

use crate::support::folder::Folder;
use crate::support::http::request;
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::service::serve_command;
use crate::support::{alone, eventually, say};

/// Ten times what it should take.
const PATIENCE: Duration = Duration::from_secs(100);
/// The rests, in a short run and in a long one.
const RESTS: u32 = 8;
const RESTS_OF_LONG: u32 = 60;
/// What may differ from rest to rest: pools of connections and threads grow and shrink by so many.
const PLAY: f64 = 32.0;
/// Each kind of work is done as often at least, in which a leak would show.
const ENOUGH: u64 = 10 * PLAY as u64;

const SDK_KEY: &str = "sdk-demo-production";
const MOBILE_KEY: &str = "mob-demo-production";
const TOKEN: &str = "api-demo";
/// `{"kind":"user","key":"ann"}`, as it stands in paths.
const ANN: &str = "eyJraW5kIjoidXNlciIsImtleSI6ImFubiJ9";

#[test]
fn a_service_and_a_relay_hold_nothing_for_those_who_have_gone() {
    let _alone = alone();
    let length = match std::env::var("FLAGSTAFF_SOAK_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().expect("a number of seconds")),
        Err(_) => Duration::from_secs(24),
    };
    let rests = if length > Duration::from_secs(300) { RESTS_OF_LONG } else { RESTS };
    let sqlite = Node::start(None);
    let relay = Relay::start(&sqlite.url);
    let server = Postgres::start();
    let postgres = server.as_ref().map(|server| Node::start(Some(server.new_database())));

    let mut watched =
        vec![Watched::of("service on SQLite", &sqlite.url, true), Watched::of("relay", relay.url(), false)];
    watched.extend(postgres.iter().map(|node| Watched::of("service on PostgreSQL", &node.url, true)));
    for round in 1..=rests {
        let (began, is_over) = (Instant::now(), AtomicBool::new(false));
        scope(|scope| {
            for watched in &watched {
                for (work, done) in watched.works() {
                    let is_over = &is_over;
                    scope.spawn(move || {
                        // Should it fail, nobody else goes on for ever.
                        let _end = OnPanic(is_over);
                        work.go_on(&watched.url, done, is_over);
                    });
                }
            }
            let _end = OnPanic(&is_over);
            let (time, enough) = (length / rests, ENOUGH * u64::from(round) / u64::from(rests));
            let is_enough = || watched.iter().all(|watched| watched.has_done(enough));
            while !is_over.load(Ordering::Relaxed) && (began.elapsed() < time || !is_enough()) {
                assert!(began.elapsed() < time + PATIENCE, "there is no end to round {round}");
                sleep(Duration::from_millis(20));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        watched.iter_mut().for_each(Watched::note_rest);
    }
    watched.iter().for_each(Watched::tell);
    watched.iter().for_each(Watched::check);
}

/// Ends the round if its thread fails.
struct OnPanic<'r>(&'r AtomicBool);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A service of its own.
struct Node {
    _process: Process,
    url: String,
    _folder: Folder,
}

impl Node {
    fn start(database: Option<String>) -> Self {
        let folder = Folder::new();
        let mut command = serve_command(folder.path(), &format!("127.0.0.1:{}", free_port()));
        command.args(["--log", "warn"]);
        command.args(database.into_iter().flat_map(|url| ["--database-url".to_owned(), url]));
        let mut process = Process::start("flagstaff", &mut command, folder.path().join("flagstaff.log"));
        let (_, url) = process.line_after("listening on ", PATIENCE);
        Self { _process: process, url, _folder: folder }
    }
}

/// What some do all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Streams,
    Values,
    Events,
    Changes,
    Searches,
    Mistakes,
}

impl Work {
    const ALL: [Self; 6] =
        [Self::Streams, Self::Values, Self::Events, Self::Changes, Self::Searches, Self::Mistakes];

    /// A relay has no REST API.
    fn needs_flags(self) -> bool {
        matches!(self, Self::Changes | Self::Searches)
    }

    /// Does it again and again, and counts.
    fn go_on(self, url: &str, done: &AtomicU64, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let number = done.load(Ordering::Relaxed);
            let count = match self {
                Self::Streams => streams(url, number),
                Self::Values => values(url, number),
                Self::Events => events(url, number),
                Self::Changes => changes(url, number),
                Self::Searches => searches(url, number),
                Self::Mistakes => mistakes(url, number),
            };
            done.fetch_add(count, Ordering::Relaxed);
            sleep(Duration::from_millis(20));
        }
    }
}

fn ask(method: &str, url: &str, path: &str, key: &str, body: &Json) -> (u16, String) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("Authorization", key), ("Content-Type", "application/json")];
    let answer = request(method, &format!("{url}{path}"), &headers, &text);
    let answer = answer.unwrap_or_else(|error| panic!("{method} {url}{path}: {error}"));
    (answer.status, answer.body)
}

fn expect(expected: u16, method: &str, url: &str, path: &str, key: &str, body: &Json) -> String {
    let (status, answer) = ask(method, url, path, key, body);
    assert_eq!(status, expected, "{method} {url}{path}: {answer}");
    answer
}

fn connect(url: &str) -> TcpStream {
    let host = url.strip_prefix("http://").expect("the URL is http");
    let stream = TcpStream::connect(host).expect("it takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    stream
}

/// One of each kind at the same time, each until something came; then they vanish.
fn streams(url: &str, _: u64) -> u64 {
    let (for_browser, for_mobile) = (format!("/eval/demo-production/{ANN}"), format!("/meval/{ANN}"));
    let kinds = [
        ("/all", SDK_KEY),
        ("/flags", SDK_KEY),
        ("/sdk/stream", SDK_KEY),
        (&*for_browser, ""),
        (&*for_mobile, MOBILE_KEY),
        ("/mping", MOBILE_KEY),
    ];
    let open = kinds.map(|(path, key)| {
        let mut stream = connect(url);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: soak\r\nAuthorization: {key}\r\n\r\n")
            .expect("it is taken");
        stream
    });
    for (mut stream, (path, _)) in open.into_iter().zip(kinds) {
        let (mut seen, mut piece) = (String::new(), [0; 4096]);
        while !seen.contains("event:") {
            let length = stream.read(&mut piece).expect("something comes");
            assert!(length > 0, "{url}{path} ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    }
    kinds.len() as u64
}

/// Flags and values, asked for.
fn values(url: &str, number: u64) -> u64 {
    let context = json!({"context": {"targetingKey": format!("user-{}", number % 1000)}});
    expect(200, "GET", url, "/sdk/latest-all", SDK_KEY, &Json::Null);
    expect(200, "GET", url, &format!("/sdk/evalx/demo-production/contexts/{ANN}"), "", &Json::Null);
    expect(200, "GET", url, &format!("/msdk/evalx/contexts/{ANN}"), MOBILE_KEY, &Json::Null);
    expect(200, "POST", url, "/ofrep/v1/evaluate/flags", SDK_KEY, &context);
    4
}

/// Users that come back, and ones that do not.
fn events(url: &str, number: u64) -> u64 {
    let context =
        json!({"kind": "user", "key": format!("user-{}", number % 2000), "name": format!("Ann {number}")});
    let passer_by = json!({"kind": "user", "key": format!("passer-by-{number}"), "anonymous": true});
    let counters = json!([{"value": true, "variation": 0, "version": 1, "count": 3}]);
    let events = json!([
        {"kind": "index", "creationDate": 1, "context": context},
        {"kind": "identify", "creationDate": 1, "context": passer_by},
        {"kind": "custom", "creationDate": 1, "key": "bought", "context": context},
        {"kind": "summary", "startDate": 1, "endDate": 2,
            "features": {"wish-lists": {"default": false, "contextKinds": ["user"], "counters": counters}}},
    ]);
    expect(202, "POST", url, "/bulk", SDK_KEY, &events);
    1
}

/// A flag is flipped; another is made and deleted.
fn changes(url: &str, number: u64) -> u64 {
    let flip =
        json!([{"op": "replace", "path": "/environments/production/on", "value": number.is_multiple_of(2)}]);
    expect(200, "PATCH", url, "/api/v2/flags/demo/wish-lists", TOKEN, &flip);
    let key = format!("soaked-{}", number % 20);
    expect(201, "POST", url, "/api/v2/flags/demo", TOKEN, &json!({"key": key, "name": key}));
    expect(204, "DELETE", url, &format!("/api/v2/flags/demo/{key}"), TOKEN, &Json::Null);
    3
}

/// Users, by what they begin with; flags; a page.
fn searches(url: &str, number: u64) -> u64 {
    let path = format!("/api/v2/user-search/demo/production?q=user-{}", number % 100);
    expect(200, "GET", url, &path, TOKEN, &Json::Null);
    expect(200, "GET", url, "/api/v2/flags/demo?env=production", TOKEN, &Json::Null);
    expect(200, "GET", url, "/ui/sign-in", "", &Json::Null);
    3
}

/// Nobody we know, nothing there is, no JSON, and requests that break off.
fn mistakes(url: &str, number: u64) -> u64 {
    expect(401, "GET", url, "/sdk/latest-all", &format!("sdk-unknown-{number}"), &Json::Null);
    expect(404, "GET", url, &format!("/nothing/{number}"), "", &Json::Null);
    expect(400, "POST", url, "/bulk", SDK_KEY, &json!("no list"));
    for broken in
        ["GET /all HTTP/1.1\r\nAuthor", "POST /bulk HTTP/1.1\r\nHost: soak\r\nContent-Length: 9\r\n\r\n["]
    {
        connect(url).write_all(broken.as_bytes()).expect("it is taken");
    }
    5
}

/// A process that is looked at.
struct Watched {
    name: &'static str,
    url: String,
    keeps_flags: bool,
    /// How often each kind of work was done.
    done: [AtomicU64; Work::ALL.len()],
    /// Who is always there: a relay has streams from the service.
    streams_before: f64,
    began: Instant,
    rests: Vec<Rest>,
}

/// What a process holds while everybody rests.
struct Rest {
    after: Duration,
    resident_mib: f64,
    /// Files, threads, tasks.
    held: [f64; HELD.len()],
}

const HELD: [(&str, &str); 3] =
    [("files", "process_open_fds"), ("threads", "process_threads"), ("tasks", "flagstaff_tasks")];

impl Watched {
    fn of(name: &'static str, url: &str, keeps_flags: bool) -> Self {
        let done = std::array::from_fn(|_| AtomicU64::new(0));
        let (url, began) = (url.to_owned(), Instant::now());
        let mut watched =
            Self { name, url, keeps_flags, done, streams_before: 0.0, began, rests: Vec::new() };
        watched.streams_before = sum(&watched.metrics(), "flagstaff_streams_open");
        watched
    }

    /// What is done here, and how often it was.
    fn works(&self) -> impl Iterator<Item = (Work, &AtomicU64)> {
        let works = Work::ALL.into_iter().zip(&self.done);
        works.filter(|(work, _)| self.keeps_flags || !work.needs_flags())
    }

    /// Whether each of them was done so often.
    fn has_done(&self, often: u64) -> bool {
        self.works().all(|(_, done)| done.load(Ordering::Relaxed) >= often)
    }

    fn metrics(&self) -> String {
        expect(200, "GET", &self.url, "/metrics", "", &Json::Null)
    }

    /// Waits until those have left who came by streams, and notes what is held.
    fn note_rest(&mut self) {
        let metrics = eventually(PATIENCE, || {
            let metrics = self.metrics();
            let open = sum(&metrics, "flagstaff_streams_open");
            // Relays have the streams that they had, or may just be connecting again.
            if open <= self.streams_before + RELAYS_STREAMS {
                Ok(metrics)
            } else {
                Err(format!("{open} streams"))
            }
        });
        let resident_mib = sum(&metrics, "process_resident_memory_bytes") / (1024.0 * 1024.0);
        let held = HELD.map(|(_, figure)| sum(&metrics, figure));
        self.rests.push(Rest { after: self.began.elapsed(), resident_mib, held });
    }

    fn tell(&self) {
        let (Some(first), Some(last)) = (self.rests.first(), self.rests.last()) else { return };
        // What is cached and pooled is there after a while.
        let settled = &self.rests[self.rests.len() / 3..];
        let slope = |figure: &dyn Fn(&Rest) -> f64| slope_per_hour(settled, figure);
        let held: Vec<String> = HELD
            .iter()
            .enumerate()
            .map(|(place, (what, _))| {
                let (from, to) = (first.held[place], last.held[place]);
                format!("{what} {from} to {to} ({:+.1}/h)", slope(&|rest| rest.held[place]))
            })
            .collect();
        let done: Vec<String> = Work::ALL
            .iter()
            .zip(&self.done)
            .map(|(work, done)| format!("{done:?} {work:?}").to_lowercase())
            .collect();
        say(&format!(
            "{}, {:.0?}: resident {:.1} to {:.1} MiB ({:+.2} MiB/h); {}; {}",
            self.name,
            last.after,
            first.resident_mib,
            last.resident_mib,
            slope(&|rest| rest.resident_mib),
            held.join(", "),
            done.join(", "),
        ));
    }

    /// What was held for each who came would have added up.
    fn check(&self) {
        let (early, late) = self.rests.split_at(self.rests.len() / 2);
        for (place, (what, _)) in HELD.iter().enumerate() {
            let most = early.iter().map(|rest| rest.held[place]).fold(0.0, f64::max);
            let least = late.iter().rev().take(3).map(|rest| rest.held[place]).fold(f64::INFINITY, f64::min);
            assert!(least <= most + PLAY, "{}: {what} rose from {most} to {least}", self.name);
        }
    }
}

/// A stream for each of the demo's environments.
const RELAYS_STREAMS: f64 = 2.0;

/// All samples of a figure, added up.
fn sum(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter_map(|line| {
        let (labelled, value) = line.rsplit_once(' ')?;
        (labelled.split('{').next() == Some(name)).then(|| value.parse::<f64>().expect("a number"))
    });
    let samples: Vec<f64> = samples.collect();
    assert!(!samples.is_empty(), "there is no figure {name}");
    samples.iter().sum()
}

/// By how much a figure rises in an hour: the straight line that fits best.
fn slope_per_hour(rests: &[Rest], figure: &dyn Fn(&Rest) -> f64) -> f64 {
    let points: Vec<(f64, f64)> =
        rests.iter().map(|rest| (rest.after.as_secs_f64() / 3600.0, figure(rest))).collect();
    let count = points.len() as f64;
    let (middle, average) = (
        points.iter().map(|point| point.0).sum::<f64>() / count,
        points.iter().map(|point| point.1).sum::<f64>() / count,
    );
    let above: f64 = points.iter().map(|(hours, value)| (hours - middle) * (value - average)).sum();
    let below: f64 = points.iter().map(|(hours, _)| (hours - middle).powi(2)).sum();
    if below == 0.0 { 0.0 } else { above / below }
}

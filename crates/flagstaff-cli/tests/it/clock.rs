//! R7: the clock leaps an hour ahead, an hour back, ten years ahead, and is set right again; and the process stands
//! still for a while. What waits goes on, what is counted is counted once, and what ends by the clock ends by it.
//!
//! The executable runs with Debian's `libfaketime`, which has it see the clock that a file says; time that passes is
//! the machine's own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::logs::exchange;
use crate::process::{Folder, Service, flagstaff};
use crate::starting::{signal, text, until};

const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
const SDK_KEY: &str = "sdk-demo-production";
const TOKEN: &str = "api-demo";
/// Longer than anything here should take; shorter than the minute for which failed sign-ins count.
const SOON: Duration = Duration::from_secs(45);

/// By how much a clock is wrong, in the library's words and in milliseconds.
type Leap = (&'static str, i64);
const RIGHT: Leap = ("+0", 0);
const AN_HOUR_AHEAD: Leap = ("+1h", HOUR_MS);
const AN_HOUR_BACK: Leap = ("-1h", -HOUR_MS);
const TEN_YEARS_AHEAD: Leap = ("+3650d", 3650 * 24 * HOUR_MS);
const HOUR_MS: i64 = 60 * 60 * 1000;

/// The clock of a process.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// None where the library is not installed; with `FLAGSTAFF_REQUIRE_STORES=1` that is a failure.
    fn new(folder: &Folder) -> Option<Self> {
        let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
        let Some(library) = folders.map(|folder| folder.join(LIBRARY)).find(|library| library.exists())
        else {
            let is_required = std::env::var_os("FLAGSTAFF_REQUIRE_STORES").is_some_and(|value| value == "1");
            assert!(!is_required, "libfaketime is not installed: run `make setup-stores`");
            println!("skipped: libfaketime is not installed (`make setup-stores`)");
            return None;
        };
        let clock = Self { library, file: folder.path().join("clock") };
        clock.set(RIGHT);
        Some(clock)
    }

    fn set(&self, (words, _): Leap) {
        // In one step: it is read all the time.
        let next = self.file.with_extension("next");
        std::fs::write(&next, words).unwrap();
        std::fs::rename(next, &self.file).unwrap();
    }

    fn given_to<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let variables = [("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_CACHE_DURATION", "1")];
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file).envs(variables)
    }

    fn start(&self, folder: &Folder, log: &Path) -> Service {
        Service::start_with(folder, &["--demo", "--heartbeat-interval", "1"], |command| {
            self.given_to(command)
                .stderr(std::fs::File::options().create(true).append(true).open(log).unwrap())
        })
    }
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A stream, read all the time.
#[derive(Clone, Default)]
struct Stream(Arc<Mutex<Read>>);

#[derive(Default)]
struct Read {
    lines: Vec<String>,
    has_ended: bool,
}

impl Stream {
    fn open(service: &Service) -> Self {
        Self::open_with(service, SDK_KEY)
    }

    fn open_with(service: &Service, key: &str) -> Self {
        let mut connection = TcpStream::connect(service.address()).unwrap();
        write!(connection, "GET /all HTTP/1.0\r\nauthorization: {key}\r\n\r\n").unwrap();
        let stream = Self::default();
        let reading = stream.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(connection).lines().map_while(Result::ok) {
                reading.0.lock().unwrap().lines.push(line);
            }
            reading.0.lock().unwrap().has_ended = true;
        });
        until("the first put", || stream.has(0, |line| line.contains("event: put")).then_some(()));
        stream
    }

    fn length(&self) -> usize {
        self.0.lock().unwrap().lines.len()
    }

    /// Whether there is such a line behind this many.
    fn has(&self, behind: usize, is_it: impl Fn(&str) -> bool) -> bool {
        self.0.lock().unwrap().lines.iter().skip(behind).any(|line| is_it(line))
    }

    fn has_ended(&self) -> bool {
        self.0.lock().unwrap().has_ended
    }
}

fn status(service: &Service, method: &str, path: &str, key: &str, body: &Value) -> u16 {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = service.request(method, path, key, &body);
    answer.unwrap_or_else(|| panic!("no answer to {method} {path}")).0
}

/// What goes on all the time, whatever the clock says.
struct Going<'s> {
    service: &'s Service,
    stream: Stream,
    is_on: bool,
    batches: u64,
}

impl Going<'_> {
    /// Flips the flag and waits until the stream brings it. Gives when that was by the service's clock.
    fn flip(&mut self) -> i64 {
        let behind = self.stream.length();
        self.is_on = !self.is_on;
        let patch = json!([{"op": "replace", "path": "/environments/production/on", "value": self.is_on}]);
        let path = "/api/v2/flags/demo/wish-lists";
        let (status, flag) = self.service.request("PATCH", path, TOKEN, &patch.to_string()).unwrap();
        assert_eq!(status, 200, "{flag}");
        let brings = format!("\"on\":{}", self.is_on);
        until("the flip", || {
            self.stream
                .has(behind, |line| line.contains("wish-lists") && line.contains(&brings))
                .then_some(())
        });
        flag["environments"]["production"]["lastModified"].as_i64().unwrap_or_else(|| panic!("{flag}"))
    }

    /// Reports evaluations, which have to be counted.
    fn report(&mut self, key: &str) {
        let now = now_ms();
        let events = json!([{"kind": "summary", "startDate": now, "endDate": now, "features":
            {"wish-lists": {"default": 0, "counters": [{"value": 0, "variation": 0, "version": 1, "count": 3}]}}}]);
        assert_eq!(status(self.service, "POST", "/bulk", key, &events), 202);
        self.batches += 1;
        until("counting", || {
            let metrics = exchange(self.service.address(), "GET /metrics HTTP/1.1", "");
            metrics.contains("flagstaff_event_batches_waiting 0\n").then_some(())
        });
    }

    /// Everything moves.
    fn moves(&mut self, key: &str) {
        let behind = self.stream.length();
        self.flip();
        until("a heartbeat", || self.stream.has(behind, |line| line.starts_with(':')).then_some(()));
        self.report(key);
        assert!(!self.stream.has_ended(), "the stream ended");
    }

    /// The versions of the flag that the stream brought, in its order.
    fn versions(&self) -> Vec<u64> {
        let read = self.stream.0.lock().unwrap();
        let data = read.lines.iter().filter_map(|line| line.strip_prefix("data:"));
        let patches = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        patches.filter_map(|patch| patch["data"]["version"].as_u64()).collect()
    }
}

/// Signs in, and gives the session's cookie; or the status, if not let in.
fn sign_in(service: &Service, email: &str, password: &str) -> Result<String, u16> {
    let form = format!("email={}&password={password}", email.replace('@', "%40"));
    let head = "POST /ui/sign-in HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
    let answer = exchange(service.address(), head, &form);
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: flagstaff_session="));
    match cookie.and_then(|rest| rest.split(';').next()) {
        Some(token) => Ok(format!("flagstaff_session={token}")),
        None => Err(answer.split(' ').nth(1).unwrap().parse().unwrap()),
    }
}

fn is_signed_in(service: &Service, cookie: &str) -> bool {
    let page =
        exchange(service.address(), &format!("GET /ui/demo/production HTTP/1.1\r\ncookie: {cookie}"), "");
    !page.contains("/ui/sign-in?next=")
}

#[test]
fn whatever_the_clock_does_nothing_stops_nothing_is_counted_twice_and_nothing_is_forgotten() {
    let folder = Folder::new("clock");
    let Some(clock) = Clock::new(&folder) else { return };
    let log = folder.path().join("log");
    let mut service = clock.start(&folder, &log);
    // A key that was replaced and counts on for half an hour.
    let expiry = now_ms() + HOUR_MS / 2;
    let path = format!("/api/v2/projects/demo/environments/production/apiKey?expiry={expiry}");
    let by_old_key = Stream::open(&service);
    let new = service.request("POST", &path, TOKEN, "").unwrap().1["apiKey"].as_str().unwrap().to_owned();
    let stream = Stream::open_with(&service, &new);
    let is_on =
        service.request("GET", "/sdk/latest-all", &new, "").unwrap().1["flags"]["wish-lists"]["on"] == true;
    let mut going = Going { service: &service, stream, is_on, batches: 0 };
    let cookie = sign_in(&service, "demo@example.com", "demo").expect("the demo's password");
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(sign_in(&service, "eve@example.com", "guess"), Err(401));
    }

    // By when it came the next start tells how far the clock is ahead.
    let program = json!({"kind": "diagnostic-init", "id": {"diagnosticId": "d"}, "creationDate": 1,
        "sdk": {"name": "clock", "version": "1"}});
    assert_eq!(status(&service, "POST", "/diagnostic", &new, &program), 202);

    let mut foreseen = None;
    for leap in [RIGHT, AN_HOUR_AHEAD, AN_HOUR_BACK, TEN_YEARS_AHEAD, RIGHT] {
        clock.set(leap);
        until("the leap", || ((going.flip() - now_ms() - leap.1).abs() < HOUR_MS / 4).then_some(()));
        going.moves(&new);
        // By the clock its time has come, or has not.
        let old_key_counts = leap.1 < HOUR_MS / 2;
        let expected = if old_key_counts { 200 } else { 401 };
        until("the old key's time", || {
            (status(&service, "GET", "/sdk/latest-all", SDK_KEY, &Value::Null) == expected).then_some(())
        });
        until("the old key's stream", || (old_key_counts || by_old_key.has_ended()).then_some(()));
        // What has ended by the clock is cleared away when somebody signs in.
        let lasts = leap != TEN_YEARS_AHEAD && foreseen.is_none();
        assert_eq!(is_signed_in(&service, &cookie), lasts, "{leap:?}");
        if leap == AN_HOUR_AHEAD {
            let tried_again = sign_in(&service, "eve@example.com", "guess");
            // Failures count for a minute, by the time that passes.
            assert!(tried_again == Err(429) || began.elapsed() > SOON, "{tried_again:?}");
        }
        if leap == TEN_YEARS_AHEAD {
            foreseen = Some(sign_in(&service, "demo@example.com", "demo").expect("the demo's password"));
        }
    }
    let foreseen = foreseen.expect("ten years ahead was among them");
    assert!(!is_signed_in(&service, &foreseen), "a session of a wrong clock would last ten years");

    signal(service.id(), "-STOP");
    std::thread::sleep(Duration::from_secs(4));
    signal(service.id(), "-CONT");
    going.moves(&new);

    let versions = going.versions();
    assert!(versions.len() > 10 && versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    let counted = 3 * going.batches;
    assert_eq!(service.terminate(), Some(0));

    // A start by a clock that is ahead would find everything too old.
    clock.set(TEN_YEARS_AHEAD);
    let mut service = clock.start(&folder, &log);
    until("doubt", || text(&log).contains("nothing is forgotten by its age for a day").then_some(()));
    assert_eq!(service.terminate(), Some(0));
    assert_eq!(evaluations(&folder), counted);
    println!("{counted} evaluations counted once; {} versions, rising", versions.len());
}

/// How often the flag was evaluated, as it is kept.
fn evaluations(folder: &Folder) -> u64 {
    use sqlx::{ConnectOptions as _, Connection as _};
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("events.sqlite"));
    let count: i64 = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut connection = file.connect().await.unwrap();
        let sum = "SELECT coalesce(sum(count), 0) FROM evaluation_count WHERE flag_key = 'wish-lists'";
        let count = sqlx::query_scalar(sum).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        count
    });
    count.unsigned_abs()
}

#[test]
fn a_relay_serves_what_it_kept_whatever_the_clock_says() {
    let folder = Folder::new("relay-clock");
    let Some(clock) = Clock::new(&folder) else { return };
    let log = folder.path().join("log");
    let mut service = clock.start(&folder, &log);
    let upstream = format!("http://{}", service.address());
    let kept = folder.path().join("relay");
    let start = || {
        let mut command = flagstaff(&["relay", "--listen", "127.0.0.1:0", "--upstream", &upstream]);
        command.args(["--environment", &format!("name=production,sdk-key={SDK_KEY}"), "--data"]).arg(&kept);
        clock.given_to(&mut command).stderr(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let address = first.trim_end().strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("the first line is `{first}`")).to_owned();
        (process, address)
    };
    let flags = |address: &str| {
        let answer = crate::process::request(address, "GET", "/sdk/latest-all", SDK_KEY, "");
        answer.and_then(|(status, all)| (status == 200).then(|| all["flags"].clone()))
    };
    let (mut relay, address) = start();
    let known = until("the first flags", || flags(&address));
    until("the snapshot", || kept.join("production.json").exists().then_some(()));
    assert_eq!(service.terminate(), Some(0));
    signal(relay.id(), "-TERM");
    assert!(relay.wait().unwrap().success());

    for leap in [AN_HOUR_BACK, TEN_YEARS_AHEAD] {
        clock.set(leap);
        let (mut relay, address) = start();
        assert_eq!(until("what was kept", || flags(&address)), known, "{leap:?}");
        signal(relay.id(), "-TERM");
        assert!(relay.wait().unwrap().success());
    }
}

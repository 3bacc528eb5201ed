//! What whoever runs a service does with it: stops it, looks after what it keeps, has a manager look after it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flagstaff_testkit::Postgres;
use serde_json::{Value, json};

use crate::process::{Folder, Service, flagstaff, request, run};

const SDK_KEY: &str = "sdk-demo-production";
const TOKEN: &str = "api-demo";
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens a stream and reads until everything was put.
fn stream(service: &Service, path: &str, until: &str) -> BufReader<TcpStream> {
    let mut connection = TcpStream::connect(service.address()).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(connection, "GET {path} HTTP/1.0\r\nauthorization: {SDK_KEY}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(connection);
    let mut line = String::new();
    while !line.starts_with(until) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the stream ended before `{until}`");
    }
    lines
}

fn rest(mut lines: BufReader<TcpStream>) -> String {
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    rest
}

#[test]
fn a_stop_under_load_answers_what_was_asked_says_when_to_come_back_and_takes_less_than_five_seconds() {
    let folder = Folder::new("drain");
    let mut service = Service::start(&folder, &["--demo", "--log", "off"]);
    let streams: Vec<_> = (0..20).map(|_| stream(&service, "/all", "event: put")).collect();
    let transfers: Vec<_> =
        (0..5).map(|_| stream(&service, "/sdk/stream", "event: payload-transferred")).collect();
    let (stop, answered, taken) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (stop, answered, taken) = (stop.clone(), answered.clone(), taken.clone());
            let address = service.address().to_owned();
            std::thread::spawn(move || {
                let mut wrong = Vec::new();
                for number in 0_u64.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let events = json!([{"kind": "summary", "startDate": 1, "endDate": 2, "features":
                        {"wish-lists": {"default": 0, "counters": [{"value": 0, "variation": 0, "version": 1, "count": 1}]}}}]);
                    let answer = match worker % 3 {
                        0 => request(&address, "GET", "/sdk/latest-all", SDK_KEY, ""),
                        1 => request(&address, "POST", "/bulk", SDK_KEY, &events.to_string()),
                        _ => {
                            let patch = json!([{"op": "replace", "path": "/tags", "value": [format!("t{number}")]}]);
                            let path = format!("/api/v2/flags/demo/{}", ["wish-lists", "exports-enabled"][worker % 2]);
                            request(&address, "PATCH", &path, TOKEN, &patch.to_string())
                        }
                    };
                    // Refused or cut connections are no answers; whoever asked asks again.
                    match answer {
                        Some((status, _)) if status < 500 => {
                            answered.fetch_add(1, Ordering::SeqCst);
                            if status == 202 {
                                taken.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                        Some(answer) => wrong.push(answer),
                        None => {}
                    }
                }
                wrong
            })
        })
        .collect();
    while answered.load(Ordering::SeqCst) < 100 {
        std::thread::yield_now();
    }
    let began = Instant::now();
    assert_eq!(service.terminate(), Some(0));
    let took = began.elapsed();
    stop.store(true, Ordering::SeqCst);
    let wrong: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(wrong.is_empty(), "{wrong:?}");
    let mut hints: Vec<u64> = streams
        .into_iter()
        .map(|stream| {
            let rest = rest(stream);
            let hint = rest.lines().rev().find_map(|line| line.strip_prefix("retry: "));
            hint.unwrap_or_else(|| panic!("no hint when to come back in {rest}")).parse().unwrap()
        })
        .collect();
    hints.sort_unstable();
    hints.dedup();
    assert!(hints.len() > 10 && hints[0] >= 1000, "they come back one by one: {hints:?}");
    for transfer in transfers {
        let rest = rest(transfer);
        assert!(rest.contains("retry: ") && rest.contains("event: goodbye"), "{rest}");
    }
    println!(
        "{} requests answered, none with an error; {} batches taken; stopped after {took:?}",
        answered.load(Ordering::SeqCst),
        taken.load(Ordering::SeqCst)
    );
    // Every batch that was acknowledged is there.
    let service = Service::start(&folder, &["--demo", "--log", "off"]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = metrics(&service);
        if text.contains("flagstaff_event_batches_waiting 0\n") {
            break;
        }
        assert!(Instant::now() < deadline, "batches wait for ever");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(taken.load(Ordering::SeqCst) > 0);
}

fn metrics(service: &Service) -> String {
    let mut connection = TcpStream::connect(service.address()).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_second_signal_stops_at_once_and_says_what_that_means() {
    let folder = Folder::new("second-signal");
    let log = folder.path().join("log");
    let mut service = Service::start_with(&folder, &["--demo", "--log", "info"], |command| {
        command.stderr(std::fs::File::create(&log).unwrap())
    });
    // A request that would take its time.
    let mut slow = TcpStream::connect(service.address()).unwrap();
    write!(slow, "POST /bulk HTTP/1.1\r\nhost: a\r\nauthorization: {SDK_KEY}\r\ncontent-length: 9\r\n\r\n[")
        .unwrap();
    let logged = |text: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !std::fs::read_to_string(&log).unwrap().contains(text) {
            assert!(Instant::now() < deadline, "`{text}` was never logged");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    while !metrics(&service).contains("flagstaff_connections 2\n") {
        std::thread::sleep(Duration::from_millis(5));
    }
    service.ask_to_stop();
    logged("once more stops at once");
    let began = Instant::now();
    assert_eq!(service.terminate(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    logged("stopped at once, before every request in flight was answered");
}

#[test]
fn a_service_manager_that_asks_is_told_when_requests_are_taken_and_when_it_stops() {
    let folder = Folder::new("notify");
    let socket = folder.path().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut message = [0; 100];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let mut service = Service::start_with(&folder, &["--demo", "--log", "off"], |command| {
        command.stderr(Stdio::null()).env("NOTIFY_SOCKET", &socket)
    });
    assert_eq!(told(), "READY=1");
    assert_eq!(service.terminate(), Some(0));
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn thousands_that_never_finish_asking_keep_nobody_out_and_are_let_go() {
    const PEERS: usize = 5_000;
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let peers = PEERS.min(usize::try_from(limit).unwrap_or(PEERS).saturating_sub(500));
    let folder = Folder::new("slow-loris");
    let service = Service::start(&folder, &["--demo", "--log", "off", "--request-timeout", "5"]);
    let began = Instant::now();
    let mut open: Vec<TcpStream> = Vec::new();
    let mut slowest = Duration::ZERO;
    for number in 0..peers {
        let mut peer = TcpStream::connect(service.address()).unwrap();
        let sent = match number % 3 {
            0 => "GET /sdk/latest-all HTTP/1.1\r\nauthoriz".to_owned(),
            1 => format!(
                "POST /bulk HTTP/1.1\r\nhost: a\r\nauthorization: {SDK_KEY}\r\ncontent-length: 99\r\n\r\n["
            ),
            _ => String::new(),
        };
        peer.write_all(sent.as_bytes()).unwrap();
        open.push(peer);
        if number % 250 == 0 {
            let asked = Instant::now();
            let answer = request(service.address(), "GET", "/sdk/latest-all", SDK_KEY, "");
            assert_eq!(answer.map(|(status, _)| status), Some(200), "with {number} of them");
            slowest = slowest.max(asked.elapsed());
        }
    }
    for mut peer in open {
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        // Closed in good order, or reset: either way it is gone.
        let _ = peer.read_to_end(&mut rest);
    }
    let took = began.elapsed();
    println!("{peers} slow peers, all gone after {took:?}; others were answered within {slowest:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[test]
fn a_backup_of_a_running_service_is_restored_elsewhere_by_commands() {
    let folder = Folder::new("upkeep");
    let service = Service::start(&folder, &["--demo", "--log", "off"]);
    let all = |service: &Service| service.request("GET", "/sdk/latest-all", SDK_KEY, "").unwrap().1;
    let patch = json!([{"op": "replace", "path": "/environments/production/on", "value": true}]);
    let path = "/api/v2/flags/demo/checkout-redesign";
    assert_eq!(service.request("PATCH", path, TOKEN, &patch.to_string()).unwrap().0, 200);
    let data = folder.path().to_str().unwrap();
    let file = folder.path().join("backup.flagstaff");
    let output = run(&["backup", file.to_str().unwrap(), "--data", data]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("backed up") && said.contains("rows of"), "{output:?}");
    let again = run(&["backup", file.to_str().unwrap(), "--data", data]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"), "{again:?}");
    let busy = run(&["restore", file.to_str().unwrap(), "--data", data]);
    assert!(String::from_utf8_lossy(&busy.stderr).contains("in use by another"), "{busy:?}");

    let elsewhere = Folder::new("upkeep-elsewhere");
    let there = elsewhere.path().to_str().unwrap();
    let output = run(&["restore", file.to_str().unwrap(), "--data", there]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("versions start"), "{output:?}");
    let output = flagstaff(&["migrate"]).env("FLAGSTAFF_DATA", there).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("is up to date: step"), "{output:?}");
    // R10: everything that people decide about is the same, keys and all.
    let export = |data: &str| {
        let output = run(&["export", "--keys", "--data", data]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(export(data).contains("sdk-demo-production"));
    assert_eq!(export(there), export(data));
    let restored = Service::start(&elsewhere, &["--demo", "--log", "off"]);
    let on = |all: &Value| all["flags"]["checkout-redesign"]["on"].clone();
    let (before, after) = (all(&service), all(&restored));
    assert_eq!((on(&before), on(&after)), (json!(true), json!(true)));
    let version = |all: &Value| all["flags"]["checkout-redesign"]["version"].as_u64().unwrap();
    assert!(version(&after) > version(&before));
}

#[test]
fn a_restore_into_postgresql_needs_no_data_folder_and_leaves_none() {
    let Some(server) = Postgres::start() else { return };
    let folder = Folder::new("restore-elsewhere");
    let service = Service::start(&folder, &["--demo", "--log", "off"]);
    let file = folder.path().join("backup.flagstaff");
    let output = run(&["backup", file.to_str().unwrap(), "--data", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    drop(service);
    let here = Folder::new("restore-here");
    let output = flagstaff(&["restore", file.to_str().unwrap(), "--database-url", &server.new_database()])
        .current_dir(here.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
}

/// The options of a command, and the names that they have in the environment.
pub(crate) fn options(command: &str) -> Vec<(String, Option<String>)> {
    let help = String::from_utf8(run(&[command, "--help"]).stdout).unwrap();
    let mut options: Vec<(String, Option<String>)> = Vec::new();
    for line in help.lines().map(str::trim) {
        let name = line.split([' ', '=']).find(|word| word.starts_with("--"));
        match name {
            Some(name) if line.starts_with('-') => options.push((name.to_owned(), None)),
            _ => {}
        }
        if let (Some(start), Some((_, variable))) = (line.find("[env: "), options.last_mut()) {
            let name = &line[start + "[env: ".len()..];
            *variable = name.split(['=', ']']).next().map(str::to_owned);
        }
    }
    options.retain(|(name, _)| !["--help", "--version"].contains(&&**name));
    options
}

#[test]
fn every_option_stands_in_the_docs_with_its_name_in_the_environment_and_no_other_does() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let rows: Vec<&str> = docs.lines().filter(|line| line.starts_with("| `--")).collect();
    let known = options("serve");
    assert!(known.len() > 15, "{known:?}");
    for (name, variable) in &known {
        let variable = variable.as_deref().unwrap_or_else(|| panic!("{name} has no name in the environment"));
        let row = rows.iter().find(|row| row.contains(&format!("`{name}`")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/operations.md"));
        assert!(row.contains(&format!("`{variable}`")), "{name} is not said with `{variable}`: {row}");
    }
    for row in rows {
        let first = row.split('|').nth(1).unwrap_or_default();
        for name in first.split('`').filter(|word| word.starts_with("--")) {
            assert!(known.iter().any(|(known, _)| known == name), "there is no option {name}: {row}");
        }
    }
}

#[test]
fn every_figure_stands_in_the_docs_and_no_other_does() {
    let docs =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let folder = Folder::new("figures");
    let service = Service::start(&folder, &["--demo", "--log", "off"]);
    let text = metrics(&service);
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut shown: Vec<(&str, &str)> = families.filter_map(|family| family.split_once(' ')).collect();
    let rows = docs.lines().filter(|line| line.starts_with("| `"));
    let mut said: Vec<(&str, &str)> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            (cells.next().unwrap_or_default().trim_matches('`'), cells.next().unwrap_or_default())
        })
        .filter(|(_, kind)| ["counter", "gauge", "histogram"].contains(kind))
        .collect();
    shown.sort_unstable();
    said.sort_unstable();
    assert_eq!(said, shown);
    for name in ["checkout-redesign", SDK_KEY, "demo-production"] {
        assert!(!text.contains(name), "{name} stands in the figures");
    }
}

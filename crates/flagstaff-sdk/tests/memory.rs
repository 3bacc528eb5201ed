//! What memory flags take, counted by an allocator of this test's own. R26 of the reliability tests,
//! and a stream that reconnects again and again.
//!
//! A program of its own: other tests in it would allocate meanwhile. Its own tests run one at a time.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use flagstaff_sdk::{Client, Config};
use flagstaff_testkit::{PATIENCE, eventually, user};
use serde_json::json;

struct Counting;

/// Bytes that are allocated now, in all threads, and the most since [`Memory::begin`].
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(by: usize) {
    let live = LIVE.fetch_add(by, Ordering::Relaxed) + by;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: everything is done by the system's allocator; counting touches atomics alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Measures what is allocated from its beginning on, while no other test runs.
struct Memory {
    before: usize,
}

/// Held for the whole of a test.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn begin() -> Self {
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        Self { before }
    }

    fn now(&self) -> usize {
        LIVE.load(Ordering::Relaxed).saturating_sub(self.before)
    }

    /// What is allocated once nothing changes any more.
    fn settled(&self) -> usize {
        let mut last = self.now();
        eventually("memory came to rest", || {
            thread::sleep(Duration::from_millis(50));
            let before = std::mem::replace(&mut last, self.now());
            (before == last).then_some(last)
        })
    }

    /// Ends the client and waits until nothing of its flags is left.
    fn given_back(&self, client: Client) {
        let held = self.now();
        drop(client);
        eventually("the flags were given back", || (self.now() < held / 10).then_some(()));
    }

    fn peak(&self) -> usize {
        PEAK.load(Ordering::Relaxed).saturating_sub(self.before)
    }
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// What the system counts, for a person to read.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or("not known here".to_owned(), |size| size.trim().to_owned())
}

/// A `put` of flags as they are in the field: targets, two rules and a rollout, about 1,200 bytes each.
/// Written one by one, so that what it takes to make them does not count among what is resident.
fn put(flags: usize) -> Vec<u8> {
    let mut bytes = b"event: put\ndata: {\"path\":\"/\",\"data\":{\"segments\":{},\"flags\":{".to_vec();
    for i in 0..flags {
        let targets: Vec<String> = (0..12).map(|target| format!("user-{i}-{target:03}")).collect();
        let clause = |attribute: &str, values: serde_json::Value| json!({"contextKind": "user", "attribute": attribute, "op": "in", "values": values, "negate": false});
        let flag = json!({
            "key": format!("flag-{i}"), "version": i + 1, "on": true, "salt": format!("{i:032x}"),
            "prerequisites": [], "contextTargets": [], "targets": [{"variation": 0, "values": targets}],
            "rules": [
                {"id": format!("{i:036}"), "variation": 0, "trackEvents": false,
                    "clauses": [clause("country", json!(["de", "fr", "it", "es", "no", "se"]))]},
                {"id": format!("{i:036}"), "trackEvents": false, "clauses": [clause("plan", json!(["gold"]))],
                    "rollout": {"contextKind": "user", "variations": [
                        {"variation": 0, "weight": 30_000}, {"variation": 1, "weight": 70_000}]}},
            ],
            "fallthrough": {"variation": 1}, "offVariation": 1, "variations": ["the first value", "the second value"],
            "clientSideAvailability": {"usingEnvironmentId": false, "usingMobileKey": false},
            "clientSide": false, "trackEvents": false, "trackEventsFallthrough": false,
            "debugEventsUntilDate": null, "deleted": false,
        });
        let comma = if i == 0 { "" } else { "," };
        write!(bytes, "{comma}\"flag-{i}\":{flag}").expect("memory can be written to");
    }
    bytes.extend_from_slice(b"}}}\n\n");
    bytes
}

/// Answers each stream with the same bytes, which it does not copy, and can cut them all.
struct Streams {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    opened: Arc<AtomicUsize>,
}

impl Streams {
    fn of(bytes: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("the port is known");
        let (open, opened) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (to_cut, counter, bytes) = (open.clone(), opened.clone(), Arc::new(bytes));
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (to_cut, counter, bytes) = (to_cut.clone(), counter.clone(), bytes.clone());
                thread::spawn(move || {
                    let mut head =
                        BufReader::new(connection.try_clone().expect("a socket can be shared")).lines();
                    while head.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                    let mut connection = connection;
                    let answer =
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
                    // The client may be gone.
                    let _ = connection.write_all(answer).and_then(|()| connection.write_all(&bytes));
                    to_cut.lock().unwrap().push(connection);
                    counter.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, open, opened }
    }

    fn cut(&self) {
        for connection in self.open.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn wait_for(&self, streams: usize) {
        eventually(&format!("there were {streams} streams"), || {
            (self.opened.load(Ordering::SeqCst) >= streams).then_some(())
        });
    }

    fn client(&self) -> Client {
        let config = Config::new("sdk-test-key")
            .base_uri(format!("http://{}", self.address))
            .initial_reconnect_delay(Duration::from_millis(1))
            // So that delays do not grow.
            .compress_time(60_000)
            .diagnostic_opt_out(true);
        Client::start(config).expect("the configuration is right")
    }
}

/// R26: from the first byte to the last flag, what is kept and what is needed meanwhile stay below
/// four times the size of what came.
fn put_takes_less_than_four_times_its_size(flags: usize) {
    let _alone = alone();
    let bytes = put(flags);
    let size = bytes.len();
    let streams = Streams::of(bytes);
    let memory = Memory::begin();
    let started = Instant::now();
    let client = streams.client();
    assert!(client.wait_until_ready(10 * PATIENCE), "{:?}", client.data_source_status());
    let took = started.elapsed();
    let value = client.variation(&format!("flag-{}", flags - 1), &user("u"), String::new());
    assert_eq!(value, "the second value");
    let (kept, peak) = (memory.settled(), memory.peak());
    println!(
        "R26: {flags} flags, {}: ready in {took:.2?}, kept {} ({:.2} x), at most {} ({:.2} x), resident {}",
        megabytes(size),
        megabytes(kept),
        kept as f64 / size as f64,
        megabytes(peak),
        peak as f64 / size as f64,
        resident(),
    );
    assert!(peak < 4 * size, "{} for {}", megabytes(peak), megabytes(size));
    memory.given_back(client);
}

#[test]
fn a_large_put_takes_less_than_four_times_its_size() {
    put_takes_less_than_four_times_its_size(5_000);
}

#[test]
#[ignore = "takes 60 MB and a while: make soak"]
fn a_put_of_fifty_thousand_flags_takes_less_than_four_times_its_size_in_full() {
    put_takes_less_than_four_times_its_size(50_000);
}

/// A stream that brings all flags again and again leaves nothing behind.
fn reconnecting_keeps_memory_flat(reconnects: usize) {
    let _alone = alone();
    let streams = Streams::of(put(10_000));
    let memory = Memory::begin();
    let client = streams.client();
    assert!(client.wait_until_ready(10 * PATIENCE), "{:?}", client.data_source_status());
    let mut kept = Vec::new();
    for reconnect in 1..=reconnects {
        streams.wait_for(reconnect);
        // Read to its end, or the cut would spare the client the work.
        eventually("the flags were read", || {
            let status = client.data_source_status();
            (status.state == flagstaff_sdk::DataSourceState::Valid).then_some(())
        });
        kept.push(memory.settled());
        streams.cut();
    }
    let (first, last) = kept.split_at(reconnects / 2);
    let (early, late) = (first.iter().max().unwrap(), last.iter().max().unwrap());
    println!(
        "reconnecting: 10,000 flags, {reconnects} times: {} at first, {} at last, at most {}, resident {}",
        megabytes(*early),
        megabytes(*late),
        megabytes(memory.peak()),
        resident(),
    );
    assert!(*late as f64 <= *early as f64 * 1.1, "{} after {}", megabytes(*late), megabytes(*early));
    memory.given_back(client);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn a_stream_that_reconnects_three_hundred_times_keeps_memory_flat_in_full() {
    reconnecting_keeps_memory_flat(300);
}

#[test]
fn a_stream_that_reconnects_keeps_memory_flat() {
    reconnecting_keeps_memory_flat(8);
}

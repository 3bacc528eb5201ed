//! Two nodes on one PostgreSQL: two processes that know of each other by the database alone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kills::Chance;
use crate::place::Place;
use crate::process::{Service, request};

/// Ten times what is expected, and more.
const PATIENCE: Duration = Duration::from_secs(30);

/// A flip on one node reaches the other, as a rule, within a second.
const REACHES: Duration = Duration::from_secs(10);

const TOKEN: &str = "api-demo";
const SDK_KEY: &str = "sdk-demo-production";
const FLAGS: &str = "/api/v2/flags/demo";

/// What a stream sent.
#[derive(Debug)]
struct Event {
    name: String,
    data: Value,
}

impl Event {
    /// The flag of a patch or a delete, and the version that it has now.
    fn change(&self) -> Option<(&str, u64)> {
        let key = self.data["path"].as_str()?.strip_prefix("/flags/")?;
        let item = if self.name == "patch" { &self.data["data"] } else { &self.data };
        Some((key, item["version"].as_u64()?))
    }
}

/// A stream, as server-side SDKs open it.
#[derive(Debug)]
struct Stream(Receiver<Event>);

impl Stream {
    /// Returns when everything was sent.
    fn open(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        // HTTP/1.0 has no chunks, so that the lines stand as they are.
        write!(stream, "GET /all HTTP/1.0\r\nauthorization: {SDK_KEY}\r\n\r\n").unwrap();
        let (sender, events) = channel();
        std::thread::spawn(move || {
            let mut name = String::new();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if let Some(event) = line.strip_prefix("event:") {
                    event.trim().clone_into(&mut name);
                } else if let Some(data) = line.strip_prefix("data:") {
                    let data = serde_json::from_str(data).expect("a line of data is whole");
                    if sender.send(Event { name: name.clone(), data }).is_err() {
                        return;
                    }
                }
            }
        });
        let stream = Self(events);
        assert_eq!(stream.next().name, "put");
        stream
    }

    fn next(&self) -> Event {
        self.0.recv_timeout(PATIENCE).expect("the stream goes on")
    }

    /// The version of the next change, which is of this flag.
    fn next_version(&self, key: &str) -> u64 {
        let event = self.next();
        let (changed, version) = event.change().unwrap_or_else(|| panic!("{event:?}"));
        assert_eq!(changed, key);
        version
    }

    fn has_ended(&self) -> bool {
        matches!(self.0.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected))
    }
}

/// Both at once, so that they race to make the schema and the demo.
fn two_nodes(place: &Place) -> [Service; 2] {
    std::thread::scope(|scope| {
        let nodes = [0, 1].map(|_| scope.spawn(|| place.start(&["--demo"])));
        nodes.map(|node| node.join().unwrap())
    })
}

fn patch(address: &str, key: &str, operations: &Value) -> Option<(u16, Value)> {
    request(address, "PATCH", &format!("{FLAGS}/{key}"), TOKEN, &operations.to_string())
}

fn turn(address: &str, key: &str, on: bool) -> Option<(u16, Value)> {
    let path = "/environments/production/on";
    patch(address, key, &json!([{"op": "replace", "path": path, "value": on}]))
}

/// Makes a flag on one node and waits until all know it.
fn make(node: &Service, all: &[&Service], key: &str) {
    let flag = json!({"key": key, "name": key, "variations": [{"value": 0}, {"value": -1}]});
    let (status, answer) = node.request("POST", FLAGS, TOKEN, &flag.to_string()).unwrap();
    assert_eq!(status, 201, "{answer}");
    wait_until("every node knows the flag", || all.iter().all(|node| !all_flags(node)[key].is_null()));
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < REACHES, "it does not come to pass that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn all_flags(node: &Service) -> Value {
    let (status, flags) = node.request("GET", "/sdk/flags", SDK_KEY, "").unwrap();
    assert_eq!(status, 200);
    flags
}

#[test]
fn a_flip_on_one_node_reaches_a_stream_on_the_other() {
    let Some(place) = Place::postgres("flips") else { return };
    let [one, other] = two_nodes(&place);
    make(&one, &[&other], "flipped");
    let stream = Stream::open(other.address());
    let mut times = Vec::new();
    let mut last = 0;
    for flip in 0..20 {
        let begun = Instant::now();
        let (status, answer) = turn(one.address(), "flipped", flip % 2 == 0).unwrap();
        assert_eq!(status, 200, "{answer}");
        let version = stream.next_version("flipped");
        assert!(version > last, "version {version} after {last}");
        last = version;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "from a request on one node to a stream on the other: median {median:.1?}, longest of 20 {longest:.1?}"
    );
    assert!(longest < REACHES, "{times:?}");
}

#[test]
fn a_flag_deleted_and_made_again_reaches_the_other_node_with_a_greater_version() {
    let Some(place) = Place::postgres("again") else { return };
    let [one, other] = two_nodes(&place);
    make(&one, &[&other], "again");
    let stream = Stream::open(other.address());
    turn(one.address(), "again", true).unwrap();
    let first = stream.next_version("again");
    assert_eq!(one.request("DELETE", &format!("{FLAGS}/again"), TOKEN, "").unwrap().0, 204);
    let deleted = stream.next();
    let ("delete", Some(("again", gone))) = (&*deleted.name, deleted.change()) else { panic!("{deleted:?}") };
    assert!(gone > first);
    // By the other node this time.
    make(&other, &[&one], "again");
    let made = stream.next_version("again");
    assert!(made > gone, "{made} after {gone}");
    assert_eq!(all_flags(&one)["again"]["version"], made, "what was written by the other is known here");
}

/// What one writer does: it counts up in a flag of its own, on whichever node there is.
struct Writer {
    key: String,
    /// The number of the last acknowledged write, and how many there were.
    acknowledged: AtomicU64,
    count: AtomicU64,
}

impl Writer {
    fn new(number: usize) -> Self {
        Self { key: format!("counter-{number}"), acknowledged: AtomicU64::new(0), count: AtomicU64::new(0) }
    }

    fn run(&self, address: impl Fn() -> String, stop: &AtomicBool) {
        let mut next = 0;
        while !stop.load(Ordering::Acquire) {
            next += 1;
            let change = json!([{"op": "replace", "path": "/variations/0/value", "value": next}]);
            // The node may die in the middle; what was not acknowledged may or may not be there.
            if patch(&address(), &self.key, &change).is_some_and(|(status, _)| status == 200) {
                self.acknowledged.store(next, Ordering::Release);
                self.count.fetch_add(1, Ordering::Relaxed);
            } else {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn a_node_that_is_killed_in_the_middle_of_writes_takes_nothing_back() {
    let Some(place) = Place::postgres("killed-node") else { return };
    let mut chance = Chance::new("a_node_that_is_killed_in_the_middle_of_writes");
    let [mut killed, survivor] = two_nodes(&place);
    let writers = [0, 1, 2].map(Writer::new);
    writers.iter().for_each(|writer| make(&survivor, &[&killed], &writer.key));
    let stream = Stream::open(survivor.address());
    let stop = AtomicBool::new(false);
    let address = std::sync::Mutex::new(killed.address().to_owned());
    std::thread::scope(|scope| {
        for (number, writer) in writers.iter().enumerate() {
            let (stop, address, survivor) = (&stop, &address, survivor.address());
            scope.spawn(move || match number {
                0 => writer.run(|| survivor.to_owned(), stop),
                _ => writer.run(|| address.lock().unwrap().clone(), stop),
            });
        }
        for _ in 0..5 {
            let before = writers[1].acknowledged.load(Ordering::Acquire);
            let begun = Instant::now();
            while writers[1].acknowledged.load(Ordering::Acquire) < before + 3 {
                assert!(begun.elapsed() < PATIENCE, "writes do not go on");
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(chance.pause(Duration::from_millis(100)));
            killed.kill();
            killed = place.start(&["--demo"]);
            killed.address().clone_into(&mut address.lock().unwrap());
        }
        stop.store(true, Ordering::Release);
    });
    // A last change, behind which nothing comes.
    assert_eq!(turn(survivor.address(), &writers[0].key, true).unwrap().0, 200);
    let served = all_flags(&survivor);
    let mut last = 0;
    let mut changes = 0;
    while last < served[&writers[0].key]["version"].as_u64().unwrap() {
        let event = stream.next();
        let (key, version) = event.change().unwrap_or_else(|| panic!("{event:?}"));
        assert!(version > last, "{key} is at {version} after {last}");
        (last, changes) = (version, changes + 1);
    }
    let mut acknowledged = 0;
    for writer in &writers {
        let there = served[&writer.key]["variations"][0].as_u64().unwrap();
        let said = writer.acknowledged.load(Ordering::Acquire);
        assert!(there >= said, "{} is at {there}, and {said} was acknowledged", writer.key);
        acknowledged += writer.count.load(Ordering::Relaxed);
    }
    wait_until("both nodes serve the same", || all_flags(&killed) == served);
    println!(
        "5 kills, {acknowledged} writes acknowledged, none missing; {changes} changes on the stream, each greater"
    );
}

#[test]
fn a_restart_of_the_database_leaves_streams_as_they_are_and_writes_work_again() {
    let Some(mut place) = Place::postgres("restart") else { return };
    let nodes = two_nodes(&place);
    make(&nodes[0], &[&nodes[1]], "kept");
    let streams = nodes.each_ref().map(|node| Stream::open(node.address()));
    let before = all_flags(&nodes[0]);
    place.stop_database();
    for node in &nodes {
        assert_eq!(all_flags(node), before, "evaluation goes on from memory");
        let (status, answer) = turn(node.address(), "kept", true).unwrap();
        assert_eq!((status, answer["code"].as_str()), (503, Some("database_unavailable")), "{answer}");
    }
    place.start_database();
    let since = Instant::now();
    for (node, on) in nodes.iter().zip([true, false]) {
        while turn(node.address(), "kept", on).unwrap().0 != 200 {
            assert!(since.elapsed() < PATIENCE, "writes do not work again");
            std::thread::sleep(Duration::from_millis(50));
        }
        let versions = streams.each_ref().map(|stream| stream.next_version("kept"));
        assert_eq!(versions[0], versions[1]);
    }
    println!(
        "both nodes write again, and hear of each other, {:.1?} after the database is back",
        since.elapsed()
    );
    assert!(streams.iter().all(|stream| !stream.has_ended()));
}

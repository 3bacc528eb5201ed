//! One client, ours or the peer's, in a process of its own: how long until it has all flags, and the
//! memory it holds five seconds later. `start ours|peer URL` prints one JSON line; so does
//! `start snapshot URL FILE`, of ours with the flags of a snapshot, which `start keep URL FILE` leaves.

use std::time::{Duration, Instant};

use flagstaff_benchmarks::resident_mib;
use flagstaff_sdk::{Client, Config, DataAvailability};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let start = Instant::now();
    let held: Box<dyn std::any::Any> = match arguments.as_slice() {
        ["ours", url] => Box::new(ours(config(url))),
        ["peer", url] => Box::new(peer(url)),
        ["keep", url, file] => return ours(config(url).snapshot_file(*file)).close(),
        ["snapshot", url, file] => Box::new(from_snapshot(config(url).snapshot_file(*file))),
        _ => panic!("start ours|peer URL, or start keep|snapshot URL FILE"),
    };
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    std::thread::sleep(Duration::from_secs(5));
    println!("{}", serde_json::json!({"ms": milliseconds, "rss_mib": resident_mib()}));
    drop(held);
    std::process::exit(0);
}

fn config(url: &str) -> Config {
    Config::new("sdk-bench").base_uri(url)
}

fn ours(config: Config) -> Client {
    let client = Client::start(config).expect("a client");
    client.wait_until_ready(Duration::from_secs(60));
    assert!(client.is_initialized(), "the client has the flags");
    client
}

fn from_snapshot(config: Config) -> Client {
    let client = ours(config);
    let status = client.data_source_status();
    assert_eq!(status.data_availability, DataAvailability::Cached, "the flags are those of the snapshot");
    client
}

fn peer(url: &str) -> (launchdarkly_server_sdk::Client, tokio::runtime::Runtime) {
    use launchdarkly_server_sdk::{Client, ConfigBuilder, ServiceEndpointsBuilder};
    let mut endpoints = ServiceEndpointsBuilder::new();
    let config = ConfigBuilder::new("sdk-bench").service_endpoints(endpoints.relay_proxy(url)).build();
    let client = Client::build(config.expect("a configuration")).expect("a client");
    client.start_with_runtime().expect("it starts");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ready = runtime.block_on(client.wait_for_initialization(Duration::from_secs(60)));
    assert_eq!(ready, Some(true), "the client has the flags");
    (client, runtime)
}

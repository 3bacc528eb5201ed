//! One client, ours or the peer's, in a process of its own: how long until it has all flags, and the
//! memory it holds five seconds later. `start ours|peer URL`; prints one JSON line.

use std::time::{Duration, Instant};

use flagstaff_benchmarks::resident_mib;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, whose, url] = arguments.as_slice() else { panic!("start ours|peer URL") };
    let start = Instant::now();
    let held: Box<dyn std::any::Any> = match whose.as_str() {
        "ours" => Box::new(ours(url)),
        _ => Box::new(peer(url)),
    };
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    std::thread::sleep(Duration::from_secs(5));
    println!("{}", serde_json::json!({"ms": milliseconds, "rss_mib": resident_mib()}));
    drop(held);
    std::process::exit(0);
}

fn ours(url: &str) -> flagstaff_sdk::Client {
    let config = flagstaff_sdk::Config::new("sdk-bench").base_uri(url);
    let client = flagstaff_sdk::Client::start(config).expect("a client");
    client.wait_until_ready(Duration::from_secs(60));
    assert!(client.is_initialized(), "the client has the flags");
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

//! `variation` of both Rust SDKs, with and without events, alone and from two threads; and the state
//! of all flags. Both clients read the same flags from a stream on loopback.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flagstaff_benchmarks::{alone, figure, head, line, pair, upstream};
use flagstaff_eval::{Entry, SharedDataSet, model};
use flagstaff_sdk as ours;
use launchdarkly_server_sdk as peer;

const PEER: &str = "launchdarkly-server-sdk 3.3.2";

fn main() {
    let url = upstream::start(upstream::put_of(1_000));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let our_user = ours::Context::builder("aa0ceb").set("email", "ernestina@example.com").build().unwrap();
    let peer_user = peer::ContextBuilder::new("aa0ceb")
        .set_value("email", "ernestina@example.com".into())
        .build()
        .unwrap();

    head("Rust `client.variation`, fallthrough, 1,000 flags", PEER);
    for (events, mark) in [(false, "< 80 ns"), (true, "< 150 ns")] {
        let (ours, peer) = (our_client(&url, events), peer_client(&url, events, &runtime));
        let ask_ours = || ours.variation("flag", black_box(&our_user), false);
        let ask_peer = || peer.bool_variation(black_box(&peer_user), "flag", false);
        assert!(ask_ours() && ask_peer(), "the flag serves true");
        line(&format!("variation, events {}", if events { "on" } else { "off" }), pair(ask_ours, ask_peer), mark);
        if events {
            let (ours, peer) = (two_to_one(ask_ours), two_to_one(ask_peer));
            println!("| two threads' total as a multiple of one's, events on | {ours:.2} | {peer:.2} | | 1.8 |");
        } else {
            let state = pair(
                || ours.all_flags_state(&our_user, Default::default()),
                || peer.all_flags_detail(&peer_user, peer::FlagDetailConfig::new()),
            );
            line("all_flags_state, 1,000 flags", state, "30x");
            let state = pair(
                || serde_json::to_string(&ours.all_flags_state(&our_user, Default::default())).unwrap(),
                || serde_json::to_string(&peer.all_flags_detail(&peer_user, peer::FlagDetailConfig::new())).unwrap(),
            );
            line("all_flags_state, 1,000 flags, as JSON", state, "");
        }
    }
    patch();
}

fn our_client(url: &str, events: bool) -> ours::Client {
    let config = ours::Config::new("sdk-bench").base_uri(url).send_events(events).diagnostic_opt_out(true);
    let client = ours::Client::start(config).expect("a client");
    client.wait_until_ready(Duration::from_secs(20));
    assert!(client.is_initialized(), "our client has the flags");
    client
}

fn peer_client(url: &str, events: bool, runtime: &tokio::runtime::Runtime) -> peer::Client {
    let mut endpoints = peer::ServiceEndpointsBuilder::new();
    let builder = peer::ConfigBuilder::new("sdk-bench").service_endpoints(endpoints.relay_proxy(url));
    let builder = if events { builder } else { builder.event_processor(&peer::NullEventProcessorBuilder::new()) };
    let client = peer::Client::build(builder.build().expect("a configuration")).expect("a client");
    client.start_with_runtime().expect("it starts");
    let ready = runtime.block_on(client.wait_for_initialization(Duration::from_secs(20)));
    assert_eq!(ready, Some(true), "the peer's client has the flags");
    client
}

/// Calls of two threads together, as a multiple of the calls of one alone.
fn two_to_one(ask: impl Fn() -> bool + Sync) -> f64 {
    let calls_per_second = |threads: usize| {
        let stop = AtomicBool::new(false);
        let start = Instant::now();
        let calls: u64 = std::thread::scope(|scope| {
            let work = || {
                let mut calls = 0;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..1_000 {
                        black_box(ask());
                    }
                    calls += 1_000;
                }
                calls
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            std::thread::sleep(Duration::from_millis(500));
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().map(|worker| worker.join().expect("it counts")).sum()
        });
        calls as f64 / start.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..5).map(|_| calls_per_second(2) / calls_per_second(1)).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[2]
}

/// One flag changes among 10,000.
fn patch() {
    let put: serde_json::Value = serde_json::from_str(&upstream::put_of(10_000)).expect("JSON");
    let flags: model::FlagData = serde_json::from_value(put["data"].clone()).expect("flags");
    let changed = flags.flags[5_000].1.clone();
    let data = SharedDataSet::new(ours::DataSet::from_model(flags));
    let mut version = 1;
    let spent = alone(|| {
        version += 1;
        let flag = model::Flag { version, ..changed.clone() };
        assert!(data.upsert_flag(Entry::flag(&changed.key, flag)));
    });
    println!("| patch of 1 flag among 10,000, parsed to in force | {} | | | < 1 ms |", figure(spent));
}

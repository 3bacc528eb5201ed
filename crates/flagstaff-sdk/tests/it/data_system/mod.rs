//! Second-generation delivery: transfers that count whole or not at all, and sources that take over
//! from one another.

mod first_generation;
mod own_sources;
mod sources;
mod stores;
mod transfers;

use std::time::Duration;

use flagstaff_sdk::{Client, Config, DataSourceState, DataSystem, PollingSource, StreamingSource};
use flagstaff_testkit::{Answer, FakeService, Fdv2Events, FlagBuilder, eventually, flag, user};

use crate::support;

const POLL: &str = "/sdk/poll";
const STREAM: &str = "/sdk/stream";
const FDV1: &str = "/sdk/latest-all";
const FALLBACK: &str = "x-ld-fd-fallback";
/// As good as never.
const NEVER: Duration = Duration::from_secs(3600);
/// Longer than a request takes, and no more than a test wants to wait.
const SOON: Duration = Duration::from_millis(150);

fn config(service: &FakeService, system: DataSystem) -> Config {
    support::config(service)
        .allow_any_poll_interval()
        .poll_interval(Duration::from_millis(20))
        .data_system(system)
}

fn stream_only() -> DataSystem {
    DataSystem::custom().synchronizer(StreamingSource::new())
}

fn poll_only() -> DataSystem {
    DataSystem::custom().synchronizer(PollingSource::new())
}

fn serving(value: &str) -> FlagBuilder {
    flag("f").serving(value)
}

fn value(client: &Client) -> String {
    client.variation("f", &user("u"), "default")
}

fn eventually_serves(client: &Client, expected: &str) {
    eventually(&format!("`{expected}` was served"), || (value(client) == expected).then_some(()));
}

fn eventually_in(client: &Client, state: DataSourceState) {
    eventually(&format!("the state was {state:?}"), || {
        (client.data_source_status().state == state).then_some(())
    });
}

fn answer_poll(service: &FakeService, events: &Fdv2Events) {
    service.answer_next(POLL, Answer::Status(200, Vec::new(), events.poll()));
}

fn directive(status: u16, ttl: Option<&str>, body: String) -> Answer {
    let mut headers = vec![(FALLBACK, "TRUE".to_owned())];
    headers.extend(ttl.map(|ttl| ("x-ld-fd-fallback-ttl", ttl.to_owned())));
    Answer::Status(status, headers, body)
}

fn nothing_more_is_asked(service: &FakeService, paths: &[&str]) {
    let count = || paths.iter().map(|path| service.requests(path).len()).sum::<usize>();
    let before = count();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(count(), before);
}

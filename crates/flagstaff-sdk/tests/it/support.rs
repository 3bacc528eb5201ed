//! What every test here needs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagstaff_sdk::{Client, Config, LogLevel, LogSink};
use flagstaff_testkit::{FakeService, FlagBuilder, PATIENCE};

pub(crate) const KEY: &str = "sdk-test-key";

/// A configuration for this service, quick where waiting would be long, and without diagnostics.
pub(crate) fn config(service: &FakeService) -> Config {
    Config::new(KEY)
        .base_uri(service.url())
        .initial_reconnect_delay(Duration::from_millis(5))
        // Tests flush themselves.
        .flush_interval(Duration::from_secs(3600))
        .diagnostic_opt_out(true)
}

/// A client that has the service's flags.
pub(crate) fn started(config: Config) -> Client {
    let client = Client::start(config).expect("the configuration is right");
    assert!(client.wait_until_ready(PATIENCE), "{:?}", client.data_source_status());
    client
}

/// A service with these flags, and a client that has them.
pub(crate) fn service_and_client(flags: impl IntoIterator<Item = FlagBuilder>) -> (FakeService, Client) {
    let service = FakeService::start(flags);
    let client = started(config(&service));
    (service, client)
}

/// Sends what waits, and waits for it.
pub(crate) fn flush(client: &Client) {
    assert!(client.flush_and_wait(PATIENCE), "the events were sent");
}

/// Keeps log lines.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<(LogLevel, String)>>>);

impl Lines {
    /// The lines with this text in them.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|(_, line)| line.contains(text)).map(|(_, line)| line.clone()).collect()
    }

    /// All lines as one text.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|(level, line)| format!("{level:?} {line}\n")).collect()
    }
}

impl LogSink for Lines {
    fn enabled(&self, _: LogLevel) -> bool {
        true
    }

    fn log(&self, level: LogLevel, line: &str) {
        self.0.lock().unwrap().push((level, line.to_owned()));
    }
}

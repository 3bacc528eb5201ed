//! What every test here needs.

use std::future::Future;
use std::time::Duration;

use flagstaff_openfeature::FlagstaffProvider;
use flagstaff_sdk::{Client, Config};
use flagstaff_testkit::{FakeService, FlagBuilder, PATIENCE};
use open_feature::EvaluationContext;

/// A configuration for this service, quick where waiting would be long, and without diagnostics.
pub(crate) fn config(service: &FakeService) -> Config {
    Config::new("sdk-test-key")
        .base_uri(service.url())
        .initial_reconnect_delay(Duration::from_millis(5))
        // Tests flush themselves.
        .flush_interval(Duration::from_secs(3600))
        .diagnostic_opt_out(true)
}

/// A service with these flags, and a provider that has them.
pub(crate) fn service_and_provider(
    flags: impl IntoIterator<Item = FlagBuilder>,
) -> (FakeService, FlagstaffProvider) {
    let service = FakeService::start(flags);
    let client = Client::start(config(&service)).expect("the configuration is right");
    assert!(client.wait_until_ready(PATIENCE), "{:?}", client.data_source_status());
    (service, FlagstaffProvider::new(client))
}

/// The context of a user with this key.
pub(crate) fn user(key: &str) -> EvaluationContext {
    EvaluationContext::default().with_targeting_key(key)
}

/// Runs async code to its end, on a runtime without timers: the provider must not need them.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made").block_on(future)
}

//! Feature flags in a Rust program: evaluated in memory, kept up to date in the background.
//!
//! ```no_run
//! use std::time::Duration;
//! use flagstaff_sdk::{Client, Config, Context};
//!
//! let client = Client::start(Config::new("sdk-demo-production"))?;
//! client.wait_until_ready(Duration::from_secs(5));
//! let context = Context::builder("user-1").set("email", "user-1@example.com").build()?;
//! if client.variation("checkout-redesign", &context, false) {
//!     // the new checkout
//! }
//! client.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Client::variation`] never fails, never waits and takes no lock. A client has one thread of its
//! own, whatever the program does: it may be synchronous, run on any executor, and fork.
//!
//! | Room | What stands there |
//! |---|---|
//! | [`Client`] | variation, all_flags_state, track, identify, flush, close |
//! | [`Config`] | one builder; sensible with only an SDK key |
//! | `data_source` | where flags come from: a stream, or polls |
//! | [`DataSystem`] | where flags come from with second-generation delivery |
//! | [`DataSourceStatus`] | how that is going |
//! | `events` | what is reported, and how little of it happens on the caller's thread |
//! | [`migrations`] | moving one system to another, stage by stage |
//! | [`Hook`], [`Plugin`] | code of the program's around evaluations, and once the client exists |
//! | `fork` | what a child process does about it all; the only `unsafe` code |
//!
//! # Building another language's SDK on this one
//!
//! - [`EventContext`] is what a context must offer; implement it, and its supertrait
//!   [`ContextRead`], for a form of your own, and it is read in place.
//! - [`Client::evaluate_with`] hands the result to a closure, borrowed from the data set, and
//!   allocates nothing. It takes any [`EventDefault`] for what events need of the caller's default.
//! - [`Client::track`], [`Client::identify`] and [`Client::all_flags_state`] take any [`EventContext`].
//! - [`LogSink`], set by [`Config::log_to`], takes the log lines; [`Config::identity`] says who the
//!   SDK is; [`Config::answer_when_closed`] and [`Config::sdk_key_may_be_missing`] settle where
//!   languages differ.
//! - Hooks of that language need its own objects, so it runs them itself around
//!   [`Client::evaluate_with`], with [`Client::environment_id`]; or as a [`Hook`], which is called on
//!   the caller's thread, within the call.
//! - [`Client::data_source_status`], [`Client::is_initialized`], [`Client::is_offline`] and
//!   [`Client::data_set`] read the state.

mod big_segments;
mod callbacks;
mod client;
mod client_async;
mod clock;
mod config;
mod context;
mod data_source;
mod data_store;
mod data_system;
mod environment_id;
mod evaluation;
mod events;
mod flag_tracker;
mod fork;
mod hooks;
mod http;
#[cfg(any(feature = "redis", feature = "consul", feature = "dynamodb"))]
mod integrations;
mod listeners;
mod log;
pub mod migrations;
mod plugins;
mod runtime;
mod shared;
mod status_provider;
#[cfg(feature = "testing")]
pub mod testing;
mod value;
mod wait;
mod workers;

pub use big_segments::{BigSegmentStore, BigSegmentStoreStatus, BigSegments};
pub use client::{AllFlagsState, Client};
pub use config::{Config, ConfigError};
pub use context::EventContext;
pub use data_source::{
    BadFlags, DataAvailability, DataSource, DataSourceError, DataSourceErrorKind, DataSourceState,
    DataSourceStatus, DataSourceUpdates, DuplicateKeys, FileDataSource, FlagBuilder, FlagRuleBuilder,
    FlagsFileError, Ready, TestData, VariationChoice, read_flags_file,
};
pub use data_store::{
    Caching, DataStoreStatus, PersistentDataStore, PersistentStore, StoreError, StoredItem, version_in};
pub use flag_tracker::{FlagChange, FlagTracker, FlagValueChange};
pub use data_system::{DataSystem, Initializer, PollingSource, StreamingSource, Synchronizer};
pub use flagstaff_eval::model;
pub use flagstaff_eval::{
    AttributeRef, AttributeValue, Context, ContextError, ContextRead, DataSet, Detail, ErrorKind, ListRead,
    BigSegmentsStatus, PreparedFlag, Reason, ReasonKind, Value,
};
pub use flagstaff_eval::context::{ContextBuilder, MultiContextBuilder, SingleContext};
pub use flagstaff_wire::all_flags::{AllFlags, AllFlagsOptions, FlagState};
pub use flagstaff_eval::big_segments::Membership;
pub use flagstaff_wire::diagnostic::{Platform, Sdk};
pub use flagstaff_wire::stream::ItemKind;
#[cfg(feature = "consul")]
pub use integrations::Consul;
#[cfg(feature = "dynamodb")]
pub use integrations::DynamoDb;
#[cfg(feature = "redis")]
pub use integrations::Redis;
#[cfg(feature = "otel")]
pub use hooks::OtelHook;
pub use hooks::{EvaluationSeriesContext, Hook, HookResult, SeriesData, TrackSeriesContext};
pub use listeners::ListenerId;
pub use log::{LogLevel, LogSink};
pub use plugins::{ApplicationMetadata, EnvironmentMetadata, Plugin, SdkMetadata};
pub use status_provider::StatusProvider;
pub use value::{EventDefault, FlagValue, NoDefault, VariationDefault, VariationDetail};

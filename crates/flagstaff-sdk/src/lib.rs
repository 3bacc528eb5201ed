//! Feature flags in a Rust program: evaluated in memory, kept up to date in the background.
//!
//! # Five minutes
//!
//! Start a service: `make run` in Flagstaff's folder has one with flags to play with, on
//! `http://127.0.0.1:8030`. Any Flagstaff or LaunchDarkly environment will do, given its SDK key. Then, with
//! `flagstaff-sdk` among your dependencies:
//!
//! ```no_run
//! use std::time::Duration;
//! use flagstaff_sdk::{Client, Config, Context};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Once, when the program starts. Clones are the same client.
//!     let config = Config::new("sdk-demo-production").base_uri("http://127.0.0.1:8030");
//!     let client = Client::start(config)?;
//!     if !client.wait_until_ready(Duration::from_secs(5)) {
//!         eprintln!("no flags yet, going on with defaults: {:?}", client.data_source_status().last_error);
//!     }
//!
//!     // Whenever something is to be decided, for whom it is about.
//!     let maria = Context::builder("maria").set("plan", "pro").set("email", "maria@example.com").build()?;
//!     if client.variation("checkout-redesign", &maria, false) {
//!         println!("the new checkout");
//!     }
//!     let banner: String = client.variation("shipping-banner", &maria, "none");
//!     println!("banner: {banner}");
//!
//!     // Before the program ends, so that what was counted is sent.
//!     client.close();
//!     Ok(())
//! }
//! ```
//!
//! Flip the flag on the dashboard, `http://127.0.0.1:8030/ui/`: the next `variation` gives the new value.
//!
//! [`Client::variation`] never fails, never waits and takes no lock: it reads memory, which the client's own
//! thread keeps up to date. Where it cannot answer (no such flag, no flags yet, another type) it gives the
//! default, and [`Client::variation_detail`] says why. The program may be synchronous, run on any executor,
//! and fork. With no [`Config::base_uri`], the environment variable `FLAGSTAFF_URL` names the service.
//!
//! # What there is
//!
//! | You want | Here |
//! |---|---|
//! | to configure: addresses, time-outs, proxy, certificates, events, privacy | [`Config`]; what is refused: [`ConfigError`] |
//! | values: bool, `i64`, `f64`, `String`, JSON | [`Client::variation`]; with the reason, [`Client::variation_detail`] and [`VariationDetail`] |
//! | every flag for one context, for a page or another program | [`Client::all_flags_state`], [`AllFlagsState`] |
//! | to say whom a flag is asked for: users, organisations, several at once | [`Context`], [`ContextBuilder`], [`MultiContextBuilder`] |
//! | async | [`Client::ready`]; `variation` does not wait, so call it as it is; with a database, [`Client::variation_async`] |
//! | to report what users do | [`Client::track`], [`Client::identify`], [`Client::flush`], [`Client::flush_and_wait`] |
//! | to hear of changes | [`Client::flag_tracker`]: a flag, or its value for a context |
//! | to know how things are going | [`Client::data_source_status_provider`], [`Client::data_store_status_provider`], [`Client::big_segment_store_status_provider`] |
//! | code of yours around evaluations and after `track` | [`Hook`]; bundled, [`Plugin`] |
//! | evaluations in traces of OpenTelemetry | [`OtelHook`] |
//! | OpenFeature's interface | the crate [`flagstaff-openfeature`](../flagstaff_openfeature/index.html) |
//! | to move one system to another, stage by stage | [`migrations`] |
//! | log lines elsewhere than in `tracing` | [`LogSink`], [`Config::log_to`] |
//! | a browser to prove whom it speaks for | [`Client::secure_mode_hash`] |
//!
//! Where flags come from, and where they are kept:
//!
//! | Source | Here |
//! |---|---|
//! | a stream, as long as nothing else is said; or polls | [`Config::stream`], [`Config::poll_interval`] |
//! | second-generation delivery (FDv2), with sources that take over from each other | [`DataSystem`] |
//! | files, JSON or YAML | [`FileDataSource`] |
//! | a test | [`TestData`] |
//! | anything else | [`DataSource`]; one source among others, [`TransferSource`] |
//! | nothing | [`Config::offline`] |
//! | a database behind the flags, or alone (daemon mode) | [`PersistentDataStore`] with [`Redis`], [`Consul`], [`DynamoDb`] or a [`PersistentStore`] of your own |
//! | a file with the last known flags, to start from while the service is away | [`Config::snapshot_file`] |
//! | segments too large to stream | [`BigSegments`] with [`Redis`], [`DynamoDb`] or a [`BigSegmentStore`] of your own |
//!
//! # Features
//!
//! All are off by default. `scripts/dependencies` counts what each brings into a build; `docs/rust-sdk.md` has
//! the table.
//!
//! | Feature | What it adds |
//! |---|---|
//! | `redis` | [`Redis`]: flags and big segments; the crate `redis` |
//! | `consul` | [`Consul`]: flags; no crate |
//! | `dynamodb` | [`DynamoDb`]: flags and big segments; Amazon's client |
//! | `otel` | [`OtelHook`]; the crate `opentelemetry` |
//! | `yaml` | YAML in files of flags; the crate `serde_yaml_ng` |
//! | `testing` | checks for stores of your own; no crate |
//!
//! # When the service is away
//!
//! The client goes on from memory and never gives up: it tries again after a second, doubling to half a minute;
//! after a refusal that time alone does not mend, as a wrong key, after five minutes, doubling to an hour.
//! [`Client::data_source_status`] says what is wrong and how current the flags are. What happens when is in
//! `docs/offline.md`; `docs/testing.md` is on tests, `docs/data-stores.md` on databases.
//!
//! # Processes that fork
//!
//! A client works in a child process too: at its first use there it starts a thread and connections of its
//! own, with the flags the parent had. What the parent has not sent yet, the parent sends.
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
//! - [`Client::evaluate_seen`] and [`Client::all_flags_state_in`] evaluate flags that the caller brings, and
//!   show the flag and its prerequisites; [`Client::data_source_updates`] puts flags in.
//! - A [`Plugin`] is shown the client before it connects; [`Client::remind_of`] has one client begin with the
//!   flags of another; [`Client::report_migration_op`] reports a step of a migration that was noted elsewhere.
//! - An [`Observer`] sees all that is received, as it was written; [`http_client`] sends other requests in
//!   the way in which a client would, and comes again by the same [`Backoff`]. Relays are built on these.
//! - A [`BigSegmentCopy`] is a database that a relay fills with big segments;
//!   [`Client::big_segment_membership`] asks it beforehand.
//! - [`around_waits`] has an interpreter's lock let go of while an evaluation waits for a database.
//! - [`Client::data_source_status`], [`Client::is_initialized`], [`Client::is_offline`] and
//!   [`Client::data_set`] read the state.
//!
#![cfg_attr(not(feature = "redis"), doc = "[`Redis`]: #features")]
#![cfg_attr(not(feature = "consul"), doc = "[`Consul`]: #features")]
#![cfg_attr(not(feature = "dynamodb"), doc = "[`DynamoDb`]: #features")]
#![cfg_attr(not(feature = "otel"), doc = "[`OtelHook`]: #features")]

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
mod glue;
mod hooks;
mod http;
#[cfg(any(feature = "redis", feature = "consul", feature = "dynamodb"))]
mod integrations;
mod listeners;
mod log;
pub mod migrations;
#[cfg(doctest)]
mod pages;
mod plugins;
mod proxies;
mod runtime;
mod shared;
mod snapshot;
mod status_provider;
#[cfg(feature = "testing")]
pub mod testing;
mod value;
mod wait;
mod workers;

pub use big_segments::{Applied, BigSegmentCopy, BigSegmentStore, BigSegmentStoreStatus, BigSegments};
pub use client::{AllFlagsState, Client};
pub use config::{Config, ConfigError};
pub use context::EventContext;
pub use data_source::{
    Backoff, BadFlags, DataAvailability, DataSource, DataSourceError, DataSourceErrorKind, DataSourceState,
    DataSourceStatus, DataSourceUpdates, DuplicateKeys, FileDataSource, FlagBuilder, FlagRuleBuilder,
    FlagsDocument, FlagsFileError, KeptItems, Ready, TestData, VariationChoice, read_flags_document,
    read_flags_file,
};
pub use data_store::{
    Caching, DataStoreStatus, PersistentDataStore, PersistentStore, StoreError, StoredItem, version_in,
};
pub use data_system::{
    BadTransfer, DataSystem, Initializer, OwnSource, PollingSource, StreamingSource, Synchronizer,
    TransferSource, Transfers,
};
pub use flag_tracker::{FlagChange, FlagTracker, FlagValueChange};
pub use flagstaff_eval::big_segments::Membership;
pub use flagstaff_eval::context::{ContextBuilder, MultiContextBuilder, SingleContext};
pub use flagstaff_eval::model;
pub use flagstaff_eval::{
    AttributeRef, AttributeValue, BigSegmentsStatus, Context, ContextError, ContextRead, DataSet, Detail,
    ErrorKind, ListRead, PreparedFlag, PrerequisiteResult, Reason, ReasonKind, Value,
};
pub use flagstaff_wire::all_flags::{AllFlags, AllFlagsOptions, FlagState};
pub use flagstaff_wire::diagnostic::{Platform, Sdk};
#[doc(hidden)]
pub use flagstaff_wire::openfeature;
pub use flagstaff_wire::stream::ItemKind;
pub use glue::{Observer, Seen, around_waits, describe_http_error, http_client, is_certificate_error};
#[cfg(feature = "otel")]
pub use hooks::OtelHook;
pub use hooks::{EvaluationSeriesContext, Hook, HookResult, SeriesData, TrackSeriesContext};
#[cfg(feature = "consul")]
pub use integrations::Consul;
#[cfg(feature = "dynamodb")]
pub use integrations::DynamoDb;
#[cfg(feature = "redis")]
pub use integrations::Redis;
pub use listeners::ListenerId;
pub use log::{LogLevel, LogSink};
pub use plugins::{ApplicationMetadata, EnvironmentMetadata, Plugin, SdkMetadata};
pub use status_provider::StatusProvider;
pub use value::{EventDefault, FlagValue, NoDefault, VariationDefault, VariationDetail};

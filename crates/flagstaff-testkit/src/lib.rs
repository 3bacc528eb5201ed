//! What tests of several crates need. Only ever a development dependency.
//!
//! - [`FakeService`]: stands in for a flag service: streams, polls, and a sink for events, all of
//!   which can be told to fail
//! - [`Fdv2Events`]: what such a service says in second-generation delivery
//! - [`FlagBuilder`], [`user`]: flags and contexts in one line
//! - [`country_database`]: which country an address is in, as a file
//! - [`hostile_json`]: what strangers send, R27
//! - [`Postgres`]: a real PostgreSQL server, for as long as a test
//! - [`free_port`]: where a server can be started, and started again
//! - [`published_cases`]: the published evaluation cases, R29
//! - [`eventually`]: waits for what another thread is about to do

mod countries;
mod fake_service;
mod fdv2;
mod flags;
mod hostile;
mod http;
mod ports;
mod postgres;
mod published;
mod wait;

pub use countries::country_database;
pub use fake_service::{Answer, FakeService};
pub use fdv2::Fdv2Events;
pub use flags::{FlagBuilder, all_data, flag, user};
pub use hostile::{Form, Hostile, Reading, hostile_json};
pub use http::Request;
pub use ports::free_port;
pub use postgres::{End, Postgres, new_database_at};
pub use published::{Expected, PublishedCase, PublishedData, published_cases};
pub use wait::{PATIENCE, eventually};

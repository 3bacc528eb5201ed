//! The SDK by its public face, against a fake service.

mod config;
mod delivery;
mod events;
#[cfg(unix)]
mod fork;
mod lifecycle;
mod migrations;
mod polling;
#[cfg(all(feature = "testing", feature = "redis"))]
mod stores;
mod streaming;
mod support;
mod tls;
mod variation;

//! The SDK by its public face, against a fake service.

mod config;
mod delivery;
mod events;
#[cfg(unix)]
mod fork;
mod lifecycle;
mod migrations;
mod polling;
mod streaming;
mod support;
mod tls;
mod variation;

//! The tests, in the order of the protocol reference.

mod all_flags;
mod big_segments;
mod comparison;
mod context_events;
mod contexts;
mod data_system;
mod delivery;
mod diagnostics;
mod evaluation;
mod events;
mod fdv2;
mod headers;
mod hooks;
mod interface;
mod listeners;
mod migrations;
mod persistence;
mod persistence_writing;
mod polling;
mod redaction;
mod retry;
mod streaming;
mod summaries;
mod tls;

use crate::suite::Suite;

/// Adds every group.
///
/// # Errors
/// If the published cases are there and cannot be read.
pub(crate) fn add_all(suite: &mut Suite) -> Result<(), String> {
    interface::add(suite);
    contexts::add(suite);
    comparison::add(suite);
    evaluation::add(suite)?;
    headers::add(suite);
    streaming::add(suite);
    retry::add(suite);
    polling::add(suite);
    tls::add(suite);
    fdv2::add(suite);
    data_system::add(suite);
    events::add(suite);
    context_events::add(suite);
    summaries::add(suite);
    redaction::add(suite);
    delivery::add(suite);
    diagnostics::add(suite);
    all_flags::add(suite);
    persistence::add(suite);
    big_segments::add(suite);
    migrations::add(suite);
    hooks::add(suite);
    listeners::add(suite);
    Ok(())
}

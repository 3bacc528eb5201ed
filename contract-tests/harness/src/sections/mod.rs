//! The tests, in the order of the protocol reference.

mod all_flags;
mod contexts;
mod evaluation;
mod headers;
mod interface;
mod polling;
mod retry;
mod streaming;

use crate::suite::Suite;

/// Adds every group.
///
/// # Errors
/// If the published cases are there and cannot be read.
pub(crate) fn add_all(suite: &mut Suite) -> Result<(), String> {
    interface::add(suite);
    contexts::add(suite);
    evaluation::add(suite)?;
    headers::add(suite);
    streaming::add(suite);
    retry::add(suite);
    polling::add(suite);
    all_flags::add(suite);
    Ok(())
}

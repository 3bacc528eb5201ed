//! The tests, in the order of the protocol reference.

mod contexts;
mod evaluation;
mod interface;
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
    streaming::add(suite);
    Ok(())
}

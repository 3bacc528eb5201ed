//! What `/metrics` shows.

/// The service's figures.
#[derive(Debug, Default)]
pub struct Metrics {}

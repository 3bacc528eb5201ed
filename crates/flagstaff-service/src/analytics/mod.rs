//! What the events add up to: evaluation counts and users seen, in a database of their own.

use std::path::Path;

/// The handle to everything counted. Held by [`crate::App`], opened before the first request and
/// closed after the last.
#[derive(Debug)]
pub struct Analytics {}

/// Why something could not be counted or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyticsError {}

impl Analytics {
    /// Opens, or makes, the analytics database in the data folder.
    pub async fn open(_data: &Path) -> Result<Self, AnalyticsError> {
        Ok(Self {})
    }

    /// Writes what is still in memory.
    pub async fn close(&self) {}
}

//! The first start: what stands in an empty database.

use crate::app::StartError;
use crate::config::Config;
use crate::store::{Store, StoreError};

/// What the start made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirstStart {
    /// Nothing: the database was there.
    Continued,
    /// The demo.
    Demo,
    /// A first project and an owner who signs in by this path.
    Owner {
        /// The one-time link's path.
        sign_in_path: String,
    },
}

/// Refuses a demo where there is something else, and the other way round, before anything is written.
pub async fn check_kind(_config: &Config) -> Result<(), StartError> {
    Ok(())
}

/// Seeds an empty database.
pub async fn first_start(_store: &Store, _config: &Config) -> Result<FirstStart, StoreError> {
    Ok(FirstStart::Continued)
}

//! Where flags come from.
//!
//! A data source runs on the client's thread until the client is closed. It never gives up, and it
//! never hammers: see `backoff`.

mod backoff;
pub(crate) mod custom;
mod file;
mod outside;
mod polling;
pub(crate) mod receive;
mod status;
mod streaming;
mod test_data;
mod turn;

use std::sync::Arc;

pub use custom::{BadFlags, DataSource, DataSourceUpdates};
pub use file::{
    DuplicateKeys, FileDataSource, FlagsDocument, FlagsFileError, read_flags_document, read_flags_file,
};
pub use outside::KeptItems;
pub use status::{
    DataAvailability, DataSourceError, DataSourceErrorKind, DataSourceState, DataSourceStatus, Ready,
};
pub use test_data::{FlagBuilder, FlagRuleBuilder, TestData, VariationChoice};

pub use backoff::Backoff;
pub(crate) use backoff::random;
pub(crate) use file::read_file;
pub(crate) use polling::{due_after, read_body, run_at as poll_fdv1};
pub(crate) use status::StatusCell;
pub(crate) use streaming::{Failure, begin, next_piece, report};
pub(crate) use turn::Turn;

use crate::data_system;
use crate::http::Http;
use crate::log::LogLevel;
use crate::shared::Shared;

/// Receives flags for as long as the client lives.
pub(crate) async fn run(shared: Arc<Shared>, http: Arc<Http>) {
    if shared.config.daemon_mode {
        shared.log.write(LogLevel::Info, format_args!("daemon mode: flags are read from the database alone"));
    } else if let Some(source) = shared.config.data_source.clone() {
        custom::run(&shared, source).await;
    } else if let Some(system) = shared.config.data_system.clone() {
        data_system::run(shared, http, &system).await;
    } else if shared.config.streaming {
        streaming::run(&shared, &http).await;
    } else {
        polling::run(&shared, &http).await;
    }
}

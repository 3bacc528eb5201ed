//! Everything at once: out of the service into one file, and from such a file, or from what an SDK gets,
//! into the service.
//!
//! [`export`](fn@export) writes a [`Document`], [`import`](fn@import) takes one in: all of it in one
//! transaction, or nothing. Both go through the rules that hold for each change.

pub mod document;
mod export;
mod from_sdk;
mod import;
mod kept;

pub use document::Document;
pub use export::{Scope, export};
pub use import::{Import, OnConflict, Outcome, Report, ReportItem, import, import_live};
pub use kept::Kept;

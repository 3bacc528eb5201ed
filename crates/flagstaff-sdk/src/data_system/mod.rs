//! Second-generation delivery, FDv2: where flags come from, in which order, and what happens when one
//! source fails.
//!
//! | Room | What stands there |
//! |---|---|
//! | `options` | [`DataSystem`], the public builder |
//! | `source` | one source, and where its requests go |
//! | `conductor` | the order: initializers, synchronizers, falling back and recovering |
//! | `held` | what is held: the selector to go on from, and how the source of the moment is doing |
//! | `streaming`, `polling` | one connection, one poll |
//! | `own` | a source of the program's own |
//! | `network` | how one source is reached, if not as the client is |
//! | `answer` | what the head of an answer says: first-generation delivery, please |
//! | `receive` | puts a transfer in force, whole |
//!
//! Source: the protocol's *FDv2* and *Data system*. Unlike first-generation delivery a status that will
//! not pass by itself ends a source for good: that is what the other sources are for.

mod answer;
mod conductor;
mod held;
mod network;
mod options;
mod own;
mod polling;
mod receive;
mod source;
mod streaming;

pub(crate) use conductor::run;
pub use options::DataSystem;
pub(crate) use own::LastStop;
pub use own::{BadTransfer, OwnSource, TransferSource, Transfers};
pub use source::{Initializer, PollingSource, StreamingSource, Synchronizer};

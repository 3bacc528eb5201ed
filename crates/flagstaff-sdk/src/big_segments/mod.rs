//! Segments too large to stream: who is in them is asked of a database.
//!
//! | File | What it is about |
//! |---|---|
//! | `store` | what a database must offer |
//! | `copy` | what it must offer to be filled |
//! | `options` | how it is used |
//! | `manager` | asking it: on threads of its own, once for all who ask for one context at a time |
//! | `cache` | what it answered lately |
//! | `status` | whether it answers, and how old what it says is |
//! | `asking` | what one evaluation asks for |

mod asking;
mod cache;
mod copy;
mod manager;
mod options;
mod status;
mod store;

pub use copy::{Applied, BigSegmentCopy};
pub use options::BigSegments;
pub use status::BigSegmentStoreStatus;
pub use store::BigSegmentStore;

pub(crate) use asking::{Asking, Gathered};
pub(crate) use manager::Manager;
pub(crate) use status::poll_until_closed;

//! What a flag is, and which value a context gets.
//!
//! Pure: no I/O, no async, no clock. An evaluation borrows from the [`DataSet`] and from the context
//! it reads, and allocates nothing.
//!
//! | Room | What stands there |
//! |---|---|
//! | [`model`] | the JSON shapes of flags and segments, as they travel |
//! | [`context`] | who or what is evaluated, and [`ContextRead`], the view the evaluator takes of it |
//! | `prepared` | flags and segments made ready: lists hashed, versions and dates parsed, references split |
//! | [`DataSet`], [`SharedDataSet`] | all of one environment at one moment, and how a change swaps in the next |
//! | [`evaluate`](fn@evaluate) | the steps in order |
//! | `detail` | what an evaluation answers |
//! | [`explain`] | the same steps told to people: what was looked at, and what decided |

pub mod big_segments;
pub mod context;
mod data_set;
mod detail;
mod evaluate;
pub mod model;
mod prepared;

pub use context::{AttributeRef, AttributeValue, Context, ContextError, ContextRead, ListRead};
pub use data_set::{DataSet, Entry, ItemKey, Retired, SharedDataSet};
pub use detail::{BigSegmentsStatus, Detail, ErrorKind, Reason, ReasonKind};
pub use evaluate::explain;
pub use evaluate::{MAX_DEPTH, MAX_VISITS, PrerequisiteResult, bucket, evaluate, evaluate_with_big_segments};
pub use prepared::{PreparedFlag, PreparedSegment};
pub use serde_json::Value;

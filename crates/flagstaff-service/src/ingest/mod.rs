//! Event batches in: `/bulk` and `/diagnostic`.
//!
//! A batch is answered 202 when it is on disk, and never before; what it adds up to is worked out later,
//! by [`crate::analytics`]. The door looks only as far as it must: who sends it, whether it is a JSON
//! array of objects, and how large it gets when it is unpacked.
//!
//! | Answer | When |
//! |---|---|
//! | 202 | stored, or stored before under the same payload id; `Date` says our time |
//! | 400 | empty, not JSON, not an array of objects, damaged compression |
//! | 401 | no SDK key, or an unknown one |
//! | 408 | the body did not arrive in time |
//! | 413 | larger than the limits, as sent or unpacked |
//! | 415 | a compression that is not known |
//! | 503 | not stored: the disk is full, the service is stopping or overloaded; worth trying again |

mod body;
mod bulk;
mod diagnostic;

use axum::Router;
use axum::routing::post;
use flagstaff_wire::paths;

pub use body::{BODY_LIMIT, INFLATED_LIMIT};

use crate::SharedApp;

/// The paths of this room.
pub fn router() -> Router<SharedApp> {
    Router::new()
        .route(paths::EVENTS, post(bulk::bulk))
        .route(paths::DIAGNOSTIC, post(diagnostic::diagnostic))
}

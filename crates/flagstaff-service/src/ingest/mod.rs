//! Event batches in, from servers, mobile programs and browsers, and what SDKs report of themselves.
//!
//! | Who | Events | Diagnostics |
//! |---|---|---|
//! | server | `/bulk` | `/diagnostic` |
//! | mobile program | `/mobile`, `/mobile/events`, `/mobile/events/bulk` | `/mobile/events/diagnostic` |
//! | browser | `/events/bulk/ID`, `/a/ID.gif` | `/events/diagnostic/ID` |
//!
//! A batch is answered 202 when [`crate::serving::Events`] has it: in the service when it is on disk, and never
//! before; what it adds up to is worked out later, by [`crate::analytics`]. The door looks only as far as it must: who sends it, whether it is a JSON
//! array of objects, and how large it gets when it is unpacked.
//!
//! | Answer | When |
//! |---|---|
//! | 202 | stored, or stored before under the same payload id; `Date` says our time |
//! | 400 | empty, not JSON, not an array of objects, damaged compression |
//! | 401 | no SDK or mobile key, or an unknown one |
//! | 404 | an unknown client-side ID |
//! | 408 | the body did not arrive in time |
//! | 413 | larger than the limits, as sent or unpacked |
//! | 415 | a compression that is not known |
//! | 503 | not stored: the disk is full, the service is stopping or overloaded; worth trying again |

mod body;
mod bulk;
mod diagnostic;
mod image;
mod keep;

use axum::Router;
use axum::routing::{get, post};
use flagstaff_wire::paths;

pub use body::{BODY_LIMIT, INFLATED_LIMIT};

use self::bulk::bulk;
use self::diagnostic::diagnostic;
use crate::SharedServing;
use crate::auth::{BrowserEnvironment, MobileEnvironment, SdkEnvironment};
use crate::client_side::cors::{By, for_pages};
use crate::router::wrong_method;

/// The paths of this room.
pub fn router(serving: &SharedServing) -> Router<SharedServing> {
    let browsers = Router::new()
        .route(
            "/events/bulk/{environment}",
            for_pages(serving, By::Post, post(bulk::<BrowserEnvironment>).fallback(wrong_method)),
        )
        .route(
            "/events/diagnostic/{environment}",
            for_pages(serving, By::Post, post(diagnostic::<BrowserEnvironment>).fallback(wrong_method)),
        )
        .route("/a/{file}", for_pages(serving, By::Get, get(image::image).fallback(wrong_method)));
    Router::new()
        .route(paths::EVENTS, post(bulk::<SdkEnvironment>))
        .route(paths::DIAGNOSTIC, post(diagnostic::<SdkEnvironment>))
        .route(paths::MOBILE_EVENTS, post(bulk::<MobileEnvironment>))
        .route("/mobile/events", post(bulk::<MobileEnvironment>))
        .route("/mobile/events/bulk", post(bulk::<MobileEnvironment>))
        .route(paths::MOBILE_DIAGNOSTIC, post(diagnostic::<MobileEnvironment>))
        .merge(browsers)
}

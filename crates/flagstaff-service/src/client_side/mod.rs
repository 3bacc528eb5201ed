//! Values out to browsers and mobile programs, which are not told the rules: flags are evaluated here, for
//! one context at a time.
//!
//! | Who | Comes with | Paths |
//! |---|---|---|
//! | browser | a client-side ID in the path | `/sdk/evalx/ID/…`, `/sdk/eval/ID/…`, `/eval/ID…`, `/ping/ID`, `/sdk/goals/ID` |
//! | mobile program | a mobile key | `/msdk/evalx/…`, `/msdk/eval/…`, `/meval…`, `/mping` |
//! | server | an SDK key | `/sdk/evalx/…`, `/sdk/eval/…` |
//! | any of them | what they have, a browser in the query | `/sdk/poll/eval…`, `/sdk/stream/eval…` |
//!
//! A context comes as base64 at the end of the path, or as the body of a `REPORT`. Source: the protocol's
//! *Client-side and mobile*.
//!
//! | File | What it is about |
//! |---|---|
//! | `viewer` | who asks, for which context, and whether they may |
//! | `context` | a context in a path or a body |
//! | `evaluation` | evaluations, kept off the threads that serve everybody |
//! | `poll` | all values at once |
//! | `stream` | all values, then each change; or only that there is one |
//! | `transfer` | the same in the words of second-generation delivery |
//! | `ofrep` | the same for OpenFeature's providers |
//! | `cors` | what pages of other origins may do |

pub(crate) mod context;
pub(crate) mod cors;
pub(crate) mod evaluation;
mod ofrep;
mod poll;
mod stream;
mod transfer;
mod viewer;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{MethodRouter, any, get};
use flagstaff_wire::paths;

use crate::SharedServing;
use crate::auth::BrowserEnvironment;
use crate::client_side::cors::{By, for_pages};
use crate::delivery::poll::{json, matches, unchanged};
use crate::router::wrong_method;

/// The paths of this room.
pub fn router(serving: &SharedServing) -> Router<SharedServing> {
    browsers(serving)
        .merge(ofrep::router(serving))
        .merge(mobile_programs())
        .merge(servers())
        .merge(second_generation(serving))
}

/// For everybody: who asks is told by the key.
fn second_generation(serving: &SharedServing) -> Router<SharedServing> {
    let mut router = Router::new();
    for (path, answer) in [
        (paths::FDV2_POLL_VALUES, any(transfer::poll) as MethodRouter<SharedServing>),
        (paths::FDV2_STREAM_VALUES, any(stream::transfers)),
    ] {
        router = router
            .route(path, for_pages(serving, By::PostOrReport, answer.clone()))
            .route(&format!("{path}/{{context}}"), for_pages(serving, By::Get, answer));
    }
    router
}

fn browsers(serving: &SharedServing) -> Router<SharedServing> {
    let polls = with_context("/sdk/evalx/{environment}", |by| for_pages(serving, by, any(poll::evaluations)));
    let values = with_context("/sdk/eval/{environment}", |by| for_pages(serving, by, any(poll::values)));
    polls
        .merge(values)
        .route("/eval/{environment}", for_pages(serving, By::Report, any(stream::values)))
        .route("/eval/{environment}/{context}", for_pages(serving, By::Get, any(stream::values)))
        .route(
            "/ping/{environment}",
            for_pages(serving, By::Get, get(stream::pings_for_browsers).fallback(wrong_method)),
        )
        .route("/sdk/goals/{environment}", for_pages(serving, By::Get, get(goals).fallback(wrong_method)))
}

fn mobile_programs() -> Router<SharedServing> {
    with_context("/msdk/evalx", |_| any(poll::evaluations))
        .merge(with_context("/msdk/eval", |_| any(poll::values)))
        .route("/meval", any(stream::values))
        .route("/meval/{context}", any(stream::values))
        .route("/mping", get(stream::pings_for_mobile_programs))
}

fn servers() -> Router<SharedServing> {
    with_context("/sdk/evalx", |_| any(poll::evaluations))
        .merge(with_context("/sdk/eval", |_| any(poll::values)))
}

/// The ways to say for which context: in the path or in the body, since there are contexts or before.
/// `REPORT` is no method that routes know; who asks is checked to have come by the right one.
fn with_context(base: &str, answer: impl Fn(By) -> MethodRouter<SharedServing>) -> Router<SharedServing> {
    Router::new()
        .route(&format!("{base}/contexts/{{context}}"), answer(By::Get))
        .route(&format!("{base}/users/{{context}}"), answer(By::Get))
        .route(&format!("{base}/context"), answer(By::Report))
        .route(&format!("{base}/user"), answer(By::Report))
}

/// `GET /sdk/goals/{environment}`: the clicks and page views that a browser is to report.
async fn goals(BrowserEnvironment(live): BrowserEnvironment, headers: HeaderMap) -> Response {
    let goals = live.goals();
    if matches(&headers, &goals.tag) {
        return unchanged(&live, &goals.tag);
    }
    json(&live, &goals.tag, goals.body.clone())
}

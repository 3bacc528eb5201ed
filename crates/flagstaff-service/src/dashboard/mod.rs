//! The HTML face, under `/ui/`.
//!
//! A page is a folder: handler, page struct and template side by side. The struct holds exactly what
//! is shown, already worded; the template only places it. What script swaps is a named block or a file
//! that the full page renders, too.
//!
//! | Room | What stands there |
//! |---|---|
//! | `assets` | style sheet, scripts and icon, in the binary |
//! | `answer` | what every answer has in common: headers, troubles in words |
//! | `place` | who asks and for which environment; the frame around a page |
//! | `form` | what a form sends |
//! | `parts` | small things that stand on several pages: a time, a variation, a switch |
//! | `sign_in` | the door: password, one-time link, signing out |
//! | `flags` | the list, one flag's targeting in sentences, and its switch |
//! | `users` | the users seen, and every flag's value for one of them |
//! | `events` | what SDKs send, as it comes in |
//! | `keys` | what SDKs come with to the environment |
//! | `tokens` | access tokens of whoever is signed in |
//!
//! Nothing is changed by a GET. Every form carries the session's form token. Pages are never cached,
//! assets for ever, under names that change with their content.

mod answer;
mod assets;
mod events;
mod flags;
mod form;
mod keys;
mod parts;
mod place;
mod sign_in;
mod theme;
mod tokens;
mod users;
mod words;

use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use crate::SharedApp;
use crate::auth::Session;

/// The paths of this room.
pub fn router() -> Router<SharedApp> {
    Router::new()
        .route("/ui", get(|| async { Redirect::to("/ui/") }))
        .route("/ui/", get(front))
        .route("/ui/theme", post(theme::choose))
        .route("/ui/{project}/{environment}", get(environment))
        .merge(sign_in::router())
        .merge(flags::router())
        .merge(users::router())
        .merge(events::router())
        .merge(keys::router())
        .merge(tokens::router())
        .merge(assets::router())
        .layer(middleware::from_fn(answer::dress))
}

/// The first environment there is.
async fn front(State(app): State<SharedApp>, _session: Session) -> Result<Response, answer::Trouble> {
    let first = app.live.all().into_iter().next().ok_or_else(|| {
        answer::Trouble::not_found("there is no environment; make one with POST /api/v2/projects")
    })?;
    Ok(Redirect::to(&format!("{}/flags", place::base(&first.about()))).into_response())
}

async fn environment(place: place::Place) -> Redirect {
    Redirect::to(&format!("{}/flags", place.base()))
}

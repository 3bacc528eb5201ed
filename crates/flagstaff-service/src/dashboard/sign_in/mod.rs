//! The door: password, one-time link, signing out.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::answer::{Trouble, html, own_path};
use super::assets::{FILES, Files};
use super::form::Fields;
use super::theme::Theme;
use super::words::{segment, sentence};
use crate::auth::Session;
use crate::auth::session::{self, SHORTEST_PASSWORD, SIGN_IN_LINK_PATH, SIGN_IN_PATH, SignInError};
use crate::error::ApiError;
use crate::management::demo;
use crate::peer::Peer;
use crate::{App, SharedApp};

/// The paths of this file.
pub(super) fn router() -> Router<SharedApp> {
    Router::new()
        .route(SIGN_IN_PATH, get(page).post(sign_in))
        .route(&format!("{SIGN_IN_LINK_PATH}{{token}}"), get(link_page).post(use_link))
        .route("/ui/sign-out", post(sign_out))
}

#[derive(Template)]
#[template(path = "sign_in/page.html")]
struct Page {
    theme: Theme,
    files: &'static Files,
    /// What went wrong last time.
    problem: Option<String>,
    email: String,
    next: String,
    /// In a demo everybody knows the login.
    demo: Option<(&'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "sign_in/link.html")]
struct LinkPage {
    theme: Theme,
    files: &'static Files,
    problem: Option<String>,
    email: String,
    action: String,
    shortest: usize,
}

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
struct Login {
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
struct Chosen {
    email: String,
    password: String,
}

/// `GET /ui/sign-in`.
async fn page(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Trouble> {
    if Session::of(&app, &headers).await?.is_some() {
        return Ok(Redirect::to(own_path(&wanted.next)).into_response());
    }
    html(&Page::new(&app, &headers, own_path(&wanted.next)))
}

/// `POST /ui/sign-in`.
async fn sign_in(
    State(app): State<SharedApp>,
    peer: Peer,
    headers: HeaderMap,
    Fields(login): Fields<Login>,
) -> Result<Response, Trouble> {
    // There is no session yet whose form token could be checked; but no page of somebody else's may sign a
    // visitor in, under an account of its choosing.
    session::check_origin(&headers)?;
    let next = own_path(&login.next);
    match session::sign_in(&app, peer.address, login.email.trim(), login.password).await {
        Ok(session) => {
            Ok(([(header::SET_COOKIE, session.set_cookie(peer.encrypted))], Redirect::to(next))
                .into_response())
        }
        Err(error @ (SignInError::Wrong | SignInError::TooMany { .. })) => {
            let problem = Some(sentence(&error.to_string()));
            let page = Page { problem, email: login.email, ..Page::new(&app, &headers, next) };
            Ok((ApiError::from(error).status(), html(&page)?).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// `GET /ui/sign-in/link/{token}`: looks at the link and leaves it usable.
async fn link_page(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Result<Response, Trouble> {
    let member = session::look_at_link(&app, &token).await?;
    // The first owner has none yet.
    let email = if member.email.contains('@') { member.email } else { String::new() };
    html(&LinkPage::new(&headers, &token, email))
}

/// `POST /ui/sign-in/link/{token}`: uses it up.
async fn use_link(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    peer: Peer,
    Path(token): Path<String>,
    Fields(chosen): Fields<Chosen>,
) -> Result<Response, Trouble> {
    session::check_origin(&headers)?;
    match session::use_link(&app, &token, chosen.email.trim(), chosen.password).await {
        Ok(session) => Ok(([(header::SET_COOKIE, session.set_cookie(peer.encrypted))], Redirect::to("/ui/"))
            .into_response()),
        Err(
            error @ (SignInError::ShortPassword
            | SignInError::NoEmail { .. }
            | SignInError::EmailTaken { .. }),
        ) => {
            let problem = Some(sentence(&error.to_string()));
            let page = LinkPage { problem, ..LinkPage::new(&headers, &token, chosen.email) };
            Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Deserialize)]
struct SignOut {
    form_token: String,
}

/// `POST /ui/sign-out`.
async fn sign_out(
    State(app): State<SharedApp>,
    session: Session,
    headers: HeaderMap,
    Fields(form): Fields<SignOut>,
) -> Result<Response, Trouble> {
    session.check_form(&headers, Some(&form.form_token))?;
    let cookie = session.end(&app).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(SIGN_IN_PATH)).into_response())
}

impl Page {
    fn new(app: &App, headers: &HeaderMap, next: &str) -> Self {
        Self {
            theme: Theme::of(headers),
            files: &FILES,
            problem: None,
            email: String::new(),
            next: next.to_owned(),
            demo: app.settings.demo.then_some((demo::EMAIL, demo::PASSWORD)),
        }
    }
}

impl LinkPage {
    fn new(headers: &HeaderMap, token: &str, email: String) -> Self {
        Self {
            theme: Theme::of(headers),
            files: &FILES,
            problem: None,
            email,
            action: format!("{SIGN_IN_LINK_PATH}{}", segment(token)),
            shortest: SHORTEST_PASSWORD,
        }
    }
}

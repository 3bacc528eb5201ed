//! Access tokens of whoever is signed in: the way to the REST API, and so to the first flag.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::answer::{Trouble, html};
use super::form::Fields;
use super::parts::Moment;
use super::place::{Frame, Place, Section};
use super::theme::Theme;
use super::words::sentence;
use crate::SharedApp;
use crate::auth::{Action, Role};
use crate::management::ChangeError;
use crate::management::access_token::{self, NewAccessToken};

/// The paths of this room.
pub(super) fn router() -> Router<SharedApp> {
    const PATH: &str = "/ui/{project}/{environment}/tokens";
    Router::new().route(PATH, get(page).post(make)).route(&format!("{PATH}/{{id}}/delete"), post(delete))
}

/// The form that makes a token.
#[derive(Debug, Deserialize)]
struct New {
    form_token: String,
    name: String,
    role: Role,
}

/// The form that deletes one.
#[derive(Debug, Deserialize)]
struct Delete {
    form_token: String,
}

/// Which one.
#[derive(Debug, Deserialize)]
struct Which {
    id: String,
}

#[derive(Template)]
#[template(path = "tokens/page.html")]
struct TokensPage {
    frame: Frame,
    action: String,
    rows: Vec<Row>,
    /// What may be chosen: at most the maker's own role.
    roles: Vec<Role>,
    /// A token that was just made: shown this once.
    minted: Option<Minted>,
    problem: Option<String>,
    name: String,
}

struct Minted {
    name: String,
    secret: String,
    snippet: String,
}

struct Row {
    name: String,
    /// Where it is deleted.
    delete: String,
    role: Role,
    end: String,
    made: Moment,
    used: Option<Moment>,
}

/// `GET /ui/{project}/{environment}/tokens`.
async fn page(State(app): State<SharedApp>, place: Place) -> Result<Response, Trouble> {
    place.session.actor().may(Action::OwnTokens).map_err(ChangeError::from)?;
    html(&TokensPage::load(&app, &place).await?)
}

/// `POST /ui/{project}/{environment}/tokens`: makes a token, and shows its secret this once.
async fn make(
    State(app): State<SharedApp>,
    place: Place,
    headers: HeaderMap,
    Fields(new): Fields<New>,
) -> Result<Response, Trouble> {
    place.session.check_form(&headers, Some(&new.form_token))?;
    let name = new.name.trim().to_owned();
    if name.is_empty() {
        let problem = Some(sentence("the token needs a name that says where it is used"));
        return html(&TokensPage { problem, ..TokensPage::load(&app, &place).await? });
    }
    let token =
        NewAccessToken { name: name.clone(), description: String::new(), role: new.role, is_service: false };
    let member_id = place.session.member.id;
    match access_token::create(&app, &place.session.actor(), member_id, &token).await {
        Ok((_, minted)) => {
            let snippet = format!(
                "curl {}/api/v2/flags/{} \\\n  -H 'Authorization: {}'",
                place.origin,
                place.project().key,
                minted.secret
            );
            let minted = Some(Minted { name, secret: minted.secret, snippet });
            html(&TokensPage { minted, ..TokensPage::load(&app, &place).await? })
        }
        Err(error @ ChangeError::Invalid { .. }) => {
            let problem = Some(sentence(&error.to_string()));
            html(&TokensPage { problem, name, ..TokensPage::load(&app, &place).await? })
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /ui/{project}/{environment}/tokens/{id}/delete`: the token stops working at once.
async fn delete(
    State(app): State<SharedApp>,
    place: Place,
    Path(which): Path<Which>,
    headers: HeaderMap,
    Fields(form): Fields<Delete>,
) -> Result<Response, Trouble> {
    place.session.check_form(&headers, Some(&form.form_token))?;
    access_token::delete(&app, &place.session.actor(), &which.id).await?;
    Ok(Redirect::to(&tokens_path(&place)).into_response())
}

impl TokensPage {
    async fn load(app: &SharedApp, place: &Place) -> Result<Self, Trouble> {
        let actor = place.session.actor();
        let tokens = access_token::list(app, &actor, false).await?;
        let moment = |at_ms| Moment::new(at_ms, place.now_ms);
        let all = [Role::Reader, Role::Writer, Role::Admin, Role::Owner];
        Ok(Self {
            frame: place.frame(Section::Tokens, None, None),
            action: tokens_path(place),
            rows: tokens
                .into_iter()
                .map(|token| Row {
                    made: moment(token.created_at),
                    used: token.last_used_at.map(moment),
                    name: token.name,
                    delete: format!("{}/{}/delete", tokens_path(place), token.public_id),
                    role: token.role,
                    end: token.token_end,
                })
                .collect(),
            roles: all.into_iter().filter(|role| *role <= actor.role).collect(),
            minted: None,
            problem: None,
            name: String::new(),
        })
    }
}

/// Where tokens are made.
pub(super) fn tokens_path(place: &Place) -> String {
    format!("{}/tokens", place.base())
}

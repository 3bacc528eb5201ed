//! The users seen in an environment, by search.

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::{avatar, initials, user_path};
use crate::SharedApp;
use crate::analytics::{Page, SeenUser};
use crate::dashboard::answer::{Trouble, html};
use crate::dashboard::parts::Moment;
use crate::dashboard::place::{Frame, Place, Section};
use crate::dashboard::theme::Theme;
use crate::dashboard::words::{count, number};

/// Users on one page.
const PAGE_SIZE: usize = 50;
/// Nobody reads on beyond this page; a search finds the user sooner.
const LAST_PAGE: usize = 200;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    q: String,
    page: usize,
}

#[derive(Template)]
#[template(path = "users/list.html")]
struct ListPage {
    frame: Frame,
    results: Results,
}

/// The rows, and how many users there are: what a search swaps.
#[derive(Template)]
#[template(path = "users/results.html")]
struct Results {
    rows: Vec<Row>,
    summary: String,
    /// Whether the summary stands elsewhere on the page and has to be swapped, too.
    fragment: bool,
    query: String,
    clear: String,
    range: String,
    before: Option<String>,
    after: Option<String>,
    environment_name: String,
    /// How to make the first user seen.
    snippet: String,
}

impl HtmlSafe for Results {}

#[derive(Clone, Debug)]
struct Row {
    initials: String,
    picture: Option<String>,
    name: String,
    url: String,
    email: String,
    key: String,
    last_seen: Moment,
}

/// `GET /ui/{project}/{environment}/users`.
pub(super) async fn page(
    State(app): State<SharedApp>,
    place: Place,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Trouble> {
    let environment = place.environment().id;
    let page = wanted.page.clamp(1, LAST_PAGE);
    let first = (page - 1) * PAGE_SIZE;
    let found = app
        .analytics
        .search_users(environment, &wanted.q, None, Page { offset: first, limit: PAGE_SIZE })
        .await?;
    let known = app.analytics.known_users_count(environment).await?;
    let anonymous = app.analytics.anonymous_count(environment).await?;
    let path = |page: usize| list_path(&place, &wanted.q, page);
    let results = Results {
        rows: found.users.iter().map(|user| Row::new(&app, &place, user)).collect(),
        summary: summary(known, anonymous),
        fragment: place.fragment,
        clear: list_path(&place, "", 1),
        range: format!("{}–{}", number(first as u64 + 1), number((first + found.users.len()) as u64)),
        before: (page > 1).then(|| path(page - 1)),
        after: (found.has_more && page < LAST_PAGE).then(|| path(page + 1)),
        environment_name: place.environment().name.clone(),
        snippet: snippet(&place),
        query: wanted.q.clone(),
    };
    if place.fragment {
        return html(&results);
    }
    html(&ListPage { frame: place.frame(Section::Users, None, Some(&wanted.q)), results })
}

impl Row {
    fn new(app: &SharedApp, place: &Place, user: &SeenUser) -> Self {
        Self {
            initials: initials(user),
            picture: avatar::path(app, place, user),
            name: user.display_name(),
            url: user_path(place, &user.key),
            email: user.text("email").unwrap_or_default().to_owned(),
            key: user.key.clone(),
            last_seen: Moment::new(user.last_seen_ms, place.now_ms),
        }
    }
}

fn summary(known: u64, anonymous: u64) -> String {
    let known = count(known, "user", "users");
    match anonymous {
        0 => format!("{known} seen"),
        1 => format!("{known} seen, and 1 anonymous one that is only counted"),
        anonymous => format!("{known} seen, and {} anonymous ones that are only counted", number(anonymous)),
    }
}

fn list_path(place: &Place, query: &str, page: usize) -> String {
    let mut path = format!("{}/users", place.base());
    let mut joint = '?';
    if !query.trim().is_empty() {
        let query = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
        path.push_str(&format!("{joint}q={query}"));
        joint = '&';
    }
    if page > 1 {
        path.push_str(&format!("{joint}page={page}"));
    }
    path
}

fn snippet(place: &Place) -> String {
    format!(
        "import ldclient\nfrom ldclient.config import Config\n\nldclient.set_config(Config(\n    \"{}\",\n    base_uri=\"{origin}\",\n    stream_uri=\"{origin}\",\n    events_uri=\"{origin}\",\n))\nuser = {{\"key\": \"ada\", \"firstName\": \"Ada\", \"email\": \"ada@example.com\"}}\nldclient.get().variation(\"checkout-redesign\", user, False)\nldclient.get().flush()",
        place.sdk_key(),
        origin = place.origin,
    )
}

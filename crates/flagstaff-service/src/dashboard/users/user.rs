//! One user: what is known, and what every flag serves them.

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::values::{FlagValue, Known, WatchedUser};
use super::{avatar, initials, user_path};
use crate::SharedApp;
use crate::analytics::SeenUser;
use crate::dashboard::answer::{Trouble, html};
use crate::dashboard::parts::{Moment, value_text};
use crate::dashboard::place::{Frame, Place, Section};
use crate::dashboard::theme::Theme;
use crate::dashboard::words::number;
use crate::store::{flag, segment};

/// Flags on one page.
const PAGE_SIZE: usize = 50;

/// The path below an environment.
#[derive(Debug, Deserialize)]
pub(super) struct UserPath {
    pub(super) user: String,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    page: usize,
}

#[derive(Template)]
#[template(path = "users/user.html")]
struct UserPage {
    frame: Frame,
    name: String,
    initials: String,
    picture: Option<String>,
    email: Option<String>,
    key: String,
    /// When first and last seen; none if never.
    seen: Option<(Moment, Moment)>,
    attributes: Vec<(String, String)>,
    redacted: Vec<String>,
    values: Values,
    environment_name: String,
}

/// What every flag serves.
#[derive(Template)]
#[template(path = "users/values.html")]
struct Values {
    rows: Vec<FlagValue>,
    range: String,
    before: Option<String>,
    after: Option<String>,
}

impl HtmlSafe for Values {}

/// `GET /ui/{project}/{environment}/users/{user}`.
pub(super) async fn page(
    State(app): State<SharedApp>,
    place: Place,
    Path(path): Path<UserPath>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Trouble> {
    let environment = place.environment();
    let user = app.analytics.user(environment.id, &path.user).await?.ok_or_else(|| {
        let key = &path.user;
        Trouble::not_found(format!(
            "no user `{key}` was seen in {}; anonymous users are only counted",
            environment.name
        ))
    })?;
    let values = values(&app, &place, &user, wanted.page).await?;
    let name = user.display_name();
    let moment = |at_ms| Moment::new(at_ms, place.now_ms);
    let mut attributes: Vec<(String, String)> =
        user.attributes.iter().map(|(name, value)| (name.clone(), value_text(value))).collect();
    attributes.sort_unstable();
    html(&UserPage {
        frame: place.frame(Section::Users, Some(&name), None),
        initials: initials(&user),
        picture: avatar::path(&app, &place, &user),
        email: user.text("email").filter(|email| *email != name).map(str::to_owned),
        seen: Some((moment(user.first_seen_ms), moment(user.last_seen_ms))),
        attributes,
        redacted: user.redacted,
        values,
        environment_name: environment.name.clone(),
        key: user.key,
        name,
    })
}

async fn values(app: &SharedApp, place: &Place, user: &SeenUser, page: usize) -> Result<Values, Trouble> {
    let mut snapshot = app.store.snapshot().await?;
    let all = flag::count_in_environment(&mut snapshot, place.environment().id).await?;
    let pages = all.div_ceil(PAGE_SIZE).max(1);
    let page = page.clamp(1, pages);
    let first = (page - 1) * PAGE_SIZE;
    let shown = flag::keys_in_environment(&mut snapshot, place.environment().id, first, PAGE_SIZE).await?;
    let segments = segment::in_environment(&mut snapshot, place.environment().id).await?;
    let segments = segments.into_iter().map(|row| (row.key, row.name)).collect();
    let mut flags = Vec::with_capacity(shown.len());
    for key in &shown {
        flags.extend(flag::one_in_environment(&mut snapshot, place.environment().id, key).await?);
    }
    drop(snapshot);
    let (moment, data) = (place.live.moment(), place.live.data().snapshot());
    let watched =
        WatchedUser::new(user).map_err(|_| Trouble::not_found("a user without a key gets no flags"))?;
    let members = place.live.known_members(moment, &data, watched.context()).await;
    let data = Known { data: &data, members: &members };
    let rows: Vec<FlagValue> =
        flags.iter().map(|flag| watched.value_of(place, data, flag, &segments)).collect();
    let path = |page: usize| format!("{}?page={page}", user_path(place, &user.key));
    Ok(Values {
        range: format!(
            "{}–{} of {} flags",
            number(first as u64 + 1),
            number((first + rows.len()) as u64),
            number(all as u64)
        ),
        rows,
        before: (page > 1).then(|| path(page - 1)),
        after: (page < pages).then(|| path(page + 1)),
    })
}

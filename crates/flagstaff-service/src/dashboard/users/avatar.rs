//! A user's picture, where the owner has turned pictures on: see [`crate::avatars`].

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::user::UserPath;
use super::user_path;
use crate::SharedApp;
use crate::analytics::SeenUser;
use crate::dashboard::answer::Trouble;
use crate::dashboard::place::Place;

/// How long a browser keeps it, in seconds.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=3600");

/// `GET /ui/{project}/{environment}/users/{user}/avatar`.
pub(super) async fn picture(
    State(app): State<SharedApp>,
    place: Place,
    Path(path): Path<UserPath>,
) -> Result<Response, Trouble> {
    let none = || Trouble::not_found("there is no picture of this user");
    let avatars = app.avatars.as_ref().ok_or_else(none)?;
    let user = app.analytics.user(place.environment().id, &path.user).await?.ok_or_else(none)?;
    let avatar = avatars.of(user.text("email").ok_or_else(none)?).await.ok_or_else(none)?;
    let headers = [
        (header::CONTENT_TYPE, avatar.kind),
        (header::CACHE_CONTROL, CACHE),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, avatar.picture).into_response())
}

/// Where a user's picture is, if there may be one.
pub(super) fn path(app: &SharedApp, place: &Place, user: &SeenUser) -> Option<String> {
    let email = user.text("email").filter(|email| email.contains('@'));
    (app.avatars.is_some() && email.is_some()).then(|| format!("{}/avatar", user_path(place, &user.key)))
}

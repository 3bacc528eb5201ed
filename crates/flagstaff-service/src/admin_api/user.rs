//! Users that were seen: search, list, one, delete. Shapes: `Users`, `UsersRep` and `UserRecord` of the
//! REST API's OpenAPI document.
//!
//! What cannot be answered is refused, not passed over: an unknown `filter` that selects nobody would
//! look like one that selects everybody.

use std::collections::HashMap;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::analytics::{Page, SeenUser, Sort, UserPage};
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::management::user::delete;
use crate::management::{ChangeError, environment};
use crate::store::environment::Environment;
use crate::{App, SharedApp};

/// How many users a page has when nothing is said.
const USUAL_LIMIT: usize = 20;

/// How many users a page of a search has at most.
const MOST_FOUND: usize = 50;

/// How many users a page of the list has at most.
const MOST_LISTED: usize = 1000;

/// How far a search can be paged; whoever looks for somebody types another letter instead.
const LAST_OFFSET: usize = 10_000;

/// What a user of the user era has; everything else is custom.
const BUILT_IN: [&str; 8] =
    ["secondary", "ip", "country", "email", "firstName", "lastName", "avatar", "name"];

/// What must be escaped in a path segment or a query value.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type Parameters = HashMap<String, String>;
type InEnvironment = Result<Path<(String, String)>, PathRejection>;
type OfUser = Result<Path<(String, String, String)>, PathRejection>;

/// The paths of this file.
pub fn router() -> Router<SharedApp> {
    Router::new()
        .route("/api/v2/user-search/{project_key}/{environment_key}", get(search))
        .route("/api/v2/users/{project_key}/{environment_key}", get(list))
        .route("/api/v2/users/{project_key}/{environment_key}/{user_key}", get(one).delete(remove))
}

async fn search(
    State(app): State<SharedApp>,
    caller: Caller,
    path: InEnvironment,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let place = Place::find(&app, &caller, path).await?;
    let parameters = known(parameters, &["q", "limit", "offset", "sort"])?;
    let page = Page {
        offset: number(&parameters, "offset", 0..=LAST_OFFSET)?.unwrap_or(0),
        limit: number(&parameters, "limit", 1..=MOST_FOUND)?.unwrap_or(USUAL_LIMIT),
    };
    let sort = parameters.get("sort").map(|sort| sort_by(sort)).transpose()?;
    let query = parameters.get("q").map(String::as_str).unwrap_or_default();
    let found = app.analytics.search_users(place.environment.id, query, sort, page).await?;

    let mut shared = vec![("limit", page.limit.to_string())];
    for name in ["q", "sort"] {
        shared.extend(parameters.get(name).map(|value| (name, value.clone())));
    }
    let path = format!("/api/v2/user-search/{}", place.path());
    let at = |offset: usize| {
        let offset = (offset > 0).then(|| ("offset", offset.to_string()));
        link(&path, shared.iter().chain(&offset))
    };
    let next = page.offset + page.limit;
    let next = (found.has_more && next <= LAST_OFFSET).then(|| at(next));
    place.answer(&app, &found, at(page.offset), next, sort).await
}

async fn list(
    State(app): State<SharedApp>,
    caller: Caller,
    path: InEnvironment,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let place = Place::find(&app, &caller, path).await?;
    let parameters = known(parameters, &["limit", "searchAfter"])?;
    let limit = number(&parameters, "limit", 1..=MOST_LISTED)?.unwrap_or(USUAL_LIMIT);
    let after = parameters.get("searchAfter").map(String::as_str).unwrap_or_default();
    let found = app.analytics.users_after(place.environment.id, after, limit).await?;

    let at = |after: &str| {
        let parameters = [("limit", limit.to_string()), ("searchAfter", after.to_owned())];
        let count = if after.is_empty() { 1 } else { 2 };
        link(&format!("/api/v2/users/{}", place.path()), parameters.iter().take(count))
    };
    let next = found.users.last().filter(|_| found.has_more).map(|last| at(&last.key));
    place.answer(&app, &found, at(after), next, None).await
}

async fn one(State(app): State<SharedApp>, caller: Caller, path: OfUser) -> Result<Json<Value>, ApiError> {
    let Path((project_key, environment_key, user_key)) = path.map_err(bad_path)?;
    let place = Place::find(&app, &caller, Ok(Path((project_key, environment_key)))).await?;
    match app.analytics.user(place.environment.id, &user_key).await? {
        Some(user) => Ok(Json(place.record(&user, None))),
        None => Err(place.unknown_user(&user_key)),
    }
}

async fn remove(State(app): State<SharedApp>, caller: Caller, path: OfUser) -> Result<StatusCode, ApiError> {
    let Path((project_key, environment_key, user_key)) = path.map_err(bad_path)?;
    if delete(&app, &caller.actor, &project_key, &environment_key, &user_key).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown_user(&user_key, &project_key, &environment_key))
    }
}

/// The environment a request speaks of.
struct Place {
    project_key: String,
    environment: Environment,
}

impl Place {
    async fn find(app: &App, caller: &Caller, path: InEnvironment) -> Result<Self, ApiError> {
        let Path((project_key, environment_key)) = path.map_err(bad_path)?;
        caller.actor.may(Action::Read).map_err(ChangeError::from)?;
        let (project, environment) = environment::get(app, &project_key, &environment_key).await?;
        Ok(Self { project_key: project.key, environment })
    }

    fn path(&self) -> String {
        format!("{}/{}", escaped(&self.project_key), escaped(&self.environment.key))
    }

    async fn answer(
        &self,
        app: &App,
        found: &UserPage,
        this: Value,
        next: Option<Value>,
        sort: Option<Sort>,
    ) -> Result<Json<Value>, ApiError> {
        let total = app.analytics.known_users_count(self.environment.id).await?;
        let mut links = Map::from_iter([("self".to_owned(), this)]);
        links.extend(next.map(|next| ("next".to_owned(), next)));
        let items: Vec<Value> = found.users.iter().map(|user| self.record(user, sort)).collect();
        Ok(Json(json!({"_links": links, "totalCount": total, "items": items})))
    }

    fn record(&self, user: &SeenUser, sort: Option<Sort>) -> Value {
        let parent = format!("/api/v2/users/{}", self.path());
        let own = format!("{parent}/{}", escaped(&user.key));
        let mut record = json!({
            "lastPing": instant(user.last_seen_ms),
            "environmentId": self.environment.client_side_id,
            "user": as_user(user),
            "_links": {"parent": link(&parent, []), "self": link(&own, [])},
        });
        match sort {
            None => {}
            Some(Sort::Key | Sort::KeyDescending) => record["sortValue"] = user.key.clone().into(),
            Some(Sort::LastSeen | Sort::LastSeenDescending) => record["sortValue"] = user.last_seen_ms.into(),
        }
        record
    }

    fn unknown_user(&self, key: &str) -> ApiError {
        unknown_user(key, &self.project_key, &self.environment.key)
    }
}

fn unknown_user(key: &str, project_key: &str, environment_key: &str) -> ApiError {
    ApiError::not_found(format!(
        "no user `{key}` was seen in environment `{environment_key}` of project `{project_key}`"
    ))
}

/// The user-era form: what is not built in stands under `custom`.
fn as_user(user: &SeenUser) -> Value {
    let mut shown = Map::from_iter([("key".to_owned(), user.key.clone().into())]);
    let mut custom = Map::new();
    for (name, value) in &user.attributes {
        let built_in = value.is_string() && BUILT_IN.contains(&name.as_str());
        if built_in { &mut shown } else { &mut custom }.insert(name.clone(), value.clone());
    }
    shown.insert("anonymous".to_owned(), false.into());
    if !custom.is_empty() {
        shown.insert("custom".to_owned(), custom.into());
    }
    if !user.redacted.is_empty() {
        shown.insert("privateAttrs".to_owned(), user.redacted.clone().into());
    }
    shown.into()
}

fn instant(at_ms: i64) -> String {
    let instant = jiff::Timestamp::from_millisecond(at_ms);
    instant.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

fn link<'a>(path: &str, parameters: impl IntoIterator<Item = &'a (&'a str, String)>) -> Value {
    let mut href = path.to_owned();
    for (index, (name, value)) in parameters.into_iter().enumerate() {
        href.push(if index == 0 { '?' } else { '&' });
        href.push_str(&format!("{name}={}", escaped(value)));
    }
    json!({"href": href, "type": "application/json"})
}

fn escaped(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, ESCAPED)
}

fn bad_path(rejection: PathRejection) -> ApiError {
    ApiError::bad_request(format!("the path cannot be read: {}", rejection.body_text()))
}

/// The parameters, all of which must be among those that are known.
fn known(
    parameters: Result<Query<Parameters>, QueryRejection>,
    names: &[&str],
) -> Result<Parameters, ApiError> {
    let Query(parameters) = parameters.map_err(|rejection| {
        ApiError::bad_request(format!("the query cannot be read: {}", rejection.body_text()))
    })?;
    match parameters.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(parameters),
        Some(other) => {
            let names = names.join("`, `");
            Err(ApiError::bad_request(format!(
                "the parameter `{other}` is not supported here; known are `{names}`"
            )))
        }
    }
}

fn number(
    parameters: &Parameters,
    name: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<Option<usize>, ApiError> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(ApiError::bad_request(format!(
            "`{name}` is `{text}`; it must be a whole number from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}

fn sort_by(text: &str) -> Result<Sort, ApiError> {
    match text {
        "userKey" => Ok(Sort::Key),
        "-userKey" => Ok(Sort::KeyDescending),
        "lastSeen" => Ok(Sort::LastSeen),
        "-lastSeen" => Ok(Sort::LastSeenDescending),
        _ => Err(ApiError::bad_request(format!(
            "`sort` is `{text}`; it must be `userKey` or `lastSeen`, with `-` before it for the other way round"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_shown_in_the_form_of_the_user_era() {
        let attributes = json!({"name": "Ann", "email": 5, "plan": "pro", "ip": "::1"});
        let user = SeenUser {
            key: "u".to_owned(),
            attributes: attributes.as_object().unwrap().clone(),
            redacted: vec!["phone".to_owned()],
            first_seen_ms: 0,
            last_seen_ms: 0,
        };
        let shown = json!({"key": "u", "name": "Ann", "ip": "::1", "anonymous": false,
            "custom": {"email": 5, "plan": "pro"}, "privateAttrs": ["phone"]});
        assert_eq!(as_user(&user), shown);
    }

    #[test]
    fn links_escape_what_a_path_or_query_would_misread() {
        let parameters = [("q", "a b&c=d".to_owned()), ("limit", "5".to_owned())];
        assert_eq!(link("/x", &parameters)["href"], "/x?q=a%20b%26c%3Dd&limit=5");
        assert_eq!(escaped("a/b?é").to_string(), "a%2Fb%3F%C3%A9");
    }

    #[test]
    fn instants_are_written_as_dates() {
        assert_eq!(instant(1_656_458_489_176), "2022-06-28T23:21:29.176Z");
    }
}

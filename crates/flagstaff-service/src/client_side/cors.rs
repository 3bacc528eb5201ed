//! What pages of other origins may do with the paths of browsers: ask and report, without credentials.
//!
//! Source: the protocol's *CORS*. The client-side ID is public, so any origin may, unless the owner lists some.

use axum::extract::{FromRequestParts as _, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::MethodRouter;

use crate::SharedServing;
use crate::auth::asked_id;
use crate::auth::client_side::ENVIRONMENT;
use crate::config::Origin;
use crate::live_environment::Pages;

/// By which method a page may use a path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Get,
    Post,
    Report,
    /// The context is the body.
    PostOrReport,
}

impl By {
    fn methods(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Get => "GET,OPTIONS",
            Self::Post => "POST,OPTIONS",
            Self::Report => "REPORT,OPTIONS",
            Self::PostOrReport => "POST,REPORT,OPTIONS",
        })
    }
}

/// What SDKs send along.
const HEADERS: &str = "Cache-Control,Content-Type,Content-Length,Accept-Encoding,If-None-Match,\
    X-LaunchDarkly-User-Agent,X-LaunchDarkly-Payload-ID,X-LaunchDarkly-Wrapper,X-LaunchDarkly-Event-Schema,\
    X-LaunchDarkly-Tags,Authorization,X-API-Key,Last-Event-ID";

/// Lets pages use a path.
pub(crate) fn for_pages(
    serving: &SharedServing,
    by: By,
    answers: MethodRouter<SharedServing>,
) -> MethodRouter<SharedServing> {
    answers.options(preflight).layer(middleware::from_fn_with_state((serving.clone(), by), allow))
}

/// What a browser asks beforehand. Also for an environment that does not exist: the answer to come says so.
async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Says in every answer that pages may read it.
async fn allow(State((serving, by)): State<(SharedServing, By)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let pages = pages(&serving, &mut parts).await;
    let listed = if pages.origins.is_empty() { &serving.config.allowed_origins } else { &pages.origins };
    let origin = allowed(listed, parts.headers.get(header::ORIGIN));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    add(response.headers_mut(), by, origin, &pages.headers);
    response
}

/// What pages may do with the environment in the path or in the query, if there is one.
async fn pages(serving: &SharedServing, parts: &mut Parts) -> Pages {
    let Ok(parameters) = RawPathParams::from_request_parts(parts, serving).await else {
        return Pages::default();
    };
    let id = parameters.iter().find(|(name, _)| *name == ENVIRONMENT).map(|(_, id)| id.to_owned());
    let live = id.or_else(|| asked_id(&parts.uri)).and_then(|id| serving.live.by_client_side_id(&id));
    live.map(|live| live.about().pages.clone()).unwrap_or_default()
}

/// The origin that may read the answer. Of some that are listed another is told the first, which it is not.
fn allowed(listed: &[Origin], asking: Option<&HeaderValue>) -> HeaderValue {
    let known = listed.iter().map(Origin::header).find(|origin| Some(*origin) == asking);
    match (known, listed.first()) {
        (Some(origin), _) => origin.clone(),
        (None, Some(first)) => first.header().clone(),
        (None, None) => asking.cloned().unwrap_or(HeaderValue::from_static("*")),
    }
}

fn add(headers: &mut HeaderMap, by: By, origin: HeaderValue, more: &[String]) {
    let fixed = HeaderValue::from_static;
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, fixed("Origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, fixed("false"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, fixed("300"));
    let sent = if more.is_empty() { None } else { format!("{HEADERS},{}", more.join(",")).try_into().ok() };
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, sent.unwrap_or(fixed(HEADERS)));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, by.methods());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, fixed("Date,ETag,X-LD-EnvID"));
}

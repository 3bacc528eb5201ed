//! What pages of other origins may do with the paths of browsers: ask and report, without credentials.
//!
//! Source: the protocol's *CORS*. The client-side ID is public, so any origin may.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// What SDKs send along.
const HEADERS: &str = "Cache-Control,Content-Type,Content-Length,Accept-Encoding,If-None-Match,\
    X-LaunchDarkly-User-Agent,X-LaunchDarkly-Payload-ID,X-LaunchDarkly-Wrapper,X-LaunchDarkly-Event-Schema,\
    X-LaunchDarkly-Tags,Authorization,X-API-Key,Last-Event-ID";

/// Answers what a browser asks beforehand, and says in every answer that pages may read it.
pub(crate) async fn allow(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        // Also for an environment that does not exist: the answer to come says so.
        preflight().await.into_response()
    } else {
        next.run(request).await
    };
    add(response.headers_mut(), origin);
    response
}

/// For routes of a few methods, which would refuse to be asked before this room hears of it.
pub(crate) async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

fn add(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    let fixed = HeaderValue::from_static;
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.unwrap_or(fixed("*")));
    headers.append(header::VARY, fixed("Origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, fixed("false"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, fixed("300"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fixed(HEADERS));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed("GET,POST,REPORT,OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, fixed("Date,ETag,X-LD-EnvID"));
}

//! `LD-API-Version`: which version of the API a caller means.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::error::ApiError;

/// The version of the API that we speak: the day it came out.
pub(super) const CURRENT: u32 = 20_240_415;
const HEADER: HeaderName = HeaderName::from_static("ld-api-version");

/// Refuses a request that means another version, and says with each answer which it is.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let asked =
        request.headers().get(&HEADER).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let fits = asked.as_deref().is_none_or(|asked| asked == "beta" || asked.parse() == Ok(CURRENT));
    let mut response = if fits {
        next.run(request).await
    } else {
        let shown = asked.as_deref().unwrap_or_default().escape_debug().to_string();
        let message = format!(
            "version `{shown}` of the API is not served here; send `LD-API-Version: {CURRENT}`, or `beta`"
        );
        ApiError::bad_request(message).into_response()
    };
    response.headers_mut().insert(HEADER, HeaderValue::from(CURRENT));
    response
}

//! Polls of the PHP SDK, which keeps nothing between requests and asks for one flag at a time.
//!
//! Source: the protocol's *PHP endpoints*. Their tags have a form of their own, without quotes. With a
//! lifetime set for the environment, caches in front may answer until then.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::environment_id;
use super::poll::missing;
use crate::auth::SdkEnvironment;
use crate::error::ApiError;
use crate::extract::Keys;
use crate::live_environment::LiveEnvironment;

/// `GET /sdk/flags`: every flag by its key.
pub(super) async fn flags(
    SdkEnvironment(live): SdkEnvironment,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let image = live.image()?;
    Ok(answer(&live, &headers, image.flag_versions(), image.all_flags().plain()))
}

/// `GET /sdk/flags/{key}`
pub(super) async fn flag(
    SdkEnvironment(live): SdkEnvironment,
    Keys(key): Keys<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (version, body) = live.image()?.flag(&key).ok_or_else(|| missing("flag", &key))?;
    Ok(answer(&live, &headers, &version.to_string(), body))
}

/// `GET /sdk/segments/{key}`
pub(super) async fn segment(
    SdkEnvironment(live): SdkEnvironment,
    Keys(key): Keys<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (version, body) = live.image()?.segment(&key).ok_or_else(|| missing("segment", &key))?;
    Ok(answer(&live, &headers, &version.to_string(), body))
}

fn answer(live: &LiveEnvironment, headers: &HeaderMap, version: &str, body: Bytes) -> Response {
    let tag = format!("relay-{version}");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
    };
    let answered = response.headers_mut();
    let tag = HeaderValue::try_from(tag).unwrap_or_else(|_| unreachable!("it is digits and letters"));
    answered.insert(header::ETAG, tag);
    answered.extend(environment_id(live));
    let minutes = u64::try_from(live.about().environment.default_ttl).unwrap_or_default();
    if minutes > 0 {
        let expires = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60 * minutes));
        answered.insert(header::VARY, HeaderValue::from_static("Authorization"));
        if let Ok(expires) = HeaderValue::try_from(expires) {
            answered.insert(header::EXPIRES, expires);
        }
    }
    response
}

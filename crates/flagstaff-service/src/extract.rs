//! axum's extractors for paths and queries, refusing in JSON as everything else does; and whole bodies.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The parts of the path.
#[derive(Debug)]
pub(crate) struct Keys<T>(pub(crate) T);

/// The query.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Keys<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(keys)) => Ok(Self(keys)),
            Err(error) => Err(ApiError::bad_request(format!("the path cannot be read: {error}"))),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(ApiError::bad_request(format!("the query cannot be read: {error}"))),
        }
    }
}

/// What a body fails with that does not come to its end in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body was not complete within {} seconds", .0.as_secs_f64())]
pub(crate) struct TooSlow(pub(crate) Duration);

/// Reads a body to its end, which has to come within `limit` bytes; and in time, as every body has to. It is
/// taken as it is: only events may come compressed.
pub(crate) async fn whole_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let is_plain = |encoding: &HeaderValue| {
        let encoding = encoding.as_bytes().trim_ascii();
        encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity")
    };
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "the body is compressed, which is only possible for events; send it without a content encoding",
        ));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > limit) {
        return Err(ApiError::too_large(limit));
    }
    to_bytes(body, limit).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|source| source.to_string().contains("length limit")) {
            ApiError::too_large(limit)
        } else {
            broken_off(&error)
        }
    })
}

/// A body did not come to its end.
pub(crate) fn broken_off(error: &axum::Error) -> ApiError {
    let mut cause = Some(error as &dyn std::error::Error);
    while let Some(error) = cause {
        if let Some(slow) = error.downcast_ref::<TooSlow>() {
            let message = format!("{slow}; send it again");
            return ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message);
        }
        cause = error.source();
    }
    ApiError::bad_request("the body ended too early; send it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_was_too_slow_is_asked_for_again_as_one_that_broke_off_is() {
        let failing = |error: Box<dyn std::error::Error + Send + Sync>| {
            Body::from_stream(futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(error)]))
        };
        let read = async |body| whole_body(&HeaderMap::new(), body, 100).await.expect_err("no end");
        let slow = read(failing(TooSlow(Duration::from_secs(30)).into())).await;
        assert_eq!((slow.status(), slow.code()), (StatusCode::REQUEST_TIMEOUT, "request_timeout"));
        assert_eq!(slow.message(), "the body was not complete within 30 seconds; send it again");
        let gone = read(failing(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())).await;
        assert_eq!(gone.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit_whether_or_not_it_says_its_length() {
        let read =
            async |length: usize| whole_body(&HeaderMap::new(), Body::from(vec![0; length]), 100).await;
        assert_eq!(read(100).await.map(|body| body.len()).ok(), Some(100));
        assert_eq!(read(101).await.expect_err("one too many").status(), StatusCode::PAYLOAD_TOO_LARGE);
        let said = HeaderMap::from_iter([(header::CONTENT_LENGTH, 101.into())]);
        let refused = whole_body(&said, Body::empty(), 100).await.expect_err("it says so");
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}

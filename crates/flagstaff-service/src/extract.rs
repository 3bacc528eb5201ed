//! axum's extractors for paths and queries, refusing in JSON as everything else does; and whole bodies.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// A body has to be complete within this.
const LONGEST_UPLOAD: Duration = Duration::from_secs(30);

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

/// Reads a body to its end, which has to come in time and within `limit` bytes.
pub(crate) async fn whole_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    whole_body_within(LONGEST_UPLOAD, headers, body, limit).await
}

async fn whole_body_within(
    longest: Duration,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > limit) {
        return Err(ApiError::too_large(limit));
    }
    let read = tokio::time::timeout(longest, to_bytes(body, limit)).await;
    read.map_err(|_| too_slow(longest))?.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|source| source.to_string().contains("length limit")) {
            ApiError::too_large(limit)
        } else {
            ApiError::bad_request("the body ended too early; send it again")
        }
    })
}

fn too_slow(longest: Duration) -> ApiError {
    let message = format!("the body was not complete within {} seconds; send it again", longest.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let longest = Duration::from_millis(20);
        let error = whole_body_within(longest, &HeaderMap::new(), never, 100).await.expect_err("no end");
        assert_eq!((error.status(), error.code()), (StatusCode::REQUEST_TIMEOUT, "request_timeout"));
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

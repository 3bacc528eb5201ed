//! Everything at once, with an ETag: `/sdk/latest-all` and its older parts.

use std::io::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{behind, environment_id};
use crate::SharedServing;
use crate::auth::SdkEnvironment;
use crate::error::ApiError;
use crate::extract::Keys;
use crate::live_environment::{Image, LiveEnvironment, Packed};

/// Bodies from this size on are compressed; below, the headers outweigh it.
pub(crate) const WORTH_COMPRESSING: usize = 1024;

/// `GET /sdk/latest-all`
pub(super) async fn all(
    State(serving): State<SharedServing>,
    SdkEnvironment(live): SdkEnvironment,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    answer(&serving, &live, &headers, Image::all).await
}

/// `GET /sdk/latest-flags`
pub(super) async fn flags(
    State(serving): State<SharedServing>,
    SdkEnvironment(live): SdkEnvironment,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    answer(&serving, &live, &headers, Image::all_flags).await
}

/// `GET /sdk/latest-segments`
pub(super) async fn segments(
    State(serving): State<SharedServing>,
    SdkEnvironment(live): SdkEnvironment,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    answer(&serving, &live, &headers, Image::all_segments).await
}

/// `GET /sdk/latest-flags/{key}`
pub(super) async fn flag(
    State(serving): State<SharedServing>,
    SdkEnvironment(live): SdkEnvironment,
    Keys(key): Keys<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    behind::catch_up_with(&serving, &live, behind::of_poll(&live, &headers)).await?;
    let image = live.image()?;
    one(&live, &headers, ("flag", &key), image.tag(), image.flag(&key))
}

/// `GET /sdk/latest-segments/{key}`
pub(super) async fn segment(
    State(serving): State<SharedServing>,
    SdkEnvironment(live): SdkEnvironment,
    Keys(key): Keys<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    behind::catch_up_with(&serving, &live, behind::of_poll(&live, &headers)).await?;
    let image = live.image()?;
    one(&live, &headers, ("segment", &key), image.tag(), image.segment(&key))
}

async fn answer(
    serving: &SharedServing,
    live: &LiveEnvironment,
    headers: &HeaderMap,
    part: fn(&Image) -> &Packed,
) -> Result<Response, ApiError> {
    behind::catch_up_with(serving, live, behind::of_poll(live, headers)).await?;
    let image = live.image()?;
    if matches(headers, image.tag()) {
        return Ok(unchanged(live, image.tag()));
    }
    let plain = part(&image).plain();
    if plain.len() < WORTH_COMPRESSING || !takes_gzip(headers) {
        return Ok(json(live, image.tag(), plain));
    }
    let tag = image.tag().to_owned();
    Ok(json_compressed(live, &tag, gzip(image, part).await))
}

/// Compressed once per version, off the async threads.
async fn gzip(image: Arc<Image>, part: fn(&Image) -> &Packed) -> Bytes {
    if let Some(done) = part(&image).gzip_if_done() {
        return done;
    }
    let task = tokio::task::spawn_blocking(move || part(&image).gzip());
    match task.await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn one(
    live: &LiveEnvironment,
    headers: &HeaderMap,
    (kind, key): (&str, &str),
    tag: &str,
    found: Option<(u64, Bytes)>,
) -> Result<Response, ApiError> {
    let (_, body) = found.ok_or_else(|| missing(kind, key))?;
    if matches(headers, tag) {
        return Ok(unchanged(live, tag));
    }
    Ok(json(live, tag, body))
}

/// There is no such item.
pub(super) fn missing(kind: &str, key: &str) -> ApiError {
    ApiError::not_found(format!("there is no {kind} `{}` in this environment", key.escape_debug()))
}

pub(crate) fn json(live: &LiveEnvironment, tag: &str, body: Bytes) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind], about(live, tag), body).into_response()
}

/// What caches are to know, of a body and of one that did not change: the latter's take the former's place.
fn about(live: &LiveEnvironment, tag: &str) -> HeaderMap {
    let mut about = HeaderMap::from_iter([
        (header::ETAG, quoted(tag)),
        (header::VARY, HeaderValue::from_static("Authorization, Accept-Encoding")),
        // Asked again each time, answered 304 if nothing changed.
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
    ]);
    about.extend(environment_id(live));
    about
}

/// As [`json`], with a body that is compressed.
pub(crate) fn json_compressed(live: &LiveEnvironment, tag: &str, body: Bytes) -> Response {
    let mut response = json(live, &format!("{tag}{GZIP}"), body);
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// A body that is made for one answer alone, compressed quickly.
pub(crate) fn compressed(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.unwrap_or_else(|error| unreachable!("memory takes every byte: {error}")).into()
}

pub(crate) fn unchanged(live: &LiveEnvironment, tag: &str) -> Response {
    (StatusCode::NOT_MODIFIED, about(live, tag)).into_response()
}

fn quoted(tag: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{tag}\""))
        .unwrap_or_else(|_| unreachable!("a tag is hex digits and numbers"))
}

/// Marks the ETag of a compressed body, which is another representation.
const GZIP: &str = "-gzip";

pub(crate) fn matches(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|listed| listed.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|listed| listed == "*" || listed.strip_suffix(GZIP).unwrap_or(listed) == tag)
}

pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
            matches!(name.trim(), "gzip" | "*") && !refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_taken_unless_refused() {
        for (value, takes) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("identity", false),
        ] {
            assert_eq!(takes_gzip(&with(header::ACCEPT_ENCODING, value)), takes, "{value}");
        }
    }

    #[test]
    fn a_tag_matches_in_a_list_weak_or_compressed() {
        for (value, same) in [
            ("\"a-1\"", true),
            ("\"x\", W/\"a-1\"", true),
            ("\"a-1-gzip\"", true),
            ("*", true),
            ("\"a-2\"", false),
        ] {
            assert_eq!(matches(&with(header::IF_NONE_MATCH, value), "a-1"), same, "{value}");
        }
    }
}

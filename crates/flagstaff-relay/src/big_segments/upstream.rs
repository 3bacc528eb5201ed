//! Asking upstream who is in big segments.

use std::time::Duration;

use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL};
use flagstaff_sdk::{ConfigError, describe_http_error, http_client};
use flagstaff_wire::big_segments::Patch;
use flagstaff_wire::paths;
use flagstaff_wire::sse::SseParser;
use tokio::time::{Instant, timeout, timeout_at};

use super::synchronize::CopyError;
use crate::config::Upstream;
use crate::environment::client_config;

/// How long an answer may take, or the head of a stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// A stream that says nothing for so long, not even a comment, is dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);
/// The largest page: more than a million members at once.
const LARGEST_PAGE: usize = 256 * 1024 * 1024;

/// Where the members of an environment's big segments come from.
#[derive(Debug)]
pub(crate) struct Source {
    client: reqwest::Client,
    upstream: Upstream,
}

/// The changes from some place on.
#[derive(Debug)]
pub(super) struct Stream {
    response: reqwest::Response,
    parser: SseParser,
    /// When something came last.
    heard: Instant,
}

impl Source {
    pub(crate) fn new(upstream: &Upstream, sdk_key: &str) -> Result<Self, ConfigError> {
        let client = http_client(client_config(upstream, sdk_key))?;
        Ok(Self { client, upstream: upstream.clone() })
    }

    /// The changes after a place, a page of them; without one, from the beginning.
    pub(super) async fn page(&self, after: Option<&str>) -> Result<Vec<Patch>, CopyError> {
        let mut url = paths::join(&self.upstream.poll, paths::BIG_SEGMENT_REVISIONS);
        if let Some(after) = after {
            paths::add_parameter(&mut url, paths::AFTER, after);
        }
        let page = async {
            let mut response = answered(self.client.get(url).send().await)?;
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(failed)? {
                body.extend_from_slice(&piece);
                if body.len() > LARGEST_PAGE {
                    return Err(CopyError::Upstream(format!(
                        "its answer has more than {LARGEST_PAGE} bytes"
                    )));
                }
            }
            read(&body)
        };
        timeout(PATIENCE, page).await.unwrap_or_else(|_| Err(silent(PATIENCE)))
    }

    /// Opens a stream of the changes after a place.
    pub(super) async fn stream(&self, after: &str) -> Result<Stream, CopyError> {
        let mut url = paths::join(&self.upstream.stream, paths::BIG_SEGMENT_STREAM);
        if !after.is_empty() {
            paths::add_parameter(&mut url, paths::AFTER, after);
        }
        let request = self
            .client
            .get(url)
            .header(ACCEPT, "text/event-stream")
            .header(CACHE_CONTROL, "no-cache")
            .header(ACCEPT_ENCODING, "identity");
        let response = timeout(PATIENCE, request.send()).await.map_err(|_| silent(PATIENCE))?;
        Ok(Stream {
            response: answered(response)?,
            parser: SseParser::with_limit(LARGEST_PAGE),
            heard: Instant::now(),
        })
    }

    /// The same request as somebody else's, who is answered with whatever comes of it.
    pub(super) async fn pass_on(
        &self,
        path: &str,
        query: Option<&str>,
        accept: Option<&str>,
    ) -> Result<reqwest::Response, String> {
        let base =
            if path == paths::BIG_SEGMENT_STREAM { &self.upstream.stream } else { &self.upstream.poll };
        let mut url = paths::join(base, path);
        if let Some(query) = query {
            url = format!("{url}?{query}");
        }
        let mut request = self.client.get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        match timeout(PATIENCE, request.send()).await {
            Ok(sent) => sent.map_err(|error| describe_http_error(&error)),
            Err(_) => Err(format!("there was no answer for {PATIENCE:?}")),
        }
    }
}

impl Stream {
    /// The patches that come next. Whoever gives up waiting loses nothing.
    pub(super) async fn next(&mut self) -> Result<Vec<Patch>, CopyError> {
        let mut events = Vec::new();
        loop {
            let piece = timeout_at(self.heard + LONGEST_SILENCE, self.response.chunk()).await;
            let piece = piece.map_err(|_| silent(LONGEST_SILENCE))?.map_err(failed)?;
            let piece = piece.ok_or_else(|| CopyError::Upstream("the stream ended".to_owned()))?;
            self.heard = Instant::now();
            let fed = self.parser.feed(&piece, &mut events);
            fed.map_err(|error| CopyError::Upstream(error.to_string()))?;
            if !events.is_empty() {
                let pages = events.iter().map(|event| read(event.data()));
                return Ok(pages.collect::<Result<Vec<_>, _>>()?.concat());
            }
        }
    }
}

fn answered(sent: Result<reqwest::Response, reqwest::Error>) -> Result<reqwest::Response, CopyError> {
    let response = sent.map_err(failed)?;
    match response.status().as_u16() {
        200 => Ok(response),
        status => Err(CopyError::Upstream(format!("it answered {status}"))),
    }
}

fn read(json: &[u8]) -> Result<Vec<Patch>, CopyError> {
    serde_json::from_slice(json)
        .map_err(|error| CopyError::Upstream(format!("its answer is no list of patches: {error}")))
}

fn failed(error: reqwest::Error) -> CopyError {
    CopyError::Upstream(describe_http_error(&error))
}

fn silent(patience: Duration) -> CopyError {
    CopyError::Upstream(format!("nothing came for {patience:?}"))
}

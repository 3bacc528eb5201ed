//! All flags, every so often.
//!
//! | What happens | What is done |
//! |---|---|
//! | 200 | replaces everything; the client is initialized; the `ETag` is sent next time |
//! | 304 | nothing changed |
//! | a body that cannot be read | INVALID_DATA; asked again at the next tick |
//! | no connection, 3xx, 400, 408, 429, 5xx | asked again at the next tick |
//! | any other 4xx, a certificate that is not valid | asked again after 5 minutes to an hour; whoever waits for the first flags is released |
//!
//! Flags stay in use whatever happens.

use std::sync::Arc;
use std::time::Duration;

use flagstaff_wire::full_data::{FullData, ItemTexts, read_json};
use flagstaff_wire::paths;
use flagstaff_wire::sse::DEFAULT_LIMIT;
use reqwest::Response;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use tokio::time::Instant;

use super::DataSourceErrorKind;
use super::backoff::Backoff;
use super::receive::receive_all;
use super::streaming::{Failure, begin, next_piece, report};
use crate::config::Base;
use crate::data_store::StoredItem;
use crate::http::Http;
use crate::log::LogLevel;
use crate::shared::Shared;

pub(super) async fn run(shared: &Arc<Shared>, http: &Http) {
    let interval = shared.config.poll_interval;
    let url = shared.config.url(Base::Poll, paths::POLL);
    run_at(shared, http, &url, interval).await;
}

/// Polls `url` for as long as the client lives.
pub(crate) async fn run_at(shared: &Arc<Shared>, http: &Http, url: &str, interval: Duration) {
    shared.log.write(LogLevel::Info, format_args!("polling {url} every {interval:?}"));
    let interval = interval.max(Duration::from_millis(1));
    let mut backoff = Backoff::new(interval).compressed(shared.config.time_factor);
    let mut etag = None;
    loop {
        let asked = Instant::now();
        let next = match poll(shared, http, url, &mut etag).await {
            Ok(()) => {
                backoff.good_poll();
                asked + interval
            }
            Err(failure) => {
                let (next, delay) = due_after(&failure, asked, interval, &mut backoff);
                report(shared, &failure, delay, "polling");
                shared.status.failed(failure.error, failure.extended);
                next
            }
        };
        tokio::time::sleep_until(next).await;
    }
}

/// When to poll again after a failure, and the delay that this is said to be. At the next tick; after a failure that
/// time alone does not mend, long after it came.
pub(crate) fn due_after(
    failure: &Failure,
    asked: Instant,
    interval: Duration,
    backoff: &mut Backoff,
) -> (Instant, Duration) {
    let delay = backoff.next_delay(failure.extended);
    if failure.extended {
        let delay = delay.max(interval);
        (Instant::now() + delay, delay)
    } else {
        (asked + interval, interval)
    }
}

async fn poll(
    shared: &Arc<Shared>,
    http: &Http,
    url: &str,
    etag: &mut Option<HeaderValue>,
) -> Result<(), Failure> {
    let mut request = http.get(url);
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag.clone());
    }
    let mut response = begin(shared, http, request).await?;
    let new_etag = response.headers().get(ETAG).cloned();
    let status = response.status().as_u16();
    let shown = new_etag.as_ref().and_then(|etag| etag.to_str().ok()).unwrap_or("none");
    shared.log.write(LogLevel::Debug, format_args!("polled {url}: {status}, ETag {shown}"));
    match status {
        200 => {}
        304 if etag.is_some() => {
            shared.status.valid();
            return Ok(());
        }
        _ => return Err(Failure::response(response.status())),
    }
    let body = read_body(&mut response, http.read_timeout()).await?;
    let invalid = |error| {
        Failure::ordinary(DataSourceErrorKind::InvalidData, format!("the flags cannot be read: {error}"))
    };
    let data: FullData = read_json(&body).map_err(invalid)?;
    let texts = match &shared.texts {
        Some(_) => read_json::<ItemTexts>(&body).map_err(invalid)?.0,
        None => Vec::new(),
    };
    let texts = StoredItem::all(&texts, &data.0);
    drop(body);
    receive_all(shared, data.0, texts).await;
    *etag = new_etag;
    Ok(())
}

/// A whole answer, each piece of which may take so long.
pub(crate) async fn read_body(response: &mut Response, patience: Duration) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = next_piece(response, patience).await? {
        if body.len() + piece.len() > DEFAULT_LIMIT {
            let message = format!("the flags are longer than {DEFAULT_LIMIT} bytes");
            return Err(Failure::ordinary(DataSourceErrorKind::InvalidData, message));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

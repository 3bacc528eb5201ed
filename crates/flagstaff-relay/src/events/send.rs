//! How one payload reaches upstream, or does not.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use flagstaff_sdk::{ConfigError, describe_http_error, http_client};
use flagstaff_service::live_environment::Audience;
use flagstaff_service::store::EnvironmentId;
use flagstaff_wire::paths;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio_util::sync::CancellationToken;

use super::queue::Queue;
use super::{Counts, Kind, Payload};
use crate::config::Upstream;
use crate::environment::client_config;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long before a payload is sent once more, or tried again while upstream is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The longest time between two tries while upstream is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long nothing is sent for a key that upstream refuses.
const REFUSED_FOR: Duration = Duration::from_secs(300);
/// Payloads up to this size are compressed on the spot; larger ones where they do not hold up others.
const SMALL: usize = 64 * 1024;

/// Sends payloads, several at once.
#[derive(Debug)]
pub(super) struct Sender {
    client: reqwest::Client,
    upstream: Upstream,
    counts: Arc<Counts>,
    /// Whose payloads upstream refuses, until when.
    refused: Mutex<HashMap<(EnvironmentId, Audience), Instant>>,
}

/// What came of sending a payload.
enum Outcome {
    /// Upstream has it.
    Delivered,
    /// Upstream takes nothing at all: it passes.
    Away(String),
    /// Upstream did not take this one; it may the next time.
    Failed(String),
    /// It never will.
    TooLarge,
    /// It takes nothing of this environment's.
    Refused(StatusCode),
}

impl Sender {
    pub(super) fn new(upstream: &Upstream, counts: Arc<Counts>) -> Result<Self, ConfigError> {
        let client = http_client(client_config(upstream, ""))?;
        Ok(Self { client, upstream: upstream.clone(), counts, refused: Mutex::default() })
    }

    /// Sends what comes, until nothing does any more.
    pub(super) async fn run(self: Arc<Self>, queue: Arc<Queue>) {
        while let Some(taken) = queue.next().await {
            let payload = &taken.payload;
            let count = payload.count as u64;
            let kept = if self.is_refused(payload) {
                Err(None)
            } else {
                self.deliver(payload, queue.over()).await.map_err(Some)
            };
            match kept {
                Ok(()) => self.counts.forwarded.fetch_add(count, Ordering::Relaxed),
                Err(why) => {
                    if let Some(why) = why {
                        tracing::error!("{count} events could not be forwarded and are lost: {why}");
                    }
                    self.counts.lost.fetch_add(count, Ordering::Relaxed)
                }
            };
        }
    }

    /// # Errors
    /// Why upstream does not have it.
    async fn deliver(&self, payload: &Payload, over: &CancellationToken) -> Result<(), String> {
        let body = compressed(payload.body.clone()).await;
        let mut failed_before = false;
        let mut pause = RETRY_AFTER;
        loop {
            match self.send(payload, body.clone()).await {
                Outcome::Delivered => {
                    self.accept(payload);
                    return Ok(());
                }
                Outcome::TooLarge => return Err("they are more than upstream takes at once".to_owned()),
                Outcome::Refused(status) => {
                    self.refuse(payload);
                    let minutes = REFUSED_FOR.as_secs() / 60;
                    return Err(format!(
                        "upstream answered {}; tried again in {minutes} minutes",
                        status.as_u16()
                    ));
                }
                Outcome::Failed(why) if failed_before => return Err(why),
                Outcome::Failed(why) => {
                    failed_before = true;
                    tracing::warn!("events could not be forwarded, they are sent once more: {why}");
                    self.wait(RETRY_AFTER, over).await;
                }
                Outcome::Away(why) => {
                    if pause == RETRY_AFTER {
                        tracing::warn!("events cannot be forwarded, they wait: {why}");
                    }
                    // Several wait side by side, and must not come back at once.
                    self.wait(pause.mul_f64(1.0 - random() / 2.0), over).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
    }

    async fn send(&self, payload: &Payload, body: Bytes) -> Outcome {
        let (url, credential) = self.destination(payload);
        let mut headers = payload.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(credential) = credential {
            headers.insert(AUTHORIZATION, credential);
        }
        let request = self.client.post(url).headers(headers).timeout(PATIENCE).body(body);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Outcome::Away(describe_http_error(&error)),
        };
        let status = response.status();
        // Read to its end, so that the connection can be used again, and not kept.
        while let Ok(Some(_)) = response.chunk().await {}
        let said = || format!("upstream answered {}", status.as_u16());
        match status.as_u16() {
            200..=299 => Outcome::Delivered,
            429 | 502..=504 => Outcome::Away(said()),
            413 => Outcome::TooLarge,
            400 | 408 => Outcome::Failed(said()),
            401..=499 => Outcome::Refused(status),
            _ => Outcome::Failed(said()),
        }
    }

    /// Where it goes, and by what it is let in: as they are now.
    fn destination(&self, payload: &Payload) -> (String, Option<HeaderValue>) {
        let about = payload.environment.about();
        let environment = &about.environment;
        let (path, credential) = match (payload.audience, payload.kind) {
            (Audience::Server, Kind::Events) => (paths::EVENTS.to_owned(), Some(&environment.sdk_key)),
            (Audience::Server, Kind::Diagnostic) => {
                (paths::DIAGNOSTIC.to_owned(), Some(&environment.sdk_key))
            }
            (Audience::Mobile, Kind::Events) => {
                (paths::MOBILE_EVENTS.to_owned(), Some(&environment.mobile_key))
            }
            (Audience::Mobile, Kind::Diagnostic) => {
                (paths::MOBILE_DIAGNOSTIC.to_owned(), Some(&environment.mobile_key))
            }
            (Audience::Browser, Kind::Events) => {
                (format!("/events/bulk/{}", environment.client_side_id), None)
            }
            (Audience::Browser, Kind::Diagnostic) => {
                (format!("/events/diagnostic/{}", environment.client_side_id), None)
            }
        };
        let credential = credential.and_then(|key| HeaderValue::try_from(key).ok()).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        (paths::join(&self.upstream.events, &path), credential)
    }

    /// At the end nobody waits for long: not longer than before another try.
    async fn wait(&self, time: Duration, over: &CancellationToken) {
        let began = Instant::now();
        let least = RETRY_AFTER / self.upstream.time_factor;
        tokio::select! {
            () = tokio::time::sleep(time / self.upstream.time_factor) => {}
            () = over.cancelled() => tokio::time::sleep(least.saturating_sub(began.elapsed())).await,
        }
    }

    fn is_refused(&self, payload: &Payload) -> bool {
        let whose = (payload.environment.id(), payload.audience);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match refused.get_mut(&whose) {
            Some(until) if Instant::now() < *until => true,
            // This one tries, and meanwhile only that.
            Some(until) => {
                *until = self.refused_until();
                false
            }
            None => false,
        }
    }

    fn refuse(&self, payload: &Payload) {
        let whose = (payload.environment.id(), payload.audience);
        let until = self.refused_until();
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(whose, until);
    }

    fn accept(&self, payload: &Payload) {
        let whose = (payload.environment.id(), payload.audience);
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(&whose);
    }

    fn refused_until(&self) -> Instant {
        Instant::now() + REFUSED_FOR / self.upstream.time_factor
    }
}

/// From 0 to 1.
fn random() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    (high >> 32) as f64 / f64::from(u32::MAX)
}

async fn compressed(body: Bytes) -> Bytes {
    if body.len() <= SMALL {
        return gzip(&body);
    }
    match tokio::task::spawn_blocking(move || gzip(&body)).await {
        Ok(packed) => packed,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.unwrap_or_else(|error| unreachable!("memory takes every byte: {error}")).into()
}

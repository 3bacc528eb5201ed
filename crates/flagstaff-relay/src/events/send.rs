//! How one payload reaches upstream, or does not.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use flagstaff_sdk::{ConfigError, describe_http_error, http_client};
use flagstaff_service::live_environment::Audience;
use flagstaff_wire::paths;
use tokio_util::sync::CancellationToken;

use super::queue::{FIRST_PAUSE, Queue, Taken};
use super::rarely::Rarely;
use super::spool::Spool;
use super::{Counts, Kind, Payload};
use crate::config::Upstream;
use crate::environment::client_config;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a payload that failed waits at the end.
const AT_THE_END: Duration = Duration::from_millis(100);
/// How long nothing is sent for a key that upstream refuses.
const REFUSED_FOR: Duration = Duration::from_secs(300);
/// Sends payloads, several at once.
#[derive(Debug)]
pub(super) struct Sender {
    client: reqwest::Client,
    upstream: Upstream,
    counts: Arc<Counts>,
    spool: Option<Arc<Spool>>,
    /// Whose payloads upstream refuses.
    refused: Mutex<HashMap<(Arc<str>, Audience), Refusal>>,
    said: Said,
}

/// What is not said of each payload.
#[derive(Debug, Default)]
struct Said {
    lost: Rarely,
    again: Rarely,
    away: Rarely,
}

#[derive(Debug)]
struct Refusal {
    /// What was refused: by another key it may be taken.
    destination: Destination,
    until: Instant,
}

/// Where a payload goes, and by what it is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Destination {
    url: String,
    credential: Option<HeaderValue>,
}

/// What became of a payload.
enum Fate {
    Delivered,
    /// Why, if that is to be said.
    Lost(Option<String>),
    /// It waits on, for this reason.
    Waits(String),
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
    pub(super) fn new(
        upstream: &Upstream,
        counts: Arc<Counts>,
        spool: Option<Arc<Spool>>,
    ) -> Result<Self, ConfigError> {
        let client = http_client(client_config(upstream, ""))?;
        let (upstream, refused, said) = (upstream.clone(), Mutex::default(), Said::default());
        Ok(Self { client, upstream, counts, spool, refused, said })
    }

    /// Sends what comes, until nothing does any more.
    pub(super) async fn run(self: Arc<Self>, queue: Arc<Queue>) {
        while let Some(taken) = queue.next().await {
            let count = taken.payload().count as u64;
            match self.deliver(&taken, queue.over()).await {
                Fate::Delivered => {
                    self.settled(taken.delivered());
                    self.counts.forwarded.fetch_add(count, Ordering::Relaxed);
                }
                Fate::Lost(why) => self.lose(taken, why),
                Fate::Waits(why) => match taken.not_now() {
                    None => {
                        if self.said.away.count(1).is_some() {
                            tracing::warn!("events cannot be forwarded, they wait: {why}");
                        }
                    }
                    Some(alone) => {
                        self.lose(alone, Some(format!("upstream takes others, but always says: {why}")));
                    }
                },
            };
        }
    }

    fn lose(&self, taken: Taken, why: Option<String>) {
        let count = taken.payload().count as u64;
        self.settled(taken.lost());
        self.counts.lost.fetch_add(count, Ordering::Relaxed);
        if let Some(why) = why
            && let Some(lost) = self.said.lost.count(count)
        {
            tracing::error!(
                "{lost} events could not be forwarded and are lost, the last of them because {why}"
            );
        }
    }

    fn settled(&self, kept: Option<u64>) {
        if let Some((spool, number)) = self.spool.as_ref().zip(kept) {
            spool.settled(number);
        }
    }

    async fn deliver(&self, taken: &Taken, over: &CancellationToken) -> Fate {
        let mut failed_before = false;
        loop {
            let destination = self.destination(taken);
            if self.is_refused(taken, &destination) {
                return Fate::Lost(None);
            }
            match self.send(taken.payload(), &destination).await {
                Outcome::Delivered => {
                    self.accept(taken);
                    return Fate::Delivered;
                }
                Outcome::TooLarge => {
                    return Fate::Lost(Some("they are more than upstream takes at once".to_owned()));
                }
                // Its key was changed meanwhile.
                Outcome::Refused(_) if self.destination(taken) != destination => {}
                Outcome::Refused(status) => {
                    self.refuse(taken, destination);
                    let minutes = REFUSED_FOR.as_secs() / 60;
                    let status = status.as_u16();
                    return Fate::Lost(Some(format!(
                        "upstream answered {status}; tried again in {minutes} minutes"
                    )));
                }
                Outcome::Failed(why) if failed_before => return Fate::Lost(Some(why)),
                Outcome::Failed(why) => {
                    failed_before = true;
                    if let Some(times) = self.said.again.count(1) {
                        tracing::warn!(
                            "event payloads failed and are sent once more, {times} of late: {why}"
                        );
                    }
                    self.wait(FIRST_PAUSE, over).await;
                }
                Outcome::Away(why) => return Fate::Waits(why),
            }
        }
    }

    async fn send(&self, payload: &Payload, destination: &Destination) -> Outcome {
        let mut headers = payload.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(credential) = &destination.credential {
            headers.insert(AUTHORIZATION, credential.clone());
        }
        let request = self.client.post(&destination.url).headers(headers).timeout(PATIENCE);
        let request = request.body(payload.body.clone());
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
    fn destination(&self, taken: &Taken) -> Destination {
        let (payload, about) = (taken.payload(), taken.environment.about());
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
        Destination { url: paths::join(&self.upstream.events, &path), credential }
    }

    /// At the end nobody waits for long.
    async fn wait(&self, time: Duration, over: &CancellationToken) {
        tokio::select! {
            () = tokio::time::sleep(time / self.upstream.time_factor) => {}
            () = over.cancelled() => tokio::time::sleep(AT_THE_END / self.upstream.time_factor).await,
        }
    }

    fn is_refused(&self, taken: &Taken, destination: &Destination) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match refused.get_mut(&whose(taken)) {
            Some(refusal) if refusal.destination != *destination => false,
            Some(refusal) if Instant::now() < refusal.until => true,
            // This one tries, and meanwhile only that.
            Some(refusal) => {
                refusal.until = self.refused_until();
                false
            }
            None => false,
        }
    }

    fn refuse(&self, taken: &Taken, destination: Destination) {
        let refusal = Refusal { destination, until: self.refused_until() };
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(whose(taken), refusal);
    }

    fn accept(&self, taken: &Taken) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(&whose(taken));
    }

    fn refused_until(&self) -> Instant {
        Instant::now() + REFUSED_FOR / self.upstream.time_factor
    }
}

fn whose(taken: &Taken) -> (Arc<str>, Audience) {
    (taken.name().clone(), taken.payload().audience)
}

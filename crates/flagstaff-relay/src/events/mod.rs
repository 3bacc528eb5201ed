//! What SDKs report, forwarded upstream: each payload as it came, by its own id, so that one that was sent twice
//! counts once there.
//!
//! | What happens | What is done |
//! |---|---|
//! | a payload comes | 202 at once; it waits in memory until it is sent, compressed |
//! | more wait of its environment than may | 503, so that its sender tries again; counted, and said once a minute |
//! | upstream is away, or says that it is (429, 502, 503, 504) | tried again until it is back, ever less often up to every 30 s |
//! | another answer that may pass (400, 408, 5xx) | sent once more after a second, then lost |
//! | upstream refuses it for good (401, 403, 404, …) | lost, and so is what follows, but for a try every 5 minutes |
//! | it is too large for upstream (413) | it alone is lost |
//! | the relay stops | what waits is sent, as long as there is time |
//! | the relay is killed | what waited is lost |
//!
//! Events of old SDKs, which do not count their evaluations, are forwarded like all others, with the headers
//! that say so: upstream counts them, be it Flagstaff or LaunchDarkly, and one relay behind another hands them
//! on. Counting them here would take their payload ids away, and with these the certainty that they count once.

mod queue;
mod send;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;
use flagstaff_sdk::ConfigError;
use flagstaff_service::error::ApiError;
use flagstaff_service::live_environment::{Audience, LiveEnvironment};
use flagstaff_service::metrics::{Figures, Page};
use flagstaff_service::serving::{Batch, Events, Report, Taken};
use flagstaff_wire::headers;
use tokio::task::JoinSet;

use self::queue::Queue;
use self::send::Sender;
use crate::config::{Config, EventMode};

/// Payloads that are sent at the same time.
const SENDERS: usize = 64;

/// What of a payload's headers is forwarded.
const FORWARDED: [HeaderName; 8] = [
    USER_AGENT,
    HeaderName::from_static(headers::BROWSER_USER_AGENT),
    HeaderName::from_static(headers::WRAPPER),
    HeaderName::from_static(headers::TAGS),
    HeaderName::from_static(headers::INSTANCE_ID),
    HeaderName::from_static(headers::EVENT_SCHEMA),
    HeaderName::from_static(headers::PAYLOAD_ID),
    HeaderName::from_static(headers::UNSUMMARIZED),
];

/// Forwards events.
#[derive(Debug)]
pub struct Forwarder {
    mode: EventMode,
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    senders: tokio::sync::Mutex<JoinSet<()>>,
}

/// What became of events, ever.
#[derive(Debug, Default)]
pub struct Counts {
    /// Upstream has them.
    pub forwarded: AtomicU64,
    /// There was no room for them, and their senders were told.
    pub refused: AtomicU64,
    /// Upstream did not take them.
    pub lost: AtomicU64,
}

/// What is forwarded at once.
#[derive(Clone, Debug)]
struct Payload {
    environment: Arc<LiveEnvironment>,
    audience: Audience,
    kind: Kind,
    headers: HeaderMap,
    body: Bytes,
    /// How many events it has.
    count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Events,
    Diagnostic,
}

impl Forwarder {
    /// Begins to forward. On a runtime.
    ///
    /// # Errors
    /// If upstream cannot be reached as it is configured.
    pub fn start(config: &Config) -> Result<Self, ConfigError> {
        let (queue, counts) = (Arc::new(Queue::new(config.events.capacity)), Arc::new(Counts::default()));
        let mut senders = JoinSet::new();
        if config.events.mode == EventMode::Forwarded {
            let sender = Arc::new(Sender::new(&config.upstream, counts.clone())?);
            for _ in 0..SENDERS {
                senders.spawn(sender.clone().run(queue.clone()));
            }
        }
        Ok(Self { mode: config.events.mode, queue, counts, senders: tokio::sync::Mutex::new(senders) })
    }

    /// What became of events, ever.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many events wait to be forwarded.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// No more events come: sends those that wait, for so long at most.
    pub async fn finish(&self, limit: Duration) {
        self.queue.finish();
        let mut senders = self.senders.lock().await;
        let all_ended = async { while senders.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all_ended).await.is_err() {
            let left = self.queue.unsent();
            self.counts.lost.fetch_add(left as u64, Ordering::Relaxed);
            tracing::error!(
                "{left} events are lost: upstream did not take them before the relay had to stop"
            );
            senders.shutdown().await;
        }
    }

    fn forward(&self, payload: Payload) -> Result<(), ApiError> {
        match self.mode {
            EventMode::Discarded => Ok(()),
            EventMode::Refused => {
                let message = "this relay does not forward events; send them upstream";
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "events_not_forwarded", message))
            }
            EventMode::Forwarded => {
                let count = payload.count as u64;
                self.queue.push(payload).map_err(|full| {
                    let refused = self.counts.refused.fetch_add(count, Ordering::Relaxed) + count;
                    if full.is_news {
                        tracing::warn!(
                            "{} events of one environment wait to be forwarded, more are refused: {refused} so far",
                            full.waiting
                        );
                    }
                    let message = "events arrive faster than they can be forwarded; send them again";
                    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message)
                })
            }
        }
    }
}

impl Figures for Forwarder {
    fn write(&self, page: &mut Page) {
        let count = |counted: &AtomicU64| counted.load(Ordering::Relaxed);
        let help = "Events that upstream has taken.";
        page.counter("flagstaff_relay_events_forwarded_total", help, count(&self.counts.forwarded));
        let help = "Events that were refused because too many waited to be forwarded.";
        page.counter("flagstaff_relay_events_refused_total", help, count(&self.counts.refused));
        let help = "Events that were taken and are lost, because upstream did not take them.";
        page.counter("flagstaff_relay_events_lost_total", help, count(&self.counts.lost));
        page.gauge("flagstaff_relay_events_waiting", "Events that wait to be forwarded.", self.waiting());
    }
}

impl Events for Forwarder {
    fn take(&self, batch: Batch) -> Taken<'_> {
        let Batch { environment, audience, headers, body, count } = batch;
        let headers = forwarded(&headers);
        let payload = Payload { environment, audience, kind: Kind::Events, headers, body, count };
        Box::pin(std::future::ready(self.forward(payload)))
    }

    fn report(&self, report: Report) -> Taken<'_> {
        let Report { environment, audience, headers, body, .. } = report;
        let headers = forwarded(&headers);
        let payload = Payload { environment, audience, kind: Kind::Diagnostic, headers, body, count: 1 };
        Box::pin(std::future::ready(self.forward(payload)))
    }
}

fn forwarded(headers: &HeaderMap) -> HeaderMap {
    FORWARDED.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
}

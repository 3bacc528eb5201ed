//! What SDKs report, forwarded upstream: each payload as it came, by its own id, so that one that was sent twice
//! counts once there.
//!
//! | What happens | What is done |
//! |---|---|
//! | a payload comes | it is packed and kept: on disk if the relay has a data folder, else in memory; then 202 |
//! | it cannot be kept on disk | 503, so that its sender tries again |
//! | more wait of its environment than may | 503 as well; counted, and said once a minute |
//! | upstream is away, or says that it is (429, 502, 503, 504) | what the environment has waits; one payload tries until it is back, ever less often up to every 30 s |
//! | it says so of one payload again and again, and takes others | that one is lost |
//! | another answer that may pass (400, 408, 5xx) | sent once more after a second, then lost |
//! | upstream refuses it for good (401, 403, 404, …) | lost, and so is what follows by the same key, but for a try every 5 minutes |
//! | it is too large for upstream (413) | it alone is lost |
//! | the relay stops | what waits is sent, as long as there is time; what is on disk is sent after the next start |
//! | the relay is killed | what is on disk is sent after the next start; what was in memory alone is lost |
//!
//! A payload without an id is given one: it may be sent more than once, and is to count once.
//!
//! Events of old SDKs, which do not count their evaluations, are forwarded like all others, with the headers
//! that say so: upstream counts them, be it Flagstaff or LaunchDarkly, and one relay behind another hands them
//! on. Counting them here would take their payload ids away, and with these the certainty that they count once.

mod queue;
mod rarely;
mod send;
mod spool;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use flagstaff_service::error::ApiError;
use flagstaff_service::live_environment::{Audience, LiveEnvironment};
use flagstaff_service::metrics::{Figures, Page};
use flagstaff_service::serving::{Batch, Events, Report, Taken};
use flagstaff_service::store::EnvironmentId;
use flagstaff_wire::headers;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use self::queue::{Full, Queue};
use self::rarely::Rarely;
use self::send::Sender;
use self::spool::{Record, Spool};
use crate::config::{Config, EventMode};
use crate::relay::StartError;

/// Payloads that are sent at the same time.
const SENDERS: usize = 64;
/// Payloads up to this size are compressed on the spot; larger ones where they do not hold up others.
const SMALL: usize = 64 * 1024;
/// No environment has this name in the folder: `~` stands for nothing in theirs.
const FOLDER: &str = "~events";

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
    spool: Option<Arc<Spool>>,
    counts: Arc<Counts>,
    senders: tokio::sync::Mutex<JoinSet<()>>,
    no_room: Rarely,
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
    audience: Audience,
    kind: Kind,
    headers: HeaderMap,
    /// Compressed.
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
    /// Begins to forward, with what was kept on disk. On a runtime.
    ///
    /// # Errors
    /// If upstream cannot be reached as it is configured, or the system has no thread left.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let queue = Arc::new(Queue::new(config.events.capacity, config.upstream.time_factor));
        let counts = Arc::new(Counts::default());
        let (mut senders, mut spool) = (JoinSet::new(), None);
        if config.events.mode == EventMode::Forwarded {
            if let Some(folder) = config.data.as_ref().map(|folder| folder.join(FOLDER)) {
                spool = Some(Arc::new(resume(&folder, &queue).map_err(StartError::Events)?));
            }
            let sender = Arc::new(Sender::new(&config.upstream, counts.clone(), spool.clone())?);
            for _ in 0..SENDERS {
                senders.spawn(sender.clone().run(queue.clone()));
            }
        }
        let senders = tokio::sync::Mutex::new(senders);
        Ok(Self { mode: config.events.mode, queue, spool, counts, senders, no_room: Rarely::default() })
    }

    /// These environments are relayed from now on: by their names, each with the numbers by which its events come.
    pub(crate) fn serves(&self, all: Vec<(String, Arc<LiveEnvironment>, Vec<EnvironmentId>)>) {
        self.queue.serves(all);
    }

    /// There are no environments but those that are known: what waits of others is lost.
    pub(crate) fn knows_all(&self) {
        let lost = self.queue.of_nobody();
        let events: usize = lost.iter().map(|waiting| waiting.payload.count).sum();
        if events > 0 {
            self.counts.lost.fetch_add(events as u64, Ordering::Relaxed);
            tracing::error!(
                "{events} events that were kept are lost: their environments are not relayed any more"
            );
        }
        let settled = lost.iter().filter_map(|waiting| waiting.kept);
        self.spool.iter().for_each(|spool| settled.clone().for_each(|number| spool.settled(number)));
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
            senders.shutdown().await;
        }
        let left = self.waiting();
        if let Some(spool) = self.spool.clone() {
            if left > 0 {
                tracing::warn!(
                    "upstream did not take {left} events before the relay had to stop; they are sent after its next start"
                );
            }
            if let Err(error) = tokio::task::spawn_blocking(move || spool.close()).await {
                tracing::error!(%error, "the folder of events was not closed in order");
            }
        } else if left > 0 {
            self.counts.lost.fetch_add(left as u64, Ordering::Relaxed);
            tracing::error!(
                "{left} events are lost: upstream did not take them before the relay had to stop"
            );
        }
    }

    async fn forward(&self, environment: Arc<LiveEnvironment>, mut payload: Payload) -> Result<(), ApiError> {
        let unavailable =
            |code, message: &str| Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message));
        match self.mode {
            EventMode::Discarded => return Ok(()),
            EventMode::Refused => {
                let message = "this relay does not forward events; send them upstream";
                return unavailable("events_not_forwarded", message);
            }
            EventMode::Forwarded => {}
        }
        if payload.kind == Kind::Events && !payload.headers.contains_key(headers::PAYLOAD_ID) {
            let id = HeaderValue::try_from(Uuid::new_v4().to_string());
            let id = id.unwrap_or_else(|error| unreachable!("it has letters and digits: {error}"));
            payload.headers.insert(headers::PAYLOAD_ID, id);
        }
        payload.body = packed(payload.body).await;
        let Some(name) = self.queue.name_of(environment.id()) else {
            return unavailable("overloaded", "this environment has just changed; send the events again");
        };
        let room = match self.queue.room(name, &payload) {
            Ok(room) => room,
            Err(Full { waiting }) => {
                let count = payload.count as u64;
                self.counts.refused.fetch_add(count, Ordering::Relaxed);
                if let Some(refused) = self.no_room.count(count) {
                    tracing::warn!(
                        "{waiting} events of one environment wait to be forwarded, more are refused: {refused} of late"
                    );
                }
                let message = "events arrive faster than they can be forwarded; send them again";
                return unavailable("overloaded", message);
            }
        };
        let Some(spool) = &self.spool else {
            self.queue.push(room, payload, None);
            return Ok(());
        };
        let (tell, told) = oneshot::channel();
        let (queue, record) = (self.queue.clone(), Record::of(room.name(), &payload));
        // Not here: whoever sent it may be gone by then, and it is taken all the same.
        let then = Box::new(move |kept: io::Result<u64>| {
            let kept = kept.map(|number| queue.push(room, payload, Some(number)));
            // Nobody waits for the answer any more.
            let _ = tell.send(kept.map_err(|error| error.kind()));
        });
        spool.keep(record, then);
        match told.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(io::ErrorKind::StorageFull)) => {
                unavailable("storage_full", "this relay's disk is full; send the events again")
            }
            Ok(Err(_)) | Err(_) => {
                unavailable("storage_failed", "this relay could not keep the events; send them again")
            }
        }
    }
}

/// Opens the folder of payloads, and takes those in that were left there.
fn resume(folder: &Path, queue: &Arc<Queue>) -> io::Result<Spool> {
    let (spool, left) = Spool::open(folder)?;
    let mut events = 0;
    for (number, record) in left {
        let Some(payload) = record.payload() else {
            tracing::error!("a payload that another version kept in `{}` cannot be read", folder.display());
            number.into_iter().for_each(|number| spool.settled(number));
            continue;
        };
        events += payload.count;
        let room = queue.room_for_known(record.environment.into(), &payload);
        queue.push(room, payload, number);
    }
    if events > 0 {
        tracing::info!("{events} events that were kept before the start are forwarded now");
    }
    Ok(spool)
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
        let (headers, kind) = (forwarded(&headers), Kind::Events);
        Box::pin(self.forward(environment, Payload { audience, kind, headers, body, count }))
    }

    fn report(&self, report: Report) -> Taken<'_> {
        let Report { environment, audience, headers, body, .. } = report;
        let (headers, kind) = (forwarded(&headers), Kind::Diagnostic);
        Box::pin(self.forward(environment, Payload { audience, kind, headers, body, count: 1 }))
    }
}

fn forwarded(headers: &HeaderMap) -> HeaderMap {
    FORWARDED.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
}

async fn packed(body: Bytes) -> Bytes {
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

//! Streams for one context: all values, then each that may have changed. Or, for those who poll at each
//! change, only that there was one.
//!
//! A flag's value may change because of another flag, or of a segment. Which flags a change affects is
//! worked out once and shared; each stream evaluates those for its own context. Several changes at once
//! become one. A reader that falls behind is sent everything anew.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use flagstaff_eval::DataSet;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::evaluation;
use super::viewer::Viewer;
use crate::SharedServing;
use crate::auth::{BrowserEnvironment, Lasting, MobileEnvironment};
use crate::delivery::stream::until;
use crate::delivery::{Filtered, event_stream};
use crate::error::ApiError;
use crate::extract::Asked;
use crate::live_environment::{Change, LiveEnvironment, Subject};

/// `/eval/…`, `/meval/…`: values.
pub(super) async fn values(State(serving): State<SharedServing>, viewer: Viewer) -> Response {
    let (live, revoked) = (viewer.live.clone(), viewer.revoked.clone());
    open(serving, live, revoked, Contents::Values(Arc::new(viewer)))
}

/// `/ping/{environment}`: that there is a change.
pub(super) async fn pings_for_browsers(
    State(serving): State<SharedServing>,
    Lasting(BrowserEnvironment(live), revoked): Lasting<BrowserEnvironment>,
    Asked(query): Asked<Filtered>,
) -> Result<Response, ApiError> {
    query.check()?;
    Ok(open(serving, live, revoked, Contents::Pings))
}

/// `/mping`: the same.
pub(super) async fn pings_for_mobile_programs(
    State(serving): State<SharedServing>,
    Lasting(MobileEnvironment(live), revoked): Lasting<MobileEnvironment>,
    Asked(query): Asked<Filtered>,
) -> Result<Response, ApiError> {
    query.check()?;
    Ok(open(serving, live, revoked, Contents::Pings))
}

/// `GET /ofrep/v1/event-streams/{environment}`: the same, in OpenFeature's words. Nothing is said at first.
pub(super) async fn refetches(
    State(serving): State<SharedServing>,
    Lasting(BrowserEnvironment(live), revoked): Lasting<BrowserEnvironment>,
) -> Response {
    open(serving, live, revoked, Contents::Refetches)
}

/// What a stream consists of.
enum Contents {
    /// Values for somebody.
    Values(Arc<Viewer>),
    /// Announcements of changes, and one at first.
    Pings,
    /// The same for OpenFeature's providers, who have just asked and need none at first.
    Refetches,
}

fn open(
    serving: SharedServing,
    live: Arc<LiveEnvironment>,
    revoked: CancellationToken,
    contents: Contents,
) -> Response {
    let subscriber = Subscriber::new(serving, live.clone(), revoked, contents);
    event_stream::answer(&live, subscriber)
}

/// One connected program.
struct Subscriber {
    serving: SharedServing,
    live: Arc<LiveEnvironment>,
    contents: Contents,
    changes: Receiver<Change>,
    revoked: CancellationToken,
    step: Step,
    /// When something was last sent. Changes that are not for this stream do not keep it alive.
    sent: Instant,
}

enum Step {
    /// Everything is to be sent.
    Everything,
    /// Everything was, and changes are waited for.
    Live,
    Over,
}

impl Subscriber {
    fn new(
        serving: SharedServing,
        live: Arc<LiveEnvironment>,
        revoked: CancellationToken,
        contents: Contents,
    ) -> Self {
        // Before anything is evaluated: what changes after this is heard of.
        let changes = live.changes();
        serving.metrics.client_stream_opened();
        Self { serving, live, contents, changes, revoked, step: Step::Everything, sent: Instant::now() }
    }

    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            match self.step {
                Step::Everything => {
                    self.step = Step::Live;
                    let everything = self.everything().await;
                    return self.unless_failed(everything);
                }
                Step::Live => {
                    if let Some(chunk) = self.next_change().await {
                        return Some(chunk);
                    }
                }
                Step::Over => return None,
            }
        }
    }

    /// Waits for a change that concerns this stream, a heartbeat, or the end. None means: look at the step
    /// again.
    async fn next_change(&mut self) -> Option<Bytes> {
        let quiet_until = self.serving.config.heartbeat_interval.map(|interval| self.sent + interval);
        let received = tokio::select! {
            biased;
            () = self.serving.stopping.cancelled() => {
                self.step = Step::Over;
                return Some(Bytes::from_static(b"retry: 1000\n\n"));
            }
            () = self.revoked.cancelled() => {
                self.step = Step::Over;
                return None;
            }
            received = self.changes.recv() => received,
            () = until(quiet_until) => return Some(Bytes::from_static(b":\n\n")),
        };
        let mut subjects = match received {
            Ok(change) => vec![change.subject],
            Err(RecvError::Lagged(_)) => return self.start_over(),
            Err(RecvError::Closed) => {
                self.step = Step::Over;
                return None;
            }
        };
        loop {
            match self.changes.try_recv() {
                Ok(change) => subjects.push(change.subject),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(_)) => return self.start_over(),
            }
        }
        let changed = self.changed(subjects).await;
        self.unless_failed(changed).flatten()
    }

    /// Says so in the log, and ends the stream.
    fn unless_failed<T>(&mut self, made: Result<T, ApiError>) -> Option<T> {
        made.map_err(|error| {
            error.report();
            self.step = Step::Over;
        })
        .ok()
    }

    /// Changes were missed: everything is sent anew.
    fn start_over(&mut self) -> Option<Bytes> {
        self.changes = self.changes.resubscribe();
        if let Contents::Refetches = self.contents {
            let mut out = Vec::new();
            write_refetch(&mut out, self.live.sequence());
            return Some(out.into());
        }
        self.step = Step::Everything;
        None
    }

    async fn everything(&self) -> Result<Bytes, ApiError> {
        let mut out = Vec::new();
        match &self.contents {
            Contents::Values(viewer) => {
                let ((version, data), viewer) = (self.live.evaluable(), viewer.clone());
                self.serving.metrics.evaluated_for_client();
                let work = move || {
                    write(&mut out, "put", &viewer.see(&data).evaluations(version));
                    out.into()
                };
                return evaluation::of_flags(self.live.flag_count(), work).await;
            }
            Contents::Pings => write_ping(&mut out),
            // So that the other side knows that it is connected.
            Contents::Refetches => out.extend_from_slice(b":\n\n"),
        }
        Ok(out.into())
    }

    /// What these changes mean here; none if nothing.
    async fn changed(&self, subjects: Vec<Arc<Subject>>) -> Result<Option<Bytes>, ApiError> {
        let mut out = Vec::new();
        match &self.contents {
            Contents::Values(viewer) => {
                let ((version, data), viewer) = (self.live.evaluable(), viewer.clone());
                let count = subjects.iter().map(|subject| subject.affected(&data).len()).sum();
                let work = move || values_after(&viewer, &subjects, version, &data);
                out = evaluation::of_flags(count, work).await?;
            }
            Contents::Pings => write_ping(&mut out),
            Contents::Refetches => write_refetch(&mut out, self.live.sequence()),
        }
        if out.is_empty() {
            return Ok(None);
        }
        self.serving.metrics.change_sent();
        Ok(Some(out.into()))
    }
}

/// The values that these changes affect, as events.
fn values_after(viewer: &Viewer, subjects: &[Arc<Subject>], version: u64, data: &DataSet) -> Vec<u8> {
    let mut out = Vec::new();
    let affected: HashSet<&str> =
        subjects.iter().flat_map(|subject| subject.affected(data)).map(|key| &**key).collect();
    let all = viewer.see_of(data, affected);
    for flag in all.flags() {
        write(&mut out, "patch", &all.change(flag, version));
    }
    // What was to be seen before and is not any more. Others are not even named.
    let gone: HashSet<&Arc<str>> = subjects
        .iter()
        .filter_map(|subject| subject.flag_seen_before(viewer.audience))
        .filter(|key| data.flag(key).is_none_or(|flag| !viewer.audience.sees(flag)))
        .collect();
    for key in gone {
        write(&mut out, "delete", &json!({"key": key, "version": version}));
    }
    out
}

impl event_stream::Subscriber for Subscriber {
    async fn next(&mut self) -> Option<Bytes> {
        let chunk = self.next_chunk().await;
        self.sent = Instant::now();
        chunk
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.serving.metrics.client_stream_closed();
    }
}

fn write(out: &mut Vec<u8>, event: &str, data: &impl Serialize) {
    out.extend_from_slice(format!("event: {event}\ndata: ").as_bytes());
    serde_json::to_writer(&mut *out, data).unwrap_or_else(|error| unreachable!("values are JSON: {error}"));
    out.extend_from_slice(b"\n\n");
}

fn write_refetch(out: &mut Vec<u8>, version: u64) {
    out.extend_from_slice(format!("id: {version}\n").as_bytes());
    write(out, "message", &json!({"type": "refetchEvaluation", "etag": version.to_string()}));
}

fn write_ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ping\ndata: {}\n\n");
}

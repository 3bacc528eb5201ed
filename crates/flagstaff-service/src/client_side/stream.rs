//! Streams for one context: all values, then each that may have changed. Or, for those who poll at each
//! change, only that there was one.
//!
//! A flag's value may change because of another flag, or of a segment. Which flags a change affects is
//! worked out once and shared; each stream evaluates those for its own context. Several changes at once
//! become one. A reader that falls behind is sent everything anew, and so is one whose context joins or leaves
//! a big segment: no version rises then, and programs take single values only at a higher one.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use flagstaff_wire::big_segments::ContextHash;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::evaluation;
use super::transfer::{Basis, Payload};
use super::viewer::Viewer;
use crate::SharedServing;
use crate::auth::{BrowserEnvironment, Lasting, MobileEnvironment};
use crate::delivery::stay::{End, Stay};
use crate::delivery::stream::until;
use crate::delivery::turn::Turn;
use crate::delivery::{behind, event_stream};
use crate::error::ApiError;
use crate::extract::Asked;
use crate::live_environment::{Audience, Heard, KnownMembers, LiveEnvironment, MembersChanged, Moment, News};
use crate::metrics::StreamKind;
use crate::peer::Peer;

/// `/eval/…`, `/meval/…`: values.
pub(super) async fn values(
    State(serving): State<SharedServing>,
    peer: Peer,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    let (live, revoked) = (viewer.live.clone(), viewer.revoked.clone());
    let stay = Stay::begin(&serving, &live, (StreamKind::Values, viewer.audience), revoked, peer)?;
    Ok(open(serving, live, stay, Contents::Values(Arc::new(viewer))))
}

/// `/sdk/stream/eval…`: values by second-generation delivery.
pub(super) async fn transfers(
    State(serving): State<SharedServing>,
    peer: Peer,
    Asked(basis): Asked<Basis>,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    let (live, revoked) = (viewer.live.clone(), viewer.revoked.clone());
    let held = basis.held();
    behind::catch_up_with(&serving, &live, behind::of_values(&live, held.as_deref())).await?;
    let stay = Stay::begin(&serving, &live, (StreamKind::Values, viewer.audience), revoked, peer)?;
    let contents = Contents::Transfers { viewer: Arc::new(viewer), held };
    Ok(open(serving, live, stay, contents))
}

/// `/ping/{environment}`: that there is a change.
pub(super) async fn pings_for_browsers(
    State(serving): State<SharedServing>,
    Lasting(BrowserEnvironment(live), revoked): Lasting<BrowserEnvironment>,
    peer: Peer,
) -> Result<Response, ApiError> {
    let stay = Stay::begin(&serving, &live, (StreamKind::Pings, Audience::Browser), revoked, peer)?;
    Ok(open(serving, live, stay, Contents::Pings))
}

/// `/mping`: the same.
pub(super) async fn pings_for_mobile_programs(
    State(serving): State<SharedServing>,
    Lasting(MobileEnvironment(live), revoked): Lasting<MobileEnvironment>,
    peer: Peer,
) -> Result<Response, ApiError> {
    let stay = Stay::begin(&serving, &live, (StreamKind::Pings, Audience::Mobile), revoked, peer)?;
    Ok(open(serving, live, stay, Contents::Pings))
}

/// `GET /ofrep/v1/event-streams/{environment}`: the same, in OpenFeature's words. Who has heard of the last change says
/// so, and is told nothing at first.
pub(super) async fn refetches(
    State(serving): State<SharedServing>,
    Lasting(BrowserEnvironment(live), revoked): Lasting<BrowserEnvironment>,
    peer: Peer,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let stay = Stay::begin(&serving, &live, (StreamKind::Pings, Audience::Browser), revoked, peer)?;
    let heard = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    Ok(open(serving, live, stay, Contents::Refetches { heard }))
}

/// By which a page's stream says what it heard last, when it comes again.
const LAST_EVENT_ID: &str = "last-event-id";

/// What a stream consists of.
enum Contents {
    /// Values for somebody.
    Values(Arc<Viewer>),
    /// The same by second-generation delivery, and what is held until everything was sent.
    Transfers { viewer: Arc<Viewer>, held: Option<String> },
    /// Announcements of changes, and one at first.
    Pings,
    /// The same for OpenFeature's providers, and of which change they heard last.
    Refetches { heard: Option<String> },
}

fn open(serving: SharedServing, live: Arc<LiveEnvironment>, stay: Stay, contents: Contents) -> Response {
    let subscriber = Subscriber::new(serving, live.clone(), stay, contents);
    event_stream::answer(&live, subscriber)
}

/// One connected program.
struct Subscriber {
    serving: SharedServing,
    live: Arc<LiveEnvironment>,
    contents: Contents,
    news: Receiver<News>,
    members_changes: Receiver<MembersChanged>,
    /// What the context is known by in big segments; none where everybody is told of every change.
    hashes: Option<Vec<ContextHash>>,
    stay: Stay,
    step: Step,
    /// While everything is written.
    turn: Option<Turn>,
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
    fn new(serving: SharedServing, live: Arc<LiveEnvironment>, stay: Stay, contents: Contents) -> Self {
        // Before anything is evaluated: what changes after this is heard of.
        let (news, members_changes) = (live.news(), live.members_changes());
        let hashes = match &contents {
            Contents::Values(viewer) | Contents::Transfers { viewer, .. } => Some(viewer.hashes()),
            Contents::Pings | Contents::Refetches { .. } => None,
        };
        // Where there is nothing yet, the first news is that there is.
        let step = if live.is_initialized() { Step::Everything } else { Step::Live };
        let (turn, sent) = (None, Instant::now());
        Self { serving, live, contents, news, members_changes, hashes, stay, step, turn, sent }
    }

    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            match self.step {
                Step::Everything => {
                    if let Contents::Values(_) | Contents::Transfers { .. } = self.contents {
                        match Turn::take(&self.serving, &self.stay).await {
                            Ok(taken) => self.turn = Some(taken.turn),
                            Err(end) => return self.farewell(end),
                        }
                    }
                    self.step = Step::Live;
                    let everything = self.everything().await;
                    return self.unless_failed(everything);
                }
                Step::Live => {
                    self.turn = None;
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
            end = self.stay.over() => return self.farewell(end),
            received = self.news.recv() => received,
            () = members_change(&mut self.members_changes, self.hashes.as_deref()) => {
                return self.start_over();
            }
            () = until(quiet_until) => return Some(Bytes::from_static(b":\n\n")),
        };
        let change = match received {
            Ok(News::Change(change)) => change,
            Ok(News::Everything) | Err(RecvError::Lagged(_)) => return self.start_over(),
            Err(RecvError::Closed) => {
                self.step = Step::Over;
                return None;
            }
        };
        let heard = self.live.hear_out(&mut self.news).map_err(ApiError::from);
        let Some(mut heard) = self.unless_failed(heard)? else { return self.start_over() };
        heard.subjects.push(change.subject);
        let changed = self.changed(heard).await;
        let changed = self.unless_failed(changed).flatten()?;
        self.serving.metrics.change_sent(change.taken_over.elapsed());
        Some(changed)
    }

    fn farewell(&mut self, end: End) -> Option<Bytes> {
        self.step = Step::Over;
        self.stay.farewell(end)
    }

    /// Says so in the log, and ends the stream.
    fn unless_failed<T>(&mut self, made: Result<T, ApiError>) -> Option<T> {
        made.map_err(|error| {
            error.report();
            self.step = Step::Over;
        })
        .ok()
    }

    /// Everything is sent anew: changes were missed, or do not count.
    fn start_over(&mut self) -> Option<Bytes> {
        self.news = self.news.resubscribe();
        self.step = Step::Everything;
        None
    }

    async fn everything(&mut self) -> Result<Bytes, ApiError> {
        let mut out = Vec::new();
        match &mut self.contents {
            Contents::Values(viewer) => {
                let ((moment, data), viewer) = (self.live.evaluable()?, viewer.clone());
                let members = viewer.members(moment, &data).await;
                self.serving.metrics.evaluated_for_client();
                let work = move || {
                    out.extend_from_slice(b"event: put\ndata: ");
                    viewer.see(&data, &members).write_evaluations(moment.sequence, &mut out);
                    out.extend_from_slice(b"\n\n");
                    out.into()
                };
                return evaluation::of_flags(self.live.flag_count(), work).await;
            }
            Contents::Transfers { viewer, held } => {
                let (moment, data) = self.live.evaluable()?;
                let (viewer, held) = (viewer.clone(), held.take());
                let members = viewer.members(moment, &data).await;
                self.serving.metrics.evaluated_for_client();
                let payload = Payload::of(&viewer, &members, moment);
                let work = move || payload.stream(held.as_deref(), &viewer, &data, &members).into();
                return evaluation::of_flags(self.live.flag_count(), work).await;
            }
            Contents::Pings => write_ping(&mut out),
            Contents::Refetches { heard } => {
                let (moment, _) = self.live.evaluable()?;
                if heard.take().is_some_and(|heard| heard == event_id(&self.live, moment)) {
                    // So that the other side knows that it is connected.
                    out.extend_from_slice(b":\n\n");
                } else {
                    write_refetch(&mut out, &self.live, moment);
                }
            }
        }
        Ok(out.into())
    }

    /// What these changes mean here; none if nothing.
    async fn changed(&self, heard: Heard) -> Result<Option<Bytes>, ApiError> {
        let mut out = Vec::new();
        match &self.contents {
            Contents::Values(viewer) | Contents::Transfers { viewer, .. } => {
                let viewer = viewer.clone();
                let members = viewer.members(heard.moment, &heard.data).await;
                let payload = matches!(self.contents, Contents::Transfers { .. })
                    .then(|| Payload::of(&viewer, &members, heard.moment));
                let count = heard.subjects.iter().map(|subject| subject.affected(&heard.data).len()).sum();
                let work = move || values_after(&viewer, &heard, &members, payload.as_ref());
                out = evaluation::of_flags(count, work).await?;
            }
            Contents::Pings => write_ping(&mut out),
            Contents::Refetches { .. } => write_refetch(&mut out, &self.live, heard.moment),
        }
        if out.is_empty() {
            return Ok(None);
        }
        Ok(Some(out.into()))
    }
}

/// Waits until one of these contexts joins or leaves a big segment, or any does.
async fn members_change(changes: &mut Receiver<MembersChanged>, hashes: Option<&[ContextHash]>) {
    loop {
        match changes.recv().await {
            Ok(changed) if hashes.is_some_and(|hashes| !changed.concerns(hashes)) => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            // The environment is gone, and its streams are sent away.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The values that these changes affect, as events; those of a payload in its words.
fn values_after(
    viewer: &Viewer,
    heard: &Heard,
    members: &KnownMembers,
    payload: Option<&Payload>,
) -> Vec<u8> {
    let Heard { subjects, moment, data } = heard;
    let version = moment.sequence;
    let affected: HashSet<&str> =
        subjects.iter().flat_map(|subject| subject.affected(data)).map(|key| &**key).collect();
    let all = viewer.see_of(data, members, affected);
    // What was to be seen before and is not any more. Others are not even named.
    let gone: HashSet<&Arc<str>> = subjects
        .iter()
        .flat_map(|subject| subject.flags_seen_before(viewer.audience))
        .filter(|key| data.flag(key).is_none_or(|flag| !viewer.audience.sees(flag)))
        .collect();
    if let Some(payload) = payload {
        return payload.change(&all, gone.into_iter().map(|key| &**key));
    }
    let mut out = Vec::new();
    for flag in all.flags() {
        write(&mut out, "patch", &all.change(flag, version));
    }
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

fn write(out: &mut Vec<u8>, event: &str, data: &impl Serialize) {
    out.extend_from_slice(format!("event: {event}\ndata: ").as_bytes());
    serde_json::to_writer(&mut *out, data).unwrap_or_else(|error| unreachable!("values are JSON: {error}"));
    out.extend_from_slice(b"\n\n");
}

fn write_refetch(out: &mut Vec<u8>, live: &LiveEnvironment, moment: Moment) {
    out.extend_from_slice(format!("id: {}\n", event_id(live, moment)).as_bytes());
    write(out, "message", &json!({"type": "refetchEvaluation", "etag": moment.to_string()}));
}

/// By which another node knows, too, of which change somebody has heard.
fn event_id(live: &LiveEnvironment, moment: Moment) -> String {
    format!("{}-{moment}", live.lineage())
}

fn write_ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ping\ndata: {}\n\n");
}

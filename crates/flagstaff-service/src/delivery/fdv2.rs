//! Second-generation delivery: transfers that can be resumed, by stream and by poll.
//!
//! A client says by `basis` what it holds, and gets what is missing: nothing, some changes, or everything. So does a
//! reader of a stream that falls behind.
//! Source: the protocol's *FDv2*.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use flagstaff_wire::fdv2::{Event, Goodbye, write_event};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::poll::{WORTH_COMPRESSING, json, json_compressed, matches, takes_gzip, unchanged};
use super::stay::{End, Stay};
use super::stream::until;
use super::turn::Turn;
use super::{behind, event_stream};
use crate::SharedServing;
use crate::auth::{Lasting, SdkEnvironment};
use crate::client_side::evaluation;
use crate::error::ApiError;
use crate::extract::Asked;
use crate::live_environment::{Audience, Held, LiveEnvironment, News, Transfer};
use crate::metrics::StreamKind;
use crate::peer::Peer;

#[derive(Debug, Deserialize)]
pub(super) struct Basis {
    basis: Option<String>,
}

impl Basis {
    fn held(&self) -> Option<&str> {
        self.basis.as_deref().filter(|basis| !basis.is_empty())
    }
}

/// `GET /sdk/poll`
pub(super) async fn poll(
    State(serving): State<SharedServing>,
    SdkEnvironment(live): SdkEnvironment,
    Asked(basis): Asked<Basis>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let held = live.held(basis.held());
    behind::catch_up_with(&serving, &live, behind::of_transfer(held)).await?;
    behind::catch_up_with(&serving, &live, behind::of_poll(&live, &headers)).await?;
    let transfer = live.transfer(held)?;
    let tag = format!("{}-2", transfer.tag());
    if matches(&headers, &tag) {
        return Ok(unchanged(&live, &tag));
    }
    let body = match transfer.poll_if_written() {
        Some(body) => body,
        None => evaluation::of_flags(live.flag_count(), move || transfer.poll()).await?,
    };
    if body.plain().len() < WORTH_COMPRESSING || !takes_gzip(&headers) {
        return Ok(json(&live, &tag, body.plain()));
    }
    let compressed = match body.gzip_if_done() {
        Some(done) => done,
        None => tokio::task::spawn_blocking(move || body.gzip()).await.map_err(ApiError::internal)?,
    };
    Ok(json_compressed(&live, &tag, compressed))
}

/// `GET /sdk/stream`
pub(super) async fn stream(
    State(serving): State<SharedServing>,
    Lasting(SdkEnvironment(live), revoked): Lasting<SdkEnvironment>,
    peer: Peer,
    Asked(basis): Asked<Basis>,
) -> Result<Response, ApiError> {
    let held = live.held(basis.held());
    behind::catch_up_with(&serving, &live, behind::of_transfer(held)).await?;
    let stay = Stay::begin(&serving, &live, (StreamKind::Transfers, Audience::Server), revoked, peer)?;
    let subscriber = Subscriber::new(serving, live.clone(), stay, held);
    Ok(event_stream::answer(&live, subscriber))
}

/// One connected SDK.
struct Subscriber {
    serving: SharedServing,
    live: Arc<LiveEnvironment>,
    news: Receiver<News>,
    stay: Stay,
    /// What it holds once it has read what was sent.
    held: Held,
    step: Step,
    /// While what was missing is written.
    turn: Option<Turn>,
}

enum Step {
    /// What is missing is to be sent.
    Behind,
    /// It was, and changes are waited for.
    Live,
    Over,
}

impl Subscriber {
    fn new(serving: SharedServing, live: Arc<LiveEnvironment>, stay: Stay, held: Held) -> Self {
        let news = live.news();
        Self { serving, live, news, stay, held, step: Step::Behind, turn: None }
    }

    /// Sends what is missing: at first, and when changes were missed or do not count. None means: look at the step
    /// again.
    async fn catch_up(&mut self) -> Option<Bytes> {
        match Turn::take(&self.serving, &self.stay).await {
            Ok(taken) => self.turn = Some(taken.turn),
            Err(end) => return self.farewell(end),
        }
        self.step = Step::Live;
        let (transfer, news) = self.live.subscribe_after_transfer(self.held);
        self.news = news;
        // Held open until there is something.
        let transfer = transfer?;
        self.held = Held::At(transfer.moment());
        let begun = begin(&self.live, transfer).await;
        begun
            .map_err(|error| {
                error.report();
                self.step = Step::Over;
            })
            .ok()
    }

    /// Waits for a change, a heartbeat, or the end. None means: look at the step again.
    async fn next_change(&mut self) -> Option<Bytes> {
        self.turn = None;
        let quiet_until = self.serving.config.heartbeat_interval.map(|interval| Instant::now() + interval);
        let received = tokio::select! {
            biased;
            end = self.stay.over() => return self.farewell(end),
            received = self.news.recv() => received,
            () = until(quiet_until) => return Some(heart_beat()),
        };
        match received {
            Ok(News::Change(change)) => {
                self.held = Held::At(change.moment);
                self.serving.metrics.change_sent(change.taken_over.elapsed());
                return Some(change.transferred);
            }
            Ok(News::Everything) | Err(RecvError::Lagged(_)) => self.step = Step::Behind,
            Err(RecvError::Closed) => self.step = Step::Over,
        }
        None
    }

    /// When to come back, and goodbye.
    fn farewell(&mut self, end: End) -> Option<Bytes> {
        self.step = Step::Over;
        let hint = self.stay.farewell(end)?;
        let reason = match end {
            End::LongEnough => "streams do not last for ever; come again",
            End::Stopping | End::Revoked => "the service is stopping",
        };
        let goodbye = Goodbye { reason: reason.to_owned(), ..Goodbye::default() };
        Some([hint, event(&Event::Goodbye(&goodbye))].concat().into())
    }
}

impl event_stream::Subscriber for Subscriber {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let chunk = match self.step {
                Step::Behind => self.catch_up().await,
                Step::Live => self.next_change().await,
                Step::Over => return None,
            };
            if chunk.is_some() {
                return chunk;
            }
        }
    }
}

/// As a stream begins: written once for all, off the threads that serve everybody where it is much.
async fn begin(live: &LiveEnvironment, transfer: Transfer) -> Result<Bytes, ApiError> {
    match transfer.stream_if_written() {
        Some(written) => Ok(written),
        None => evaluation::of_flags(live.flag_count(), move || transfer.stream()).await,
    }
}

fn heart_beat() -> Bytes {
    event(&Event::HeartBeat)
}

fn event(event: &Event<'_, RawValue>) -> Bytes {
    let mut out = Vec::new();
    write_event(&mut out, event).unwrap_or_else(|error| unreachable!("it has JSON: {error}"));
    out.into()
}

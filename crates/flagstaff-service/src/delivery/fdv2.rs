//! Second-generation delivery: transfers that can be resumed, by stream and by poll.
//!
//! A client says by `basis` what it holds, and gets what is missing: nothing, some changes, or everything.
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

use super::event_stream;
use super::poll::{WORTH_COMPRESSING, json, json_compressed, matches, takes_gzip, unchanged};
use super::stay::{End, Stay};
use super::stream::until;
use crate::SharedServing;
use crate::auth::{Lasting, SdkEnvironment};
use crate::client_side::evaluation;
use crate::error::ApiError;
use crate::extract::Asked;
use crate::live_environment::{Audience, LiveEnvironment, MOST_BEHIND, News, Transfer};
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
    SdkEnvironment(live): SdkEnvironment,
    Asked(basis): Asked<Basis>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tag = format!("{}-2", live.image()?.tag());
    if matches(&headers, &tag) {
        return Ok(unchanged(&live, &tag));
    }
    let transfer = live.transfer(basis.held())?;
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
    let stay = Stay::begin(&serving, &live, (StreamKind::Transfers, Audience::Server), revoked, peer)?;
    let subscriber = Subscriber::new(serving, live.clone(), stay, &basis).await?;
    Ok(event_stream::answer(&live, subscriber))
}

/// One connected SDK.
struct Subscriber {
    serving: SharedServing,
    live: Arc<LiveEnvironment>,
    news: Receiver<News>,
    stay: Stay,
    /// What is sent first, if there is something yet.
    first: Option<Bytes>,
    is_over: bool,
}

impl Subscriber {
    async fn new(
        serving: SharedServing,
        live: Arc<LiveEnvironment>,
        stay: Stay,
        basis: &Basis,
    ) -> Result<Self, ApiError> {
        let (transfer, news) = live.subscribe_after_transfer(basis.held());
        let first = match transfer {
            Some(transfer) => Some(begin(&live, transfer).await?),
            None => None,
        };
        Ok(Self { serving, live, news, stay, first, is_over: false })
    }

    /// When to come back, and goodbye.
    fn farewell(&mut self, end: End) -> Option<Bytes> {
        let hint = self.stay.farewell(end)?;
        let reason = match end {
            End::LongEnough => "streams do not last for ever; come again",
            End::Stopping | End::Revoked => "the service is stopping",
        };
        Some([hint, self.goodbye(reason)].concat().into())
    }

    fn goodbye(&mut self, reason: &str) -> Bytes {
        self.is_over = true;
        let goodbye = Goodbye { reason: reason.to_owned(), ..Goodbye::default() };
        event(&Event::Goodbye(&goodbye))
    }
}

impl event_stream::Subscriber for Subscriber {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.is_over {
            return None;
        }
        let quiet_until = self.serving.config.heartbeat_interval.map(|interval| Instant::now() + interval);
        let received = tokio::select! {
            biased;
            end = self.stay.over() => return self.farewell(end),
            received = self.news.recv() => received,
            () = until(quiet_until) => return Some(heart_beat()),
        };
        match received {
            Ok(News::Change(change)) => {
                self.serving.metrics.change_sent(change.taken_over.elapsed());
                Some(change.transferred)
            }
            Ok(News::Everything) => {
                // Whatever it held before does not count.
                let (transfer, news) = self.live.subscribe_after_transfer(None);
                self.news = news;
                let Some(transfer) = transfer else { return Some(heart_beat()) };
                begin(&self.live, transfer).await.map_err(|error| error.report()).ok()
            }
            Err(RecvError::Lagged(_)) => {
                // It comes again, and is told what it missed.
                tracing::info!("a stream is cut: its reader fell more than {MOST_BEHIND} changes behind");
                self.serving.metrics.stream_cut();
                Some(self.goodbye("too far behind"))
            }
            Err(RecvError::Closed) => None,
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

//! Streams: a put of everything, then each change.
//!
//! Source: the wire protocol, streaming. A subscriber gets the data set and every change after it;
//! both are shared, so that a connection costs only its place in line. A reader that takes no byte
//! for a while is cut by the connection itself (see `listen`); one that falls more than
//! [`MOST_BEHIND`] changes behind is cut here, never allowed to skip one. While its first put is
//! being written it may fall behind: then it gets a new put instead.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::event_stream;
use super::stay::{End, Stay};
use super::turn::{Taken, Turn};
use crate::SharedServing;
use crate::auth::{Lasting, SdkEnvironment};
use crate::error::ApiError;
use crate::live_environment::{Audience, Image, LiveEnvironment, MOST_BEHIND, News};
use crate::metrics::StreamKind;
use crate::peer::Peer;

/// `GET /all`: flags and segments.
pub(super) async fn all(
    State(serving): State<SharedServing>,
    Lasting(SdkEnvironment(live), revoked): Lasting<SdkEnvironment>,
    peer: Peer,
) -> Result<Response, ApiError> {
    let stay = Stay::begin(&serving, &live, (StreamKind::Flags, Audience::Server), revoked, peer)?;
    Ok(open(serving, live, stay, Contents::All))
}

/// `GET /flags`: flags alone, for SDKs of the time before segments.
pub(super) async fn flags(
    State(serving): State<SharedServing>,
    Lasting(SdkEnvironment(live), revoked): Lasting<SdkEnvironment>,
    peer: Peer,
) -> Result<Response, ApiError> {
    let stay = Stay::begin(&serving, &live, (StreamKind::Flags, Audience::Server), revoked, peer)?;
    Ok(open(serving, live, stay, Contents::Flags))
}

#[derive(Clone, Copy, Debug)]
enum Contents {
    All,
    Flags,
}

fn open(serving: SharedServing, live: Arc<LiveEnvironment>, stay: Stay, contents: Contents) -> Response {
    let subscriber = Subscriber::new(serving, live.clone(), stay, contents);
    event_stream::answer(&live, subscriber)
}

/// One connected SDK.
struct Subscriber {
    serving: SharedServing,
    live: Arc<LiveEnvironment>,
    contents: Contents,
    /// None while there is nothing to be sent yet.
    image: Option<Arc<Image>>,
    news: Receiver<News>,
    stay: Stay,
    step: Step,
    /// While the put is written.
    turn: Option<Turn>,
}

enum Step {
    /// Before the put.
    Head,
    /// The put's data.
    Data,
    /// The put's end.
    Tail,
    /// Just after a put: falling behind meanwhile is no fault of the reader's.
    Fresh,
    /// Keeping up.
    Live,
    /// Nothing more.
    Over,
}

impl Subscriber {
    fn new(serving: SharedServing, live: Arc<LiveEnvironment>, stay: Stay, contents: Contents) -> Self {
        let (image, news) = live.subscribe();
        Self { serving, live, contents, image, news, stay, step: Step::Head, turn: None }
    }

    /// Waits for a change that concerns this stream, a heartbeat, or the end. None means: look at the
    /// step again.
    async fn next_change(&mut self) -> Option<Bytes> {
        let quiet_until = self.serving.config.heartbeat_interval.map(|interval| Instant::now() + interval);
        loop {
            let received = tokio::select! {
                biased;
                end = self.stay.over() => return self.farewell(end),
                received = self.news.recv() => received,
                () = until(quiet_until) => return Some(Bytes::from_static(b":\n\n")),
            };
            match received {
                Ok(News::Change(change)) => {
                    self.step = Step::Live;
                    let chunk = match self.contents {
                        Contents::All => Some(change.all),
                        Contents::Flags => change.flags,
                    };
                    if chunk.is_some() {
                        self.serving.metrics.change_sent(change.taken_over.elapsed());
                        return chunk;
                    }
                }
                Ok(News::Everything) => return self.start_over(),
                Err(RecvError::Lagged(_)) if matches!(self.step, Step::Fresh) => return self.start_over(),
                Err(RecvError::Lagged(_)) => {
                    tracing::info!("a stream is cut: its reader fell more than {MOST_BEHIND} changes behind");
                    self.serving.metrics.stream_cut();
                    self.step = Step::Over;
                    return None;
                }
                Err(RecvError::Closed) => {
                    self.step = Step::Over;
                    return None;
                }
            }
        }
    }

    /// Everything is sent anew.
    fn start_over(&mut self) -> Option<Bytes> {
        (self.image, self.news) = self.live.subscribe();
        self.step = Step::Head;
        None
    }

    fn farewell(&mut self, end: End) -> Option<Bytes> {
        self.step = Step::Over;
        self.stay.farewell(end)
    }
}

impl event_stream::Subscriber for Subscriber {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match (&self.step, &self.image) {
                // Held open until there is something.
                (Step::Head | Step::Data, None) => {
                    if let Some(chunk) = self.next_change().await {
                        return Some(chunk);
                    }
                }
                (Step::Head, Some(_)) => {
                    let Taken { turn, waited } = match Turn::take(&self.serving, &self.stay).await {
                        Ok(taken) => taken,
                        Err(end) => return self.farewell(end),
                    };
                    if waited {
                        // Those who wait should not keep what is old by then.
                        (self.image, self.news) = self.live.subscribe();
                    }
                    self.turn = Some(turn);
                    self.step = Step::Data;
                    return Some(Bytes::from_static(match self.contents {
                        Contents::All => b"event: put\ndata: {\"path\":\"/\",\"data\":",
                        Contents::Flags => b"event: put\ndata: ",
                    }));
                }
                (Step::Data, Some(image)) => {
                    let data = match self.contents {
                        Contents::All => image.all().plain(),
                        Contents::Flags => image.all_flags().plain(),
                    };
                    self.step = Step::Tail;
                    return Some(data);
                }
                (Step::Tail, _) => {
                    self.step = Step::Fresh;
                    return Some(Bytes::from_static(match self.contents {
                        Contents::All => b"}\n\n",
                        Contents::Flags => b"\n\n",
                    }));
                }
                (Step::Fresh | Step::Live, _) => {
                    self.turn = None;
                    if let Some(chunk) = self.next_change().await {
                        return Some(chunk);
                    }
                }
                (Step::Over, _) => return None,
            }
        }
    }
}

/// Comes to pass then, or never.
pub(crate) async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

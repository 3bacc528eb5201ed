//! How long a stream stays: until it is let go for one of several reasons, and its place is given back.

use std::net::IpAddr;

use axum::body::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::stream::until;
use crate::SharedServing;
use crate::error::ApiError;
use crate::live_environment::{Audience, LiveEnvironment};
use crate::metrics::StreamKind;
use crate::occupancy::StreamPlace;
use crate::peer::Peer;

/// A stream's stay.
pub(crate) struct Stay {
    serving: SharedServing,
    kind: StreamKind,
    revoked: CancellationToken,
    ends: Option<Instant>,
    _place: StreamPlace,
}

/// Why a stream is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The service stops.
    Stopping,
    /// What it came with does not count any more.
    Revoked,
    /// It has been there for as long as streams may be.
    LongEnough,
}

impl Stay {
    /// Begins a stay of somebody who came with what may be `revoked`.
    ///
    /// # Errors
    /// 429 if there are as many of them as there may be.
    pub(crate) fn begin(
        serving: &SharedServing,
        live: &LiveEnvironment,
        (kind, audience): (StreamKind, Audience),
        revoked: CancellationToken,
        peer: Peer,
    ) -> Result<Self, ApiError> {
        let place = serving.occupancy.open_stream(live.id(), audience, behind_proxy(peer));
        Self::at(place, serving, kind, revoked)
    }

    /// The same for a relay that is told what to serve: it is of no one environment.
    pub(crate) fn begin_with_relay(serving: &SharedServing, peer: Peer) -> Result<Self, ApiError> {
        let place = serving.occupancy.open_relay_stream(behind_proxy(peer));
        // Whether its key still counts is looked up each time that it is told something.
        Self::at(place, serving, StreamKind::Configurations, CancellationToken::new())
    }

    fn at(
        place: Result<StreamPlace, ApiError>,
        serving: &SharedServing,
        kind: StreamKind,
        revoked: CancellationToken,
    ) -> Result<Self, ApiError> {
        let place = place.inspect_err(|_| serving.metrics.stream_refused())?;
        serving.metrics.stream_opened(kind);
        let ends = serving.config.longest_stream.map(|longest| {
            // Those who came together should not all leave together.
            Instant::now() + longest.mul_f64(0.9 + 0.2 * chance())
        });
        Ok(Self { serving: serving.clone(), kind, revoked, ends, _place: place })
    }

    /// Comes to pass when the stream is to end.
    pub(crate) async fn over(&self) -> End {
        tokio::select! {
            biased;
            () = self.serving.stopping.cancelled() => End::Stopping,
            () = self.revoked.cancelled() => End::Revoked,
            () = until(self.ends) => End::LongEnough,
        }
    }

    /// What a stream's reader is told at such an end: when to come back. A whole fleet at once would be more than
    /// one can serve well, so each gets a time of its own, in a span that grows with the fleet.
    pub(crate) fn farewell(&self, end: End) -> Option<Bytes> {
        match end {
            End::Revoked => None,
            End::LongEnough => Some(retry_in(1.0)),
            End::Stopping => {
                let spread =
                    (self.serving.metrics.streams_at_end() as f64 / STREAMS_PER_SECOND).clamp(1.0, 30.0);
                Some(retry_in(1.0 + spread * chance()))
            }
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.serving.metrics.stream_closed(self.kind);
    }
}

/// Where somebody comes from, if a proxy is in between.
fn behind_proxy(peer: Peer) -> Option<IpAddr> {
    peer.is_behind_proxy.then_some(peer.address)
}

/// As many streams as one node takes back without haste.
const STREAMS_PER_SECOND: f64 = 500.0;

fn retry_in(seconds: f64) -> Bytes {
    format!("retry: {:.0}\n\n", seconds * 1000.0).into()
}

/// From 0 to 1.
fn chance() -> f64 {
    let mut random = [0; 4];
    // If the system had none, all would come at the same time, which is borne.
    let _ = getrandom::fill(&mut random);
    f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX)
}

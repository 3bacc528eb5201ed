//! A request's body on its way in: it has to come in time, and it is read to its end.
//!
//! Whoever refuses a request need not read its body. But a connection that is closed while its peer still sends
//! is reset, and the peer never reads why it was refused; so the rest is read and passed over, within limits.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, timeout_at};

use crate::extract::TooSlow;

/// What is passed over of one body at most, in bytes: twice the largest batch of events.
const MOST_PASSED_OVER: u64 = 32 * 1024 * 1024;

/// A request's body, which has to come to its end in time; or piece by piece, if whoever reads it said so.
pub(crate) struct Arriving {
    /// None once nobody reads it.
    body: Option<Incoming>,
    /// The peer waits to be told that it may send; if it is refused it does not.
    is_held_back: bool,
    longest: Duration,
    /// None if there is no body.
    end: Option<Pin<Box<Sleep>>>,
    pace: Pace,
    is_waiting: bool,
}

impl Arriving {
    /// The body that comes with these headers.
    pub(crate) fn new(headers: &HeaderMap, body: Incoming, longest: Duration, pace: Pace) -> Self {
        let end = (!body.is_end_stream()).then(|| Box::pin(tokio::time::sleep(longest)));
        let is_held_back = headers.contains_key(header::EXPECT);
        Self { body: Some(body), is_held_back, longest, end, pace, is_waiting: false }
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.is_waiting = false;
                if !matches!(frame, Some(Ok(_))) {
                    self.body = None;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let begins_to_wait = !std::mem::replace(&mut self.is_waiting, true);
                let anew = begins_to_wait && self.pace.is_by_the_piece();
                let then = Instant::now() + self.longest;
                if let Some(end) = self.end.as_mut().filter(|_| anew) {
                    end.as_mut().reset(then);
                }
                let is_late = self.end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready());
                if is_late { Poll::Ready(Some(Err(TooSlow(self.longest).into()))) } else { Poll::Pending }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let (Some(body), Some(end), Ok(runtime)) = (self.body.take(), self.end.take(), Handle::try_current())
        else {
            return;
        };
        if !body.is_end_stream() && !self.is_held_back && body.size_hint().lower() <= MOST_PASSED_OVER {
            runtime.spawn(pass_over(body, end.deadline()));
        }
    }
}

/// Reads the rest of a body that nobody wants, until then.
async fn pass_over(mut body: Incoming, end: Instant) {
    let mut left = MOST_PASSED_OVER;
    let to_the_end = async {
        // What fails has come to its end as well.
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    // Whoever is too slow is cut, as ever.
    let _ = timeout_at(end, to_the_end).await;
}

/// Whether a body may take as long as it takes, as long as something of it comes: in the request's extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace(Arc<AtomicBool>);

impl Pace {
    /// Has the limit count for each piece of the body, and not for all of it. For bodies that are worked on while
    /// they come: whoever reads slowly makes the sender slow.
    pub(crate) fn by_the_piece(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_by_the_piece(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

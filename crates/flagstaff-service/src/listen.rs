//! Connections: accepted, timed, and drained at the end.
//!
//! What a connection takes is bounded in every state it can be in: a handshake and the headers of a request
//! have to come within [`ServingConfig::request_timeout`](crate::ServingConfig::request_timeout), as a body
//! has to; a peer that takes no byte for [`stalled_after`](crate::ServingConfig::stalled_after), or whose
//! system acknowledges none, is cut; and how many there are at all is the business of [`crate::occupancy`].

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};

use crate::SharedServing;
use crate::arriving::{Arriving, Pace};
use crate::occupancy::{Answering, Connection, Refusal};

/// What the system holds for one connection. Fixed, so that thousands of slow readers of a large put
/// stay bounded; left to itself it grows to megabytes each.
const SEND_BUFFER: u32 = 256 * 1024;
/// A connection on which nothing moves for so long is probed, where no heartbeat does it.
const PROBE_AFTER: Duration = Duration::from_secs(180);
/// What is sent may take so long to be acknowledged at least, whatever the heartbeat.
const SHORTEST_SILENCE: Duration = Duration::from_secs(5);
/// Connections over the limit that are told so at the same time; more are closed without a word.
static REFUSED_AT_ONCE: Semaphore = Semaphore::const_new(64);
/// How long that may take.
const LONGEST_REFUSAL: Duration = Duration::from_secs(2);
/// A listener in trouble says so this often at most.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Listens. The backlog is the system's: it cuts any larger one to its own limit.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(i32::MAX as u32)
}

/// For whom connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Anybody, within limits.
    Anybody,
    /// Whoever watches the service, also when it is full.
    Watchers,
}

/// Takes connections until the service is asked to stop. Those that are open then go on, as
/// [`crate::Serving::tasks`], until their request is answered.
pub(crate) async fn serve(serving: SharedServing, listener: TcpListener, router: Router, whom: Whom) {
    let mut complained: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = serving.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => take(&serving, stream, peer, &router, whom),
            Err(error) => {
                // Out of file handles, most likely: others have to close first.
                let closed = serving.occupancy.make_room();
                serving.metrics.connections_closed_for_room.add(closed as u64);
                if complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
                    complained = Some(Instant::now());
                    tracing::warn!(%error, "could not take a connection; raise the limit of open files");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves the connection, or refuses it.
fn take(serving: &SharedServing, stream: TcpStream, peer: SocketAddr, router: &Router, whom: Whom) {
    let address = peer.ip().to_canonical();
    let is_proxy = serving.config.trusted_proxies.trusts(address);
    let place = match whom {
        Whom::Anybody => serving.occupancy.connect(address, is_proxy),
        Whom::Watchers => Ok(serving.occupancy.connect_to_watch()),
    };
    match place {
        Ok(place) => {
            serving.tasks.spawn(connection(serving.clone(), stream, peer, router.clone(), place));
        }
        Err(refusal) => {
            serving.metrics.connections_refused.raise();
            if let Ok(turn) = REFUSED_AT_ONCE.try_acquire() {
                let serving = serving.clone();
                tokio::spawn(async move {
                    // Whoever does not listen is not waited for.
                    let _ =
                        tokio::time::timeout(LONGEST_REFUSAL, refuse(serving, stream, peer, refusal)).await;
                    drop(turn);
                });
            }
        }
    }
}

async fn connection(
    serving: SharedServing,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    place: Connection,
) {
    if let Err(error) = set_up(&stream, &serving) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    let place = Arc::new(place);
    let stream = Progress::new(stream, serving.config.stalled_after);
    let served = async {
        let Some(tls) = &serving.tls else {
            return serve_http(&serving, stream, peer, router, place.clone()).await;
        };
        // A handshake takes no longer than headers may, and nobody is waited for who has not asked yet.
        let handshake = tokio::time::timeout(serving.config.request_timeout, tls.acceptor().accept(stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = serving.stopping.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => serve_http(&serving, stream, peer, router, place.clone()).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection was not encrypted"),
            Err(_) => tracing::debug!(%peer, "a handshake took too long"),
        }
    };
    tokio::select! {
        () = served => {}
        () = place.has_to_go() => {
            serving.metrics.connections_closed_for_room.raise();
            tracing::debug!(%peer, "a connection that asked for nothing made room for others");
        }
    }
}

/// A peer that vanishes without a word is noticed: by what is sent to it and not acknowledged, or, if nothing
/// is sent, by probes.
fn set_up(stream: &TcpStream, serving: &SharedServing) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let silence = serving.config.heartbeat_interval.unwrap_or(PROBE_AFTER);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(silence.max(Duration::from_secs(1))))?;
    // With a heartbeat a stream whose reader vanished is gone within twice its interval.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(serving.config.stalled_after.min(silence).max(SHORTEST_SILENCE)))?;
    Ok(())
}

async fn serve_http(
    serving: &SharedServing,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    router: Router,
    place: Arc<Connection>,
) {
    let request_timeout = serving.config.request_timeout;
    let service = hyper::service::service_fn(|mut request: Request<Incoming>| {
        let answering = place.answer();
        let known = serving.config.trusted_proxies.peer(peer, serving.tls.is_some(), request.headers());
        request.extensions_mut().insert(known);
        let pace = Pace::default();
        request.extensions_mut().insert(pace.clone());
        let (parts, body) = request.into_parts();
        let body = Arriving::new(&parts.headers, body, request_timeout, pace);
        let answer = call(router.clone(), Request::from_parts(parts, body));
        async move { Ok::<_, Infallible>(answer.await.map(|body| Answer { body, _answering: answering })) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(serving.config.request_timeout)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = serving.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = %crate::error::chain(&error), "a connection ended");
    }
}

async fn call(router: Router, request: Request<Arriving>) -> Response {
    let answered = hyper::service::Service::call(&TowerToHyperService::new(router), request).await;
    answered.unwrap_or_else(|never: Infallible| match never {})
}

/// Answers one request with why the connection is not wanted.
async fn refuse(serving: SharedServing, stream: TcpStream, peer: SocketAddr, refusal: Refusal) {
    let service = hyper::service::service_fn(|_: Request<Incoming>| async move {
        let mut answer = refusal.answer().into_response();
        let close = axum::http::HeaderValue::from_static("close");
        answer.headers_mut().insert(axum::http::header::CONNECTION, close);
        Ok::<_, Infallible>(answer)
    });
    let served = match &serving.tls {
        None => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await,
        Some(tls) => match tls.acceptor().accept(stream).await {
            Ok(stream) => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await,
            Err(error) => return tracing::debug!(%peer, %error, "a connection was not encrypted"),
        },
    };
    if let Err(error) = served {
        tracing::debug!(%peer, error = %crate::error::chain(&error), "a connection that is not wanted ended");
    }
}

/// An answer's body; as long as there is some of it the connection does not wait for a request.
struct Answer {
    body: Body,
    _answering: Answering,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that fails when its peer takes no byte for a while although there are some to send.
struct Progress {
    stream: TcpStream,
    limit: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Progress {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    /// Passes a finished write on; a waiting one starts the clock, or fails when it has run out.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting =
            self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Progress {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Progress {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

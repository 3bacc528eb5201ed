//! One listening port that answers as a test says, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::http::{Request, read_request};
use super::tls::Certificate;

/// How one request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Whole, at once.
    Reply { status: u16, headers: Vec<(String, String)>, body: Bytes },
    /// Headers and these pieces, and later what the test sends.
    Stream { headers: Vec<(String, String)>, first: Vec<Bytes> },
    /// The connection is closed instead.
    HangUp,
    /// Never.
    Silence,
    /// As the other, a while later.
    After(Duration, Box<Answer>),
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Answer::Reply { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Answer::Reply { status: 200, headers: Vec::new(), body: body.into() }
            .header("Content-Type", "application/json")
    }

    /// A stream of server-sent events that begins with these pieces.
    pub(crate) fn events<B: Into<Bytes>>(first: impl IntoIterator<Item = B>) -> Self {
        Answer::Stream { headers: Vec::new(), first: first.into_iter().map(Into::into).collect() }
            .header("Content-Type", "text/event-stream; charset=utf-8")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let Answer::Reply { headers, .. } | Answer::Stream { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn after(self, delay: Duration) -> Self {
        Answer::After(delay, Box::new(self))
    }
}

type Decide = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// What the next requests are answered with.
struct Script {
    next: VecDeque<Answer>,
    then: Decide,
}

struct Inner {
    script: Mutex<Script>,
    requests: Mutex<Vec<Request>>,
    count: watch::Sender<usize>,
    connections: AtomicUsize,
    live: Mutex<Vec<Live>>,
    live_count: watch::Sender<usize>,
    log: Log,
}

/// Where a test's exchanges are written down.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// A port that is listened on until whoever has the scene in hand clears it: were it free any sooner,
/// the last events of a client could reach the endpoint of another test.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    name: &'static str,
    inner: Arc<Inner>,
    /// Ends it.
    pub(crate) accepting: AbortHandle,
}

/// A stream that is open, or was.
#[derive(Clone)]
pub(crate) struct Live {
    pieces: mpsc::UnboundedSender<Option<Bytes>>,
    closed: watch::Receiver<bool>,
}

impl Live {
    /// Sends a piece, exactly as it is.
    pub(crate) fn send(&self, piece: impl Into<Bytes>) {
        // If the SDK hung up, the test finds out by what it sees.
        let _ = self.pieces.send(Some(piece.into()));
    }

    /// Ends the stream in good order.
    pub(crate) fn end(&self) {
        let _ = self.pieces.send(None);
    }

    /// Whether the SDK has closed the connection within this time.
    pub(crate) async fn is_closed_within(&self, time: Duration) -> bool {
        let mut closed = self.closed.clone();
        tokio::time::timeout(time, closed.wait_for(|closed| *closed)).await.is_ok()
    }
}

impl Endpoint {
    /// Starts one that answers every request with the same.
    pub(crate) async fn start(name: &'static str, log: Log, answer: Answer) -> Result<Self, String> {
        Self::start_on(name, log, answer, None).await
    }

    /// Starts one behind TLS.
    pub(crate) async fn start_on(
        name: &'static str,
        log: Log,
        answer: Answer,
        certificate: Option<&Certificate>,
    ) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let inner = Arc::new(Inner {
            script: Mutex::new(Script { next: VecDeque::new(), then: always(answer) }),
            requests: Mutex::default(),
            count: watch::Sender::new(0),
            connections: AtomicUsize::new(0),
            live: Mutex::default(),
            live_count: watch::Sender::new(0),
            log,
        });
        let tls = certificate.map(Certificate::acceptor).transpose()?;
        let for_task = inner.clone();
        let accepting = tokio::spawn(accept(name, listener, tls, for_task)).abort_handle();
        // Certificates are for a name; without one, nobody has to look the name up.
        let base = if certificate.is_some() { "https://localhost" } else { "http://127.0.0.1" };
        Ok(Self { url: format!("{base}:{}", address.port()), name, inner, accepting })
    }

    /// From now on every request is answered with this.
    pub(crate) fn answer(&self, answer: Answer) {
        let mut script = locked(&self.inner.script);
        script.next.clear();
        script.then = always(answer);
    }

    /// The next requests are answered with these, one each; those that follow as before.
    pub(crate) fn answer_first(&self, answers: impl IntoIterator<Item = Answer>) {
        locked(&self.inner.script).next.extend(answers);
    }

    /// From now on requests are answered by what they ask.
    pub(crate) fn answer_by(&self, decide: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        locked(&self.inner.script).then = Arc::new(decide);
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        locked(&self.inner.requests).clone()
    }

    pub(crate) fn request_count(&self) -> usize {
        locked(&self.inner.requests).len()
    }

    /// All connections so far, also those on which nothing was asked.
    pub(crate) fn connection_count(&self) -> usize {
        self.inner.connections.load(Ordering::Relaxed)
    }

    /// The request with this number, from 0, once it is there.
    pub(crate) async fn request(&self, number: usize, within: Duration) -> Result<Request, String> {
        let mut count = self.inner.count.subscribe();
        let deadline = Instant::now() + within;
        match timeout_at(deadline, count.wait_for(|count| *count > number)).await {
            Ok(Ok(_)) => Ok(locked(&self.inner.requests)[number].clone()),
            _ => Err(format!(
                "the {} endpoint was asked {} times within {within:?}, not {}",
                self.name,
                self.request_count(),
                number + 1
            )),
        }
    }

    /// Fails if there is another request after the first `seen` within this time.
    pub(crate) async fn no_request_after(&self, seen: usize, within: Duration) -> Result<(), String> {
        match self.request(seen, within).await {
            Ok(request) => Err(format!(
                "the {} endpoint was asked once more than {seen} times, with {request}",
                self.name
            )),
            Err(_) => Ok(()),
        }
    }

    /// The stream with this number, from 0, once it is open.
    pub(crate) async fn stream(&self, number: usize, within: Duration) -> Result<Live, String> {
        let mut count = self.inner.live_count.subscribe();
        match tokio::time::timeout(within, count.wait_for(|count| *count > number)).await {
            Ok(Ok(_)) => Ok(locked(&self.inner.live)[number].clone()),
            _ => Err(format!(
                "stream {} of the {} endpoint was not opened within {within:?}",
                number + 1,
                self.name
            )),
        }
    }
}

fn always(answer: Answer) -> Decide {
    Arc::new(move |_| answer.clone())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(name: &'static str, listener: TcpListener, tls: Option<TlsAcceptor>, inner: Arc<Inner>) {
    // Connections end with the endpoint: the set is dropped with this task.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        inner.connections.fetch_add(1, Ordering::Relaxed);
        let (tls, inner) = (tls.clone(), inner.clone());
        // Small pieces are to leave as they are.
        let _ = socket.set_nodelay(true);
        connections.spawn(async move {
            match tls {
                None => serve(name, socket, &inner).await,
                Some(tls) => match tls.accept(socket).await {
                    Ok(socket) => serve(name, socket, &inner).await,
                    Err(error) => {
                        locked(&inner.log).push(format!("{name}: the TLS handshake failed: {error}"));
                    }
                },
            }
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite>(name: &'static str, socket: S, inner: &Inner) {
    let (read, mut write) = tokio::io::split(socket);
    let mut read = BufReader::new(read);
    while let Ok(Some(request)) = read_request(&mut read).await {
        let answer = {
            let mut script = locked(&inner.script);
            match script.next.pop_front() {
                Some(answer) => answer,
                None => (script.then)(&request),
            }
        };
        write_down(name, inner, &request, &answer);
        locked(&inner.requests).push(request);
        inner.count.send_modify(|count| *count += 1);
        let mut answer = answer;
        while let Answer::After(delay, later) = answer {
            tokio::time::sleep(delay).await;
            answer = *later;
        }
        let written = match answer {
            Answer::Reply { status, headers, body } => reply(&mut write, status, &headers, &body).await,
            Answer::Stream { headers, first } => {
                stream(inner, &mut read, &mut write, &headers, first).await;
                return;
            }
            Answer::Silence => {
                let mut rest = [0; 1];
                // Until the SDK hangs up.
                let _ = read.read(&mut rest).await;
                return;
            }
            Answer::HangUp | Answer::After(..) => return,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn reply<W: AsyncWrite + Unpin>(
    write: &mut W,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", phrase(status));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if status != 304 && status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut whole = head.into_bytes();
    if status != 304 && status != 204 {
        whole.extend_from_slice(body);
    }
    write.write_all(&whole).await?;
    write.flush().await
}

async fn stream<R, W>(
    inner: &Inner,
    read: &mut R,
    write: &mut W,
    headers: &[(String, String)],
    first: Vec<Bytes>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (pieces, mut to_send) = mpsc::unbounded_channel();
    let (now_closed, closed) = watch::channel(false);
    let mut head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n".to_owned();
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if write.write_all(head.as_bytes()).await.is_ok() && write.flush().await.is_ok() {
        for piece in first {
            let _ = pieces.send(Some(piece));
        }
        locked(&inner.live).push(Live { pieces, closed });
        inner.live_count.send_modify(|count| *count += 1);
        let mut rest = [0; 64];
        loop {
            tokio::select! {
                // The SDK has nothing more to say: what is read is its end of the connection.
                got = read.read(&mut rest) => if !matches!(got, Ok(1..)) { break },
                piece = to_send.recv() => match piece {
                    Some(Some(piece)) if piece.is_empty() => {}
                    Some(Some(piece)) => {
                        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                        chunk.extend_from_slice(&piece);
                        chunk.extend_from_slice(b"\r\n");
                        if write.write_all(&chunk).await.is_err() || write.flush().await.is_err() {
                            break;
                        }
                    }
                    Some(None) | None => {
                        let _ = write.write_all(b"0\r\n\r\n").await;
                        let _ = write.shutdown().await;
                        break;
                    }
                },
            }
        }
    }
    now_closed.send_replace(true);
}

fn write_down(name: &str, inner: &Inner, request: &Request, answer: &Answer) {
    let asked = String::from_utf8_lossy(&request.plain_body().unwrap_or_default()).into_owned();
    let answered = match answer {
        Answer::Reply { status, body, .. } => format!("{status} {}", String::from_utf8_lossy(body)),
        Answer::Stream { .. } => "a stream".to_owned(),
        other => format!("{other:?}"),
    };
    let line = format!("{name}: {request} {} => {}", excerpt(&asked), excerpt(&answered));
    locked(&inner.log).push(line);
}

/// As much of a text as a person wants to read.
pub(crate) fn excerpt(text: &str) -> String {
    const LENGTH: usize = 600;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

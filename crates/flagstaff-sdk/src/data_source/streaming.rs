//! Flags as they change, over one long answer.
//!
//! | What happens | What is done |
//! |---|---|
//! | `put` | replaces everything; the client is initialized |
//! | `patch`, `delete` | put in if their version is higher |
//! | an event or a path that is not known | passed over |
//! | data that cannot be read | INVALID_DATA; the connection is dropped and opened again |
//! | the stream ends or breaks, no connection, 3xx, 400, 408, 429, 5xx | opened again, ordinary delays |
//! | nothing comes for 5 minutes, not even a comment | taken for dead, opened again |
//! | any other 4xx, a certificate that is not valid | tried again after 5 minutes to an hour; whoever waits for the first flags is released |
//!
//! Flags stay in use whatever happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flagstaff_eval::Entry;
use flagstaff_wire::paths;
use flagstaff_wire::sse::{SseEvent, SseParser};
use flagstaff_wire::stream::{BadMessage, StreamMessage, item_texts};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HeaderValue};
use reqwest::{RequestBuilder, Response};
use tokio::time::timeout;

use super::backoff::{self, Backoff};
use super::receive::{Items, receive_all, receive_newer};
use super::{DataSourceError, DataSourceErrorKind};
use crate::clock::now_ms;
use crate::config::Base;
use crate::data_store::StoredItem;
use crate::http::{Http, StatusClass, classify, describe, is_certificate_error};
use crate::log::LogLevel;
use crate::shared::Shared;

/// Why a connection ended.
pub(crate) struct Failure {
    pub(crate) error: DataSourceError,
    /// Whether time alone does not mend it.
    pub(crate) extended: bool,
}

impl Failure {
    pub(crate) fn ordinary(kind: DataSourceErrorKind, message: String) -> Self {
        Self { error: DataSourceError::new(kind, message), extended: false }
    }

    pub(crate) fn request(error: &reqwest::Error) -> Self {
        Self {
            error: DataSourceError::new(DataSourceErrorKind::NetworkError, describe(error)),
            extended: is_certificate_error(error),
        }
    }

    pub(crate) fn response(status: reqwest::StatusCode) -> Self {
        let extended = classify(status) == StatusClass::Unrecoverable;
        Self { error: DataSourceError::response(status.as_u16()), extended }
    }
}

pub(super) async fn run(shared: &Arc<Shared>, http: &Http) {
    let mut backoff =
        Backoff::new(shared.config.initial_reconnect_delay).compressed(shared.config.time_factor);
    let url = shared.config.url(Base::Stream, paths::STREAM);
    shared.log.write(LogLevel::Info, format_args!("opening the stream {url}"));
    let mut last_id = None;
    loop {
        let mut connection = Connection { shared, good_since: None, last_id: &mut last_id };
        let failure = connection.read(http, &url, &mut backoff).await;
        if let Some(since) = connection.good_since {
            backoff.was_good_for(since.elapsed());
        }
        let delay = backoff.failed(failure.extended, backoff::random());
        report(shared, &failure, delay, "the stream");
        shared.status.failed(failure.error, failure.extended);
        tokio::time::sleep(delay).await;
    }
}

/// Waits for an answer to begin.
pub(crate) async fn begin(
    shared: &Shared,
    http: &Http,
    request: RequestBuilder,
) -> Result<Response, Failure> {
    let patience = http.head_timeout();
    let response = match timeout(patience, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(Failure::request(&error)),
        Err(_) => return Err(network_error(format!("there was no answer for {patience:?}"))),
    };
    http.remember(&response);
    shared.environment_id.learn(response.headers());
    Ok(response)
}

/// The next piece of an answer; none at its end.
pub(crate) async fn next_piece(
    response: &mut Response,
    patience: Duration,
) -> Result<Option<Bytes>, Failure> {
    match timeout(patience, response.chunk()).await {
        Ok(piece) => piece.map_err(|error| Failure::request(&error)),
        Err(_) => Err(network_error(format!("nothing came for {patience:?}"))),
    }
}

/// One log line for each failure.
pub(crate) fn report(shared: &Shared, failure: &Failure, delay: Duration, what: &str) {
    let level = if failure.extended { LogLevel::Error } else { LogLevel::Warn };
    let message = &failure.error.message;
    shared.log.write(level, format_args!("{what} failed and is tried again in {delay:.1?}: {message}"));
}

struct Connection<'s> {
    shared: &'s Arc<Shared>,
    /// When the first event came.
    good_since: Option<Instant>,
    /// The id of the last event that had one, on this connection or one before.
    last_id: &'s mut Option<String>,
}

impl Connection<'_> {
    /// Reads until the connection ends, one way or another.
    async fn read(&mut self, http: &Http, url: &str, backoff: &mut Backoff) -> Failure {
        let started_ms = now_ms();
        let opened = self.open(http, url).await;
        if let Some(events) = &self.shared.events {
            events.diagnostics.stream_init(started_ms, opened.is_err());
        }
        let mut response = match opened {
            Ok(response) => response,
            Err(failure) => return failure,
        };
        let patience = self.shared.config.stream_read_timeout;
        let mut parser = SseParser::resuming(self.last_id.clone());
        let mut events = Vec::new();
        loop {
            let piece = match next_piece(&mut response, patience).await {
                Ok(Some(piece)) => piece,
                Ok(None) => return network_error("the service ended it".to_owned()),
                Err(failure) => return failure,
            };
            if let Err(error) = parser.feed(&piece, &mut events) {
                return Failure::ordinary(DataSourceErrorKind::InvalidData, error.to_string());
            }
            if parser.last_id() != self.last_id.as_deref() {
                *self.last_id = parser.last_id().map(str::to_owned);
            }
            if let Some(retry_ms) = parser.retry_ms() {
                backoff.set_initial(Duration::from_millis(retry_ms));
            }
            for event in events.drain(..) {
                self.good_since.get_or_insert_with(Instant::now);
                if let Err(failure) = self.apply(event).await {
                    return failure;
                }
            }
        }
    }

    async fn open(&self, http: &Http, url: &str) -> Result<Response, Failure> {
        let mut request = http
            .get(url)
            .header(ACCEPT, "text/event-stream")
            .header(CACHE_CONTROL, "no-cache")
            // A compressed stream may hold a change back until its block is full.
            .header(ACCEPT_ENCODING, "identity");
        // An id that cannot stand in a header is none.
        if let Some(id) = self.last_id.as_ref().and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok()) {
            request = request.header("last-event-id", id);
        }
        let response = begin(self.shared, http, request).await?;
        match response.status().as_u16() {
            200 => Ok(response),
            _ => Err(Failure::response(response.status())),
        }
    }

    async fn apply(&self, event: SseEvent) -> Result<(), Failure> {
        let invalid = |error: BadMessage| {
            let message = format!("{error}: {}", error.source);
            Failure::ordinary(DataSourceErrorKind::InvalidData, message)
        };
        let message = StreamMessage::read(event.name(), event.data()).map_err(invalid)?;
        let texts = match &self.shared.texts {
            Some(_) => item_texts(event.name(), event.data()).map_err(invalid)?,
            None => Vec::new(),
        };
        match message {
            Some(StreamMessage::Put(data)) => {
                let texts = StoredItem::all(&texts, &data);
                receive_all(self.shared, *data, texts).await;
            }
            Some(StreamMessage::PatchFlag(key, flag)) => {
                let flag = Entry::flag(&key, *flag);
                let texts = texts.iter().map(|text| StoredItem::of_text(text, flag.version())).collect();
                receive_newer(self.shared, Items { flags: vec![flag], texts, ..Items::default() });
            }
            Some(StreamMessage::PatchSegment(key, segment)) => {
                let segment = Entry::segment(&key, *segment);
                let texts = texts.iter().map(|text| StoredItem::of_text(text, segment.version())).collect();
                receive_newer(self.shared, Items { segments: vec![segment], texts, ..Items::default() });
            }
            Some(StreamMessage::Delete { kind, key, version }) => {
                receive_newer(self.shared, Items::deleted(self.shared, kind, &key, version));
            }
            _ => {}
        }
        Ok(())
    }
}

fn network_error(message: String) -> Failure {
    Failure::ordinary(DataSourceErrorKind::NetworkError, message)
}

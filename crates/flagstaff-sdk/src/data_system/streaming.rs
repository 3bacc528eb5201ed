//! Changes as they are made, over one long answer.
//!
//! | What happens | What is done |
//! |---|---|
//! | a transfer is complete | it is put in force; the next connection goes on from its selector |
//! | a connection ends within a transfer | nothing of that transfer is put in force |
//! | `goodbye` | opened again, ordinary delays; what is held counts as up to date meanwhile |
//! | data that cannot be read | INVALID_DATA; the connection is dropped and opened again |
//! | the stream ends or breaks, no connection, 3xx, 400, 408, 429, 5xx | opened again, ordinary delays |
//! | nothing comes for 5 minutes, not even a comment | taken for dead, opened again |
//! | any other 4xx | the source ends |
//! | a certificate that is not valid | tried again after 5 minutes to an hour |

use std::sync::Arc;
use std::time::{Duration, Instant};

use flagstaff_wire::fdv2::StreamReader;
use flagstaff_wire::sse::SseParser;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HeaderValue};
use reqwest::{RequestBuilder, Response};
use tokio::time::timeout;

use super::answer::{Answer, Directive};
use super::conductor::End;
use super::held::{Held, Origin, Taken, ends_source};
use super::polling::describe;
use super::source::StreamingSource;
use crate::clock::now_ms;
use crate::data_source::{Backoff, DataSourceErrorKind, Failure, next_piece, random, report};
use crate::http::Http;
use crate::log::LogLevel;

/// Opens streams, one after the other.
pub(super) struct Streamer {
    source: StreamingSource,
    http: Arc<Http>,
    backoff: Backoff,
    /// The id of the last event that had one, on this connection or one before.
    last_id: Option<String>,
}

/// Why reading a connection ended.
enum Stop {
    Failed(Failure),
    /// Nothing is wrong: the service took its leave, or what was waited for has come.
    Done,
    /// First-generation delivery is to be used from now on.
    Fallback(Directive),
}

impl Streamer {
    pub(super) fn new(held: &Held, source: StreamingSource) -> Self {
        let backoff = Backoff::new(source.initial_delay_by(&held.shared.config));
        let backoff = backoff.compressed(held.shared.config.time_factor);
        let http = held.http_by(source.network.as_ref());
        Self { source, http, backoff, last_id: None }
    }

    /// Streams until the source ends. `alone` if there is no other.
    pub(super) async fn run(&mut self, held: &Held, alone: bool) -> End {
        let url = self.source.url(&held.shared.config, None);
        held.shared.log.write(LogLevel::Info, format_args!("opening the stream {url}"));
        loop {
            let mut good_since = None;
            let stop = self.connect(held, &mut good_since).await;
            if let Some(since) = good_since {
                self.backoff.was_good_for(since.elapsed());
            }
            let delay = match stop {
                Stop::Fallback(directive) => return End::Fallback(directive),
                Stop::Failed(failure) if ends_source(&failure) => return End::Off(failure.error),
                Stop::Failed(failure) => {
                    let delay = self.backoff.failed(failure.extended, random());
                    report(&held.shared, &failure, delay, "the stream");
                    held.failed(failure.error, failure.extended && alone);
                    delay
                }
                Stop::Done => self.backoff.failed(false, random()),
            };
            tokio::time::sleep(delay).await;
        }
    }

    /// One connection, from its opening to its end.
    async fn connect(&mut self, held: &Held, good_since: &mut Option<Instant>) -> Stop {
        let started_ms = now_ms();
        let opened = Answer::to(held, &self.http, self.request(held)).await;
        if let Some(events) = &held.shared.events {
            let failed = !matches!(&opened, Ok(answer) if answer.response.status() == 200);
            events.diagnostics.stream_init(started_ms, failed);
        }
        let Answer { response, directive } = match opened {
            Ok(answer) => answer,
            Err(failure) => return Stop::Failed(failure),
        };
        let is_open = response.status() == 200;
        match (directive, is_open) {
            (None, true) => self.read(held, response, good_since, false).await,
            (None, false) => Stop::Failed(Failure::response(response.status())),
            (Some(directive), true) => {
                // What the service has to say first is still taken.
                let patience = held.patience;
                // Whatever came of it, the directive stands.
                let _ = timeout(patience, self.read(held, response, good_since, true)).await;
                Stop::Fallback(directive)
            }
            (Some(directive), false) => {
                held.failed(Failure::response(response.status()).error, false);
                Stop::Fallback(directive)
            }
        }
    }

    fn request(&self, held: &Held) -> RequestBuilder {
        let selector = held.selector();
        let mut request = self
            .http
            .get(&self.source.url(&held.shared.config, selector.as_deref()))
            .header(ACCEPT, "text/event-stream")
            .header(CACHE_CONTROL, "no-cache")
            // A compressed stream may hold a change back until its block is full.
            .header(ACCEPT_ENCODING, "identity");
        // An id that cannot stand in a header is none.
        if let Some(id) = self.last_id.as_ref().and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok()) {
            request = request.header("last-event-id", id);
        }
        request
    }

    /// Reads until the connection ends, one way or another; `once` only until it has brought data.
    async fn read(
        &mut self,
        held: &Held,
        mut response: Response,
        good_since: &mut Option<Instant>,
        once: bool,
    ) -> Stop {
        let patience = held.shared.config.stream_read_timeout;
        let mut reader = StreamReader::new(SseParser::resuming(self.last_id.clone()), held.protocol());
        loop {
            let piece = match next_piece(&mut response, patience).await {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    return failed(DataSourceErrorKind::NetworkError, "the service ended it".to_owned());
                }
                Err(failure) => return Stop::Failed(failure),
            };
            let outcomes = match reader.feed(&piece) {
                Ok(outcomes) => outcomes,
                Err(error) => return failed(DataSourceErrorKind::InvalidData, describe(&error)),
            };
            for outcome in outcomes {
                good_since.get_or_insert_with(Instant::now);
                let outcome = match outcome {
                    Ok(outcome) => outcome,
                    Err(error) => return failed(DataSourceErrorKind::InvalidData, describe(&error)),
                };
                match held.take(outcome, Origin::Synchronizer).await {
                    Taken::Data if once => return Stop::Done,
                    Taken::Data | Taken::Nothing => {}
                    Taken::Goodbye(goodbye) => {
                        let seconds = goodbye.protocol_fallback_ttl;
                        let asked = seconds.map(|seconds| Directive::for_seconds(Some(seconds), random()));
                        return asked.map_or(Stop::Done, Stop::Fallback);
                    }
                }
            }
            if reader.parser().last_id() != self.last_id.as_deref() {
                self.last_id = reader.parser().last_id().map(str::to_owned);
            }
            if let Some(retry_ms) = reader.parser().retry_ms() {
                self.backoff.set_initial(Duration::from_millis(retry_ms));
            }
        }
    }
}

fn failed(kind: DataSourceErrorKind, message: String) -> Stop {
    Stop::Failed(Failure::ordinary(kind, message))
}

//! One connection after the other to who says what to serve.

use std::time::{Duration, Instant};

use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL};
use flagstaff_sdk::{Backoff, ConfigError, describe_http_error, http_client, is_certificate_error};
use flagstaff_wire::paths;
use flagstaff_wire::relay::{ConfigurationMessage, PATH, PROTOCOL_VERSION, PROTOCOL_VERSION_PARAMETER};
use flagstaff_wire::sse::SseParser;
use tokio::time::timeout;

use super::AutoConfig;
use crate::config::Upstream;
use crate::environment::client_config;

/// The first delay before asking again.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// How long the head of an answer may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(20);
/// A connection that says nothing for so long, not even a comment, is dead.
const PATIENCE: Duration = Duration::from_secs(300);

/// Listens to who says what to serve.
#[derive(Debug)]
pub(crate) struct Listener {
    client: reqwest::Client,
    url: String,
    backoff: Backoff,
    connection: Option<Connection>,
    good_since: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    response: reqwest::Response,
    parser: SseParser,
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// We were asked to come again.
    Reconnect,
    /// It passes.
    Failed(String),
    /// We are not let in, or do not let ourselves in: time alone does not mend it.
    Refused(String),
}

impl Ended {
    /// What went wrong.
    pub(crate) fn why(&self) -> Option<&str> {
        match self {
            Self::Reconnect => None,
            Self::Failed(why) | Self::Refused(why) => Some(why),
        }
    }

    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl Listener {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// If upstream cannot be reached as it is configured.
    pub(crate) fn new(upstream: &Upstream, auto: &AutoConfig) -> Result<Self, ConfigError> {
        let client = http_client(client_config(upstream, &auto.key))?;
        let mut url = paths::join(&upstream.stream, PATH);
        paths::add_parameter(&mut url, PROTOCOL_VERSION_PARAMETER, PROTOCOL_VERSION);
        let backoff = Backoff::new(FIRST_DELAY).compressed(upstream.time_factor);
        Ok(Self { client, url, backoff, connection: None, good_since: None })
    }

    /// Connects.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) async fn open(&mut self) -> Result<(), Ended> {
        let request = self
            .client
            .get(&self.url)
            .header(ACCEPT, "text/event-stream")
            .header(CACHE_CONTROL, "no-cache")
            .header(ACCEPT_ENCODING, "identity");
        let response = match timeout(HEAD_PATIENCE, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if is_certificate_error(&error) => {
                return Err(Ended::Refused(describe_http_error(&error)));
            }
            Ok(Err(error)) => return Err(Ended::Failed(describe_http_error(&error))),
            Err(_) => return Err(Ended::Failed(format!("there was no answer for {HEAD_PATIENCE:?}"))),
        };
        match response.status().as_u16() {
            200 => {}
            status @ (401 | 403) => {
                let why = format!(
                    "upstream answered {status}: the key is not one of a relay that configures itself there"
                );
                return Err(Ended::Refused(why));
            }
            status @ (400 | 408 | 429) => return Err(Ended::Failed(format!("upstream answered {status}"))),
            status @ 400..=499 => return Err(Ended::Refused(format!("upstream answered {status}"))),
            status => return Err(Ended::Failed(format!("upstream answered {status}"))),
        }
        self.connection = Some(Connection { response, parser: SseParser::default() });
        Ok(())
    }

    /// Whatever comes next, at least one message.
    ///
    /// # Errors
    /// If the connection ends. It is gone then.
    pub(crate) async fn messages(&mut self) -> Result<Vec<ConfigurationMessage>, Ended> {
        let read = self.read().await;
        match &read {
            Ok(_) => _ = self.good_since.get_or_insert_with(Instant::now),
            Err(_) => self.connection = None,
        }
        read
    }

    async fn read(&mut self) -> Result<Vec<ConfigurationMessage>, Ended> {
        let Some(Connection { response, parser }) = &mut self.connection else {
            return Err(Ended::Failed("there is no connection".to_owned()));
        };
        let (mut events, mut messages) = (Vec::new(), Vec::new());
        while messages.is_empty() {
            let piece = match timeout(PATIENCE, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Err(Ended::Failed("upstream ended it".to_owned())),
                Ok(Err(error)) => return Err(Ended::Failed(describe_http_error(&error))),
                Err(_) => return Err(Ended::Failed(format!("nothing came for {PATIENCE:?}"))),
            };
            parser.feed(&piece, &mut events).map_err(|error| Ended::Failed(error.to_string()))?;
            if let Some(retry_ms) = parser.retry_ms() {
                self.backoff.set_initial(Duration::from_millis(retry_ms));
            }
            for event in events.drain(..) {
                let read = ConfigurationMessage::read(event.name(), event.data());
                match read.map_err(|error| Ended::Failed(flagstaff_service::error::chain(&error)))? {
                    Some(ConfigurationMessage::Reconnect) if messages.is_empty() => {
                        return Err(Ended::Reconnect);
                    }
                    // What came before counts; the stream's end says the same a moment later.
                    Some(ConfigurationMessage::Reconnect) => return Ok(messages),
                    Some(message) => messages.push(message),
                    None => {}
                }
            }
        }
        Ok(messages)
    }

    /// How long to wait before the next attempt. Says why, once for each.
    pub(crate) fn next_attempt(&mut self, ended: &Ended) -> Duration {
        if let Some(since) = self.good_since.take() {
            self.backoff.was_good_for(since.elapsed());
        }
        let delay = self.backoff.next_delay(ended.is_refusal());
        match ended {
            Ended::Reconnect => {
                tracing::info!("upstream asks to be asked anew what to serve; done in {delay:.1?}")
            }
            Ended::Failed(why) => {
                tracing::warn!("the stream of what to serve failed and is tried again in {delay:.1?}: {why}");
            }
            Ended::Refused(why) => tracing::error!(
                "upstream does not say what to serve, what is known is served on, and it is tried again in {delay:.1?}: {why}"
            ),
        }
        delay
    }
}

//! Delivers a payload: once, and once more a second later if that may help.
//!
//! Source: the protocol's *Delivery*.

use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flagstaff_wire::{headers, paths};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE};
use uuid::Uuid;

use crate::config::Base;
use crate::http::{Http, StatusClass, classify, describe};
use crate::log::LogLevel;
use crate::shared::Shared;

/// How long before a payload is sent again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The service has it. Its clock, Unix milliseconds, if it said.
    Delivered { server_time_ms: Option<i64> },
    /// It is lost; the next one may fare better.
    Lost,
    /// It is lost, and so would the next be: the service refuses this client.
    Refused,
}

/// What is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// So many.
    Events(u64),
    Diagnostic,
}

impl Payload {
    fn path(self) -> &'static str {
        match self {
            Payload::Events(_) => paths::EVENTS,
            Payload::Diagnostic => paths::DIAGNOSTIC,
        }
    }

    fn lost(self) -> &'static str {
        match self {
            Payload::Events(_) => "they are lost",
            Payload::Diagnostic => "it is lost",
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::Events(1) => formatter.write_str("1 event"),
            Payload::Events(count) => write!(formatter, "{count} events"),
            Payload::Diagnostic => formatter.write_str("a diagnostic report"),
        }
    }
}

/// JSON in a log line, made text only if the line is wanted.
struct Text<'j>(&'j [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// Delivers JSON.
pub(super) async fn deliver(shared: &Shared, http: &Http, payload: Payload, json: Vec<u8>) -> Outcome {
    let url = shared.config.url(Base::Events, payload.path());
    shared.log.write(LogLevel::Debug, format_args!("sending {payload}: {}", Text(&json)));
    let (body, compressed) = match shared.config.compress_events {
        true => (compress(&json), true),
        false => (Bytes::from(json), false),
    };
    let payload_id = Uuid::new_v4().to_string();
    for again in [false, true] {
        if again {
            tokio::time::sleep(RETRY_AFTER / shared.config.time_factor).await;
        }
        let mut request = http.post(&url).header(CONTENT_TYPE, "application/json").body(body.clone());
        if let Payload::Events(_) = payload {
            request = request
                .header(headers::EVENT_SCHEMA, headers::EVENT_SCHEMA_CURRENT)
                .header(headers::PAYLOAD_ID, &payload_id);
        }
        if compressed {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let problem = match request.send().await {
            Ok(mut response) => {
                http.remember(&response);
                match classify(response.status()) {
                    StatusClass::Success => {
                        let server_time_ms = date(&response);
                        // Read to its end, so that the connection can be used again, and not kept.
                        while let Ok(Some(_)) = response.chunk().await {}
                        return Outcome::Delivered { server_time_ms };
                    }
                    StatusClass::Recoverable => {
                        format!("the service answered {}", response.status().as_u16())
                    }
                    StatusClass::Unrecoverable => {
                        return refused(shared, payload, response.status().as_u16());
                    }
                }
            }
            Err(error) => describe(&error),
        };
        let (level, next) = match again {
            false => (LogLevel::Warn, "will try once more"),
            true => (LogLevel::Error, payload.lost()),
        };
        shared.log.write(level, format_args!("could not send {payload}, {next}: {problem}"));
    }
    Outcome::Lost
}

fn refused(shared: &Shared, payload: Payload, status: u16) -> Outcome {
    let next = match (status, payload) {
        // Only this payload is too large.
        (413, _) | (_, Payload::Diagnostic) => payload.lost(),
        (_, Payload::Events(_)) => "they are lost, and sending is tried again in 5 minutes",
    };
    shared.log.write(
        LogLevel::Error,
        format_args!("could not send {payload}, {next}: the service answered {status}"),
    );
    if status == 413 { Outcome::Lost } else { Outcome::Refused }
}

fn compress(json: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(json.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    let written = encoder.write_all(json).and_then(|()| encoder.finish());
    written.unwrap_or_default().into()
}

fn date(response: &reqwest::Response) -> Option<i64> {
    let date = httpdate::parse_http_date(response.headers().get(DATE)?.to_str().ok()?).ok()?;
    let since = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

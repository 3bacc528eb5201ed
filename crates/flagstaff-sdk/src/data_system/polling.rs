//! One poll, or one after the other.
//!
//! | What happens | What is done |
//! |---|---|
//! | 200 | its transfers are put in force, and word that the data is up to date is taken |
//! | 304 | the data that was asked on from is up to date |
//! | a body that cannot be read, or has no complete transfer | INVALID_DATA; asked again at the next tick |
//! | no connection, 3xx, 400, 408, 429, 5xx | asked again at the next tick |
//! | any other 4xx | the source ends |
//! | a certificate that is not valid | asked again after 5 minutes to an hour |

use std::sync::Arc;
use std::time::Duration;

use flagstaff_wire::fdv2::{Outcome, read_poll};
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use tokio::time::Instant;

use super::answer::{Answer, Directive};
use super::conductor::End;
use super::held::{Held, Origin, Taken, ends_source};
use super::source::PollingSource;
use crate::data_source::{Backoff, DataSourceErrorKind, Failure, due_after, random, read_body, report};
use crate::http::Http;
use crate::log::LogLevel;

/// A poll that went well.
pub(super) struct Polled {
    /// Whether it brought data, or word that the data is up to date. If not, the service took its leave.
    pub(super) has_data: bool,
    /// Whether first-generation delivery is to be used from now on.
    pub(super) directive: Option<Directive>,
}

/// A poll that failed.
pub(super) struct Refused {
    pub(super) failure: Failure,
    /// Whether first-generation delivery is to be used from now on.
    pub(super) directive: Option<Directive>,
}

/// Polls for as long as it works.
pub(super) struct Poller {
    source: PollingSource,
    http: Arc<Http>,
    backoff: Backoff,
    /// The `ETag` of the last answer, and the selector that it led to.
    etag: Option<(HeaderValue, Option<String>)>,
}

impl Poller {
    pub(super) fn new(held: &Held, source: PollingSource) -> Self {
        let backoff = Backoff::new(source.interval_by(&held.shared.config));
        let backoff = backoff.compressed(held.shared.config.time_factor);
        let http = held.http_by(source.network.as_ref());
        Self { source, http, backoff, etag: None }
    }

    /// Polls until the source ends. `alone` if there is no other.
    pub(super) async fn run(&mut self, held: &Held, alone: bool) -> End {
        let interval = self.source.interval_by(&held.shared.config);
        let url = self.source.url(&held.shared.config, None);
        held.shared.log.write(LogLevel::Info, format_args!("polling {url} every {interval:?}"));
        let interval = interval.max(Duration::from_millis(1));
        loop {
            let asked = Instant::now();
            let next = match self.poll(held, Origin::Synchronizer).await {
                Ok(Polled { directive: Some(directive), .. }) => return End::Fallback(directive),
                Ok(_) => {
                    self.backoff.good_poll();
                    asked + interval
                }
                Err(Refused { failure, directive: Some(directive) }) => {
                    held.failed(failure.error, false);
                    return End::Fallback(directive);
                }
                Err(Refused { failure, directive: None }) if ends_source(&failure) => {
                    return End::Off(failure.error);
                }
                Err(Refused { failure, directive: None }) => {
                    let (next, delay) = due_after(&failure, asked, interval, &mut self.backoff);
                    report(&held.shared, &failure, delay, "polling");
                    held.failed(failure.error, failure.extended && alone);
                    next
                }
            };
            tokio::time::sleep_until(next).await;
        }
    }

    /// Polls once.
    pub(super) async fn poll(&mut self, held: &Held, origin: Origin) -> Result<Polled, Refused> {
        let selector = held.selector();
        let mut request = self.http.get(&self.source.url(&held.shared.config, selector.as_deref()));
        // A tag stands for the data that came with it, which another source may have changed since.
        self.etag.take_if(|(_, led_to)| *led_to != selector);
        if let Some((etag, _)) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag.clone());
        }
        let answer = Answer::to(held, &self.http, request).await;
        let answer = answer.map_err(|failure| Refused { failure, directive: None })?;
        let Answer { mut response, directive } = answer;
        let refused = |failure| Refused { failure, directive };
        let new_etag = response.headers().get(ETAG).cloned();
        let outcomes = match response.status().as_u16() {
            200 => {
                let body = read_body(&mut response, self.http.read_timeout()).await;
                let body = body.map_err(refused)?;
                read_poll(&body, held.protocol()).map_err(|error| refused(invalid(describe(&error))))?
            }
            // A service may go by the selector alone.
            304 if self.etag.is_some() || selector.is_some() => vec![Outcome::UpToDate],
            _ => return Err(refused(Failure::response(response.status()))),
        };
        let mut polled = Polled { has_data: false, directive };
        let mut is_goodbye = false;
        for outcome in outcomes {
            match held.take(outcome, origin).await {
                Taken::Data => polled.has_data = true,
                Taken::Nothing => {}
                Taken::Goodbye(goodbye) => {
                    is_goodbye = true;
                    let seconds = goodbye.protocol_fallback_ttl;
                    let asked = seconds.map(|seconds| Directive::for_seconds(Some(seconds), random()));
                    polled.directive = polled.directive.or(asked);
                }
            }
        }
        if !polled.has_data && !is_goodbye {
            let failure = invalid("there is no complete transfer in the answer".to_owned());
            return Err(Refused { failure, directive: polled.directive });
        }
        if let Some(new_etag) = new_etag.filter(|_| polled.has_data) {
            self.etag = Some((new_etag, held.selector()));
        }
        Ok(polled)
    }
}

fn invalid(message: String) -> Failure {
    Failure::ordinary(DataSourceErrorKind::InvalidData, message)
}

/// An error and what is behind it.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

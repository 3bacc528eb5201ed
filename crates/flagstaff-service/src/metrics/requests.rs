//! Every request, counted and timed by what it was for, and told in the log at level `debug`.
//!
//! The log names the route, never the path or the query: contexts, one-time links and hashes stand in those.
//! Of a credential it shows how it ends.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Level, enabled};

use super::page::Page;
use super::sharded::{Buckets, Sharded};
use crate::SharedServing;
use crate::auth::secret;
use crate::peer::Peer;

/// What a request is known by, in the answer, in the log, and to proxies before and behind.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// No honest id is longer.
const LONGEST_ID: usize = 64;

/// What requests are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Stream,
    Poll,
    ClientStream,
    ClientEvaluation,
    Ofrep,
    Events,
    Rest,
    Dashboard,
    Monitoring,
    Other,
}

const CLASSES: [(Class, &str); 10] = [
    (Class::Stream, "stream"),
    (Class::Poll, "poll"),
    (Class::ClientStream, "client_stream"),
    (Class::ClientEvaluation, "client_evaluation"),
    (Class::Ofrep, "ofrep"),
    (Class::Events, "events"),
    (Class::Rest, "rest"),
    (Class::Dashboard, "dashboard"),
    (Class::Monitoring, "monitoring"),
    (Class::Other, "other"),
];

/// The statuses that are told apart; 0 stands for any other.
const STATUSES: [u16; 24] = [
    200, 201, 202, 204, 207, 303, 304, 307, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 502,
    503, 504, 0,
];

impl Class {
    fn of(path: &str) -> Self {
        let mut parts = path.split('/').skip(1);
        match (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
            ("all" | "flags" | "relay_auto_config", _) | ("sdk", "stream") => Self::Stream,
            ("sdk", "evalx" | "eval" | "goals") | ("msdk", _) => Self::ClientEvaluation,
            ("sdk", _) => Self::Poll,
            ("eval" | "meval" | "ping" | "mping", _) => Self::ClientStream,
            ("ofrep", _) => Self::Ofrep,
            ("bulk" | "diagnostic" | "mobile" | "events" | "a", _) => Self::Events,
            ("api", _) => Self::Rest,
            ("ui", _) => Self::Dashboard,
            ("", "") if path == "/" => Self::Dashboard,
            ("status" | "metrics", _) => Self::Monitoring,
            _ => Self::Other,
        }
    }
}

/// Answers by class and status, and how long each class took until the answer began.
#[derive(Debug, Default)]
pub(super) struct Requests(Sharded<Place>);

#[derive(Debug, Default)]
struct Place {
    answers: [[AtomicU64; STATUSES.len()]; CLASSES.len()],
    durations: [Buckets; CLASSES.len()],
}

impl Requests {
    fn note(&self, class: Class, status: StatusCode, took: Duration) {
        let status = STATUSES.iter().position(|known| *known == status.as_u16());
        let place = self.0.here();
        place.answers[class as usize][status.unwrap_or(STATUSES.len() - 1)].fetch_add(1, Relaxed);
        place.durations[class as usize].note(took);
    }

    pub(super) fn write(&self, page: &mut Page) {
        let name = "flagstaff_requests_total";
        page.family(name, "counter", "Requests answered, by what they were for and with which status.");
        for (class, class_name) in CLASSES {
            for (index, status) in STATUSES.iter().enumerate() {
                let count = self.0.sum(|place| place.answers[class as usize][index].load(Relaxed));
                if count > 0 {
                    let status = if *status == 0 { "other".to_owned() } else { status.to_string() };
                    page.sample(name, &[("class", class_name), ("status", &status)], count);
                }
            }
        }
        let name = "flagstaff_request_duration_seconds";
        page.family(name, "histogram", "Time until an answer began, by what the request was for.");
        for (class, class_name) in CLASSES {
            let measured = self.0.measured(|place| &place.durations[class as usize]);
            if measured.counts.iter().any(|count| *count > 0) {
                page.histogram(name, &[("class", class_name)], measured);
            }
        }
    }
}

/// Counts, times and logs every request.
pub(crate) async fn observe(State(serving): State<SharedServing>, request: Request, next: Next) -> Response {
    let class = Class::of(request.uri().path());
    let started = Instant::now();
    let told = Told::of(&request);
    let mut response = next.run(request).await;
    let took = started.elapsed();
    serving.metrics.requests.note(class, response.status(), took);
    if let Some(told) = told {
        told.log(response.status(), took);
        response.headers_mut().insert(REQUEST_ID, told.id);
    }
    response
}

/// What is told of a request.
struct Told {
    id: HeaderValue,
    /// All else; none unless it is logged.
    logged: Option<Logged>,
}

struct Logged {
    method: String,
    route: String,
    peer: Option<Peer>,
    credential: Option<String>,
}

impl Told {
    /// None if the sender gave no id and nothing is logged.
    fn of(request: &Request) -> Option<Self> {
        let is_logged = enabled!(target: "flagstaff_service::request", Level::DEBUG);
        let id = sent_id(request.headers()).or_else(|| is_logged.then(new_id))?;
        let logged = is_logged.then(|| Logged {
            method: request.method().as_str().to_owned(),
            route: request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned(),
            peer: request.extensions().get::<Peer>().copied(),
            credential: request
                .headers()
                .get(header::AUTHORIZATION)
                .map(|value| secret::ending(value.to_str().unwrap_or_default())),
        });
        Some(Self { id, logged })
    }

    fn log(&self, status: StatusCode, took: Duration) {
        let Some(Logged { method, route, peer, credential }) = &self.logged else { return };
        tracing::debug!(
            target: "flagstaff_service::request",
            id = self.id.to_str().unwrap_or_default(),
            %method,
            route,
            status = status.as_u16(),
            ms = took.as_secs_f64() * 1000.0,
            peer = peer.map(|peer| tracing::field::display(peer.address)),
            credential,
            "answered"
        );
    }
}

/// A request's id as its sender or a proxy gave it, if it is fit for a log.
fn sent_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let sent = headers.get(REQUEST_ID)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=/+".contains(byte);
    let bytes = sent.as_bytes();
    (!bytes.is_empty() && bytes.len() <= LONGEST_ID && bytes.iter().all(is_plain)).then(|| sent.clone())
}

fn new_id() -> HeaderValue {
    HeaderValue::try_from(uuid::Uuid::new_v4().simple().to_string())
        .unwrap_or_else(|_| unreachable!("hex digits are fit for a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_what_it_is_for() {
        for (path, class) in [
            ("/all", Class::Stream),
            ("/sdk/stream", Class::Stream),
            ("/sdk/latest-all", Class::Poll),
            ("/sdk/poll", Class::Poll),
            ("/sdk/evalx/demo-production/contexts/e30", Class::ClientEvaluation),
            ("/msdk/evalx/context", Class::ClientEvaluation),
            ("/eval/demo-production", Class::ClientStream),
            ("/mping", Class::ClientStream),
            ("/ofrep/v1/evaluate/flags", Class::Ofrep),
            ("/bulk", Class::Events),
            ("/a/demo-production.gif", Class::Events),
            ("/api/v2/flags/demo", Class::Rest),
            ("/", Class::Dashboard),
            ("/ui/demo", Class::Dashboard),
            ("/metrics", Class::Monitoring),
            ("/uix", Class::Other),
            ("*", Class::Other),
            ("//", Class::Other),
        ] {
            assert_eq!(Class::of(path), class, "{path}");
        }
        assert!(CLASSES.iter().enumerate().all(|(index, (class, _))| *class as usize == index));
    }

    #[test]
    fn a_senders_id_is_taken_if_it_cannot_break_a_log() {
        let taken = |id: &[u8]| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(id).unwrap())]);
            sent_id(&headers).is_some()
        };
        assert!(taken(b"1-67891233-abcdef012345678912345678") && taken(b"Root=1/2:3+4_5.6"));
        assert!(
            !taken(b"") && !taken(b"a b") && !taken(b"a\"b") && !taken(b"a\tb") && !taken("ä".as_bytes())
        );
        assert!(!taken(&[b'a'; LONGEST_ID + 1]));
    }
}

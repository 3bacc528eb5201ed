//! `GET /metrics`: the figures of this process, as Prometheus reads them. Never one per flag or per key.
//!
//! | File | What stands there |
//! |---|---|
//! | `requests` | every request, counted and timed by what it was for |
//! | `sharded` | counters that threads raise without waiting for each other |
//! | `process` | memory, files, threads |
//! | `page` | the form that is answered |
//!
//! Who else has figures is a [`Figures`] and gives itself to [`Metrics::include`]. docs/metrics.md lists them all,
//! which a test checks.

mod page;
mod process;
pub(crate) mod requests;
pub(crate) mod sharded;

use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

pub use page::Page;

use self::requests::Requests;
use self::sharded::{Counter, Durations, Gauge};
use crate::SharedServing;
use crate::error::ApiError;

/// Streams that are written their beginning at the same time; others wait their turn.
const PUTS_AT_ONCE: usize = 256;

/// Somebody who has figures.
pub trait Figures: Debug + Send + Sync {
    /// Adds them to the page. Not on a thread that serves requests: it may take a moment.
    fn write(&self, page: &mut Page);
}

/// What a stream is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Flags and segments to servers.
    Flags,
    /// The same, by second-generation delivery.
    Transfers,
    /// Values to browsers and mobile programs.
    Values,
    /// That there was a change.
    Pings,
    /// Members of big segments to relays.
    Members,
    /// What relays are to serve.
    Configurations,
}

const KINDS: [(StreamKind, &str); 6] = [
    (StreamKind::Flags, "flags"),
    (StreamKind::Transfers, "transfers"),
    (StreamKind::Values, "values"),
    (StreamKind::Pings, "pings"),
    (StreamKind::Members, "members"),
    (StreamKind::Configurations, "configurations"),
];

/// The figures of this process.
#[derive(Debug)]
pub struct Metrics {
    requests: Requests,
    streams_open: [Gauge; KINDS.len()],
    streams_opened: [Counter; KINDS.len()],
    streams_cut: Counter,
    streams_refused: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) connections_closed_for_room: Counter,
    changes_sent: Counter,
    fan_out: Durations,
    client_evaluations: Counter,
    events: Counter,
    sources: Mutex<Vec<Arc<dyn Figures>>>,
    /// Turns for writing a first put: see `delivery::turn`.
    pub(crate) put_turns: Arc<Semaphore>,
    /// How many streams there were when the service was asked to stop.
    streams_at_end: OnceLock<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Requests::default(),
            streams_open: Default::default(),
            streams_opened: Default::default(),
            streams_cut: Counter::default(),
            streams_refused: Counter::default(),
            connections_refused: Counter::default(),
            connections_closed_for_room: Counter::default(),
            changes_sent: Counter::default(),
            fan_out: Durations::default(),
            client_evaluations: Counter::default(),
            events: Counter::default(),
            sources: Mutex::default(),
            put_turns: Arc::new(Semaphore::new(PUTS_AT_ONCE)),
            streams_at_end: OnceLock::new(),
        }
    }
}

impl Metrics {
    /// Has these figures shown, too.
    pub fn include(&self, source: Arc<dyn Figures>) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    pub(crate) fn stream_opened(&self, kind: StreamKind) {
        self.streams_opened[kind as usize].raise();
        self.streams_open[kind as usize].raise();
    }

    pub(crate) fn stream_closed(&self, kind: StreamKind) {
        self.streams_open[kind as usize].lower();
    }

    /// A stream's reader fell behind.
    pub(crate) fn stream_cut(&self) {
        self.streams_cut.raise();
    }

    /// There were as many as there may be.
    pub(crate) fn stream_refused(&self) {
        self.streams_refused.raise();
    }

    /// How many streams there were when this was first asked, which is at the end.
    pub(crate) fn streams_at_end(&self) -> u64 {
        *self.streams_at_end.get_or_init(|| self.streams_open.iter().map(Gauge::value).sum())
    }

    /// A change was passed on to a stream's connection, so long after it was taken over here.
    pub(crate) fn change_sent(&self, after: Duration) {
        self.changes_sent.raise();
        self.fan_out.note(after);
    }

    /// Flags were evaluated for one context that was asked for.
    pub(crate) fn evaluated_for_client(&self) {
        self.client_evaluations.raise();
    }

    /// So many events were taken in.
    pub(crate) fn events_taken(&self, count: usize) {
        self.events.add(count as u64);
    }

    fn write(&self, page: &mut Page) {
        self.requests.write(page);
        let by_kind = |page: &mut Page, name: &str, kind: &str, help: &str, values: &dyn Fn(usize) -> u64| {
            page.family(name, kind, help);
            for (kind, kind_name) in KINDS {
                page.sample(name, &[("kind", kind_name)], values(kind as usize));
            }
        };
        let help = "Streams open, by what they are about.";
        by_kind(page, "flagstaff_streams_open", "gauge", help, &|kind| self.streams_open[kind].value());
        let help = "Streams opened, by what they are about.";
        by_kind(page, "flagstaff_streams_opened_total", "counter", help, &|kind| {
            self.streams_opened[kind].value()
        });
        let help = "Streams cut because their reader fell behind.";
        page.counter("flagstaff_streams_cut_total", help, self.streams_cut.value());
        let help = "Streams refused because there were as many as there may be.";
        page.counter("flagstaff_streams_refused_total", help, self.streams_refused.value());
        let help = "Connections refused because there were as many as there may be.";
        page.counter("flagstaff_connections_refused_total", help, self.connections_refused.value());
        let help = "Connections closed, while they asked for nothing, to make room for others.";
        page.counter(
            "flagstaff_connections_closed_for_room_total",
            help,
            self.connections_closed_for_room.value(),
        );
        let help = "Changes sent, to each stream by itself.";
        page.counter("flagstaff_changes_sent_total", help, self.changes_sent.value());
        let name = "flagstaff_change_fan_out_seconds";
        page.family(
            name,
            "histogram",
            "Time from a change's arrival in this process to each stream's connection.",
        );
        page.histogram(name, &[], self.fan_out.measured());
        let help = "Times that values were asked for, of all flags or of one, for one context.";
        page.counter("flagstaff_client_evaluations_total", help, self.client_evaluations.value());
        page.counter("flagstaff_events_total", "Events taken in.", self.events.value());
        for source in &*self.sources.lock().unwrap_or_else(PoisonError::into_inner) {
            source.write(page);
        }
    }
}

/// `/metrics`.
pub(crate) fn router(serving: &SharedServing) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(serving.clone())
}

async fn metrics(State(serving): State<SharedServing>) -> Result<Response, ApiError> {
    let text = tokio::task::spawn_blocking(move || text(&serving)).await.map_err(ApiError::internal)?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn text(serving: &SharedServing) -> String {
    let mut page = Page::default();
    page.family("flagstaff_build_info", "gauge", "Which version this is.");
    page.sample("flagstaff_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let environments = serving.live.all();
    page.gauge("flagstaff_environments", "Environments served.", environments.len());
    let help = "Changes of flags and segments ever made in these environments.";
    let changes: u64 = environments.iter().map(|live| live.sequence()).sum();
    page.gauge("flagstaff_changes", help, changes);
    page.gauge("flagstaff_connections", "Connections open.", serving.occupancy.connections());
    let help = "The most connections that may be open.";
    page.gauge("flagstaff_connections_max", help, serving.occupancy.most_connections());
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let help = "Tasks under way: a connection is one, and so is each piece of work in the background.";
        page.gauge("flagstaff_tasks", help, runtime.metrics().num_alive_tasks());
    }
    serving.metrics.write(&mut page);
    process::write(&mut page);
    page.text()
}

//! `GET /metrics`: the service's figures, as Prometheus reads them. Never one per flag.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::analytics::IngestFigures;
use crate::{SharedApp, SharedServing};

/// The service's figures.
#[derive(Debug)]
pub struct Metrics {
    /// Answers by the first digit of their status.
    answers: [AtomicU64; 6],
    streams_open: AtomicI64,
    streams_opened: AtomicU64,
    streams_cut: AtomicU64,
    changes_sent: AtomicU64,
    client_streams_open: AtomicI64,
    client_evaluations: AtomicU64,
    /// Turns for writing a first put: see `stream`.
    pub(super) put_turns: Arc<Semaphore>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            answers: Default::default(),
            streams_open: AtomicI64::default(),
            streams_opened: AtomicU64::default(),
            streams_cut: AtomicU64::default(),
            changes_sent: AtomicU64::default(),
            client_streams_open: AtomicI64::default(),
            client_evaluations: AtomicU64::default(),
            put_turns: Arc::new(Semaphore::new(super::stream::PUTS_AT_ONCE)),
        }
    }
}

impl Metrics {
    pub(super) fn stream_opened(&self) {
        self.streams_opened.fetch_add(1, Relaxed);
        self.streams_open.fetch_add(1, Relaxed);
    }

    pub(super) fn stream_closed(&self) {
        self.streams_open.fetch_sub(1, Relaxed);
    }

    pub(super) fn stream_cut(&self) {
        self.streams_cut.fetch_add(1, Relaxed);
    }

    pub(crate) fn client_stream_opened(&self) {
        self.client_streams_open.fetch_add(1, Relaxed);
    }

    pub(crate) fn client_stream_closed(&self) {
        self.client_streams_open.fetch_sub(1, Relaxed);
    }

    /// Flags were evaluated for one context that was asked for.
    pub(crate) fn evaluated_for_client(&self) {
        self.client_evaluations.fetch_add(1, Relaxed);
    }

    pub(crate) fn change_sent(&self) {
        self.changes_sent.fetch_add(1, Relaxed);
    }

    fn text(&self, environments: usize, changes: u64, ingest: IngestFigures) -> String {
        let mut text = String::new();
        let mut figure = |name: &str, kind: &str, help: &str, lines: &[(String, String)]| {
            let _ = writeln!(text, "# HELP flagstaff_{name} {help}\n# TYPE flagstaff_{name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(text, "flagstaff_{name}{labels} {value}");
            }
        };
        let one = |value: String| vec![(String::new(), value)];
        let answers: Vec<_> = (1..6)
            .map(|class| (format!("{{status=\"{class}xx\"}}"), self.answers[class].load(Relaxed).to_string()))
            .collect();
        figure("answers_total", "counter", "Requests answered, by class of status.", &answers);
        let open = self.streams_open.load(Relaxed).to_string();
        figure("streams_open", "gauge", "SDKs connected by a stream.", &one(open));
        let opened = self.streams_opened.load(Relaxed).to_string();
        figure("streams_opened_total", "counter", "Streams opened.", &one(opened));
        let cut = self.streams_cut.load(Relaxed).to_string();
        figure("streams_cut_total", "counter", "Streams cut because their reader fell behind.", &one(cut));
        let sent = self.changes_sent.load(Relaxed).to_string();
        figure("changes_sent_total", "counter", "Changes sent to SDKs, each stream by itself.", &one(sent));
        let open = self.client_streams_open.load(Relaxed).to_string();
        figure(
            "client_streams_open",
            "gauge",
            "Browsers and mobile programs connected by a stream.",
            &one(open),
        );
        let evaluated = self.client_evaluations.load(Relaxed).to_string();
        figure(
            "client_evaluations_total",
            "counter",
            "Times that values were asked for, of all flags or of one, for one context.",
            &one(evaluated),
        );
        figure("environments", "gauge", "Environments served.", &one(environments.to_string()));
        figure(
            "changes",
            "gauge",
            "Changes of flags and segments ever made in these environments.",
            &one(changes.to_string()),
        );
        let figures = [
            ("stored", ingest.batches_stored),
            ("known", ingest.batches_known),
            ("set_aside", ingest.batches_set_aside),
        ];
        let batches = figures.map(|(became, count)| (format!("{{became=\"{became}\"}}"), count.to_string()));
        figure("event_batches_total", "counter", "Event batches taken in, by what became of them.", &batches);
        let unreadable = ingest.events_unreadable.to_string();
        figure("events_unreadable_total", "counter", "Events passed over as unreadable.", &one(unreadable));
        let backlog = ingest.backlog.to_string();
        figure("event_batches_waiting", "gauge", "Event batches stored and not counted yet.", &one(backlog));
        text
    }
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<SharedApp>) -> Response {
    let environments = app.live.all();
    let changes = environments.iter().map(|live| live.sequence()).sum();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let text = app.metrics.text(environments.len(), changes, app.analytics.figures());
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Counts every answer.
pub(crate) async fn count(State(serving): State<SharedServing>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let class = usize::from(response.status().as_u16() / 100).min(5);
    serving.metrics.answers[class].fetch_add(1, Relaxed);
    response
}

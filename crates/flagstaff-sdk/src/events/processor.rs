//! Decides when to send: at intervals, when told to, and when the client closes.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flagstaff_wire::event::{Batch, Event};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::sender::{Outcome, Payload, deliver};
use super::{Events, summary};
use crate::fork;
use crate::http::Http;
use crate::log::LogLevel;
use crate::runtime::{Command, Done};
use crate::shared::Shared;

/// So many payloads may be on their way at once.
const SENDERS: usize = 5;
/// How long to wait before a service that refused this client is tried again.
const PROBE_AFTER: Duration = Duration::from_secs(300);

/// Sends events until the client is closed; gives back how that was asked for.
pub(crate) async fn run(
    shared: Arc<Shared>,
    http: Arc<Http>,
    commands: &mut UnboundedReceiver<Command>,
) -> Option<Command> {
    let Some(events) = &shared.events else {
        return without_events(commands).await;
    };
    let config = &shared.config;
    let mut processor = Processor {
        shared: &shared,
        http: &http,
        events,
        sending: JoinSet::new(),
        waiting: VecDeque::new(),
        refused_until: None,
    };
    if !config.diagnostic_opt_out {
        processor.report(serde_json::to_vec(&events.diagnostics.init(config)));
    }
    // Programs that start together do not flush together.
    let mut flush = every(config.flush_interval, jittered(config.flush_interval));
    let mut forget_contexts = every(config.context_keys_flush_interval, config.context_keys_flush_interval);
    let mut report = every(config.diagnostic_interval, config.diagnostic_interval);
    let closing = loop {
        tokio::select! {
            _ = flush.tick() => processor.flush(),
            _ = forget_contexts.tick() => events.seen.clear(),
            _ = report.tick(), if !config.diagnostic_opt_out => processor.report_statistics(),
            sent = next_sent(&mut processor.sending) => processor.sent(sent),
            command = commands.recv() => match command {
                Some(Command::Flush(done)) => processor.flush_then(done),
                closing => break closing,
            },
        }
    };
    processor.finish(closing.as_ref().and_then(Command::deadline)).await;
    closing
}

/// There is nothing to send, but there are still commands.
async fn without_events(commands: &mut UnboundedReceiver<Command>) -> Option<Command> {
    loop {
        match commands.recv().await {
            Some(Command::Flush(Some(done))) => done.set(true),
            Some(Command::Flush(None)) => {}
            closing => return closing,
        }
    }
}

fn every(period: Duration, first: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + first, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Between half of the period and all of it.
fn jittered(period: Duration) -> Duration {
    let share = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    period.mul_f64(0.5 + share / 2.0)
}

/// A delivery that ended.
struct Sent {
    payload: Payload,
    events: u64,
    outcome: Outcome,
}

async fn next_sent(sending: &mut JoinSet<Sent>) -> Option<Sent> {
    match sending.join_next().await {
        Some(sent) => sent.ok(),
        None => pending().await,
    }
}

struct Processor<'p> {
    shared: &'p Arc<Shared>,
    http: &'p Arc<Http>,
    events: &'p Events,
    sending: JoinSet<Sent>,
    /// Told once everything is sent.
    waiting: VecDeque<Done>,
    /// The service refuses this client; it is not asked before then.
    refused_until: Option<Instant>,
}

impl Processor<'_> {
    /// Sends what waits. If all senders are busy, or the service refuses this client, it waits on.
    fn flush(&mut self) {
        if self.sending.len() >= SENDERS || self.refused_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let mut batch = {
            let _unforked = fork::guard();
            self.events.queue.take()
        };
        let summary = summary::take(self.events);
        if !summary.is_empty() {
            batch.push(Event::Summary(summary));
        }
        if batch.is_empty() {
            return;
        }
        let events = batch.len() as u64;
        self.events.diagnostics.sent(batch.len());
        let (shared, http) = (self.shared.clone(), self.http.clone());
        self.sending.spawn(async move {
            let json = serde_json::to_vec(&Batch { events: &batch, redaction: &shared.config.redaction });
            drop(batch);
            let outcome = match json {
                Ok(json) => deliver(&shared, &http, Payload::Events, json).await,
                Err(error) => {
                    shared.log.write(LogLevel::Error, format_args!("could not write events: {error}"));
                    Outcome::Lost
                }
            };
            Sent { payload: Payload::Events, events, outcome }
        });
    }

    /// Sends what waits, and tells once all is sent.
    fn flush_then(&mut self, done: Option<Done>) {
        self.flush();
        self.waiting.extend(done);
        self.tell_if_all_sent();
    }

    fn sent(&mut self, sent: Option<Sent>) {
        if let Some(Sent { payload: Payload::Events, events, outcome }) = sent {
            match outcome {
                Outcome::Delivered { server_time_ms } => {
                    self.refused_until = None;
                    if let Some(time) = server_time_ms {
                        self.events.server_time_ms.store(time, Ordering::Relaxed);
                    }
                }
                Outcome::Lost => self.lost(events),
                Outcome::Refused => {
                    self.lost(events);
                    self.refused_until = Some(Instant::now() + PROBE_AFTER);
                }
            }
        }
        // What had to wait for a sender goes now, if somebody waits for it.
        if !self.waiting.is_empty() {
            self.flush();
        }
        self.tell_if_all_sent();
    }

    fn lost(&self, events: u64) {
        self.events.dropped.fetch_add(events, Ordering::Relaxed);
    }

    fn tell_if_all_sent(&mut self) {
        if self.sending.is_empty() {
            let nothing_waits = {
                let _unforked = fork::guard();
                self.events.queue.is_empty()
            };
            // What waits although nothing is being sent waits because the service refuses it.
            self.waiting.drain(..).for_each(|done| done.set(nothing_waits));
        }
    }

    fn report_statistics(&mut self) {
        let dropped = self.events.dropped.swap(0, Ordering::Relaxed);
        let deduplicated = self.events.counters.take_deduplicated();
        self.report(serde_json::to_vec(&self.events.diagnostics.statistics(dropped, deduplicated)));
    }

    fn report(&mut self, json: serde_json::Result<Vec<u8>>) {
        let (shared, http) = (self.shared.clone(), self.http.clone());
        self.sending.spawn(async move {
            let outcome = match json {
                Ok(json) => deliver(&shared, &http, Payload::Diagnostic, json).await,
                Err(error) => {
                    shared.log.write(LogLevel::Error, format_args!("could not write a report: {error}"));
                    Outcome::Lost
                }
            };
            Sent { payload: Payload::Diagnostic, events: 0, outcome }
        });
    }

    /// Sends the last events, until the deadline.
    async fn finish(mut self, deadline: Option<std::time::Instant>) {
        let Some(deadline) = deadline else { return };
        let all_sent = async {
            self.flush();
            while !self.sending.is_empty() {
                let sent = next_sent(&mut self.sending).await;
                self.sent(sent);
                self.flush();
            }
        };
        if tokio::time::timeout_at(deadline.into(), all_sent).await.is_err() {
            self.shared
                .log
                .write(LogLevel::Warn, format_args!("closing took too long: the last events may be lost"));
        }
        self.waiting.drain(..).for_each(|done| done.set(false));
    }
}

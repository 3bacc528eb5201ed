//! Decides when to send: at intervals, when told to, and when the client closes.

use std::collections::BTreeSet;
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
        started: 0,
        running: BTreeSet::new(),
        waiting: Vec::new(),
        refused_until: None,
        probe: None,
    };
    if !config.diagnostic_opt_out {
        processor.report(serde_json::to_vec(&events.diagnostics.init(config, &shared.log)));
    }
    // Programs that start together do not flush together.
    let mut flush = every(config.flush_interval, jittered(config.flush_interval));
    let mut forget_contexts = every(config.context_keys_flush_interval, config.context_keys_flush_interval);
    let mut report = every(config.diagnostic_interval, config.diagnostic_interval);
    let closing = loop {
        tokio::select! {
            _ = flush.tick() => { processor.flush(); }
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
    number: u64,
    payload: Payload,
    /// How many events the service does not have.
    lost: u64,
    outcome: Outcome,
}

async fn next_sent(sending: &mut JoinSet<Sent>) -> Option<Sent> {
    match sending.join_next().await {
        Some(sent) => sent.ok(),
        None => pending().await,
    }
}

/// Somebody who waits until what waited when they asked is sent.
struct Waiting {
    done: Done,
    /// The last delivery that it may be part of; none if there was no sender free for it yet.
    until: Option<u64>,
}

struct Processor<'p> {
    shared: &'p Arc<Shared>,
    http: &'p Arc<Http>,
    events: &'p Events,
    sending: JoinSet<Sent>,
    /// How many deliveries were begun: each has a number, from 1.
    started: u64,
    /// The numbers of those that have not ended.
    running: BTreeSet<u64>,
    waiting: Vec<Waiting>,
    /// The service refuses this client; it is not asked before then.
    refused_until: Option<Instant>,
    /// The delivery that asks whether it still does. There is one at a time, however slow it is.
    probe: Option<u64>,
}

/// What became of what waited.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flush {
    /// It is on its way.
    Taken,
    /// All senders are busy: it waits on.
    Busy,
    /// The service refuses this client: it waits on.
    Refused,
}

impl Processor<'_> {
    /// Sends what waits.
    fn flush(&mut self) -> Flush {
        if self.refused_until.is_some_and(|until| Instant::now() < until) {
            return Flush::Refused;
        }
        if self.running.len() >= SENDERS || self.probe.is_some() {
            return Flush::Busy;
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
            return Flush::Taken;
        }
        self.events.diagnostics.sent(batch.len());
        let payload = Payload::Events(batch.len() as u64);
        let (shared, http, number) = (self.shared.clone(), self.http.clone(), self.begin());
        self.probe = self.refused_until.map(|_| number);
        self.sending.spawn(async move {
            let (outcome, lost) = deliver_events(&shared, &http, batch).await;
            Sent { number, payload, lost, outcome }
        });
        Flush::Taken
    }

    /// Sends what waits, and tells once it is sent.
    fn flush_then(&mut self, done: Option<Done>) {
        let flushed = self.flush();
        if let Some(done) = done {
            let until = (flushed != Flush::Busy).then_some(self.started);
            match flushed {
                Flush::Refused => done.set(false),
                Flush::Taken | Flush::Busy => self.waiting.push(Waiting { done, until }),
            }
        }
        self.tell();
    }

    fn sent(&mut self, sent: Option<Sent>) {
        let Some(Sent { number, payload, lost, outcome }) = sent else { return };
        self.running.remove(&number);
        self.probe.take_if(|probe| *probe == number);
        self.events.dropped.fetch_add(lost, Ordering::Relaxed);
        if let Payload::Events(_) = payload {
            match outcome {
                Outcome::Delivered { server_time_ms } => {
                    self.refused_until = None;
                    if let Some(time) = server_time_ms {
                        self.events.server_time_ms.store(time, Ordering::Relaxed);
                    }
                }
                Outcome::Lost => {}
                Outcome::Refused => {
                    let pause = PROBE_AFTER / self.shared.config.time_factor;
                    self.refused_until = Some(Instant::now() + pause);
                }
            }
        }
        // What had to wait for a sender goes now, if somebody waits for it.
        if self.waiting.iter().any(|waiting| waiting.until.is_none()) && self.flush() == Flush::Taken {
            let started = self.started;
            self.waiting.iter_mut().for_each(|waiting| {
                waiting.until.get_or_insert(started);
            });
        }
        self.tell();
    }

    /// Numbers a delivery.
    fn begin(&mut self) -> u64 {
        self.started += 1;
        self.running.insert(self.started);
        self.started
    }

    /// Tells whoever waited for deliveries that have all ended.
    fn tell(&mut self) {
        let first_running = self.running.first().copied();
        let ended = |until: u64| first_running.is_none_or(|first| first > until);
        for waiting in self.waiting.extract_if(.., |waiting| waiting.until.is_some_and(ended)) {
            waiting.done.set(true);
        }
        // Nothing is under way and it still waits: the service refuses it.
        if first_running.is_none() {
            self.waiting.drain(..).for_each(|waiting| waiting.done.set(false));
        }
    }

    fn report_statistics(&mut self) {
        let dropped = self.events.dropped.swap(0, Ordering::Relaxed);
        let deduplicated = self.events.counters.take_deduplicated();
        self.report(serde_json::to_vec(&self.events.diagnostics.statistics(dropped, deduplicated)));
    }

    fn report(&mut self, json: serde_json::Result<Vec<u8>>) {
        let (shared, http, number) = (self.shared.clone(), self.http.clone(), self.begin());
        self.sending.spawn(async move {
            let outcome = deliver_written(&shared, &http, Payload::Diagnostic, json).await;
            Sent { number, payload: Payload::Diagnostic, lost: 0, outcome }
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
        self.waiting.drain(..).for_each(|waiting| waiting.done.set(false));
    }
}

/// Delivers events, as many at once as the configuration allows. How that ended, and how many are lost.
async fn deliver_events(shared: &Shared, http: &Http, mut batch: Vec<Event>) -> (Outcome, u64) {
    let most = shared.config.max_batch_size.unwrap_or(usize::MAX);
    let mut lost = 0;
    loop {
        let rest = batch.split_off(most.min(batch.len()));
        let events = batch.len() as u64;
        let json = serde_json::to_vec(&Batch { events: &batch, redaction: &shared.config.redaction });
        drop(batch);
        let outcome = deliver_written(shared, http, Payload::Events(events), json).await;
        if !matches!(outcome, Outcome::Delivered { .. }) {
            lost += events;
        }
        if outcome == Outcome::Refused {
            return (outcome, lost + rest.len() as u64);
        }
        if rest.is_empty() {
            return (outcome, lost);
        }
        batch = rest;
    }
}

async fn deliver_written(
    shared: &Shared,
    http: &Http,
    payload: Payload,
    json: serde_json::Result<Vec<u8>>,
) -> Outcome {
    match json {
        Ok(json) => deliver(shared, http, payload, json).await,
        Err(error) => {
            shared.log.write(LogLevel::Error, format_args!("could not write what is to be sent: {error}"));
            Outcome::Lost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_start_together_do_not_flush_together() {
        let firsts: Vec<Duration> = (0..1_000).map(|_| jittered(Duration::from_secs(10))).collect();
        let (first, last) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
        // A thousand draws leave no gap of a tenth but once in 10^45.
        assert!((5.0..5.5).contains(&first.as_secs_f64()), "{first:?}");
        assert!((9.5..=10.0).contains(&last.as_secs_f64()), "{last:?}");
    }
}

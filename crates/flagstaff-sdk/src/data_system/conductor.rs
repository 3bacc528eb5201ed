//! The order in which sources are asked, and what happens when one fails.
//!
//! ```text
//! initializers, in order:  data with a selector -> on to the synchronizers
//!                          anything else        -> the next initializer
//! synchronizers, from the first:
//!     60 s of INTERRUPTED, or 10 s without data -> the next, and after the last the first
//!     300 s of VALID, and it is not the first   -> the first
//!     a status that will not pass by itself     -> removed; none left: OFF
//! anywhere: the service asks for FDv1           -> the FDv1 fallback; there is none: OFF
//! ```

use std::sync::Arc;

use super::answer::Directive;
use super::held::{Advice, Held, Origin};
use super::options::{Conditions, DataSystem};
use super::own::{self, OwnSource};
use super::polling::{Poller, Refused};
use super::source::{Initializer, PollingSource, Synchronizer};
use super::streaming::Streamer;
use crate::data_source::{DataSourceError, DataSourceErrorKind, FileDataSource, poll_fdv1};
use crate::http::Http;
use crate::log::LogLevel;
use crate::shared::Shared;

/// Why a synchronizer ended.
pub(super) enum End {
    /// Its status will not pass by itself.
    Off(DataSourceError),
    /// The service asks for first-generation delivery.
    Fallback(Directive),
}

/// A synchronizer, and what it remembers from one time to the next.
enum Running {
    Streaming(Streamer),
    Polling(Poller),
    Own(OwnSource),
}

/// Receives flags for as long as the client lives, or until there is no source left.
pub(crate) async fn run(shared: Arc<Shared>, http: Arc<Http>, system: &DataSystem) {
    let conditions = system.conditions.compressed(shared.config.time_factor);
    let held = Held::new(shared, http, conditions.initializing);
    let mut synchronizers: Vec<Running> =
        system.synchronizers.iter().map(|source| Running::new(&held, source)).collect();
    let mut directive = initialize(&held, &system.initializers).await;
    if directive.is_none() && synchronizers.is_empty() {
        // What initializers brought stays as it is.
        return if held.has_data() { held.shared.received_everything() } else { off(&held.shared) };
    }
    loop {
        if directive.is_none() {
            directive = synchronize(&held, &mut synchronizers, &conditions).await;
        }
        let Some(asked) = directive.take() else { return off(&held.shared) };
        if !fall_back(&held, system.fdv1_fallback.as_ref(), asked).await {
            return off(&held.shared);
        }
    }
}

/// Asks each initializer, until one has data that is up to date.
async fn initialize(held: &Held, initializers: &[Initializer]) -> Option<Directive> {
    for source in initializers {
        let directive = match source {
            Initializer::Polling(source) => poll_once(held, source).await,
            Initializer::Files(files) => {
                read_once(held, files).await;
                None
            }
            Initializer::Own(source) => own::ask_once(held, source).await,
        };
        if directive.is_some() {
            return directive;
        }
        if held.selector().is_some() {
            return None;
        }
    }
    None
}

async fn poll_once(held: &Held, source: &PollingSource) -> Option<Directive> {
    let log = &held.shared.log;
    let url = source.url(&held.shared.config, None);
    log.write(LogLevel::Info, format_args!("asking {url} for the first flags"));
    match Poller::new(held, source.clone()).poll(held, Origin::Initializer).await {
        Ok(polled) => polled.directive,
        Err(Refused { failure, directive }) => {
            let message = &failure.error.message;
            log.write(LogLevel::Warn, format_args!("asking for the first flags failed: {message}"));
            held.failed(failure.error, false);
            directive
        }
    }
}

async fn read_once(held: &Held, files: &Arc<FileDataSource>) {
    let files = files.clone();
    // A file may be far away.
    let read = tokio::task::spawn_blocking(move || files.read_once()).await;
    match read.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(data) => held.take_file_data(data),
        Err(message) => {
            let log = &held.shared.log;
            log.write(LogLevel::Warn, format_args!("the first flags were not read from files: {message}"));
            held.failed(DataSourceError::new(DataSourceErrorKind::InvalidData, message), false);
        }
    }
}

/// Runs one synchronizer at a time, until the service asks for first-generation delivery; none if no
/// synchronizer is left.
async fn synchronize(held: &Held, running: &mut Vec<Running>, conditions: &Conditions) -> Option<Directive> {
    let shared = &held.shared;
    let mut current = 0;
    loop {
        let count = running.len();
        let synchronizer = running.get_mut(current)?;
        held.begins();
        let end = tokio::select! {
            end = synchronizer.run(held, count == 1) => Ok(end),
            advice = advised(held, conditions, current == 0, count) => Err(advice),
        };
        match end {
            Ok(End::Fallback(directive)) => return Some(directive),
            Ok(End::Off(error)) => {
                let message = &error.message;
                shared.log.write(LogLevel::Error, format_args!("a source of flags is given up: {message}"));
                held.failed(error, false);
                drop(running.remove(current));
                // The next has moved up; after the last comes the first.
                current = if current < running.len() { current } else { 0 };
            }
            Err(Advice::First) => {
                shared.log.write(LogLevel::Info, format_args!("going back to the first source of flags"));
                current = 0;
            }
            Err(_) => {
                shared.log.write(LogLevel::Warn, format_args!("going on with the next source of flags"));
                current = (current + 1) % count;
            }
        }
    }
}

/// Comes to pass when the source of the moment is to be left for another.
async fn advised(held: &Held, conditions: &Conditions, is_first: bool, count: usize) -> Advice {
    if count == 1 {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(conditions.checked_every).await;
        match held.advice(conditions, is_first) {
            Advice::Stay => {}
            other => return other,
        }
    }
}

/// First-generation delivery for as long as the service asked for it; false if there is none.
async fn fall_back(held: &Held, source: Option<&PollingSource>, directive: Directive) -> bool {
    let shared = &held.shared;
    let Some(source) = source else {
        let message = "the service asks for first-generation delivery, and no FDv1 fallback is configured";
        shared.log.write(LogLevel::Error, format_args!("{message}"));
        shared.status.failed(DataSourceError::new(DataSourceErrorKind::Unknown, message.to_owned()), false);
        return false;
    };
    shared.log.write(
        LogLevel::Warn,
        format_args!("the service asks for first-generation delivery: falling back to it"),
    );
    // What it brings has no selector.
    held.forget_selector();
    let (url, interval) = (source.fdv1_url(&shared.config), source.interval_by(&shared.config));
    let http = held.http_by(source.network.as_ref());
    let polling = poll_fdv1(shared, &http, &url, interval);
    match directive.time {
        None => polling.await,
        Some(time) => {
            // It never ends by itself.
            let _ = tokio::time::timeout(time, polling).await;
            shared.log.write(LogLevel::Info, format_args!("going back to second-generation delivery"));
        }
    }
    true
}

/// There is no source left.
fn off(shared: &Shared) {
    shared
        .log
        .write(LogLevel::Error, format_args!("no source of flags is left: they will not change any more"));
    shared.status.off();
}

impl Running {
    fn new(held: &Held, source: &Synchronizer) -> Self {
        match source {
            Synchronizer::Streaming(source) => Running::Streaming(Streamer::new(held, source.clone())),
            Synchronizer::Polling(source) => Running::Polling(Poller::new(held, source.clone())),
            Synchronizer::Own(source) => Running::Own(source.clone()),
        }
    }

    async fn run(&mut self, held: &Held, alone: bool) -> End {
        match self {
            Running::Streaming(streamer) => streamer.run(held, alone).await,
            Running::Polling(poller) => poller.run(held, alone).await,
            Running::Own(source) => own::run(held, source).await,
        }
    }
}

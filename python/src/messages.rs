//! The client's log lines in the words that Python programs know, and look for.
//!
//! Source: the messages of the original package. What has no familiar form is passed on as it is.

use std::borrow::Cow;

use flagstaff_sdk::LogLevel;

/// What is in a line that says that the service refuses the client's stream, its polls or its events.
pub(crate) const GIVING_UP: &str = "giving up permanently";
/// What stands before the status of an answer.
const ANSWERED: &str = "the service answered ";
/// How lines about what a flag lacks begin. They are the evaluator's.
const MISSING_PREREQUISITE: &str = "Missing prereq flag: ";

/// The name of the logger for a line.
pub(crate) fn logger_of(line: &str) -> Logger {
    if line.starts_with(MISSING_PREREQUISITE) { Logger::Evaluator } else { Logger::Client }
}

/// Who says it.
#[derive(Clone, Copy)]
pub(crate) enum Logger {
    Client,
    Evaluator,
}

/// A line as it is logged; none if the Python side says the same at another place.
pub(crate) fn familiar(level: LogLevel, line: &str, streaming: bool) -> Option<Cow<'_, str>> {
    let processor = if streaming { "StreamingUpdateProcessor" } else { "PollingUpdateProcessor" };
    if line.starts_with("flags were asked for before any have come")
        || line.starts_with("the client is offline")
    {
        return None;
    }
    if let Some(url) = line.strip_prefix("opening the stream ") {
        return Some(format!("Starting {processor} connecting to uri: {url}").into());
    }
    if let Some((_, interval)) = line.strip_prefix("polling ").and_then(|rest| rest.split_once(" every ")) {
        let seconds = interval.trim_end_matches('s');
        return Some(format!("Starting {processor} with request interval: {seconds}").into());
    }
    if line == "the first flags have come" {
        return Some(format!("{processor} initialized ok{}", if streaming { "." } else { "" }).into());
    }
    if line.starts_with("more than ") && line.contains(" events wait to be sent") {
        return Some("Exceeded event queue capacity. Increase capacity to avoid dropping events.".into());
    }
    let said = connection_failure(level, line)
        .or_else(|| about_a_flag(line))
        .or_else(|| about_events(line))
        .or_else(|| about_a_poll(line));
    Some(said.map_or(Cow::Borrowed(line), Cow::Owned))
}

fn about_a_flag(line: &str) -> Option<String> {
    let (key, rest) = line.strip_prefix("flag `")?.split_once('`')?;
    if rest.starts_with(" contradicts itself") {
        return Some(format!(
            "Could not evaluate flag \"{key}\": it contradicts itself. Look for a variation that it does not have, a \
             rollout without variations, and prerequisites or segments that lead back to themselves"
        ));
    }
    let (prerequisite, _) = rest.strip_prefix(" has the prerequisite `")?.split_once("`, but there is no")?;
    Some(format!("{MISSING_PREREQUISITE}{prerequisite}"))
}

fn about_events(line: &str) -> Option<String> {
    if let Some((what, json)) = line.strip_prefix("sending ").and_then(|rest| rest.split_once(": ")) {
        return what.contains(" event").then(|| format!("Sending events payload: {json}"));
    }
    let (count, rest) = line.strip_prefix("could not send ")?.split_once(" event")?;
    let (next, problem) = rest.trim_start_matches('s').split_once(": ")?;
    let outcome = match next {
        ", will try once more" => "will retry",
        ", they are lost" => "some events were dropped",
        _ => GIVING_UP,
    };
    let problem = match problem.strip_prefix(ANSWERED) {
        Some(status) => format!("HTTP error {}", status_said(status)),
        None => problem.to_owned(),
    };
    Some(format!("Error posting {count} events ({outcome}): {problem}"))
}

fn about_a_poll(line: &str) -> Option<String> {
    let (url, rest) = line.strip_prefix("polled ")?.split_once(": ")?;
    let (status, etag) = rest.split_once(", ETag ")?;
    let from_cache = if status == "304" { "True" } else { "False" };
    Some(format!("{url} response status:[{status}] From cache? [{from_cache}] ETag:[{etag}]"))
}

fn connection_failure(level: LogLevel, line: &str) -> Option<String> {
    let (what, rest) = line.split_once(" failed and is tried again in ")?;
    let (_, problem) = rest.split_once(": ")?;
    let request = match what {
        "the stream" => "stream connection",
        "polling" => "polling request",
        _ => return None,
    };
    let Some(status) = problem.strip_prefix(ANSWERED) else {
        return Some(format!("Unexpected error on {request}: {problem}, will retry"));
    };
    let status = status_said(status);
    let outcome = if level == LogLevel::Error { GIVING_UP } else { "will retry" };
    Some(format!("Received HTTP error {status} for {request} - {outcome}"))
}

/// The status of an answer, and what is wrong if it is the SDK key.
fn status_said(status: &str) -> Cow<'_, str> {
    match status.split(' ').next() {
        Some(refused @ ("401" | "403")) => format!("{refused} (invalid SDK key)").into(),
        _ => status.into(),
    }
}

//! The client's log lines in the words that Python programs know, and look for.
//!
//! Source: the messages of the original package. What has no familiar form is passed on as it is.

use std::borrow::Cow;

use flagstaff_sdk::LogLevel;

/// How a line ends that says that the service refuses the client.
pub(crate) const GIVING_UP: &str = " - giving up permanently";

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
    Some(connection_failure(level, line).map_or(Cow::Borrowed(line), Cow::Owned))
}

fn connection_failure(level: LogLevel, line: &str) -> Option<String> {
    let (what, rest) = line.split_once(" failed and is tried again in ")?;
    let (_, problem) = rest.split_once(": ")?;
    let request = match what {
        "the stream" => "stream connection",
        "polling" => "polling request",
        _ => return None,
    };
    let Some(status) = problem.strip_prefix("the service answered ") else {
        return Some(format!("Unexpected error on {request}: {problem}, will retry"));
    };
    let status = match status.split_once(' ') {
        Some((status, _)) => format!("{status} (invalid SDK key)"),
        None => status.to_owned(),
    };
    let outcome = if level == LogLevel::Error { GIVING_UP } else { " - will retry" };
    Some(format!("Received HTTP error {status} for {request}{outcome}"))
}

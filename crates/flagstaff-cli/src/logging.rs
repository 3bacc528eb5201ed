//! Logs, to stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::Failure;
use crate::options::{LogFormat, Logging};

/// Begins to log.
pub(crate) fn start(logging: &Logging) -> Result<(), Failure> {
    let Logging { filter, format } = logging;
    let filter =
        EnvFilter::try_new(filter).map_err(|error| format!("`{filter}` is not a log filter: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(true).init()
        }
    }
    Ok(())
}

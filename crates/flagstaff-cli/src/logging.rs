//! Logs, to stderr.
//!
//! A line that cannot be written, as on a disk that is full or when whoever read has gone, is lost: the service goes
//! on. The library's own way would be to complain about it on stderr, and to panic when that fails, too.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::Failure;
use crate::options::{LogFormat, Logging};

/// Begins to log.
pub(crate) fn start(logging: &Logging) -> Result<(), Failure> {
    let Logging { filter, format } = logging;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(read(filter)?)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(true).init()
        }
    }
    Ok(())
}

/// The filter. A lone word that is no level would be the name of a module to the library, with which nothing else is
/// logged: most likely it is a misspelt level.
fn read(filter: &str) -> Result<EnvFilter, Failure> {
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let is_of_module =
        |part: &str| part.contains(['=', '[']) || part.contains("::") || part.starts_with("flagstaff");
    if let Some(word) = filter.split(',').map(str::trim).find(|part| !is_level(part) && !is_of_module(part)) {
        return Err(format!(
            "`{word}` is not a level of the log; give error, warn, info, debug or trace, or one for a module, like \
             info,flagstaff_service=debug"
        ));
    }
    EnvFilter::try_new(filter).map_err(|error| format!("`{filter}` is not a log filter: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused_and_does_not_silence_the_log() {
        for filter in [
            "info",
            "WARN",
            "off",
            "info,flagstaff_service=debug",
            "flagstaff_service::request=debug",
            "flagstaff",
        ] {
            assert!(read(filter).is_ok(), "{filter}");
        }
        for filter in ["infoo", "verbose", "info,bug", "", "info,"] {
            let refused = read(filter).expect_err(filter);
            assert!(refused.contains("is not a level of the log; give error, warn"), "{refused}");
        }
        assert!(read("a=b=c").is_err_and(|refused| refused.contains("is not a log filter")));
    }
}

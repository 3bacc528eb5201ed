//! Options of what is logged.

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::File;

const LOG: &str = "info";

/// Options of what is logged.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// What is logged, to stderr: error, warn, info, debug, or by module [default: info]
    #[arg(long, visible_alias = "log-level", env = "FLAGSTAFF_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How: as text for people, or one JSON object to a line [default: text]
    #[arg(long, env = "FLAGSTAFF_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one object to a line
    Json,
}

/// What is logged, and how.
#[derive(Debug)]
pub(crate) struct Logging {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

impl Logs {
    /// Takes what is set by another name, where nothing is said by ours.
    pub(super) fn or_else(&mut self, log: Option<&str>) {
        if self.log.is_none() {
            self.log = log.map(str::to_owned);
        }
    }

    /// What is said, or else what the file says.
    pub(crate) fn resolve(self, file: &File) -> Logging {
        Logging {
            filter: self.log.or(file.log.clone()).unwrap_or_else(|| LOG.to_owned()),
            format: self.log_format.or(file.log_format).unwrap_or_default(),
        }
    }
}

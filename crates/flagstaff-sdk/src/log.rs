//! Where log lines go: to `tracing`, or to a sink of the program's own.
//!
//! No line is written under a lock of the client's, so a sink may call the client.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashSet;

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For whoever looks for a fault.
    Debug,
    /// What happens when all is well.
    Info,
    /// The client goes on, but something is not as it should be.
    Warn,
    /// Something will not work until somebody looks at it.
    Error,
}

/// Takes log lines elsewhere than to `tracing`: see [`Config::log_to`](crate::Config::log_to).
/// Implement it freely.
pub trait LogSink: Send + Sync {
    /// Whether lines of this level are wanted; others are not even put together.
    fn enabled(&self, level: LogLevel) -> bool;

    /// Takes a line. Called from the program's threads and from the client's own; must not wait. A panic
    /// loses the line.
    fn log(&self, level: LogLevel, line: &str);
}

/// How many situations are remembered as told of.
const MOST_SITUATIONS: usize = 1_000;

/// The client's log.
#[derive(Clone, Default)]
pub(crate) struct Log {
    sink: Option<Arc<dyn LogSink>>,
    told: Arc<Mutex<HashSet<String>>>,
}

impl Log {
    pub(crate) fn new(sink: Option<Arc<dyn LogSink>>) -> Self {
        Self { sink, told: Arc::default() }
    }

    pub(crate) fn write(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        match &self.sink {
            // A sink that panics has nowhere to say so, and must not take a thread of the client's with it.
            Some(sink) => drop(catch_unwind(AssertUnwindSafe(|| {
                if sink.enabled(level) {
                    sink.log(level, &line.to_string());
                }
            }))),
            None => match level {
                LogLevel::Debug => tracing::debug!(target: "flagstaff_sdk", "{line}"),
                LogLevel::Info => tracing::info!(target: "flagstaff_sdk", "{line}"),
                LogLevel::Warn => tracing::warn!(target: "flagstaff_sdk", "{line}"),
                LogLevel::Error => tracing::error!(target: "flagstaff_sdk", "{line}"),
            },
        }
    }

    /// Writes a line that is the same each time the situation comes up, the first time only: a
    /// flag that is asked for a thousand times a second must not flood the log.
    pub(crate) fn once(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        let text = line.to_string();
        {
            let _unforked = crate::fork::guard();
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() >= MOST_SITUATIONS || !told.insert(text.clone()) {
                return;
            }
        }
        self.write(level, format_args!("{text}"));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_line_that_nobody_wants_is_not_put_together() {
        struct Counts<'c>(&'c Cell<u32>);
        impl fmt::Display for Counts<'_> {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.set(self.0.get() + 1);
                Ok(())
            }
        }
        struct Quiet;
        impl LogSink for Quiet {
            fn enabled(&self, level: LogLevel) -> bool {
                level > LogLevel::Debug
            }
            fn log(&self, _: LogLevel, _: &str) {}
        }
        let log = Log::new(Some(Arc::new(Quiet)));
        let counted = Cell::new(0);
        log.write(LogLevel::Debug, format_args!("{}", Counts(&counted)));
        assert_eq!(counted.get(), 0);
        log.write(LogLevel::Info, format_args!("{}", Counts(&counted)));
        assert_eq!(counted.get(), 1);
    }

    #[test]
    fn a_sink_that_panics_takes_nobody_with_it() {
        struct Panics;
        impl LogSink for Panics {
            fn enabled(&self, level: LogLevel) -> bool {
                assert_ne!(level, LogLevel::Debug, "on purpose");
                true
            }
            fn log(&self, _: LogLevel, line: &str) {
                panic!("on purpose: {line}");
            }
        }
        let log = Log::new(Some(Arc::new(Panics)));
        log.write(LogLevel::Debug, format_args!("a line"));
        log.once(LogLevel::Error, format_args!("a line"));
    }
}

//! Python's `logging`, as seen from here.
//!
//! The client's own thread must never wait for the interpreter: whoever forks holds the interpreter
//! and waits for that thread. So its lines go into a queue, and two kinds of thread that may wait
//! carry them on: Python's own, on their way out of a call, and one that does nothing else.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flagstaff_sdk::{LogLevel, LogSink};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::interrupts;
use crate::messages::{GIVING_UP, Logger, familiar, logger_of};
use crate::per_process::{Own, PerProcess};
use crate::visits;

/// More lines than this are not kept for an interpreter that is busy elsewhere.
const CAPACITY: usize = 1_000;
/// How long the end of the program waits for the thread that carries lines.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// `logging.DEBUG`.
const DEBUG: u32 = 10;
/// How lines about events begin.
const ABOUT_EVENTS: &str = "Error posting";

/// Whether there are lines that no thread has carried on yet.
static PENDING: AtomicBool = AtomicBool::new(false);
/// Whether debug lines were wanted when the logger was last asked.
static DEBUG_WANTED: AtomicBool = AtomicBool::new(false);
/// `ldclient.util`, and `ldclient.flag`.
static LOGGERS: [PyOnceLock<Py<PyAny>>; 2] = [PyOnceLock::new(), PyOnceLock::new()];

/// Logs on `ldclient.util`, by the method named like the level: users put their own in its place.
/// A logger that fails is none of the caller's business.
pub(crate) fn log(py: Python<'_>, level: LogLevel, message: &str) {
    log_on(py, Logger::Client, level, message);
}

fn log_on(py: Python<'_>, which: Logger, level: LogLevel, message: &str) {
    let Some(_counted) = visits::enter() else { return };
    let method = match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warning",
        LogLevel::Error => "error",
    };
    let written = logger(py, which).and_then(|logger| logger.call_method1(method, (message,)));
    if let Err(error) = written
        && let Some(ordinary) = interrupts::put_by(py, error)
    {
        ordinary.write_unraisable(py, None);
    }
}

/// Says once per type that attributes of it are used as text.
pub(crate) fn warn_of_other_type(py: Python<'_>, type_name: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let new = SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(type_name.to_owned());
    if new {
        let message =
            format!("Attributes of type {type_name} have no JSON form; their str() is used instead");
        log(py, LogLevel::Warn, &message);
    }
}

/// Asks the logger whether debug lines are wanted. Lines of other levels are few, and left to it.
pub(crate) fn refresh_level(py: Python<'_>) {
    let Some(_counted) = visits::enter() else { return };
    let ask = |logger: &Bound<'_, PyAny>| logger.call_method1("isEnabledFor", (DEBUG,))?.is_truthy();
    match logger(py, Logger::Client).and_then(ask) {
        Ok(wanted) => DEBUG_WANTED.store(wanted, Ordering::Relaxed),
        Err(error) => {
            interrupts::put_by(py, error);
        }
    }
}

fn logger(py: Python<'_>, which: Logger) -> PyResult<&Bound<'_, PyAny>> {
    let (place, name) = match which {
        Logger::Client => (&LOGGERS[0], "ldclient.util"),
        Logger::Evaluator => (&LOGGERS[1], "ldclient.flag"),
    };
    let find = || Ok(py.import("logging")?.call_method1("getLogger", (name,))?.unbind());
    place.get_or_try_init(py, find).map(|logger| logger.bind(py))
}

/// Where a client's lines go.
pub(crate) struct Bridge {
    /// Whether the client streams; if not, it polls.
    streaming: bool,
    /// Whether it was said that the service refuses flags, and events.
    refused: [AtomicBool; 2],
}

impl Bridge {
    pub(crate) fn new(streaming: bool) -> Self {
        Self { streaming, refused: [const { AtomicBool::new(false) }; 2] }
    }
}

impl LogSink for Bridge {
    fn enabled(&self, level: LogLevel) -> bool {
        if level > LogLevel::Debug || DEBUG_WANTED.load(Ordering::Relaxed) {
            return true;
        }
        // The next call of the program's asks again: the level may have been changed.
        PENDING.store(true, Ordering::Relaxed);
        false
    }

    fn log(&self, level: LogLevel, line: &str) {
        let Some(line) = familiar(level, line, self.streaming) else { return };
        // The client does go on trying, at long intervals, but that is nothing to repeat itself about.
        let refusal = level == LogLevel::Error && line.contains(GIVING_UP);
        let refused = &self.refused[usize::from(line.starts_with(ABOUT_EVENTS))];
        if !(refusal && refused.swap(true, Ordering::Relaxed)) {
            Carrier::push(&CARRIER.get(), level, &line);
        }
    }
}

/// The end of a call: carries on what is waiting, as this thread has the interpreter anyway, and
/// raises what was put by.
#[inline]
pub(crate) fn finish(py: Python<'_>) -> PyResult<()> {
    if PENDING.load(Ordering::Relaxed) {
        CARRIER.get().carry(py);
    }
    interrupts::raise()
}

/// Ends the thread that carries lines, before the interpreter ends. What comes later is not logged.
pub(crate) fn stop(py: Python<'_>) {
    let carrier = CARRIER.get();
    py.detach(|| carrier.stop());
    carrier.carry(py);
}

static CARRIER: PerProcess<Carrier> = PerProcess::new();

/// The queue, and the thread that carries it.
#[derive(Default)]
struct Carrier {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<(LogLevel, String)>,
    lost: usize,
    running: bool,
    stopping: bool,
}

impl Carrier {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(this: &Arc<Own<Self>>, level: LogLevel, line: &str) {
        let mut state = this.state();
        if state.stopping {
            return;
        }
        if state.lines.len() == CAPACITY {
            state.lost += 1;
            return;
        }
        state.lines.push_back((level, line.to_owned()));
        PENDING.store(true, Ordering::Relaxed);
        if !state.running {
            let thread = std::thread::Builder::new().name("ldclient.log".to_owned());
            let carrier = Arc::clone(this);
            // Without a thread the lines wait for the next call of the program's.
            state.running = thread.spawn(move || carrier.run()).is_ok();
        }
        drop(state);
        this.changed.notify_all();
    }

    fn run(&self) {
        loop {
            let mut state = self.state();
            while state.lines.is_empty() && !state.stopping {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let stopping = state.stopping;
            drop(state);
            // None if the interpreter is ending, which is when nobody wants to hear anything.
            if stopping || Python::try_attach(|py| self.carry(py)).is_none() {
                break;
            }
            // A handler that wants the program to exit cannot have it from this thread, as from any but
            // the main one.
            drop(interrupts::raise());
        }
        self.state().running = false;
        self.changed.notify_all();
    }

    fn carry(&self, py: Python<'_>) {
        let (lines, lost) = {
            let mut state = self.state();
            PENDING.store(false, Ordering::Relaxed);
            (std::mem::take(&mut state.lines), std::mem::take(&mut state.lost))
        };
        for (level, line) in lines {
            log_on(py, logger_of(&line), level, &line);
        }
        if lost > 0 {
            log(py, LogLevel::Warn, &format!("{lost} log lines were lost because too many came at once"));
        }
        refresh_level(py);
    }

    fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        self.changed.notify_all();
        let ended = self.changed.wait_timeout_while(state, STOP_TIMEOUT, |state| state.running);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }
}

//! Code of the program's that the client calls: on a thread of its own, and never trusted.
//!
//! Listeners are told here of what has changed. They run one after the other, under no lock, and may
//! call the client. Whatever they do, neither the client's own thread nor a caller waits for them.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

use crate::fork;
use crate::log::{Log, LogLevel};

type Call = Box<dyn FnOnce() + Send>;

/// A thread that is started for the first call, and ends when this is dropped or stopped.
pub(crate) struct Callbacks {
    log: Log,
    /// None before the first call and after the end.
    thread: Mutex<Option<Sender<Call>>>,
}

impl Callbacks {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, thread: Mutex::default() }
    }

    /// Has this called soon, after whatever was to be called before. `what` is whose code it is, for
    /// the log: "a flag change listener".
    pub(crate) fn call(&self, what: &'static str, call: impl FnOnce() + Send + 'static) {
        let log = self.log.clone();
        let call: Call = Box::new(move || {
            contained(&log, what, call);
        });
        let begun = {
            let _unforked = fork::guard();
            let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            match &*thread {
                Some(calls) => Ok(calls.clone()),
                None => start().inspect(|calls| *thread = Some(calls.clone())),
            }
        };
        match begun {
            // The thread ends with the last sender, and no sooner.
            Ok(calls) => drop(calls.send(call)),
            // Under no lock: it is the program's code that is told.
            Err(error) => self.log.once(
                LogLevel::Error,
                format_args!("no thread could be started for listeners, they are not called: {error}"),
            ),
        }
    }

    /// Ends the thread once it has made the calls that wait; later calls start another.
    pub(crate) fn stop(&self) {
        let _unforked = fork::guard();
        drop(self.thread.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// In a child process: the thread is the parent's. The caller holds a fork guard.
    pub(crate) fn leave_parent(&self) {
        // What waits there is the parent's to call.
        std::mem::forget(self.thread.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn start() -> io::Result<Sender<Call>> {
    let (sender, calls) = channel::<Call>();
    std::thread::Builder::new().name("flagstaff-callbacks".to_owned()).spawn(move || {
        while let Ok(call) = calls.recv() {
            call();
        }
    })?;
    Ok(sender)
}

/// Runs code of the program's; none if it panicked, which is logged.
pub(crate) fn contained<R>(log: &Log, what: &str, call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(panic) => {
            log.write(LogLevel::Error, format_args!("{what} panicked: {}", said(&*panic)));
            None
        }
    }
}

/// What a panic says.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_that_panics_does_not_keep_the_next_from_being_made() {
        let callbacks = Callbacks::new(Log::new(None));
        let (sender, made) = channel();
        callbacks.call("a test", || panic!("on purpose"));
        let again = sender.clone();
        callbacks.call("a test", move || sender.send(1).unwrap());
        callbacks.stop();
        callbacks.call("a test", move || again.send(2).unwrap());
        let mut got = [(); 2].map(|()| made.recv_timeout(Duration::from_secs(10)).unwrap());
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    }
}

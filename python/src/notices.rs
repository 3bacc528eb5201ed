//! Telling Python code when something has come, without a thread that waits for it: what event loops need.
//!
//! What there is to tell comes up on the client's own thread, which must never wait for the interpreter
//! (see `logging`). So one thread that does nothing else takes it from there.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use flagstaff_sdk::{LogLevel, Ready};
use pyo3::prelude::*;

use crate::per_process::PerProcess;
use crate::{interrupts, logging, visits};

type Notice = Box<dyn FnOnce() + Send>;

/// Whoever waits for the first flags: told once, whether there are any.
#[pyclass(module = "ldclient._native", frozen)]
pub(crate) struct WaitingForFlags(Arc<Wanted>);

#[pymethods]
impl WaitingForFlags {
    /// Nobody is told any more, and nothing is kept.
    fn cancel(&self) {
        // In a child made by `fork` nobody is told anyway, and the lock may be held for ever.
        if self.0.process == std::process::id() {
            self.0.take();
        }
    }
}

/// The wait, and who is told; none once it is over.
struct Wanted {
    /// Where somebody waits.
    process: u32,
    wait: Mutex<Option<(Ready, Py<PyAny>)>>,
}

/// Has `tell` called, on a thread of ours, once `ready` is known.
pub(crate) fn once_known(ready: Ready, tell: Py<PyAny>) -> WaitingForFlags {
    let wait = Mutex::new(Some((ready, tell)));
    let wanted = Arc::new(Wanted { process: std::process::id(), wait });
    wanted.clone().wake();
    WaitingForFlags(wanted)
}

/// Has `tell` called with an answer, on a thread of ours.
pub(crate) fn soon(tell: Py<PyAny>, answer: bool) {
    TELLER.get().push(Box::new(move || call(&tell, answer)));
}

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, Option<(Ready, Py<PyAny>)>> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it holds is let go by the caller, outside the lock.
    fn take(&self) -> Option<(Ready, Py<PyAny>)> {
        self.lock().take()
    }

    fn look(self: &Arc<Self>) {
        let waker = Waker::from(self.clone());
        let answer = {
            let mut wanted = self.lock();
            let Some((ready, _)) = &mut *wanted else { return };
            Pin::new(ready).poll(&mut Context::from_waker(&waker))
        };
        if let Poll::Ready(answer) = answer
            && let Some((_, tell)) = self.take()
        {
            call(&tell, answer);
        }
    }
}

/// Called by the client's own thread.
impl Wake for Wanted {
    fn wake(self: Arc<Self>) {
        TELLER.get().push(Box::new(move || self.look()));
    }
}

/// Nobody is told anything while the interpreter is ending.
fn call(tell: &Py<PyAny>, answer: bool) {
    visits::visit(|py| {
        if let Err(error) = tell.call1(py, (answer,))
            && let Some(ordinary) = interrupts::put_by(py, error)
        {
            let message = format!("Unexpected error while telling of the client's progress: {ordinary}");
            logging::log(py, LogLevel::Error, &message);
        }
    });
}

static TELLER: PerProcess<Teller> = PerProcess::new();

/// The thread that tells, and the way to it.
#[derive(Default)]
struct Teller {
    /// None before the first notice.
    notices: Mutex<Option<Sender<Notice>>>,
}

impl Teller {
    fn push(&self, notice: Notice) {
        let notices = {
            let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
            if notices.is_none() {
                // Without a thread the next notice tries again; whoever waits has a time-out of their own.
                *notices = start();
            }
            notices.clone()
        };
        if let Some(notices) = notices {
            // The thread ends with the process, and no sooner.
            drop(notices.send(notice));
        }
    }
}

fn start() -> Option<Sender<Notice>> {
    let (notices, received) = channel::<Notice>();
    let thread = std::thread::Builder::new().name("ldclient.notices".to_owned());
    thread.spawn(move || received.into_iter().for_each(|notice| notice())).ok().map(|_| notices)
}

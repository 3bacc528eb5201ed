//! What every command does that serves until it is told to stop.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Failure, notify};

/// Whoever stops a service may kill it after a few seconds: it ends by itself before.
const LONGEST_STOP: Duration = Duration::from_millis(4_800);

/// Runs `serve` on threads of its own, with as many files and connections as the system allows.
pub(crate) fn run(serve: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("could not start: {error}"))?;
    let served = runtime.block_on(serve);
    // What is still computed for nobody is not waited for.
    runtime.shutdown_background();
    served
}

/// The signals that ask to stop: SIGTERM and Ctrl-C.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on: one that comes during the start is not missed.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| format!("could not listen for signals: {error}"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits until the process is asked to stop, then has `stop` do it in order. A second signal stops at once.
    pub(crate) async fn then<F: Future<Output = ()>>(
        mut self,
        stop: impl FnOnce() -> F,
    ) -> Result<(), Failure> {
        self.next().await;
        tracing::info!("stopping; once more stops at once");
        notify::tell(notify::STOPPING);
        tokio::select! {
            stopped = tokio::time::timeout(LONGEST_STOP, stop()) => match stopped {
                Ok(()) => tracing::info!("stopped"),
                // What was acknowledged is on disk; what is not counted yet is counted after the next start.
                Err(_) => tracing::warn!("stopped before everything was tidied up; nothing is lost"),
            },
            () = self.next() => {
                return Err("stopped at once, before every request in flight was answered".to_owned());
            }
        }
        Ok(())
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Each connected SDK takes a file handle; the usual soft limit of 1,024 would end at that many.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::info!("up to {limit} files and connections at once"),
        Err(error) => tracing::warn!(%error, "could not raise the limit of open files"),
    }
}

//! What every command does that serves until it is told to stop.

use std::future::Future;
use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Failure, notify};

/// Whoever stops a service may kill it after a few seconds: it ends by itself before.
const LONGEST_STOP: Duration = Duration::from_millis(4_800);

/// A limit of open files below this is most likely a mistake.
const FEW_FILES: u64 = 1024;

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

/// The signals that are listened to: SIGTERM and Ctrl-C ask to stop, SIGHUP to look at the certificate again. Where
/// somebody sits at a terminal SIGHUP says that they are gone, and asks to stop as well.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    is_at_terminal: bool,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

impl Signals {
    /// Listens from now on: one that comes during the start is not missed.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| format!("could not listen for signals: {error}"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            is_at_terminal: std::io::stdin().is_terminal() || std::io::stderr().is_terminal(),
        })
    }

    /// Does what a start does, which may wait for others for long; none if the process is asked to stop meanwhile.
    /// What was begun then is as after a kill: done, or as it was.
    pub(crate) async fn unless_stopped<T>(&mut self, start: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            started = start => Some(started),
            () = self.stop(|| {}) => {
                tracing::info!("stopped before the start was done");
                None
            }
        }
    }

    /// Waits until the process is asked to stop, then has `stop` do it in order. A second signal stops at once.
    /// Whenever the certificate is to be looked at, `reload` does.
    pub(crate) async fn then<F: Future<Output = ()>>(
        mut self,
        reload: impl Fn(),
        stop: impl FnOnce() -> F,
    ) -> Result<(), Failure> {
        self.stop(reload).await;
        tracing::info!("stopping; once more stops at once");
        notify::tell(notify::STOPPING);
        tokio::select! {
            stopped = tokio::time::timeout(LONGEST_STOP, stop()) => match stopped {
                Ok(()) => tracing::info!("stopped"),
                // What was acknowledged is on disk; what is not counted yet is counted after the next start.
                Err(_) => tracing::warn!("stopped before everything was tidied up; nothing is lost"),
            },
            () = self.stop(|| {}) => {
                return Err("stopped at once, before every request in flight was answered".to_owned());
            }
        }
        Ok(())
    }

    /// Waits until the process is asked to stop.
    async fn stop(&mut self, reload: impl Fn()) {
        while self.next().await == Asked::Reload {
            reload();
        }
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => if self.is_at_terminal { Asked::Stop } else { Asked::Reload },
        }
    }
}

/// Each connected SDK takes a file handle; the usual soft limit of 1,024 would end at that many.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit < FEW_FILES => tracing::warn!(
            "only {limit} files and connections at once, and each connected SDK takes one; raise the hard limit of \
             open files (`ulimit -Hn`, or LimitNOFILE= of systemd)"
        ),
        Ok(limit) => tracing::info!("up to {limit} files and connections at once"),
        Err(error) => tracing::warn!(%error, "could not raise the limit of open files"),
    }
}

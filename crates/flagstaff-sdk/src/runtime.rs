//! The client's own thread: one, with a runtime of its own, whatever the program runs on.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::unbounded_channel;

use crate::big_segments::poll_until_closed;
use crate::config::ConfigError;
use crate::http::Http;
use crate::shared::Shared;
use crate::{data_source, events, fork};

/// What the client's thread is told.
pub(crate) enum Command {
    /// Send events now.
    Flush(Option<Done>),
    /// End: send the last events before the deadline, close all connections.
    Close {
        /// When to give up on the last events.
        deadline: Instant,
        /// Told once all is closed.
        done: Option<Done>,
    },
}

impl Command {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Command::Close { deadline, .. } => Some(*deadline),
            Command::Flush(_) => None,
        }
    }
}

/// The end that is told. If it goes away untold, that says no.
pub(crate) struct Done(Told);

enum Told {
    Waiting(SyncSender<bool>),
    Calling(Option<Box<dyn FnOnce(bool) + Send>>),
}

/// The end that waits.
pub(crate) struct Wait(Receiver<bool>);

impl Done {
    pub(crate) fn channel() -> (Done, Wait) {
        let (sender, receiver) = sync_channel(1);
        (Done(Told::Waiting(sender)), Wait(receiver))
    }

    /// Calls `then` instead of waking a thread that waits.
    pub(crate) fn calling(then: impl FnOnce(bool) + Send + 'static) -> Done {
        Done(Told::Calling(Some(Box::new(then))))
    }

    pub(crate) fn set(mut self, value: bool) {
        match &mut self.0 {
            // Whoever waited may have given up.
            Told::Waiting(sender) => drop(sender.try_send(value)),
            Told::Calling(then) => drop(then.take().map(|then| then(value))),
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Told::Calling(then) = self
            && let Some(then) = then.take()
        {
            then(false);
        }
    }
}

impl Wait {
    /// What was told, or no if nothing was in time.
    pub(crate) fn wait(self, timeout: Duration) -> bool {
        self.0.recv_timeout(timeout).unwrap_or(false)
    }
}

/// A runtime that may be dropped anywhere, also on a thread of another runtime.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn new() -> io::Result<Self> {
        Builder::new_current_thread().enable_all().build().map(|runtime| Self(Some(runtime)))
    }

    fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }

    fn block_on<F: Future>(&self, future: F) -> Option<F::Output> {
        self.0.as_ref().map(|runtime| runtime.block_on(future))
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // A look-up of a name may hang in a thread of its own: it is not waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts the client's thread in this process.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<(), ConfigError> {
    fork::close_inherited_connections();
    let instance_id = shared.instance_id().to_string();
    let http = Http::new(&shared.config, shared.roots.clone(), &instance_id)?;
    let (sender, mut commands) = unbounded_channel();
    let runtime = OwnRuntime::new().map_err(|source| ConfigError::Thread { source })?;
    let handle = runtime.handle();
    let for_thread = shared.clone();
    std::thread::Builder::new()
        .name("flagstaff-sdk".to_owned())
        .spawn(move || {
            let closing = runtime.block_on(async {
                let http = Arc::new(http);
                let big_segments =
                    for_thread.big_segments.clone().map(|manager| tokio::spawn(poll_until_closed(manager)));
                let source = tokio::spawn(data_source::run(for_thread.clone(), http.clone()));
                let closing = events::run(for_thread.clone(), http, &mut commands).await;
                source.abort();
                big_segments.inspect(|polling| polling.abort());
                // The connection is closed once its task is gone.
                let _ = source.await;
                closing
            });
            drop(runtime);
            let deadline = closing.as_ref().and_then(|command| command.as_ref()?.deadline());
            let deadline = deadline.unwrap_or_else(Instant::now);
            data_source::custom::stop(&for_thread, deadline);
            for_thread.last_stop.wait(deadline);
            if let Some(backing) = &for_thread.backing {
                backing.close(&for_thread, deadline);
            }
            if let Some(snapshot) = &for_thread.snapshot {
                snapshot.close(&for_thread);
            }
            // Whoever closed has the client's end: let go of it before saying so.
            drop(for_thread);
            if let Some(Some(Command::Close { done: Some(done), .. })) = closing {
                done.set(true);
            }
        })
        .map_err(|source| ConfigError::Thread { source })?;
    shared.connect(sender, handle);
    if let Some(backing) = &shared.backing {
        backing.begin(shared);
    }
    Ok(())
}

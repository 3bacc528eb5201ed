//! Threads for calls that may be kept waiting: those to databases of the program's.
//!
//! A thread is started when there is a job and nobody idle to do it, and ends when it has been idle
//! for a while. Whoever wants the result waits on its own thread, or as a future on any executor. A
//! database that hangs keeps its threads and a bounded number of jobs, and nothing else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::callbacks::contained;
use crate::fork;
use crate::log::{Log, LogLevel};
use crate::wait::{Slot, Waiting};

/// More jobs than this do not wait for a thread: they are refused.
const MOST_WAITING: usize = 1_000;
/// A thread without a job for so long ends.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// Some threads, started as they are needed.
pub(crate) struct Workers {
    pool: Arc<Pool>,
}

struct Pool {
    name: &'static str,
    most_threads: usize,
    idle_for: Duration,
    log: Log,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Job>,
    threads: usize,
    /// Threads that are parked until there is a job.
    idle: Vec<Thread>,
    stopped: bool,
}

impl Workers {
    /// `name` is that of the threads, at most 15 letters of which are seen.
    pub(crate) fn new(name: &'static str, most_threads: usize, log: Log) -> Self {
        Self::idle_for(IDLE, name, most_threads, log)
    }

    fn idle_for(idle_for: Duration, name: &'static str, most_threads: usize, log: Log) -> Self {
        let inner = Mutex::default();
        Self { pool: Arc::new(Pool { name, most_threads: most_threads.max(1), idle_for, log, inner }) }
    }

    /// Has this done on one of the threads, whether somebody waits for it or not. None comes of it if
    /// it panics, if too much waits already, or if the workers are stopped before it begins. `what` is
    /// whose code it is, for the log: "the big segment store".
    pub(crate) fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Waiting<T> {
        let result = Promise(Slot::new());
        let waiting = result.0.taking();
        let log = self.pool.log.clone();
        self.pool.add(what, Box::new(move || result.keep(contained(&log, what, job))));
        waiting
    }

    /// Lets the threads end once they have done what they are at. What waits is dropped, and whatever
    /// comes later refused.
    pub(crate) fn stop(&self) {
        let (dropped, idle) = {
            let _unforked = fork::guard();
            let mut inner = self.pool.lock();
            inner.stopped = true;
            (std::mem::take(&mut inner.waiting), std::mem::take(&mut inner.idle))
        };
        drop(dropped);
        idle.iter().for_each(Thread::unpark);
    }

    /// In a child process: the threads are the parent's, and so is what waits for them. The caller
    /// holds a fork guard.
    pub(crate) fn leave_parent(&self) {
        let mut inner = self.pool.lock();
        let stopped = inner.stopped;
        std::mem::forget(std::mem::replace(&mut *inner, Inner { stopped, ..Inner::default() }));
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Keeps a promise, if only by saying that nothing will come of it.
struct Promise<T>(Arc<Slot<T>>);

impl<T> Promise<T> {
    fn keep(self, value: Option<T>) {
        self.0.set(value);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl Pool {
    fn add(self: &Arc<Self>, what: &'static str, job: Job) {
        let must_start = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            if inner.stopped || inner.waiting.len() >= MOST_WAITING {
                Err((job, inner.stopped))
            } else {
                inner.waiting.push_back(job);
                match inner.idle.pop() {
                    Some(thread) => {
                        thread.unpark();
                        Ok(false)
                    }
                    None if inner.threads < self.most_threads => {
                        inner.threads += 1;
                        Ok(true)
                    }
                    None => Ok(false),
                }
            }
        };
        match must_start {
            Ok(true) => self.start(),
            Ok(false) => {}
            Err((refused, stopped)) => {
                drop(refused);
                if !stopped {
                    self.log.once(
                        LogLevel::Warn,
                        format_args!("{what} is asked more than it answers: {MOST_WAITING} calls wait, more are refused"),
                    );
                }
            }
        }
    }

    fn start(self: &Arc<Self>) {
        let pool = self.clone();
        let started = std::thread::Builder::new().name(self.name.to_owned()).spawn(move || {
            while let Some(job) = pool.next() {
                job();
            }
        });
        let error = match started.map(drop::<JoinHandle<()>>) {
            Ok(()) => return,
            Err(error) => error,
        };
        let dropped = {
            let _unforked = fork::guard();
            let mut inner = self.lock();
            inner.threads -= 1;
            // Others will come to what waits, if there are others.
            if inner.threads == 0 { std::mem::take(&mut inner.waiting) } else { VecDeque::new() }
        };
        drop(dropped);
        self.log.once(LogLevel::Error, format_args!("no thread `{}` could be started: {error}", self.name));
    }

    /// The next job for this thread; none if it is to end.
    fn next(&self) -> Option<Job> {
        let since = Instant::now();
        let this = std::thread::current();
        loop {
            let left = {
                let _unforked = fork::guard();
                let mut inner = self.lock();
                inner.idle.retain(|thread| thread.id() != this.id());
                if let Some(job) = inner.waiting.pop_front() {
                    return Some(job);
                }
                let left = self.idle_for.checked_sub(since.elapsed()).filter(|left| !left.is_zero());
                match left {
                    Some(left) if !inner.stopped => {
                        inner.idle.push(this.clone());
                        left
                    }
                    _ => {
                        inner.threads -= 1;
                        return None;
                    }
                }
            };
            std::thread::park_timeout(left);
        }
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn workers(most_threads: usize) -> Workers {
        Workers::new("test", most_threads, Log::new(None))
    }

    /// A job that hangs until the sender is dropped or sent to.
    fn hanging(workers: &Workers) -> (Waiting<ThreadId>, Sender<()>) {
        let (release, released) = channel();
        let (begin, begun) = channel();
        let waiting = workers.run("a test", move || {
            begin.send(()).unwrap();
            let _ = released.recv();
            thread::current().id()
        });
        begun.recv_timeout(PATIENCE).expect("the job began");
        (waiting, release)
    }

    #[test]
    fn a_result_is_waited_for_on_a_thread_or_awaited() {
        let workers = workers(2);
        let here = thread::current().id();
        let there = workers.run("a test", || thread::current().id()).wait(PATIENCE);
        assert!(there.is_some_and(|there| there != here));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(workers.run("a test", || 7)), Some(7));
    }

    #[test]
    fn a_job_that_panics_gives_nothing_and_the_next_is_done() {
        let workers = workers(1);
        assert_eq!(workers.run("a test", || panic!("on purpose")).wait(PATIENCE), None::<()>);
        assert_eq!(workers.run("a test", || 1).wait(PATIENCE), Some(1));
    }

    #[test]
    fn jobs_that_hang_keep_no_more_threads_than_there_may_be_and_no_more_jobs_than_wait() {
        let workers = workers(2);
        let (first, release) = hanging(&workers);
        let (second, release_second) = hanging(&workers);
        assert!(workers.run("a test", || ()).wait(Duration::from_millis(20)).is_none(), "it waits its turn");
        let mut waiting: Vec<_> = (1..MOST_WAITING).map(|_| workers.run("a test", || ())).collect();
        let before = Instant::now();
        assert!(workers.run("a test", || ()).wait(PATIENCE).is_none());
        assert!(before.elapsed() < PATIENCE / 2, "it was refused, not waited for");
        drop((release, release_second));
        assert_ne!(first.wait(PATIENCE).unwrap(), second.wait(PATIENCE).unwrap());
        assert!(waiting.pop().unwrap().wait(PATIENCE).is_some());
    }

    #[test]
    fn idle_threads_take_jobs_and_end_after_a_while() {
        let workers = Workers::idle_for(Duration::from_millis(50), "test", 4, Log::new(None));
        let first = workers.run("a test", || thread::current().id()).wait(PATIENCE).unwrap();
        let threads = || workers.pool.lock().threads;
        assert_eq!(threads(), 1);
        let started = Instant::now();
        while threads() > 0 {
            assert!(started.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(5));
        }
        let second = workers.run("a test", || thread::current().id()).wait(PATIENCE).unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn stopped_workers_drop_what_waits_and_end() {
        let workers = workers(1);
        let (running, release) = hanging(&workers);
        let waiting = workers.run("a test", || ());
        workers.stop();
        assert!(waiting.wait(PATIENCE).is_none());
        assert!(workers.run("a test", || ()).wait(PATIENCE).is_none());
        drop(release);
        assert!(running.wait(PATIENCE).is_some(), "what had begun is finished");
    }

    #[test]
    fn a_child_process_starts_threads_of_its_own() {
        let workers = workers(1);
        let (_running, _release) = hanging(&workers);
        let waiting = workers.run("a test", || 1);
        {
            let _unforked = fork::guard();
            workers.leave_parent();
        }
        assert_eq!(workers.run("a test", || 2).wait(PATIENCE), Some(2));
        assert_eq!(waiting.wait(Duration::from_millis(20)), None, "it is the parent's");
    }
}

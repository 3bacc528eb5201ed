//! One after the other, where a mutex would not do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::fork;

/// How long the next one sleeps before it looks again, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

/// Lets one thread at a time do something that may take a while, and takes locks of the client's on the
/// way: a fork need not wait for it. In a child process the turn of a thread of the parent's is over.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// The generation of the process whose thread has its turn, and one more; 0 if nobody has.
    holder: AtomicU64,
}

/// Somebody's turn, until this is dropped.
pub(crate) struct Taken<'t> {
    turn: &'t Turn,
    holder: u64,
}

impl Turn {
    /// Waits for one's turn.
    pub(crate) fn take(&self) -> Taken<'_> {
        let own = fork::generation() + 1;
        let mut pause = Duration::from_micros(10);
        loop {
            let known = self.holder.load(Ordering::Relaxed);
            let taken = known != own
                && self.holder.compare_exchange(known, own, Ordering::Acquire, Ordering::Relaxed).is_ok();
            if taken {
                return Taken { turn: self, holder: own };
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // In a child process another may have it by now.
        let _ = self.turn.holder.compare_exchange(self.holder, 0, Ordering::Release, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn one_thread_at_a_time_has_its_turn() {
        let (turn, inside, done) = (Turn::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _turn = turn.take();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 800);
    }

    #[test]
    fn a_turn_of_another_process_is_over() {
        let turn = Turn { holder: AtomicU64::new(fork::generation() + 2) };
        let taken = turn.take();
        assert_eq!(turn.holder.load(Ordering::Relaxed), fork::generation() + 1);
        drop(taken);
        assert_eq!(turn.holder.load(Ordering::Relaxed), 0);
    }
}

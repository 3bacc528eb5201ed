//! Where flags are evaluated: on the spot if they are few, and off the threads that serve everybody if not.
//! Else thousands of programs that come back at once would keep everybody waiting until all are served.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::error::ApiError;

/// So many are evaluated and written within a fraction of a millisecond.
const FEW: usize = 200;

/// Turns for evaluating many: as many as there are processors, so that memory is bounded and each is quick.
static TURNS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// Does `work` on so many flags.
pub(crate) async fn of_flags<T: Send + 'static>(
    count: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    if count <= FEW {
        return Ok(work());
    }
    let turn = TURNS.acquire().await.map_err(ApiError::internal)?;
    let work = move || {
        // Given back when it is done, also if nobody waits for it any more.
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// On one thread, which would wait for itself if it did the work.
    #[tokio::test(flavor = "current_thread")]
    async fn many_flags_keep_nobody_waiting() {
        let (go, gone) = mpsc::channel();
        let many = tokio::spawn(of_flags(FEW + 1, move || gone.recv().is_ok()));
        tokio::task::yield_now().await;
        assert_eq!(of_flags(FEW, || 1).await.ok(), Some(1));
        go.send(()).unwrap();
        assert_eq!(many.await.unwrap().ok(), Some(true));
    }
}
